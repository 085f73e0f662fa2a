"""Every figure of every round, and what is asked of them."""

import statistics
import subprocess
import time

from scene.stage import Failure


class Figures:
    """Runs of one key, in the order of rounds; a run that failed is told and not hidden."""

    def __init__(self, say):
        self._say = say
        self.runs = {}
        self.errors = []
        self.round = 0

    def measure(self, key, run):
        began = time.monotonic()
        try:
            result = run()
        except (Failure, OSError, ValueError, KeyError, subprocess.SubprocessError) as problem:
            words = str(problem).strip() or type(problem).__name__
            self.errors.append({"round": self.round, "key": key, "words": words})
            self._say(f"{key}: FAILED: {words}")
            return
        self.runs.setdefault(key, []).append({"round": self.round, **result})
        goodput = result.get("goodputBytesPerSecond")
        shown = f"{goodput / 1e6:9.1f} MB/s" if goodput else ""
        if "writesPerSecond" in result:
            shown += f" {result['writesPerSecond']:9.0f} writes/s"
        self._say(f"{key:22} {shown} ({time.monotonic() - began:.1f} s)")

    def values(self, key, of="goodputBytesPerSecond"):
        """A field's (or a function's) value by round; rounds where it is missing are left out."""
        found = {}
        for run in self.runs.get(key, []):
            value = of(run) if callable(of) else run.get(of)
            if value is not None:
                found[run["round"]] = value
        return found

    def median(self, key, of="goodputBytesPerSecond"):
        values = self.values(key, of).values()
        return statistics.median(values) if values else None


def ratio(above, below, factor=1.0):
    """The medians' ratio, with the least and the most of the single rounds' ratios."""
    if not above or not below:
        return None
    rounds = [above[number] / below[number] * factor for number in above.keys() & below.keys()]
    if not rounds:
        return None
    middle = statistics.median(above.values()) / statistics.median(below.values()) * factor
    return middle, min(rounds), max(rounds)


def plain(values):
    """The median of the rounds' values, the least and the most."""
    if not values:
        return None
    return statistics.median(values.values()), min(values.values()), max(values.values())


def sendings_least(percent, legs=3):
    """How often a block is sent at the least until all legs have it, each losing by its own chance:
    the expectation of the greatest of so many geometric variables."""
    chance, total, power = percent / 100, 0.0, 1.0
    while True:
        left = 1 - (1 - power) ** legs
        if left < 1e-12:
            return total
        total += left
        power *= chance
