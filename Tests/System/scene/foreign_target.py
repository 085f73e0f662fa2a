"""tgt, a target of another make, as a process of our own: own control socket, port and file."""

import dataclasses
import os
import subprocess
import time

from .stage import Skip, check, free_port

IQN = "iqn.2025-01.org.mirrorcast.test:tgt"


@dataclasses.dataclass
class ForeignTarget:
    disk: str
    url: str


def start_tgt(stage, size):
    """A tgtd with one LUN in a sparse file of `size` bytes; ended with the stage."""
    if os.geteuid() != 0:
        raise Skip("tgtd wants root")
    stage.need_tools("tgtd", "tgtadm")
    disk, port = stage.path("tgt"), free_port()
    with open(disk, "wb") as file:
        file.truncate(size)
    control = str(20000 + os.getpid() % 10000)
    environment = dict(os.environ, TGT_IPC_SOCKET=stage.path("tgt-control"))
    process = subprocess.Popen(
        ["tgtd", "-f", "-C", control, "--iscsi", f"portal=127.0.0.1:{port}"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end():
        process.kill()
        process.wait()

    stage.stack.callback(end)

    def admin(*words):
        return subprocess.run(["tgtadm", "-C", control, "--lld", "iscsi", *words],
                              env=environment, capture_output=True, text=True)

    deadline = time.monotonic() + 10
    while admin("--op", "show", "--mode", "system").returncode != 0:
        check(process.poll() is None, f"tgtd ended with {process.returncode}")
        check(time.monotonic() < deadline, "tgtd does not answer")
        time.sleep(0.05)
    for words in (
            ("--op", "new", "--mode", "target", "--tid", "1", "-T", IQN),
            ("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", disk),
            ("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")):
        done = admin(*words)
        check(done.returncode == 0, f"tgtadm {' '.join(words)}: {done.stderr}")
    return ForeignTarget(disk, f"iscsi://127.0.0.1:{port}/{IQN}/1")
