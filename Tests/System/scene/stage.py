"""One system test: its folder, its processes, what it says, and the end of it all.

Everything a test starts is ended by the stack that started it, in reverse, also after a failure,
Ctrl-C or the time limit's SIGTERM. Nothing is found by name: a process is ended by its id.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from .program import ConfiguredDaemon, Daemon, Finished, run_limited

SKIPPED = 77
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
FULL = os.environ.get("MIRRORCAST_FULL", "") not in ("", "0")


class Skip(Exception):
    """This machine can't run the test; the words say what is missing."""


class Failure(Exception):
    """The program did not do what the test says it does."""


def check(condition, words):
    if not condition:
        raise Failure(words)


def free_port(kind=socket.SOCK_STREAM, family=socket.AF_INET):
    with socket.socket(family, kind) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return probe.getsockname()[1]


class Stage:
    def __init__(self, stack, folder):
        self.stack = stack
        self.folder = folder
        self.daemons = []
        self.program = os.path.abspath(
            os.environ.get("MIRRORCAST", os.path.join(ROOT, ".build", "release", "mirrorcast")))

    def path(self, name):
        return os.path.join(self.folder, name)

    def say(self, words):
        print("  " + words, flush=True)

    # What a test needs of its machine.

    def need_program(self):
        check(os.access(self.program, os.X_OK),
              f"no program at {self.program}: run swift build -c release, or set MIRRORCAST")

    def need_tools(self, *names):
        missing = [name for name in names if not shutil.which(name)]
        if missing:
            raise Skip(f"not installed: {', '.join(missing)} (Scripts/setup test installs them)")

    # Files.

    def random_file(self, name, size):
        """A file of random bytes: no two blocks alike, so a misplaced one shows."""
        path = self.path(name)
        with open(path, "wb") as file:
            left = size
            while left > 0:
                chunk = os.urandom(min(left, 4 << 20))
                file.write(chunk)
                left -= len(chunk)
        return path

    def marked_file(self, name, size, words):
        """Each sector says the same words somewhere, between random bytes."""
        path = self.path(name)
        with open(path, "wb") as file:
            for _ in range(size // 512):
                file.write(os.urandom(100) + words + os.urandom(412 - len(words)))
        return path

    def check_same(self, image, copy, size=None):
        """The first `size` bytes (the image's, if not told) are equal."""
        size = os.path.getsize(image) if size is None else size
        done = subprocess.run(["cmp", "-n", str(size), image, copy], capture_output=True, text=True)
        check(done.returncode == 0, f"bytes differ: {done.stdout}{done.stderr}".strip())

    # Processes.

    def target(self, name, luns, host="127.0.0.1", port=None, extra=(), prefix=()):
        """Starts a daemon and returns when it has said `ready`."""
        if port is None:
            port = free_port()
        return self._ready(Daemon(self.program, name, host, port, luns, extra, prefix))

    def configured(self, name, path, prefix=()):
        """The same with a configuration file."""
        return self._ready(ConfiguredDaemon(self.program, name, path, prefix))

    def _ready(self, daemon):
        self.daemons.append(daemon)
        self.stack.callback(daemon.end)
        problem = daemon.wait_ready(20)
        check(problem is None, f"target {daemon.name}: {problem}")
        return daemon

    def run(self, *arguments, prefix=(), limit=120, stdin=None, feed=None, status=0):
        """Runs the program to its end; `status` is what it must return (None: anything)."""
        done = run_limited([*prefix, self.program, *map(str, arguments)], limit, stdin, feed)
        self._check_status(done, status, limit)
        return done

    def tool(self, *arguments, prefix=(), limit=60, status=0):
        """Runs somebody else's tool to its end."""
        done = run_limited([*prefix, *map(str, arguments)], limit)
        self._check_status(done, status, limit)
        return done

    def _check_status(self, done: Finished, status, limit):
        check(not done.late, f"did not end within {limit} s: {done.line}\n{done.tail()}")
        if status is not None:
            check(done.status == status,
                  f"ended with {done.status}, not {status}: {done.line}\n{done.tail()}")

    def mirror(self, image, legs, group, *extra, **options):
        """`mirrorcast mirror IMAGE --to … --json`, and its result."""
        to = [word for leg in legs for word in ("--to", getattr(leg, "url", leg))]
        done = self.run("mirror", image, *to, "--group", group, "--json", *extra, **options)
        if done.status == 0:
            check(done.json is not None, f"no JSON on standard output:\n{done.tail()}")
            check(len(done.json.get("legs", [])) == len(legs),
                  f"the JSON does not tell of {len(legs)} legs: {done.json}")
        return done

    def leg_result(self, done, leg):
        url = getattr(leg, "url", leg)
        for found in done.json["legs"]:
            if found.get("url") == url:
                return found
        raise Failure(f"the JSON has no leg {url}: {done.json}")


def _interrupted(number, _frame):
    sys.exit(128 + number)


def run(title, body):
    """Runs one test; the exit status is 0 passed, 1 failed, 77 skipped."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _interrupted)
    name = os.path.basename(sys.argv[0])
    print(f"{name}: {title}", flush=True)
    began, status = time.monotonic(), 0
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix=f"mirrorcast-{name}-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stage = Stage(stack, folder)
        try:
            body(stage)
            for daemon in stage.daemons:
                problem = daemon.end()
                check(problem is None, f"target {daemon.name}: {problem}")
        except Skip as skip:
            print(f"  skipped: {skip}")
            status = SKIPPED
        except Failure as failure:
            print(f"  FAILED: {failure}")
            status = 1
        except Exception:
            traceback.print_exc()
            status = 1
        if status == 1:
            for daemon in stage.daemons:
                print(re.sub("^", f"  | {daemon.name}: ", daemon.tail(), flags=re.M))
    word = {0: "passed", 1: "FAILED", SKIPPED: "skipped"}[status]
    print(f"{name}: {word} in {time.monotonic() - began:.1f} s", flush=True)
    sys.exit(status)
