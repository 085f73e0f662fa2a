"""The wire in a second language: datagrams built from the protocol's page, not from our Swift.

A test that crafts its bytes here can disagree with the program, which is the point.
"""

import socket
import struct

REGISTRATION = 0x1234ABCD
REPAIR, UNSUMMED, PROBE, OWN = 0x0001, 0x0002, 0x0004, 0x0008
TRAILER = 16


def _table():
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return rows


_TABLE = _table()


def crc32c(data):
    """CRC32C (Castagnoli), as iSCSI's digests compute it."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def lun_field(number):
    """SAM-5 single-level LUN: peripheral addressing below 256, flat space above."""
    return struct.pack(">H6x", number if number < 256 else 0x4000 | number)


def task_tag(write):
    return 0x80000000 | write % (1 << 30)


def _seal(pdu, data, flags, registration, epoch, sequence):
    padded = data + bytes(-len(data) % 4)
    trailer = struct.pack(">IHHI", registration, epoch, flags, sequence)
    summed = pdu + trailer if flags & UNSUMMED else pdu + padded + trailer
    return pdu + padded + trailer + struct.pack(">I", crc32c(summed))


def command(write, vlun, length, block=0, block_size=512, data=b"", flags=0,
            registration=REGISTRATION, epoch=1, lowest_open=None, sequence=0):
    """A mirrored WRITE (16) command of `length` bytes at block address `block`."""
    cdb = struct.pack(">BBQIBB", 0x8A, 0, block, length // block_size, 0, 0)
    pdu = struct.pack(
        ">BBxxI8sIIII16s", 0x41, 0x80 | 0x20 | 0x01, len(data), lun_field(vlun),
        task_tag(write), length, write, write if lowest_open is None else lowest_open, cdb)
    return _seal(pdu, data, flags, registration, epoch, sequence)


def data_out(write, vlun, number, block_length, data, last, flags=0,
             registration=REGISTRATION, epoch=1, sequence=0):
    """Block `number` of a write."""
    tag = task_tag(write)
    pdu = struct.pack(
        ">BBxxI8sIIxxxxIxxxxIIxxxx", 0x05, 0x80 if last else 0, len(data), lun_field(vlun),
        tag, tag, write, number, number * block_length)
    return _seal(pdu, data, flags, registration, epoch, sequence)


def probe(length, registration=REGISTRATION, epoch=1):
    """A NOP-Out of full datagram size."""
    pdu = struct.pack(
        ">BBxxI8sIIIIxxxxxxxxxxxxxxxx", 0x40, 0x80, length, bytes(8), 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    return _seal(pdu, bytes(length), PROBE, registration, epoch, 0)


def _sum16(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _ip(payload, protocol, source, destination):
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 1, protocol, 0)
    head += addresses
    return head[:10] + struct.pack(">H", _sum16(head)) + head[12:] + payload


def udp_packet(payload, source, destination):
    """An IPv4 packet with one UDP datagram, no UDP checksum."""
    head = struct.pack(">HHHH", source[1], destination[1], 8 + len(payload), 0)
    return _ip(head + payload, 17, source[0], destination[0])


def tcp_packet(payload, sequence, source, destination):
    """An IPv4 packet with one TCP segment."""
    head = struct.pack(
        ">HHIIBBHHH", source[1], destination[1], sequence, 1, 0x50, 0x18, 65535, 0, 0)
    return _ip(head + payload, 6, source[0], destination[0])


def vendor(opcode, kind, write, data=b""):
    """A PDU of ours on the connection: mirror request, answer or statuses."""
    epoch = struct.pack(">H", 1)
    pdu = bytearray(struct.pack(
        ">BBxxI8sIIIIIIII", opcode, 0x80 | kind, len(data), bytes(8), 0xFFFFFFFF, REGISTRATION,
        0, 0, 0, write, 0, 0))
    at = 32 if opcode & 0x3F == 0x1C else 40
    pdu[at:at + 2] = epoch
    return bytes(pdu) + data
