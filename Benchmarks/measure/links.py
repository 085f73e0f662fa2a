"""The scene's network with a sender's uplink that can be shaped, and legs that can be taken away.

A multicast datagram on a bridge reaches every port that is up, so legs that a measurement doesn't
use are taken off the bridge: otherwise three legs would cost what eight do.
"""

import subprocess

from scene.network import Network

ETHERNET_HEADER = 14


class Links(Network):
    """Host 0 sends, hosts 1… receive; the link to shape is the sender's own."""

    def __init__(self, stage, legs):
        super().__init__(stage, legs + 1)
        self._legs, self._joined, self._losing = legs, legs, set()
        stage.need_tools("tc", "ethtool")

    def use(self, legs):
        """Joins the first legs to the bridge, takes the others off; losses and limits end."""
        for host in range(1, self._legs + 1):
            if (host <= legs) != (host <= self._joined):
                self._stage.tool("ip", "-n", self._bridge, "link", "set", f"p{host}",
                                 "up" if host <= legs else "down")
            self.lose(host, 0)
        self._joined = legs
        self.shape(None)
        self.segment(early=False)

    def shape(self, rate):
        """Limits the sender's uplink (`1gbit`), or, with None, lets it go."""
        subprocess.run([*self.at(0), "tc", "qdisc", "del", "dev", self.device(0), "root"],
                       capture_output=True)
        if rate:
            self._queue("tbf", "rate", rate, "burst", "256kb", "latency", "50ms")

    def _queue(self, *words):
        self._stage.tool("tc", "qdisc", "add", "dev", self.device(0), "root", *words,
                         prefix=self.at(0))

    def count(self):
        """A queue at the sender that limits nothing and counts what leaves it (see `sent`)."""
        self.shape(None)
        self._queue("pfifo", "limit", "100000")

    def sent(self):
        """Bytes at the IP level that left the sender through its queue, and drops in that queue.

        A queue discipline counts what a wire would carry: for a GSO packet the kernel adds the
        headers of each segment but the first to its length (qdisc_pkt_len_init), and counts the
        segments, where an interface's own counters and nftables count one packet with one header.
        Ethernet's 14 bytes for each segment come off. All that the sender sends is in it: login,
        commands, repairs, TCP's acknowledgements.
        """
        queue = self._stage.tool("tc", "-s", "-j", "qdisc", "show", "dev", self.device(0),
                                 prefix=self.at(0)).json[0]
        return queue["bytes"] - ETHERNET_HEADER * queue["packets"], queue["drops"]

    def segment(self, early):
        """Whether datagrams are cut before the link (so that each can be lost alone)."""
        self._stage.tool("ethtool", "-K", self.device(0), "tx-udp-segmentation",
                         "off" if early else "on", prefix=self.at(0))

    def lose(self, host, percent):
        """Loses this share of the UDP datagrams that come in at a leg, each by its own chance."""
        if host in self._losing:
            self._stage.tool("nft", "delete", "table", "inet", "loss", prefix=self.at(host))
            self._losing.remove(host)
        if percent:
            self.drop(host, percent)
            self._losing.add(host)
