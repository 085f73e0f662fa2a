"""Loop devices, device mapper and mounts by the kernel's own calls.

Each tool that would do it is a process, which costs a third of a second in an emulated machine; and
a power cut is to be one instant.
"""

import ctypes
import fcntl
import os
import struct

from .stage import Failure

LOOP_SET_FD, LOOP_CTL_GET_FREE = 0x4C00, 0x4C82

# linux/dm-ioctl.h: the head of each request, and the description of one piece of a table.
_HEAD = struct.Struct("=3I2IIiIIIQ128s129s7x")
_PIECE = struct.Struct("=QQiI16s")
_CREATE, _SUSPEND, _LOAD = 3, 6, 9
# The file system above is neither told nor waited for.
_SKIP_LOCKFS = 1 << 10

_libc = ctypes.CDLL(None, use_errno=True)


def loop(path):
    """A loop device over a file."""
    with open("/dev/loop-control") as control:
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    device = f"/dev/loop{number}"
    with open(device, "r+b", buffering=0) as opened, open(path, "r+b") as file:
        fcntl.ioctl(opened, LOOP_SET_FD, file.fileno())
    return device


class MappedDevice:
    """A device of the device mapper, as long as the machine lives."""

    def __init__(self, name, size):
        self._name, self._sectors = name.encode(), size // 512
        device = self._ask(_CREATE)
        self.path = f"/dev/dm-{device & 0xFF | device >> 12 & ~0xFF}"

    def load(self, kind, words=""):
        """What it will be at the next switch."""
        given = words.encode() + b"\0"
        given += bytes(-len(given) % 8)
        self._ask(_LOAD, _PIECE.pack(
            0, self._sectors, 0, _PIECE.size + len(given), kind.encode()) + given)

    def switch(self):
        """It becomes what was loaded, once nothing is under way; its old table has come to an end
        when this returns."""
        self._ask(_SUSPEND)

    def _ask(self, command, data=b""):
        room = bytearray(_HEAD.pack(
            4, 0, 0, _HEAD.size + len(data), _HEAD.size, len(data) and 1, 0, _SKIP_LOCKFS, 0, 0, 0,
            self._name, b"") + data)
        with open("/dev/mapper/control", "r+b", buffering=0) as control:
            fcntl.ioctl(control, 3 << 30 | _HEAD.size << 16 | 0xFD << 8 | command, room)
        return _HEAD.unpack_from(room)[10]


def _call(words, result):
    if result != 0:
        raise Failure(f"{words}: {os.strerror(ctypes.get_errno())}")


def mount(device, folder):
    """Mounts an ext4."""
    _call(f"mount {device}", _libc.mount(device.encode(), folder.encode(), b"ext4", 0, None))


def unmount(folder):
    _call(f"umount {folder}", _libc.umount2(folder.encode(), 0))


def copy_sparse(source, target):
    """Makes a file a copy, with holes where there are any."""
    size = os.path.getsize(source)
    with open(target, "ab") as made:
        made.truncate(0)
        made.truncate(size)
    given, made = os.open(source, os.O_RDONLY), os.open(target, os.O_WRONLY)
    try:
        at = 0
        while at < size:
            try:
                at = os.lseek(given, at, os.SEEK_DATA)
            except OSError:
                break  # Nothing but a hole is left.
            end = os.lseek(given, at, os.SEEK_HOLE)
            while at < end:
                at += os.pwrite(made, os.pread(given, min(end - at, 1 << 20), at), at)
    finally:
        os.close(given)
        os.close(made)
