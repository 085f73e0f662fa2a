"""Hosts with RDMA: devices of soft-RoCE joined by a switch that can harm what it forwards."""

import os
import socket

from .stage import check

# Frames of the devices: RDMA's MTU is the next lower power of two, 4096.
MTU = 4400
MODULES = (
    # Without the first, rxe can't be had.
    "crc32_generic", "ib_uverbs", "rdma_ucm", "rdma_rxe", "veth", "bridge", "sch_netem")


def address(host):
    return f"10.78.0.{host + 1}"


def counter(host, name):
    with open(f"/sys/class/infiniband/rxe{host}/ports/1/hw_counters/{name}") as file:
        return int(file.read())


class RDMANetwork:
    """A device `rxeN` at the interface `eN` for each host N; the sender is host 0.

    All are in one namespace, since rxe hears no other. What leaves by a device for another's
    address must go over the wire though the address is local: a table for each device, looked at
    before the local one, says so.
    """

    def __init__(self, stage, count):
        self.stage = stage
        self.hosts = range(count)
        self._sh("ip", "link", "add", "switch", "mtu", str(MTU), "type", "bridge",
                 "mcast_snooping", "0")
        self._sh("ip", "link", "set", "switch", "up")
        for host in self.hosts:
            self._add(host)
        self._sh("ip", "rule", "add", "pref", "200", "lookup", "local")
        self._sh("ip", "rule", "del", "pref", "0")
        for name in os.listdir("/proc/sys/net/ipv4/conf"):
            for key, value in (("accept_local", 1), ("rp_filter", 0), ("arp_ignore", 1)):
                with open(f"/proc/sys/net/ipv4/conf/{name}/{key}", "w") as file:
                    file.write(str(value))
        stage.say(f"{count} devices of soft-RoCE at one switch, frames of {MTU} bytes")

    def _sh(self, *words):
        self.stage.tool(*words)

    def _add(self, host):
        device, port, table = f"e{host}", f"p{host}", str(100 + host)
        self._sh("ip", "link", "add", device, "mtu", str(MTU), "type", "veth",
                 "peer", "name", port, "mtu", str(MTU))
        self._sh("ip", "link", "set", port, "master", "switch", "up")
        self._sh("ip", "link", "set", device, "up")
        self._sh("ip", "addr", "add", f"{address(host)}/24", "dev", device)
        self.add_device(host)
        self._sh("ip", "route", "add", "10.78.0.0/24", "dev", device, "src", address(host),
                 "table", table)
        self._sh("ip", "rule", "add", "pref", table, "oif", device, "lookup", table)

    def add_device(self, host):
        self._sh("rdma", "link", "add", f"rxe{host}", "type", "rxe", "netdev", f"e{host}")

    def remove_device(self, host):
        self._sh("rdma", "link", "delete", f"rxe{host}")

    def harm(self, hosts, *what):
        """The switch does this to what it brings to those hosts, each by itself; without: no more.

        `what` is netem's: `loss 1%`.
        """
        for host in hosts:
            if what:
                self._sh("tc", "qdisc", "replace", "dev", f"p{host}", "root", "netem", *what,
                         "limit", "100000")
            else:
                self._sh("tc", "qdisc", "del", "dev", f"p{host}", "root")

    def overtaken(self, host):
        """How many of a hundred numbered datagrams come to that host after a later one."""
        with (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
              socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver):
            sender.bind((address(0), 0))
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"e0")
            receiver.bind((address(host), 0))
            receiver.settimeout(10)
            for number in range(100):
                sender.sendto(bytes([number]), receiver.getsockname())
            came = [receiver.recv(1)[0] for _ in range(100)]
        return sum(later < earlier for earlier, later in zip(came, came[1:]))
