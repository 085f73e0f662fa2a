"""The bars: what the mirror promises against its peers, as ratios of medians of one run."""

from .cases import LOSSES, ONE_LEGS_LOSS
from .figures import plain, ratio, sendings_least

LOSS_BARS = {0.1: 0.97, 1: 0.95, 5: 0.90, 10: 0.85}


class Bar:
    """One promise: a figure with its spread, and a threshold that it has to reach or to keep."""

    def __init__(self, case, words, figure, least=None, most=None, unit="×"):
        self.case, self.words, self.figure = case, words, figure
        self.least, self.most, self.unit = least, most, unit

    @property
    def met(self):
        if self.figure is None:
            return None
        value = self.figure[0]
        return value >= self.least if self.least is not None else value <= self.most

    @property
    def json(self):
        value, low, high = self.figure or (None, None, None)
        return {"case": self.case, "words": self.words, "value": value, "lowest": low,
                "highest": high, "atLeast": self.least, "atMost": self.most, "met": self.met}

    @property
    def row(self):
        sign, threshold = ("≥", self.least) if self.least is not None else ("≤", self.most)
        verdict = {True: "yes", False: "**no**", None: "not measured"}[self.met]
        shown = "–"
        if self.figure:
            value, low, high = (f"{number:.{precision(threshold)}f}" for number in self.figure)
            shown = f"{value} ({low}–{high}) {self.unit}"
        return f"| {self.words} | {shown} | {sign} {threshold:g} {self.unit} | {verdict} |"


def precision(threshold):
    return 0 if threshold >= 100 else 1 if threshold >= 10 else 3 if threshold < 2 else 2


def bars(figures, chosen):
    """All bars of the chosen cases, in order."""
    found = [*uplink(figures), *free(figures), *loss(figures), *small(figures)]
    return [bar for bar in found if bar.case in chosen]


def uplink(figures):
    def ours(legs):
        return figures.values(f"uplink.ours.{legs}")

    one = figures.values("uplink.tcp.1")
    for legs in (1, 3, 8):
        yield Bar("uplink", f"1 Gbit/s uplink, 1 MiB writes, N = {legs}: goodput per leg over one"
                  " TCP stream", ratio(ours(legs), one), least=0.95)
    yield Bar("uplink", "the same, N = 8 over N = 1", ratio(ours(8), ours(1)), least=0.97)
    for legs, least in ((3, 2.8), (8, 7.5)):
        yield Bar("uplink", f"the same, N = {legs}, over {legs} TCP streams at once",
                  ratio(ours(legs), figures.values(f"uplink.tcp.{legs}")), least=least)
    yield Bar("uplink", "the same, N = 3: bytes sent at the IP level per byte written",
              plain(figures.values("uplink.ours.3", "sentBytesPerPayloadByte")), most=1.07)


def free(figures):
    ours = figures.values("free.ours")
    ceiling = figures.values("free.ceiling")
    yield Bar("free", "free link, 3 legs: bytes sent at the IP level per byte written",
              plain(figures.values("free.wire", "sentBytesPerPayloadByte")), most=1.07)
    yield Bar("free", "free link, 3 legs, digests: goodput over the kernel's ceiling",
              ratio(ours, ceiling), least=0.5)
    yield Bar("free", "the same without digests",
              ratio(figures.values("free.undigested"), ceiling), least=0.65)
    for name, key, least in (("3 TCP streams at once", "tcp", 1.5), ("udpcast", "udpcast", 25),
                             ("UFTP", "uftp", 25)):
        yield Bar("free", f"the same with digests, over {name}",
                  ratio(ours, figures.values(f"free.{key}")), least=least)


def loss(figures):
    whole = figures.values("loss.ours.0")
    for percent in LOSSES[1:]:
        yield Bar("loss", f"500 Mbit/s, each of 3 legs loses {percent} %: goodput over the ideal",
                  ratio(figures.values(f"loss.ours.{percent}"), whole, sendings_least(percent)),
                  least=LOSS_BARS[percent])
    yield Bar("loss", f"one leg of 3 loses {ONE_LEGS_LOSS} %: repairs sent per block lost",
              plain(figures.values("loss.one", repairs_per_loss)), most=1.1)
    yield Bar("loss", f"each of 3 legs loses {LOSSES[-1]} %: longest time without a write's end",
              plain(figures.values(f"loss.ours.{LOSSES[-1]}", stall)), most=100, unit="ms")


def repairs_per_loss(run):
    lost = run["legs"][0]["lostBlocks"]
    return run["repairDatagrams"] / lost if lost else None


def repairs_per_drop(run):
    """The same against the rule's own count, which also knows the repairs that were lost."""
    return run["repairDatagrams"] / run["droppedByRule"] if run["droppedByRule"] else None


def stall(run):
    longest = run.get("longestStallMicroseconds")
    return None if longest is None else longest / 1000


def mean(run):
    """Of writes one at a time: `bench` has percentiles, the mean follows from the rate."""
    return 1e6 / run["writesPerSecond"]


def small(figures):
    yield Bar("small", "4 KiB writes one at a time, 3 legs: mean time over one write to one tgt",
              ratio(figures.values("small.ours", mean), figures.values("small.tgt", mean)),
              most=1.3)
    for size, words, least in (("4K", "4 KiB × 32 in flight", 4), ("1M", "1 MiB × 4 in flight", 8)):
        yield Bar("depth", f"{words}, 3 legs: goodput over QEMU quorum on 3 tgt",
                  ratio(figures.values(f"depth.ours.{size}"),
                        figures.values(f"depth.quorum.{size}")), least=least)
