"""What a disk was told to write, as dm-log-writes tells it, and what a power cut leaves of that.

A disk with a volatile cache has, after a power cut, all that was written before the last flush
that it ended, all that it ended with FUA, and of the rest any part, in any order, torn between
sectors. The log has just what that takes: a write stands in it, with its bytes, where it came to
the medium for certain: before the flush that brought it there, or by itself with FUA. What no
flush brought there comes at the end. So an *epoch* is what lies between two flushes, and the disk
just before the end of an epoch's flush is: all epochs before, this one's FUA, any part of the rest.
"""

import mmap
import os
import struct

from .stage import check

SECTOR = 512
MAGIC, VERSION = 0x6A736677736872, 1
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
END = b"dm-log-writes-end"
# What each block of ext4's journal begins with that isn't data.
JOURNAL = bytes.fromhex("c03b3998")
# What each sector of an exercise begins with.
STAMP = b"MIRRTEST"


class Write:
    """Bytes that went to a place; where they stand in the log."""

    __slots__ = ("place", "length", "at", "forced")

    def __init__(self, place, length, at, forced):
        self.place, self.length, self.at, self.forced = place, length, at, forced

    def overlaps(self, other):
        return self.place < other.place + other.length and other.place < self.place + self.length


class WriteLog:
    """A log that has come to its end; `epochs[-1]` was never flushed."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        magic, version, count, sector = struct.unpack_from("<QQQL", self._bytes)
        check((magic, version, sector) == (MAGIC, VERSION, SECTOR), f"no log of writes: {path}")
        self.epochs, last = [[]], b""
        at = SECTOR
        for _ in range(count):
            place, sectors, flags, length = struct.unpack_from("<QQQQ", self._bytes, at)
            last = self._bytes[at + 32:at + 32 + length] if flags & MARK else b""
            at += SECTOR
            check(not flags & DISCARD, "the log tells of a discard")
            if sectors:
                self.epochs[-1].append(
                    Write(place * SECTOR, sectors * SECTOR, at, bool(flags & FUA)))
                at += sectors * SECTOR
            if flags & FLUSH:
                self.epochs.append([])
        check(last == END, f"the log of writes has no end: {path}")

    def close(self):
        self._bytes.close()

    def bytes(self, write, first=0, last=None):
        last = write.length if last is None else last
        return self._bytes[write.at + first:write.at + last]

    def loose(self, epoch):
        """The writes of an epoch that its flush brought to the medium, and nothing else did."""
        return [write for write in self.epochs[epoch] if not write.forced]

    def last_stamped(self):
        """The last write of an exercise's sectors that was flushed, and that none overwrote."""
        later = []
        for epoch in reversed(self.epochs):
            for write in reversed(epoch):
                if (epoch is not self.epochs[-1] and STAMP in self.bytes(write)
                        and not any(map(write.overlaps, later))):
                    return write
                later.append(write)
        return None


class Remains:
    """The bytes that a power cut leaves of what a log tells, on top of what was there before."""

    def __init__(self, log, path):
        self._log = log
        self._file = os.open(path, os.O_WRONLY)
        self._next = 0

    def close(self):
        os.close(self._file)

    def advance(self, epoch, without=()):
        """Everything before an epoch, but for some writes, whose loss would be the disk's fault."""
        for number in range(self._next, epoch):
            writes = self._log.epochs[number]
            self._check_order(number)
            for write in writes:
                if write not in without:
                    self._put(write)
        self._next = max(self._next, epoch)

    def cut(self, epoch, random, chance, isTorn=False):
        """An epoch in whose flush the power goes: each loose write is there by chance.

        Returns how many are, of how many, and whether one is torn.
        """
        self.advance(epoch)
        loose = self._log.loose(epoch)
        kept = [write for write in loose if random.random() < chance]
        long = [write for write in loose if write.length > SECTOR]
        torn = random.choice(long) if isTorn and long else None
        # A disk has an order of its own; but nothing goes over what was written with FUA.
        random.shuffle(kept)
        for write in kept:
            if write is not torn:
                self._put(write)
        if torn is not None:
            self._tear(torn, random)
        for write in self._log.epochs[epoch]:
            if write.forced:
                self._put(write)
        return len(kept), len(loose), torn is not None

    def _check_order(self, number):
        """Of two writes to one place in one epoch, one with FUA, the log tells the latter first.

        The file system's journal does that in its first block, and is right: it has flushed
        whatever it calls empty (FUA), and then calls it begun.
        """
        for forced in (write for write in self._log.epochs[number] if write.forced):
            for loose in filter(forced.overlaps, self._log.loose(number)):
                check(self._log.bytes(loose, 0, 4) == JOURNAL,
                      "the log doesn't tell whether a write or one with FUA came last")

    def _put(self, write, first=0, last=None):
        os.pwrite(self._file, self._log.bytes(write, first, last), write.place + first)

    def _tear(self, write, random):
        """Some of its sectors, not none and not all."""
        count = write.length // SECTOR
        chosen = random.sample(range(count), random.randint(1, count - 1))
        for sector in chosen:
            first = sector * SECTOR
            os.pwrite(self._file, self._log.bytes(write, first, first + SECTOR),
                      write.place + first)

