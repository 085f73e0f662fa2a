"""The cases: what is measured in each round, ours and the peers' in turn on the same links."""

LEGS_MAX = 8
LARGE, LARGE_DEPTH = "1M", 16
UPLINK, LOSSY_UPLINK = "1gbit", "500mbit"
LOSSES = (0, 0.1, 1, 5, 10)
ONE_LEGS_LOSS = 5
FILE_MEBIBYTES = 64


class Lab:
    """All a case needs: links, ours, the peers, how long each run is, and where figures go."""

    def __init__(self, network, mirror, peers, disks, figures, is_quick):
        self.network, self.mirror, self.peers, self.disks = network, mirror, peers, disks
        self.figures = figures
        self.is_quick = is_quick
        self.seconds = 1 if is_quick else 2
        self.legs = (1, 3, 8) if is_quick else (1, 2, 3, 5, 8)
        self.sizes = ("4K", "64K", "1M") if is_quick else ("4K", "16K", "64K", "256K", "1M")

    def ours(self, key, legs, size=LARGE, depth=LARGE_DEPTH, seconds=None, extra=()):
        self.figures.measure(
            key, lambda: self.mirror.write(legs, size, depth, seconds or self.seconds, extra))

    def peer(self, key, measure, *words):
        self.figures.measure(key, lambda: {"goodputBytesPerSecond": measure(*words)})


def wire(lab, key, legs):
    """What the sender's queue counted during one run, over the payload of that run."""
    def count():
        lab.mirror.warm(legs, LARGE, LARGE_DEPTH)
        before, dropped_before = lab.network.sent()
        result = lab.mirror.write(legs, LARGE, LARGE_DEPTH, lab.seconds)
        after, dropped = lab.network.sent()
        return {**result, "sentBytes": after - before, "queueDrops": dropped - dropped_before,
                "sentBytesPerPayloadByte": (after - before) / result["bytes"]}
    lab.figures.measure(key, count)


def uplink(lab):
    """A shaped uplink: what multicast is for."""
    for legs in lab.legs:
        lab.network.use(legs)
        lab.network.shape(UPLINK)
        wire(lab, f"uplink.ours.{legs}", legs)
        lab.peer(f"uplink.tcp.{legs}", lab.peers.tcp, legs, lab.seconds)


def free(lab):
    """A link that costs nothing: the processors are the limit."""
    lab.network.use(3)
    lab.ours("free.ours", 3)
    lab.peer("free.ceiling", lab.peers.ceiling, 3, lab.seconds)
    if lab.mirror.has_option("--digests"):
        lab.ours("free.undigested", 3, extra=("--digests", "off"))
    lab.peer("free.tcp", lab.peers.tcp, 3, lab.seconds)
    lab.peer("free.udpcast", lab.peers.udpcast, 3, FILE_MEBIBYTES)
    lab.peer("free.uftp", lab.peers.uftp, 3, FILE_MEBIBYTES)
    lab.network.count()
    wire(lab, "free.wire", 3)


def loss(lab):
    """Every leg loses datagrams, each by its own chance; then one leg alone."""
    lab.network.use(3)
    lab.network.shape(LOSSY_UPLINK)
    lab.network.segment(early=True)
    for percent in LOSSES:
        for host in (1, 2, 3):
            lab.network.lose(host, percent)
        lab.ours(f"loss.ours.{percent}", 3)
    lab.mirror.warm(3, LARGE, LARGE_DEPTH)
    for host in (1, 2, 3):
        lab.network.lose(host, ONE_LEGS_LOSS if host == 1 else 0)

    def one():
        result = lab.mirror.write(3, LARGE, LARGE_DEPTH, lab.seconds)
        return {**result, "droppedByRule": lab.network.dropped(1)[1]}
    lab.figures.measure("loss.one", one)


def small(lab):
    """One small write at a time: to three legs by us, to one disk by anybody."""
    lab.network.use(3)
    lab.ours("small.ours", 3, "4K", 1)
    lab.figures.measure("small.tgt", lambda: lab.disks.one("4K", 1, lab.seconds))


def depth(lab):
    """The unicast mirror that exists: QEMU's quorum over three tgt, the same writes in flight."""
    lab.network.use(3)
    for size, count in (("4K", 32), ("1M", 4)):
        lab.ours(f"depth.ours.{size}", 3, size, count)
        lab.figures.measure(
            f"depth.quorum.{size}", lambda: lab.disks.quorum(3, size, count, lab.seconds))


def latency(lab):
    """One write at a time of each size."""
    lab.network.use(3)
    for size in lab.sizes:
        lab.ours(f"latency.ours.{size}", 3, size, 1, lab.seconds / 2)
        lab.figures.measure(
            f"latency.tgt.{size}", lambda: lab.disks.one(size, 1, lab.seconds / 2))
        lab.figures.measure(
            f"latency.quorum.{size}", lambda: lab.disks.quorum(3, size, 1, lab.seconds / 2))


CASES = {case.__name__: case for case in (uplink, free, loss, small, depth, latency)}
