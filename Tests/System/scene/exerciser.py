"""The project's own verifier, `mirrorcast exercise`, at a kept mirror: started, killed, judged.

What was acknowledged is in one file, whoever wrote, and however far.
"""

import json
import os
import re
import subprocess
import time

from .stage import check

# One acknowledged write: first sector, sectors, number, digest.
LINE = 32
SECTOR = 512
FAULT = re.compile(r"sector \d+ (is|holds)")


class Exerciser:
    """`extra` are words of the command."""

    def __init__(self, stage, legs, name, *extra):
        self.stage, self.legs, self.name, self.extra = stage, legs, name, extra
        self.state = stage.path("acknowledged")
        self._own = self._known = self._process = None
        stage.stack.callback(self.kill)

    def _words(self, state, seconds):
        to = [word for leg in self.legs for word in ("--to", leg.url)]
        return ["exercise", "--name", self.name, *to, "--state", state, "--seconds", str(seconds),
                "--json", *self.extra]

    # Writing.

    def start(self, *extra, size=None):
        """Writes until it is killed, on all of the disks or so much of them."""
        state = self.state
        if size is not None:
            # To the verifier, who is told of a smaller disk, what is beyond that doesn't exist.
            state = self._own = self.stage.path("acknowledged-there")
            self._known = self._copy(size)
            extra = ("--size", str(size), *extra)
        self._counted, self._first = state, self._length(state)
        self._said = self.stage.path("said")
        with open(self._said, "w") as said:
            self._process = subprocess.Popen(
                [self.stage.program, *self._words(state, 3600), *extra], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=said)

    def _copy(self, size):
        """What is known of the first so many bytes; its length."""
        with open(self.state, "rb") as file:
            known = file.read()
        lines = (known[at:at + LINE] for at in range(0, len(known) - LINE + 1, LINE))
        chosen = b"".join(
            line for line in lines
            if (int.from_bytes(line[:8]) + int.from_bytes(line[8:16])) * SECTOR <= size)
        with open(self._own, "wb") as file:
            file.write(chosen)
        return len(chosen)

    @staticmethod
    def _length(path):
        return os.path.getsize(path) if os.path.exists(path) else 0

    @property
    def acknowledged(self):
        """Writes since it was started, but for one line with which it begins."""
        return max(0, (self._length(self._counted) - self._first) // LINE - 1)

    @property
    def said(self):
        with open(self._said, errors="replace") as file:
            return file.read()

    def until(self, words, isSo, limit=90):
        """Waits, while it runs."""
        deadline = time.monotonic() + limit
        while not isSo():
            self._look()
            check(self._process.poll() is None, f"the load has ended:\n{self.said[-3000:]}")
            check(time.monotonic() < deadline, f"{words} within {limit} s:\n{self.said[-3000:]}")
            time.sleep(0.05)

    def until_written(self, count):
        wanted = self.acknowledged + count
        self.until(f"not {count} writes", lambda: self.acknowledged >= wanted)

    def _look(self):
        check(not FAULT.search(self.said), f"LOST:\n{self.said[-3000:]}")

    def kill(self):
        """Without warning; what it had acknowledged stands."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        if self._own is not None:
            with open(self._own, "rb") as file:
                file.seek(self._known)
                new = file.read()
            with open(self.state, "ab") as file:
                file.write(new[:len(new) // LINE * LINE])
            self._own = None

    def stop(self):
        """Kills it, and sees that it had found nothing lost."""
        self.kill()
        self._look()

    def run(self, seconds, limit=90):
        """To its end, when all legs are in sync that are here, and read."""
        return self.stage.run(*self._words(self.state, seconds), limit=limit).json

    # Judging.

    def judge(self, limit=90):
        """What it says of all that is there; nothing is written. Its status may be any."""
        return self.stage.run(*self._words(self.state, 0), limit=limit, status=None)

    def until_whole(self, limit):
        """All that was acknowledged is at each leg, and all are in sync; the result."""
        deadline = time.monotonic() + limit
        while True:
            done = self.judge()
            result = done.json
            check(not (result or {}).get("lost") and not FAULT.search(done.err),
                  f"LOST:\n{done.tail(40)}")
            if done.status == 0 and all(leg["state"] == "in-sync" for leg in result["legs"]):
                return result
            check(time.monotonic() < deadline, f"the mirror doesn't heal:\n{done.tail(40)}")
            time.sleep(0.5)

    def until_back(self, leg, since, limit=90):
        """A leg is in sync again, by what was said since so many characters."""
        words = f"{leg.url} is in-sync"
        self.until(f"{leg.name} isn't in sync", lambda: words in self.said[since:], limit)
