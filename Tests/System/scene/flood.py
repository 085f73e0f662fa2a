"""Connections that never become sessions: many, from many addresses, opened anew when closed.

A flood is a process of its own, so that it takes no time from who measures; it is told to end by
its pipe, and tells by it what it has seen.
"""

import contextlib
import multiprocessing
import os
import selectors
import socket
import struct
import time

AGAIN_AFTER = 1.0  # Seconds from a close to the next connection in its place.


NAME = "InitiatorName=iqn.2026-01.org.mirrorcast.test:flood"


def login_request(flags, isid, *keys):
    """A Login Request, RFC 7143 §11.12."""
    text = b"".join(key.encode() + b"\0" for key in keys)
    head = struct.pack(">BBBBI", 0x43, flags, 0, 0, len(text))
    head += struct.pack(">Q", isid << 16) + struct.pack(">IHHII", 1, 0, 0, 1, 0) + bytes(16)
    return head + text + bytes(-len(text) % 4)


def login(target, initiator, isid):
    """One that leads from nothing to full feature phase."""
    return login_request(0x87, isid, f"InitiatorName={initiator}", "SessionType=Normal",
                         f"TargetName={target}")


def openings(target, proved):
    """What the connections say: (at once, then a byte a second); `proved`: a target that wants
    CHAP."""
    isid = 0x800000000001
    whole = login(target, NAME.partition("=")[2], isid)
    # As far as the challenge, and no further.
    half = login_request(0, isid, NAME, "SessionType=Normal", f"TargetName={proved}",
                         "AuthMethod=CHAP") + login_request(0, isid, "CHAP_A=7,5")
    discovery = login_request(0x87, isid, NAME, "SessionType=Discovery")
    # A text that goes on and on: 48 bytes of header, then 8,000 of a key's value.
    text = struct.pack(">BBBBI", 0x43, 0x44, 0, 0, 8000) + whole[8:48] + b"A" * 8000
    return [
        (b"", b""),
        (whole[:60], b""),
        (b"", whole[:47]),
        (text * 7, b""),
        (os.urandom(600), b""),
        (b"GET / HTTP/1.1\r\n\r\n" * 10, b""),
        (whole[:47], b""),
        (b"", b""),
        (half, b""),
        (half, b""),
        (discovery, b""),
    ]


class Flood:
    """`sources`: (namespace's file, address) of each connection."""

    def __init__(self, stage, sources, portal, target, proved):
        ours, theirs = multiprocessing.Pipe()
        self._pipe = ours
        self._process = multiprocessing.Process(
            target=_run, args=(theirs, sources, portal, openings(target, proved)), daemon=True)
        self._process.start()
        theirs.close()
        stage.stack.callback(self._kill)

    def counts(self):
        """Connections opened so far, those that are open, those that were closed to us; how many
        got a challenge, and how many a discovery session."""
        self._pipe.send("counts")
        return self._pipe.recv()

    def end(self):
        self._pipe.send("end")
        self._process.join(20)

    def _kill(self):
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class _Connections:
    def __init__(self, sources, portal, says):
        self.portal, self.sources, self.says = portal, sources, says
        self.selector = selectors.DefaultSelector()
        self.due = []  # (when, index), in order.
        self.open = {}  # index: socket
        self.opened = self.closed = self.challenged = self.discovering = 0
        self.slow = {}  # index: bytes left to say

    def connect(self, index):
        space, address = self.sources[index]
        with contextlib.suppress(OSError):
            enter(space)
            connection = socket.socket(
                socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            connection.setblocking(False)
            connection.bind((address, 0))
            connection.connect_ex(self.portal)
            self.selector.register(connection, selectors.EVENT_WRITE, index)
            self.open[index] = connection
            return
        self.due.append((time.monotonic() + AGAIN_AFTER, index))

    def close(self, index):
        connection = self.open.pop(index)
        self.selector.unregister(connection)
        connection.close()
        self.slow.pop(index, None)
        self.closed += 1
        self.due.append((time.monotonic() + AGAIN_AFTER, index))

    def ready(self, key, events):
        index, connection = key.data, key.fileobj
        if events & selectors.EVENT_WRITE:
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.close(index)
            self.opened += 1
            self.selector.modify(connection, selectors.EVENT_READ, index)
            first, self.slow[index] = self.says[index % len(self.says)]
            self.say(index, first)
        elif events & selectors.EVENT_READ:
            try:
                self.heard(index, connection.recv(65536))
            except BlockingIOError:
                pass
            except OSError:
                self.close(index)

    def heard(self, index, words):
        if not words:
            return self.close(index)
        self.challenged += b"CHAP_C=" in words
        # A Login Response that leads to full feature phase: only discoveries are asked for.
        self.discovering += words[0] == 0x23 and words[1] == 0x87

    def say(self, index, words):
        if not words:
            return
        try:
            self.open[index].send(words)
        except BlockingIOError:
            pass
        except OSError:
            self.close(index)

    def trickle(self):
        for index, words in list(self.slow.items()):
            if words:
                self.slow[index] = words[1:]
                self.say(index, words[:1])


_inside = [None]


def enter(space):
    """From now on sockets are made in this namespace."""
    if _inside[0] == space:
        return
    import ctypes
    with open(space) as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000) != 0:
            raise OSError("setns")
    _inside[0] = space


def _run(pipe, sources, portal, says):
    flood = _Connections(sources, portal, says)
    for index in range(len(sources)):
        flood.connect(index)
    trickled = time.monotonic()
    while True:
        for key, events in flood.selector.select(0.05):
            flood.ready(key, events)
        now = time.monotonic()
        # In the order of their namespaces: each change of it is a system call.
        due = sorted(index for when, index in flood.due if when <= now)
        flood.due = [entry for entry in flood.due if entry[0] > now]
        for index in due:
            flood.connect(index)
        if now - trickled >= 1:
            trickled = now
            flood.trickle()
        if not pipe.poll():
            continue
        if pipe.recv() == "end":
            return
        pipe.send((flood.opened, len(flood.open), flood.closed, flood.challenged,
                   flood.discovering))
