"""What befalls a mirror under load: deaths, cuts, losses, stops, full disks; each is undone.

All of it is drawn from one seed, so that a run can be told by a number; when the machines' own
timing differs, the same seed need not find the same.
"""

import os
import random
import signal
import subprocess
import time

from .stage import check


class Leg:
    """A target of the mirror, on a file system of its own that can be filled."""

    def __init__(self, stage, network, host, name, size):
        self.stage, self.network, self.host, self.name = stage, network, host, name
        self.size = size
        self.folder = stage.path(name)
        os.makedirs(self.folder)
        stage.tool("mount", "-t", "tmpfs", "-o", f"size={size * 2}", f"mc-{name}", self.folder)
        stage.stack.callback(subprocess.run, ["umount", "-l", self.folder],
                             stderr=subprocess.DEVNULL)
        self.disk = os.path.join(self.folder, "disk")
        self.daemon = None
        self.start()

    def start(self):
        self.daemon = self.stage.target(
            self.name, [f"file:{self.disk},size={self.size}"],
            host=self.network.address(self.host), port=3260,
            prefix=self.network.at(self.host),
            extra=("--interface", self.network.device(self.host)))
        self.url = self.daemon.url

    def kill(self):
        self.daemon.kill()
        self.stage.daemons.remove(self.daemon)

    def fill(self):
        """Leaves no room on its file system."""
        with open(os.path.join(self.folder, "filler"), "wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
                    file.flush()
            except OSError:
                pass

    def empty(self):
        try:
            os.unlink(os.path.join(self.folder, "filler"))
        except FileNotFoundError:
            pass


class Nemesis:
    """Does one thing after the other to legs and initiators, and undoes it."""

    def __init__(self, seed, network, legs, exerciser, say):
        self.random = random.Random(seed)
        self.network, self.legs, self.exerciser, self.say = network, legs, exerciser, say
        self.done = {}

    def strike(self):
        """One harm, its time, its end."""
        kinds = (self.kill_leg, self.kill_leg, self.kill_two, self.kill_initiator, self.cut,
                 self.cut_one_way, self.lose, self.stop, self.fill)
        kind = self.random.choice(kinds)
        self.done[kind.__name__] = self.done.get(kind.__name__, 0) + 1
        kind(self.random.choice(self.legs), self.random.uniform(0.2, 4))

    def rest(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.exerciser.keep()
            time.sleep(0.1)

    def kill_leg(self, leg, seconds):
        self.say(f"kill -9 of {leg.name}, back after {seconds:.1f} s")
        leg.kill()
        self.rest(seconds)
        leg.start()

    def kill_two(self, leg, seconds):
        other = self.random.choice([other for other in self.legs if other is not leg])
        self.say(f"kill -9 of {leg.name} and {other.name}, back after {seconds:.1f} s")
        leg.kill()
        other.kill()
        self.rest(seconds)
        other.start()
        leg.start()

    def kill_initiator(self, leg, seconds):
        self.say(f"kill -9 of {self.exerciser.kill(self.random)}, begun anew")
        if self.random.random() < 0.4:
            leg.kill()
            leg.start()
        self.exerciser.keep()
        self.rest(seconds)

    def _rules(self, leg, text):
        rules = f"table inet cut {{\n{text}\n}}\n"
        done = subprocess.run([*self.network.at(leg.host), "nft", "-f", "-"], input=rules,
                              capture_output=True, text=True)
        check(done.returncode == 0, f"nft: {done.stderr}")

    def _mend(self, leg):
        subprocess.run([*self.network.at(leg.host), "nft", "delete", "table", "inet", "cut"],
                       capture_output=True)

    def _with_rules(self, leg, seconds, text):
        self._rules(leg, text)
        try:
            self.rest(seconds)
        finally:
            self._mend(leg)

    def cut(self, leg, seconds):
        self.say(f"{leg.name} cut off for {seconds:.1f} s")
        self._with_rules(leg, seconds, """
            chain in { type filter hook input priority 0; drop; }
            chain out { type filter hook output priority 0; drop; }""")

    def cut_one_way(self, leg, seconds):
        way = self.random.choice(("input", "output"))
        self.say(f"{leg.name} cut off one way ({way}) for {seconds:.1f} s")
        self._with_rules(leg, seconds,
                         f"chain one {{ type filter hook {way} priority 0; drop; }}")

    def lose(self, leg, seconds):
        share = self.random.choice((10, 50, 200))
        self.say(f"{leg.name} loses {share / 10:.0f} % of its datagrams for {seconds:.1f} s")
        self._with_rules(leg, seconds, f"""
            chain some {{ type filter hook input priority 0;
              meta l4proto udp numgen random mod 1000 < {share} drop;
            }}""")

    def stop(self, leg, seconds):
        self.say(f"{leg.name} stopped for {seconds:.1f} s")
        pid = leg.daemon.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            self.rest(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def fill(self, leg, seconds):
        self.say(f"the disk of {leg.name} is full for {seconds:.1f} s")
        leg.fill()
        try:
            self.rest(seconds)
        finally:
            leg.empty()
