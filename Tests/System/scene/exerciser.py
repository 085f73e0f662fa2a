"""The project's own verifier, `mirrorcast exercise`, at one kept mirror; started, killed, judged."""

import json
import os
import subprocess

from .stage import check

# One acknowledged write: first sector, sectors, number, digest.
LINE = 32
SECTOR = 512


class Exerciser:
    """What was acknowledged is in one file, whoever wrote, and however far.

    `extra` are words of the command.
    """

    def __init__(self, stage, legs, name, *extra):
        self.stage, self.legs, self.name, self.extra = stage, legs, name, extra
        self.state = stage.path("acknowledged")
        self._own = None
        self._process = None
        stage.stack.callback(self.kill)

    def _words(self, state, seconds, extra):
        to = [word for leg in self.legs for word in ("--to", leg.url)]
        return [self.stage.program, "exercise", "--name", self.name, *to, "--state", state,
                "--seconds", str(seconds), "--json", "--quiet", *self.extra, *extra]

    def start(self, seconds, *extra, size=None):
        """Writes for so long, on all of the disks or so much of them."""
        state, self._own = self.state, None
        if size is not None:
            state = self._own = self.stage.path("acknowledged-there")
            self._known = self._copy(size)
            extra = ("--size", str(size), *extra)
        self._out, self._log = open(self.stage.path("said"), "w+"), open(
            self.stage.path("said.err"), "w+")
        self._process = subprocess.Popen(
            self._words(state, seconds, extra), stdin=subprocess.DEVNULL, stdout=self._out,
            stderr=self._log)

    def _copy(self, size):
        """What is known of the first so many bytes; its length."""
        known = b""
        if os.path.exists(self.state):
            with open(self.state, "rb") as file:
                known = file.read()
        lines = (known[at:at + LINE] for at in range(0, len(known) - LINE + 1, LINE))
        chosen = b"".join(
            line for line in lines
            if (int.from_bytes(line[:8]) + int.from_bytes(line[8:16])) * SECTOR <= size)
        with open(self._own, "wb") as file:
            file.write(chosen)
        return len(chosen)

    def _merge(self):
        if self._own is None:
            return
        with open(self._own, "rb") as file:
            file.seek(self._known)
            new = file.read()
        with open(self.state, "ab") as file:
            file.write(new[:len(new) // LINE * LINE])
        self._own = None

    @property
    def lives(self):
        return self._process is not None and self._process.poll() is None

    def kill(self):
        """Without warning; what it had acknowledged stands."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._merge()

    def end(self, limit):
        """Its result, when it has ended by itself and found nothing lost."""
        try:
            status = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            status = None
        self._process = None
        self._merge()
        for file in (self._out, self._log):
            file.seek(0)
        out, said = self._out.read(), self._log.read()[-3000:]
        check(status is not None, f"the verifier doesn't end within {limit} s:\n{said}")
        check(status == 0, f"the verifier ended with {status}:\n{out}\n{said}")
        return json.loads(out)

    def run(self, seconds, *extra, limit=90):
        self.start(seconds, *extra)
        return self.end(limit)

    def judge(self, limit=90):
        """What it says of all that is there; nothing is written. Its status may be any."""
        return self.stage.run(*self._words(self.state, 0, ())[1:], limit=limit, status=None)
