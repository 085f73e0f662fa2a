"""Initiators that share a kept mirror, each with the project's own verifier."""

import json
import os
import subprocess
import time
from typing import NamedTuple

from .stage import check

# Bytes of an acknowledged write in a writer's file.
LINE = 32


class SharedMirror(NamedTuple):
    name: str
    group: str


class Writer:
    """One initiator with the project's own verifier; what was acknowledged is in a file."""

    def __init__(self, stage, network, legs, place, mirror, extra=()):
        """`place` is its number from 0 on, and how many there are; `extra` are words of the
        command."""
        self.stage, self.network, self.mirror, self.extra = stage, network, mirror, extra
        self.index, self.count = place
        self.to = [word for leg in legs for word in ("--to", leg.url)]
        self.state = stage.path(f"acknowledged-{self.index}")
        self.process, self.runs = None, 0
        stage.stack.callback(self.kill)

    def start(self, seconds):
        self.runs += 1
        base = self.stage.path(f"writer-{self.index}-{self.runs}")
        self.out, self.log = base + ".out", base + ".err"
        words = ["exercise", "--name", self.mirror.name, "--shared", *self.to,
                 "--group", self.mirror.group, "--interface", self.network.device(self.index),
                 "--state", self.state,
                 "--share", f"{self.index + 1}/{self.count}", "--seconds", str(seconds),
                 "--json", "--patience", "20", *self.extra]
        self.process = subprocess.Popen(
            [*self.network.at(self.index), self.stage.program, *words],
            stdin=subprocess.DEVNULL, stdout=open(self.out, "w"), stderr=open(self.log, "w"))

    def has_ended(self):
        return self.process.poll() is not None

    def said(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read()

    def await_words(self, words, seconds=30, since=0):
        """They are said, behind so many characters."""
        deadline = time.monotonic() + seconds
        while words not in self.said()[since:]:
            check(self.process.poll() is None, f"writer {self.index} ended:\n{self.said()[-3000:]}")
            check(time.monotonic() < deadline, f"no '{words}' there:\n{self.said()[-3000:]}")
            time.sleep(0.05)

    def _acknowledged(self):
        return os.path.getsize(self.state) if os.path.exists(self.state) else 0

    def await_writes(self, count=100, seconds=60):
        """So many more are acknowledged, and stored as such."""
        wanted = self._acknowledged() + count * LINE
        deadline = time.monotonic() + seconds
        while self._acknowledged() < wanted:
            check(self.process.poll() is None, f"writer {self.index} ended:\n{self.said()[-3000:]}")
            check(time.monotonic() < deadline, f"no {count} writes:\n{self.said()[-3000:]}")
            time.sleep(0.05)

    def result(self):
        """What it found, when it has ended."""
        status = self.process.wait(timeout=120)
        self.process = None
        tail = self.said()[-4000:]
        with open(self.out, encoding="utf-8") as file:
            text = file.read()
        check(status == 0, f"writer {self.index} ended with {status}:\n{text}\n{tail}")
        result = json.loads(text)
        check(result["verified"] and not result["lost"], f"writer {self.index}: {text}\n{tail}")
        return result

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def told(results):
    return ", ".join(f"{r['acknowledged']} writes, longest pause "
                     f"{r['longestPauseMicroseconds'] / 1000:.0f} ms" for r in results)


def equal(stage, legs):
    for leg in legs[1:]:
        stage.check_same(stage.path(legs[0].name), stage.path(leg.name))
