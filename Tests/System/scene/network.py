"""A network of namespaces on one bridge, and what is done to it: losses, captures, forgeries.

Names carry our process id, so that two runs never meet. Nothing here leaves the machine.
"""

import contextlib
import ctypes
import os
import re
import signal
import socket
import struct
import subprocess
import time

from .stage import Failure, Skip, check


def _sh(*words, stdin=None):
    done = subprocess.run(words, input=stdin, capture_output=True, text=True)
    check(done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


SO_RCVBUFFORCE = 33  # Linux; not in this Python.


class Network:
    """Hosts h0…hN on a bridge, each with 10.77.0.N+1 and fd77::N+1."""

    def __init__(self, stage, hosts, mtu=1500):
        if os.geteuid() != 0:
            raise Skip("network namespaces want root")
        stage.need_tools("ip", "nft")
        self._stage = stage
        self._name = f"mc{os.getpid()}"
        self._mtu = str(mtu)
        self._add(self._bridge)
        _sh("ip", "-n", self._bridge, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        _sh("ip", "-n", self._bridge, "link", "set", "br0", "up")
        for number in range(hosts):
            self._add_host(number)

    @property
    def _bridge(self):
        return self._name + "-br"

    def namespace(self, host):
        return f"{self._name}-h{host}"

    def at(self, host):
        """The words that run a command at this host."""
        return ("ip", "netns", "exec", self.namespace(host))

    @staticmethod
    def device(host):
        return f"v{host}"

    @staticmethod
    def address(host, version=4):
        return f"10.77.0.{host + 1}" if version == 4 else f"fd77::{host + 1:x}"

    def _add(self, namespace):
        done = subprocess.run(["ip", "netns", "add", namespace], capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip(f"no network namespaces here: {done.stderr.strip()}")
        self._stage.stack.callback(
            subprocess.run, ["ip", "netns", "del", namespace], capture_output=True)

    def _add_host(self, host):
        space, device = self.namespace(host), self.device(host)
        self._add(space)
        inside = ("ip", "-n", space)
        _sh("ip", "link", "add", device, "netns", space, "type", "veth",
            "peer", "name", f"p{host}", "netns", self._bridge)
        _sh("ip", "-n", self._bridge, "link", "set", f"p{host}", "mtu", self._mtu)
        _sh("ip", "-n", self._bridge, "link", "set", f"p{host}", "master", "br0", "up")
        _sh(*inside, "link", "set", device, "mtu", self._mtu)
        _sh(*inside, "link", "set", "lo", "up")
        _sh(*inside, "addr", "add", self.address(host) + "/24", "dev", device)
        _sh(*inside, "addr", "add", self.address(host, 6) + "/64", "dev", device, "nodad")
        _sh(*inside, "link", "set", device, "up")
        _sh(*inside, "route", "add", "224.0.0.0/4", "dev", device)
        # Not in every kernel's namespaces; the program says so when its buffers stay small.
        for limit in ("rmem_max", "wmem_max"):
            subprocess.run([*self.at(host), "sysctl", "-qw", f"net.core.{limit}=67108864"],
                           capture_output=True)

    def segment_early(self, host):
        """Cuts a large send into datagrams before the link, so that single ones can be lost."""
        self._stage.need_tools("ethtool")
        _sh(*self.at(host), "ethtool", "-K", self.device(host), "tx-udp-segmentation", "off")

    def narrow_port(self, host, mtu):
        """The bridge carries no longer packets to a host, which doesn't know; TCP finds out."""
        _sh("ip", "-n", self._bridge, "link", "set", f"p{host}", "mtu", str(mtu))
        for version, route in ((4, ("10.77.0.0/24",)), (6, ("fd77::/64", "metric", "256"))):
            _sh("ip", f"-{version}", "-n", self.namespace(host), "route", "change", *route, "dev",
                self.device(host), "mtu", str(mtu))

    def narrow_interface(self, host, mtu):
        """A host's own interface carries no longer packets."""
        _sh("ip", "-n", self.namespace(host), "link", "set", self.device(host), "mtu", str(mtu))

    def drop(self, host, percent):
        """Loses this share of the UDP datagrams that come in at a host."""
        chance = "" if percent >= 100 else f"numgen random mod 1000 < {round(percent * 10)}"
        rules = f"""
        table inet loss {{
          chain input {{
            type filter hook input priority 0;
            meta l4proto udp counter
            meta l4proto udp {chance} counter drop
          }}
        }}
        """
        _sh(*self.at(host), "nft", "-f", "-", stdin=rules)

    def dropped(self, host):
        """How many datagrams came, and how many of them were lost."""
        text = _sh(*self.at(host), "nft", "list", "table", "inet", "loss")
        seen, lost = (int(number) for number in re.findall(r"packets (\d+)", text))
        return seen, lost

    def joined(self, host, group):
        """Whether a host's device listens to a group."""
        text = _sh("ip", "-n", self.namespace(host), "maddr", "show", "dev", self.device(host))
        return group in re.findall(r"inet6?\s+(\S+)", text)

    def source_filter(self, host):
        """The kernel's table of source-specific joins at a host."""
        return _sh(*self.at(host), "cat", "/proc/net/mcfilter")

    @contextlib.contextmanager
    def inside(self, host):
        """Sockets opened in this block belong to the host, also after it."""
        libc = ctypes.CDLL(None, use_errno=True)
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.namespace(host)}", os.O_RDONLY)
        try:
            if libc.setns(there, 0x40000000) != 0:
                raise Failure(f"setns: {os.strerror(ctypes.get_errno())}")
            yield
        finally:
            check(libc.setns(home, 0x40000000) == 0, "no way back to our own network")
            os.close(there)
            os.close(home)

    def listener(self, host):
        """A socket that sees every frame which reaches a host's device."""
        with self.inside(host):
            watch = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            # Whoever listens to a burst and looks at it later has it all.
            watch.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            watch.bind((self.device(host), 0x0800))
        watch.settimeout(20)
        self._stage.stack.callback(watch.close)
        return watch

    def receiver(self, host, group, port):
        """An ordinary member of a group at a host."""
        with self.inside(host):
            member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._stage.stack.callback(member.close)
        member.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        member.bind((group, port))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                          socket.inet_aton(group) + socket.inet_aton(self.address(host)))
        member.setblocking(False)
        return member

    def forger(self, host):
        """A socket that sends whole IPv4 packets from a host, whatever source they claim."""
        with self.inside(host):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                           socket.inet_aton(self.address(host)))
        self._stage.stack.callback(raw.close)
        return raw

    def capture(self, host, name, words):
        return Capture(self, self._stage, host, name, words)


