"""The program as processes: a daemon that says `ready`, and commands with a time limit."""

import json
import os
import re
import signal
import subprocess
import threading
import time


class Finished:
    """How a command ended, and all it wrote."""

    def __init__(self, arguments, status, out, err, late):
        self.line = " ".join(arguments)
        self.status = status
        self.out = out
        self.err = err
        self.late = late

    @property
    def json(self):
        try:
            return json.loads(self.out)
        except ValueError:
            return None

    def tail(self, count=15):
        lines = (self.out + "\n" + self.err).strip().splitlines()[-count:]
        return "\n".join("  | " + line for line in lines)


def run_limited(arguments, limit, stdin=None, feed=None):
    """Runs a command; `feed(pipe)` writes its standard input meanwhile."""
    process = subprocess.Popen(
        arguments, text=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.PIPE if feed else (stdin or subprocess.DEVNULL))
    feeder = None
    broken = []
    if feed:
        pipe = process.stdin
        process.stdin = None
        feeder = threading.Thread(target=_feed, args=(feed, pipe, broken), daemon=True)
        feeder.start()
    late = False
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        late = True
        process.kill()
        out, err = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if feeder:
        feeder.join(10)
        if broken:
            raise broken[0]
    return Finished(
        list(map(str, arguments)), process.returncode, out.decode(errors="replace"),
        err.decode(errors="replace"), late)


def _feed(feed, pipe, broken):
    """Writes until done; the pipe is closed in any case, or its reader would wait for ever."""
    try:
        with pipe:
            feed(pipe)
    except BrokenPipeError:
        pass  # The reader ended first: its status tells why.
    except Exception as problem:
        broken.append(problem)


class Daemon:
    """One `mirrorcast target`."""

    def __init__(self, program, name, host, port, luns, extra, prefix):
        self.name = name
        shown = f"[{host}]" if ":" in host else host
        self.portal = f"{shown}:{port}"
        self.iqn = f"iqn.2025-01.org.mirrorcast.test:{name}"
        self.url = f"iscsi://{self.portal}/{self.iqn}/0"
        arguments = [*prefix, program, "target", "--portal", self.portal, "--iqn", self.iqn]
        for number, lun in enumerate(luns):
            arguments += ["--lun", f"{number}={lun}"]
        self._start([*arguments, *map(str, extra)])

    def _start(self, arguments):
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace")
        self.out, self.err = [], []
        self._told = threading.Event()
        self._ready = False
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in
            ((self._process.stdout, self.out), (self._process.stderr, self.err))]
        for reader in self._readers:
            reader.start()
        self._ended = None

    @property
    def pid(self):
        return self._process.pid

    @property
    def lives(self):
        return self._process.poll() is None

    def lun_url(self, number):
        return self.url[:-1] + str(number)

    def _read(self, stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))
            if stream is self._process.stdout and re.search(r"\bready\b", line):
                self._ready = True
                self._told.set()
        if stream is self._process.stdout:
            self._told.set()

    def wait_ready(self, limit):
        """None when the daemon has said `ready`, else what went wrong."""
        if not self._told.wait(limit):
            return f"not ready after {limit} s"
        return None if self._ready else f"ended before it was ready:\n{self.tail()}"

    def kill(self):
        """Ends it without warning, as a crash would."""
        self._process.kill()
        self._process.wait()
        self._ended = "killed"

    def end(self):
        """SIGTERM; None when it ended cleanly (or was killed on purpose)."""
        if self._ended:
            return None if self._ended in ("killed", "clean") else self._ended
        if self._process.poll() is not None:
            self._ended = f"had ended by itself with {self._process.returncode}"
            return self._ended
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(15)
            self._ended = "clean" if status == 0 else f"ended with {status} at SIGTERM"
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._ended = "did not end within 15 s of SIGTERM"
        for reader in self._readers:
            reader.join(5)
        return None if self._ended == "clean" else self._ended

    def tail(self, count=12):
        return "\n".join((self.out + self.err)[-count:])


class ConfiguredDaemon(Daemon):
    """One `mirrorcast target --config`."""

    def __init__(self, program, name, path, prefix=()):
        self.name = name
        self._start([*prefix, program, "target", "--config", path])

    def reload(self, said, limit=10):
        """SIGHUP; returns what is logged from then on until a line has the words `said`."""
        before = len(self.err)
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            lines = self.err[before:]
            if any(said in line for line in lines):
                return lines
            if not self.lives:
                break
            time.sleep(0.02)
        return None


class MemoryWatch:
    """The greatest RssAnon (bytes) of some processes while the watch runs."""

    def __init__(self, pids=(), every=0.05):
        self.greatest = {}
        self._pids = set(pids)
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(self._every):
            for pid in self._pids | set(children(os.getpid())):
                size = _private_bytes(pid)
                if size is not None:
                    self.greatest[pid] = max(size, self.greatest.get(pid, 0))


def children(parent):
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _private_bytes(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            found = re.search(r"^RssAnon:\s+(\d+) kB", file.read(), re.M)
            return int(found[1]) * 1024 if found else None
    except OSError:
        return None
