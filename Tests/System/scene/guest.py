"""A test whose body runs in another machine: its file runs once more in a guest."""

import os
import sys

from .stage import ROOT, run

INSIDE = "MIRRORCAST_IN_GUEST"
BOOT = os.path.join(ROOT, "Tests", "System", "guest", "boot")


def run_in_guest(title, body, machine, modules=(), limit=300):
    """Like `run`; `machine`: QEMU's words for it, `modules`: of its kernel, to be loaded.

    Of the host, the body has its files alone; all but MIRRORCAST… is gone from its environment.
    """
    if os.environ.get(INSIDE):
        run(title, body)
    os.execv(BOOT, [
        BOOT, "--machine", " ".join(machine), "--modules", " ".join(modules),
        "--limit", str(limit), "env", f"{INSIDE}=1", os.path.abspath(sys.argv[0])])