class Capture:
    """dumpcap at a host's device, from when it listens until the marker it was sent."""

    MARKER = b"mirrorcast: the capture ends here"

    def __init__(self, network, stage, host, name, words):
        stage.need_tools("dumpcap")
        self.path = stage.path(name)
        self._network, self._host = network, host
        self._process = subprocess.Popen(
            [*network.at(host), "dumpcap", "-P", "-q", "-B", "64", "-i", network.device(host),
             "-f", f"({words}) or udp port 9", "-w", self.path],
            stderr=subprocess.PIPE, text=True)
        stage.stack.callback(self._kill)
        for line in self._process.stderr:
            if line.startswith("File:"):
                return
        raise Failure("dumpcap did not start")

    def _kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def finish(self):
        """Ends the capture when all that was sent before this call is in the file."""
        peer = self._network.address(self._host)[:-1] + "200"
        with self._network.inside(self._host):
            mark = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            mark.bind((self._network.device(self._host), 0x0800))
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(self.MARKER), 0, 0, 1, 17, 0,
                         socket.inet_aton(self._network.address(self._host)),
                         socket.inet_aton(peer))
        udp = struct.pack(">HHHH", 9, 9, 8 + len(self.MARKER), 0)
        mark.send(b"\xff" * 6 + bytes(6) + b"\x08\x00" + ip + udp + self.MARKER)
        mark.close()
        deadline = time.monotonic() + 20
        while not self._has_marker():
            check(time.monotonic() < deadline, "the capture never saw its end marker")
            time.sleep(0.02)
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)
        self._process.stderr.close()
        return self.path

    def _has_marker(self):
        with open(self.path, "rb") as file:
            file.seek(max(0, os.path.getsize(self.path) - 512))
            return self.MARKER in file.read()
