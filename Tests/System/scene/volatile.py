"""Disks that lose what was not flushed when their power is cut, and legs of a mirror on them.

Under each disk is a file in memory, and the kernel's dm-log-writes between the two; with a power
cut its table becomes one of errors, at once, under whatever is mounted there. The disk that comes
back is made anew: from what was there when the log began, and what may be left of the log.

Roads not taken: dm-flakey, which drops all or nothing and knows no flush; a file system's own
shutdown (FS_IOC_GOINGDOWN), which loses nothing that the disk has in its cache.
"""

import glob
import os

from .block import MappedDevice, copy_sparse, loop, mount, unmount
from .writelog import Remains, WriteLog

LOG_SIZE = 1 << 30  # Sparse, and in memory: only as far as it is written.
# Where the marks begin in a leg's journal; in their sectors, what stands around them.
MARKS, MARK_SECTOR, MARK_HEAD, MARK_TAIL = 64 << 10, 512, 8, 8


class VolatileDisk:
    """A block device that has power, or not. The machine that it is in is thrown away after use."""

    def __init__(self, folder, name, size, like=None):
        # What stands there for certain; what the device works on; what it was told since.
        self.base, self._working, self._told = (
            os.path.join(folder, f"{name}.{kind}") for kind in ("base", "working", "told"))
        for path in (self.base, self._working, self._told):
            with open(path, "wb") as file:
                file.truncate(LOG_SIZE if path == self._told else size)
        if like is not None:
            copy_sparse(like, self.base)
        self._loops = [loop(path) for path in (self._working, self._told)]
        self._device = MappedDevice(name, size)
        self.path = self._device.path

    def power_on(self):
        """From what stands there for certain; nothing is told yet."""
        copy_sparse(self.base, self._working)
        with open(self._told, "r+b") as file:
            file.truncate(0)
            file.truncate(LOG_SIZE)
        self._device.load("log-writes", " ".join(self._loops))
        self._device.switch()
        # So that the cut itself is one step.
        self._device.load("error")

    def cut(self):
        self._device.switch()

    def log(self):
        """What it was told, after a cut."""
        return WriteLog(self._told)

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

    def __init__(self, stage, folder, name, size, blank, isDevice=False):
        self.stage, self.name, self.size, self.isDevice = stage, name, size, isDevice
        self.folder = os.path.join(folder, f"{name}.mounted")
        os.makedirs(self.folder)
        self.files = VolatileDisk(folder, f"{name}-files", os.path.getsize(blank), blank)
        self.disks = [self.files]
        if isDevice:
            self.disks.append(VolatileDisk(folder, f"{name}-device", size))
        self.lun = self.disks[-1].path if isDevice else os.path.join(self.folder, "disk")
        self.port, self.daemon, self.url = None, None, None

    def power_on(self):
        for disk in self.disks:
            disk.power_on()
        mount(self.files.path, self.folder)

    def serve(self):
        kind, extra = f"file:{self.lun},size={self.size}", ()
        if self.isDevice:
            kind, extra = f"device:{self.lun}", ("--state", self.folder)
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
        unmount(self.folder)

    def settle(self, take):
        """As a disk does, all of them."""
        for disk in self.disks:
            disk.settle(take)

    def marked(self):
        """How many regions its journal calls marked; nobody serves it."""
        (path,) = glob.glob(os.path.join(self.folder, "*.mirror"))
        with open(path, "rb") as file:
            file.seek(MARKS)
            sector = file.read(MARK_SECTOR)
        return int.from_bytes(sector[MARK_HEAD:-MARK_TAIL]).bit_count()
