"""What others do on the same links: plain TCP, udpcast, UFTP, and the kernel with no protocol.

Each returns bytes a second at a receiver. All are started by us, ended by their ids, and told to be
as fast as they can: no rate limit, large buffers, files in memory.
"""

import json
import os
import re
import shutil
import subprocess
import threading
import time

from scene.stage import check

ROOT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..")
GROUP, RENDEZVOUS = "239.77.9.7", "239.77.9.8"
MEBI = 1 << 20


class Peers:
    def __init__(self, stage, network):
        self._stage, self._network = stage, network
        self._servers = {}
        self._ceiling = None
        self._memory = f"/dev/shm/mirrorcast-lab-{os.getpid()}"
        os.mkdir(self._memory)
        stage.stack.callback(shutil.rmtree, self._memory, ignore_errors=True)

    def _start(self, host, *words, **streams):
        """A process at a host, ended by its id at the latest with the stage."""
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
                   "stdin": subprocess.DEVNULL, **streams}
        process = subprocess.Popen(
            [*self._network.at(host), *map(str, words)], text=True, **streams)
        self._stage.stack.callback(end, process)
        return process

    # TCP.

    def tcp(self, legs, seconds):
        """Streams to all legs at once; the mean of what the receivers got of each."""
        for host in range(1, legs + 1):
            if host not in self._servers:
                self._servers[host] = self._start(host, "iperf3", "-s")
                self._await_listener(host, 5201)
        clients = [
            self._start(0, "iperf3", "-c", self._network.address(host), "-t", seconds, "-J",
                        stdout=subprocess.PIPE)
            for host in range(1, legs + 1)]
        rates = []
        for client in clients:
            out, _ = client.communicate(timeout=seconds + 30)
            result = json.loads(out)
            check(client.returncode == 0, f"iperf3: {result.get('error')}")
            rates.append(result["end"]["sum_received"]["bits_per_second"] / 8)
        return sum(rates) / len(rates)

    def _await_listener(self, host, port):
        deadline = time.monotonic() + 10
        while f":{port} " not in self._stage.tool("ss", "-Hltn", prefix=self._network.at(host)).out:
            check(time.monotonic() < deadline, f"nothing listens on port {port} of host {host}")
            time.sleep(0.02)

    # Multicast without a protocol.

    def ceiling(self, legs, seconds):
        """The median receiver's rate of `ceiling.c`."""
        if self._ceiling is None:
            self._ceiling = self._stage.path("ceiling")
            self._stage.tool("gcc", "-O2", "-o", self._ceiling, os.path.join(ROOT, "ceiling.c"))
        receivers = [
            self._start(host, self._ceiling, "receive", GROUP, 5001, seconds + 5,
                        self._network.address(host), stdout=subprocess.PIPE)
            for host in range(1, legs + 1)]
        for receiver in receivers:
            check(receiver.stdout.readline() == "ready\n", "ceiling: a receiver did not start")
        self._stage.tool(self._ceiling, "send", GROUP, 5001, seconds, self._network.address(0),
                         prefix=self._network.at(0))
        rates = sorted(float(receiver.communicate(timeout=30)[0]) for receiver in receivers)
        return rates[len(rates) // 2]

    # Reliable multicast of files.

    def _file(self, mebibytes):
        path = os.path.join(self._memory, f"file-{mebibytes}")
        if not os.path.exists(path):
            with open(path, "wb") as file:
                for _ in range(mebibytes):
                    file.write(os.urandom(MEBI))
        return path

    def udpcast(self, legs, mebibytes):
        """udpcast's rate between its words `Starting transfer` and `Transfer complete`."""
        receivers = [
            self._start(host, "udp-receiver", "--nokbd", "--no-progress", "--interface",
                        self._network.device(host), "--mcast-rdv-address", RENDEZVOUS,
                        "--rcvbuf", 8 * MEBI, "--file", "/dev/null")
            for host in range(1, legs + 1)]
        path = self._file(mebibytes)
        sender = self._start(
            0, "udp-sender", "--nokbd", "--no-progress", "--interface", self._network.device(0),
            "--mcast-rdv-address", RENDEZVOUS, "--full-duplex", "--min-receivers", legs,
            "--file", path, stderr=subprocess.PIPE)
        began = ended = None
        # It waits for ever for a receiver that missed its start.
        patience = threading.Timer(60, sender.kill)
        patience.start()
        try:
            for line in sender.stderr:
                if line.startswith("Starting transfer"):
                    began = time.monotonic()
                elif line.startswith("Transfer complete"):
                    ended = time.monotonic()
        finally:
            patience.cancel()
        check(sender.wait(30) == 0 and began and ended, "udpcast did not end its transfer")
        for receiver in receivers:
            check(receiver.wait(30) == 0, "a receiver of udpcast failed")
        return os.path.getsize(path) / (ended - began)

    def uftp(self, legs, mebibytes):
        """UFTP's rate by its own `Total elapsed time` of the transfer."""
        names, servers = [], []
        for host in range(1, legs + 1):
            folder = os.path.join(self._memory, f"uftp-{host}")
            os.makedirs(folder, exist_ok=True)
            names.append(f"0x{host:08x}")
            servers.append(self._start(
                host, "uftpd", "-d", "-I", self._network.device(host), "-D", folder,
                "-U", names[-1], "-B", 32 * MEBI, "-x", 1))
        path = self._file(mebibytes)
        try:
            done = self._stage.tool(
                "uftp", "-R", -1, "-Y", "none", "-I", self._network.device(0), "-B", 32 * MEBI,
                "-b", 1400, "-H", ",".join(names), path, prefix=self._network.at(0), limit=120)
        finally:
            for server in servers:
                end(server)
        check(done.err.count("Status: Completed") == legs, f"uftp: {done.err[-500:]}")
        return os.path.getsize(path) / float(
            re.search(r"Total elapsed time: ([\d.]+)", done.err)[1])


def end(process):
    """By its own id, if it still runs."""
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
