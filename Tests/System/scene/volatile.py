"""Disks that lose what was not flushed when their power is cut, and legs of a mirror on them.

Under each disk is a file in memory, and the kernel's dm-log-writes between the two; with a power
cut its table becomes one of errors, at once, under whatever is mounted there. The disk that comes
back is made anew: from what was there when the log began, and what may be left of the log.

Roads not taken: dm-flakey, which drops all or nothing and knows no flush; a file system's own
shutdown (FS_IOC_GOINGDOWN), which loses nothing that the disk has in its cache.
"""

import os
import subprocess

from .stage import check
from .writelog import Remains, WriteLog

LOG_SIZE = 1 << 30  # Sparse, and in memory: only as far as it is written.


class VolatileDisk:
    """A block device that has power, or not."""

    def __init__(self, stage, folder, name, size):
        self.stage, self.name, self.size = stage, f"mirrorcast-{name}", size
        # What stands there for certain; what the device works on; what it was told since.
        self.base, self.working, self.told = (
            os.path.join(folder, f"{name}.{kind}") for kind in ("base", "working", "told"))
        for path in (self.base, self.working, self.told):
            with open(path, "wb") as file:
                file.truncate(LOG_SIZE if path == self.told else size)
        self.path = f"/dev/mapper/{self.name}"
        self._loops = [self._loop(path) for path in (self.working, self.told)]
        self._tool("dmsetup", "create", self.name, "--table", self._table("error"))
        stage.stack.callback(self._tool, "dmsetup", "remove", "--force", self.name, status=None)

    def _loop(self, path):
        device = self._tool("losetup", "-f", "--show", path).out.strip()
        self.stage.stack.callback(self._tool, "losetup", "-d", device, status=None)
        return device

    def _tool(self, *words, status=0):
        # There is no udev in the guest.
        return self.stage.tool("env", "DM_DISABLE_UDEV=1", *words, status=status)

    def _table(self, kind):
        return f"0 {self.size // 512} {kind}"

    def _become(self, table):
        self._tool("dmsetup", "load", self.name, "--table", table)
        self._tool("dmsetup", "resume", "--nolockfs", self.name)

    def power_on(self):
        """From what stands there for certain; nothing is told yet."""
        self._tool("cp", "--sparse=always", self.base, self.working)
        with open(self.told, "r+b") as file:
            file.truncate(0)
            file.truncate(LOG_SIZE)
        self._become(self._table("log-writes " + " ".join(self._loops)))
        # So that the cut itself is one step.
        self._tool("dmsetup", "load", self.name, "--table", self._table("error"))

    def cut(self):
        self._tool("dmsetup", "resume", "--nolockfs", self.name)

    def log(self):
        """What it was told, after a cut."""
        return WriteLog(self.told)

    def settle(self, take):
        """`take(remains, log)` says what the cut has left: that stands there for certain now."""
        log = self.log()
        remains = Remains(log, self.base)
        try:
            return take(remains, log)
        finally:
            remains.close()
            log.close()


class VolatileLeg:
    """A target whose LUN, and what it remembers of its mirror, are on volatile disks.

    Either a file and its journal on one file system, or a device, and the journal on another.
    """

    def __init__(self, stage, folder, name, size, isDevice=False):
        self.stage, self.name, self.size, self.isDevice = stage, name, size, isDevice
        self.mounted = os.path.join(folder, f"{name}.mounted")
        os.makedirs(self.mounted)
        room = (16 << 20) + (0 if isDevice else size)
        self.files = VolatileDisk(stage, folder, f"{name}-files", room)
        stage.tool("mkfs.ext4", "-q", "-b", "4096", "-m", "0", self.files.base)
        self.disks = [self.files]
        if isDevice:
            self.disks.append(VolatileDisk(stage, folder, f"{name}-device", size))
        self.lun = self.disks[-1].path if isDevice else os.path.join(self.mounted, "disk")
        self.port, self.daemon, self.url = None, None, None
        stage.stack.callback(subprocess.run, ["umount", "-l", self.mounted],
                             stderr=subprocess.DEVNULL)

    def start(self):
        """Power comes: disks, file system, target."""
        for disk in self.disks:
            disk.power_on()
        self.stage.tool("mount", "-t", "ext4", self.files.path, self.mounted)
        kind, extra = f"file:{self.lun},size={self.size}", ()
        if self.isDevice:
            kind, extra = f"device:{self.lun}", ("--state", self.mounted)
        self.daemon = self.stage.target(self.name, [kind], port=self.port,
                                        extra=("--interface", "lo", *extra))
        self.port, self.url = int(self.daemon.portal.rsplit(":", 1)[1]), self.daemon.url

    def kill(self):
        self.daemon.kill()
        self.stage.daemons.remove(self.daemon)

    def cut(self):
        """Power goes, of disks whose target was killed: no disk ever failed it."""
        for disk in self.disks:
            disk.cut()

    def clear(self):
        self.stage.tool("umount", self.mounted)

    def settle(self, take):
        """As a disk does, all of them."""
        return [disk.settle(take) for disk in self.disks]
