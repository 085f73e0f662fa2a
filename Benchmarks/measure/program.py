"""Ours: the program's targets, and its own `bench` from the sender's host."""

GROUP = "239.77.9.1:5000"
PORT = 3270
LUN = "128M"
MEBI = 1 << 20


def bytes_of(size):
    """`64K` as a number."""
    return int(size[:-1]) << {"K": 10, "M": 20, "G": 30}[size[-1]]


class Mirror:
    """Targets at every leg's host, their LUNs in memory, and mirrored writes onto the first few."""

    def __init__(self, stage, network, legs):
        self._stage, self._network = stage, network
        self._legs = [None] * legs
        self._rates = {}
        self._help = stage.run("bench", "--help").out

    def has_option(self, name):
        return name in self._help

    def _leg(self, index):
        """A leg's target, started when it is first wanted and again when it has died."""
        leg, host = self._legs[index], index + 1
        if leg is None or not leg.lives:
            leg = self._stage.target(
                f"t{host}", [f"memory:{LUN}"], host=self._network.address(host), port=PORT,
                extra=("--interface", self._network.device(host), "--log-level", "warning"),
                prefix=self._network.at(host))
            self._legs[index] = leg
        return leg

    def warm(self, legs, size, depth, extra=()):
        """A short run, the first time a shape is asked for: it tells how fast that is."""
        key = (legs, size, depth, extra)
        if key not in self._rates:
            piece = bytes_of(size) * depth
            amount = max(2 * piece, min(16 * MEBI, 256 * piece))
            result = self._run(legs, size, depth, amount, extra)
            self._rates[key] = result["goodputBytesPerSecond"]
        return self._rates[key]

    def write(self, legs, size, depth, seconds, extra=()):
        """Mirrors writes for about so many seconds; `bench`'s figures."""
        piece = bytes_of(size) * depth
        amount = min(int(self.warm(legs, size, depth, extra) * seconds), 8 << 30)
        result = self._run(legs, size, depth, max(amount // piece, 1) * piece, extra)
        self._rates[legs, size, depth, extra] = result["goodputBytesPerSecond"]
        return result

    def _run(self, legs, size, depth, amount, extra):
        words = ["bench", "--group", GROUP, "--interface", self._network.device(0), "--size",
                 f"{amount // 1024}K", "--write-size", size, "--depth", str(depth), "--json",
                 "--deadline", "30", *extra]
        for index in range(legs):
            words += ["--to", self._leg(index).lun_url(0)]
        return self._stage.run(*words, prefix=self._network.at(0), limit=120).json
