"""Unicast disks to compare with: tgt at each leg's host, written by QEMU alone or as a quorum."""

import os
import re
import subprocess
import time

from scene.stage import check

from .peers import end
from .program import bytes_of

SIZE = 128 << 20
PORT = 3260


class Disks:
    """A tgtd at each of the first hosts, started when first wanted; its file on a tmpfs."""

    def __init__(self, stage, network):
        self._stage, self._network = stage, network
        self._urls = {}
        self._rates = {}

    def _url(self, host):
        if host not in self._urls:
            self._urls[host] = self._start(host)
        return self._urls[host]

    def _start(self, host):
        stage, network = self._stage, self._network
        disk = f"/dev/shm/mirrorcast-lab-{os.getpid()}-disk{host}"
        with open(disk, "wb") as file:
            file.truncate(SIZE)
        stage.stack.callback(os.unlink, disk)
        control = str(20000 + (os.getpid() + host) % 10000)
        environment = dict(os.environ, TGT_IPC_SOCKET=stage.path(f"tgt-control-{host}"))
        process = subprocess.Popen(
            [*network.at(host), "tgtd", "-f", "-C", control, "--iscsi",
             f"portal={network.address(host)}:{PORT}"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stage.stack.callback(end, process)
        name = f"iqn.2025-01.org.mirrorcast.lab:tgt{host}"
        deadline = time.monotonic() + 10
        for words in (
                ("--op", "show", "--mode", "system"),
                ("--op", "new", "--mode", "target", "--tid", "1", "-T", name),
                ("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", disk),
                ("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")):
            while subprocess.run(["tgtadm", "-C", control, "--lld", "iscsi", *words],
                                 env=environment, capture_output=True).returncode != 0:
                check(time.monotonic() < deadline, f"tgtd at host {host} does not answer")
                time.sleep(0.05)
        return f"{network.address(host)}:{PORT}", name

    def _options(self, prefix, host):
        portal, name = self._url(host)
        return (f"{prefix}driver=raw,{prefix}file.driver=iscsi,{prefix}file.transport=tcp,"
                f"{prefix}file.portal={portal},{prefix}file.target={name},{prefix}file.lun=1")

    def one(self, size, depth, seconds):
        """Writes to the first host's disk alone."""
        return self._bench(("one", size, depth), self._options("", 1), size, depth, seconds)

    def quorum(self, legs, size, depth, seconds):
        """Writes to all legs' disks, each write by N connections."""
        options = f"driver=quorum,vote-threshold={legs // 2 + 1}"
        for index in range(legs):
            options += "," + self._options(f"children.{index}.", index + 1)
        return self._bench((legs, size, depth), options, size, depth, seconds)

    def _bench(self, key, options, size, depth, seconds):
        """`qemu-img bench`: bytes and writes a second, and the mean time of a write."""
        if key not in self._rates:
            self._rates[key] = self._run(options, size, depth, 64 * depth)["writesPerSecond"]
        count = max(int(self._rates[key] * seconds), 4 * depth)
        result = self._run(options, size, depth, count)
        self._rates[key] = result["writesPerSecond"]
        return result

    def _run(self, options, size, depth, count):
        done = self._stage.tool(
            "qemu-img", "bench", "--image-opts", "-w", "-c", count, "-d", depth, "-s",
            bytes_of(size), options, prefix=self._network.at(0), limit=120)
        elapsed = float(re.search(r"completed in ([\d.]+) seconds", done.out)[1])
        return {"goodputBytesPerSecond": count * bytes_of(size) / elapsed,
                "writesPerSecond": count / elapsed,
                "meanMicroseconds": elapsed / count * depth * 1e6}
