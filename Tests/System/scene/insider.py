"""A leg that isn't honest: whoever has the machine of a leg has the group's key.

It is taken from the memory of the leg's process, as root can, so that the program needs no hook for
it. By it datagrams are opened and sealed here, from the protocol's page.
"""

import struct

from . import wire
from .gcm import TAG, Cipher

SEALED = 0x0020
HEADER = 48
END = wire.TRAILER + TAG
# An array of 16 bytes as Swift has it: its count and its capacity (doubled) stand before it.
_COUNT = b"\x10" + bytes(7)


class Trailer:
    """What a sealed datagram says of itself in the clear."""

    def __init__(self, datagram):
        self.registration, self.epoch, self.flags, self.sequence, self.counter = struct.unpack(
            ">IHHII", datagram[-END:-TAG])
        self.is_sealed = bool(self.flags & SEALED)


def opened(key, datagram):
    """Its data, or None where another key has sealed it."""
    return Cipher(key).open(datagram[-END + 4:-TAG], datagram[:HEADER], datagram[HEADER:-END],
                            datagram[-TAG:])


def sealed(key, clear, counter):
    """A clear datagram as the initiator would seal it."""
    flags = struct.unpack(">H", clear[-10:-8])[0] | SEALED
    trailer = clear[-16:-10] + struct.pack(">H", flags) + clear[-8:-4] + struct.pack(">I", counter)
    hidden = Cipher(key).seal(trailer[4:], clear[:HEADER], clear[HEADER:-16])
    return clear[:HEADER] + hidden[:-TAG] + trailer + hidden[-TAG:]


def keys_of(pid):
    """All that could be keys in a process's memory."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        areas = [line.split() for line in file]
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for area in areas:
            # Ours are in the heap, or in what the allocator has mapped for a thread.
            if "rw" not in area[1] or len(area) > 5 and area[5] != "[heap]":
                continue
            start, end = (int(word, 16) for word in area[0].split("-"))
            try:
                memory.seek(start)
                # The slabs are longer than this, and hold data only.
                text = memory.read(min(end - start, 64 << 20))
            except OSError:
                continue
            at = text.find(_COUNT)
            while at >= 0:
                key = text[at + 16:at + 32]
                if text[at + 9:at + 16] == bytes(7) and len(set(key)) > 8:
                    found.add(key)
                at = text.find(_COUNT, at + 1)
    return found


def key_for(pid, datagram):
    """The key in a process's memory that opens a datagram, or None."""
    return next((key for key in keys_of(pid)
                 if len(key) == 16 and opened(key, datagram) is not None), None)
