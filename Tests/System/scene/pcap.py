"""Capture files, written and read without a library: classic pcap only."""

import struct

from .wire import tcp_packet, udp_packet

RAW_IP = 101


def _write(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW_IP))
        for index, packet in enumerate(packets):
            file.write(struct.pack("<IIII", 1, index, len(packet), len(packet)) + packet)


def write_datagrams(path, datagrams, source=("10.9.0.1", 40000), group=("239.9.9.9", 5000)):
    """A capture that holds these UDP payloads in order."""
    _write(path, [udp_packet(payload, source, group) for payload in datagrams])


def write_stream(path, pdus):
    """A capture of one TCP connection to iSCSI's port, a segment for each PDU."""
    sequence, packets = 1, []
    for pdu in pdus:
        packets.append(tcp_packet(pdu, sequence, ("10.9.0.1", 41000), ("10.9.0.2", 3260)))
        sequence += len(pdu)
    _write(path, packets)


def read_datagrams(path, port):
    """Source and payload of each datagram to UDP `port`, from Ethernet frames with IPv4."""
    with open(path, "rb") as file:
        capture = file.read()
    order = "<" if capture[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    offset = 24
    while offset + 16 <= len(capture):
        length = struct.unpack_from(order + "I", capture, offset + 8)[0]
        found = in_frame(capture[offset + 16:offset + 16 + length], port)
        offset += 16 + length
        if found:
            yield found


def in_frame(frame, port):
    """Source and payload of the datagram to UDP `port` in an Ethernet frame, or None."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    udp = 14 + (frame[14] & 15) * 4
    source, destination, length = struct.unpack_from(">HHH", frame, udp)
    if destination != port:
        return None
    address = ".".join(str(byte) for byte in frame[26:30])
    return (address, source), frame[udp + 8:udp + length]


def next_datagram(listener, port):
    """Waits for a datagram to UDP `port`: its source, and its payload."""
    while True:
        found = in_frame(listener.recv(65536), port)
        if found:
            return found
