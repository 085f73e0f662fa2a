"""A test whose body runs in another machine: its file runs once more in a guest."""

import os
import subprocess
import sys

from .stage import ROOT, run

INSIDE = "MIRRORCAST_IN_GUEST"
BOOT = os.path.join(ROOT, "Tests", "System", "guest", "boot")


def run_in_guest(title, body, machine, modules=(), limit=300):
    """Like `run`, with these QEMU words as the machine and these modules of its kernel."""
    if os.environ.get(INSIDE):
        # The host's files are ours, its network is not: not even loopback is up yet.
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        run(title, body)
    os.execv(BOOT, [
        BOOT, "--machine", " ".join(machine), "--modules", " ".join(modules),
        "--limit", str(limit), "env", f"{INSIDE}=1", os.path.abspath(sys.argv[0])])
