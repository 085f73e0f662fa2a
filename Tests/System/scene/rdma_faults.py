"""What goes wrong with a device of RDMA while mirrors use it, or before. For the guest of
Tests/System/rdma, whose `mirror` is handed in; the devices are its rxe0, at the initiator, and rxe1
to rxe3, at the legs."""

import os
import subprocess
import threading
import time

from .stage import ROOT, check

# A driver that can't be parted from its users waits for the last of them.
REMOVAL_SECONDS = 20
# Root may lock what it likes, so its right to is taken away, too.
LITTLE_MEMORY = ("setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock",
                 "prlimit", "--memlock=65536:65536")


def delete(host, took):
    """Notes how long the device took to go; one that can't go can't be given up either."""
    began = time.monotonic()
    process = subprocess.Popen(("rdma", "link", "delete", f"rxe{host}"))
    while process.poll() is None and time.monotonic() < began + REMOVAL_SECONDS:
        time.sleep(0.1)
    if process.poll() == 0:
        took.append(time.monotonic() - began)


def keeps_devices(stage):
    """librdmacm keeps open what it has seen, until its process ends."""
    done = subprocess.run(("ldd", stage.program), capture_output=True, text=True)
    return "librdmacm" in done.stdout


def holds_device(pid):
    """What the process has open of RDMA."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
    return [link for link in links if "infiniband" in link or "rdma_cm" in link]


def ticks(pid):
    """What the process has had of the cores."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def check_at_rest(legs, seconds=2):
    """After a mirror nobody holds a device, or takes much of a core."""
    before = [ticks(leg.pid) for leg in legs]
    time.sleep(seconds)
    for leg, start in zip(legs, before):
        check(not holds_device(leg.pid), f"{leg.name} holds {holds_device(leg.pid)}")
        share = (ticks(leg.pid) - start) / os.sysconf("SC_CLK_TCK") / seconds
        check(share < 0.3, f"{leg.name} has nothing to do and takes {share:.2f} of a core")


def removed(network, stage, legs, mirror, host, size):
    """The device of a host goes in mid-mirror: all goes on over TCP, and the device can go."""
    if keeps_devices(stage):
        stage.say(f"removed: rxe{host} stays, since this build has librdmacm, which keeps it open")
        return
    image = stage.random_file("image", size)
    took = []

    def feed(pipe):
        with open(image, "rb") as file:
            pipe.write(file.read(size // 2))
            pipe.flush()
            # Writes go on meanwhile.
            removal = threading.Thread(target=delete, args=(host, took))
            removal.start()
            while chunk := file.read(64 << 10):
                pipe.write(chunk)
                pipe.flush()
                time.sleep(0.02)
            removal.join()

    # The leg says at once that it hears nothing: no write waits for its deadline.
    done = mirror(stage, "-", legs, "--verify", "--deadline", "10", feed=feed)
    ways = [leg["servedBy"] for leg in done.json["legs"]]
    wanted = ["tcp" if host in (0, number) else "rdma" for number in (1, 2, 3)]
    check(ways == wanted, f"served by {ways}, not {wanted}")
    check(took, f"rxe{host} could not be removed while the mirror used it")
    for leg in legs:
        stage.check_same(image, stage.path(leg.name))
    told = done.err if host == 0 else "\n".join(legs[host - 1].err)
    check(f"rxe{host} was taken away" in told, f"not told:\n{told[-2000:]}\n{done.tail()}")
    check_at_rest(legs)
    network.add_device(host)
    stage.say(f"removed: rxe{host} is gone within {took[0]:.1f} s, told at its host; the mirror "
              f"took {done.json['seconds']:.1f} s, bytes identical, nobody spins or holds it")


def little_memory(stage, legs, mirror, size, target):
    """Memory may not be locked: an error with advice, or a leg that is served over TCP.

    `target(name, host, prefix)` starts a leg at a host.
    """
    image = stage.random_file("image", size)
    done = mirror(stage, image, legs, status=None, prefix=LITTLE_MEMORY)
    check(done.status > 0, "an initiator that may not lock memory is no error")
    check("ulimit -l" in done.err and "64 KiB" in done.err, f"no advice:\n{done.tail()}")
    stage.say(f"locked memory, initiator: {' '.join(done.err.split())}")
    poor = target("poor", 2, LITTLE_MEMORY)
    three = (legs[0], poor, legs[2])
    done = mirror(stage, image, three, status=None)
    check(done.status > 0, "a leg that may not lock memory is no error")
    for words in (poor.url, "ulimit -l", "rdma,tcp"):
        check(words in done.err, f"does not tell {words}:\n{done.tail()}")
    stage.say(f"locked memory, leg: {' '.join(done.err.split())}")
    done = mirror(stage, image, three, "--verify", transport="rdma,tcp")
    ways = [leg["servedBy"] for leg in done.json["legs"]]
    check(ways == ["rdma", "tcp", "rdma"], f"served by {ways}")
    for leg in three:
        stage.check_same(image, stage.path(leg.name))
    stage.say("locked memory, rdma,tcp: that leg is served over TCP; bytes identical")
    return poor


def doctor(stage):
    """A line for each device; a port that is down is a finding with advice, and so is little memory
    to be locked."""
    def lines(*prefix):
        done = stage.run("doctor", prefix=prefix, status=None)
        found = [line.split() for line in done.out.splitlines()]
        return {" ".join(words[1:4]): (words[0], " ".join(words[4:])) for words in found}

    sign, finding = lines()["RDMA device rxe3"]
    for words in ("port 1, Ethernet, active, MTU 4096", "e3 10.78.0.4"):
        check(words in finding, f"the doctor does not tell {words}: {finding}")
    check(sign == "ok", f"the doctor finds fault with a good port: {finding}")
    subprocess.run(("ip", "link", "set", "e3", "down"), check=True)
    try:
        down = lines()["RDMA device rxe3"]
    finally:
        subprocess.run(("ip", "link", "set", "e3", "up"), check=True)
        subprocess.run(("ip", "route", "replace", "10.78.0.0/24", "dev", "e3", "src", "10.78.0.4",
                        "table", "103"), check=True)
    check(down[0] == "!" and "down" in down[1] and "ip link set" in down[1], f"told: {down}")
    poor = stage.run("doctor", prefix=LITTLE_MEMORY, status=None).out
    little = [line for line in poor.splitlines() if "locked memory" in line]
    check(little and "ulimit -l" in little[0], f"the doctor tells nothing of the limit: {little}")
    stage.say(f"doctor: {finding}; a port that is down and a low limit are findings with advice")


def newest_source():
    """When what these tests try was last changed."""
    folders = [os.path.join(ROOT, *words) for words in (
        ("Sources", "Datagrams"), ("Tests", "DatagramsTests"), ("CShims", "CVerbs"))]
    return max(os.path.getmtime(os.path.join(folder, name))
               for folder in folders for name in os.listdir(folder))


def queue_pairs_in_error(stage):
    """The unit tests that want a device, where they were built."""
    bundle = os.path.join(ROOT, ".build", "debug", "mirrorcastPackageTests.xctest")
    if not os.access(bundle, os.X_OK) or os.path.getmtime(bundle) < newest_source():
        # Where all parts run, the tests were just built.
        check("MIRRORCAST_PARTS" not in os.environ, f"{bundle} is not of these sources")
        stage.say("queue pairs in error: not tried, since the unit tests are not built, or are old")
        return
    done = stage.tool(bundle, "--testing-library", "swift-testing", "--filter", "RDMAErrorTests",
                      limit=120, status=None)
    check(done.status == 0 and "3 tests" in done.out + done.err, f"they failed:\n{done.tail(40)}")
    stage.say("queue pairs in error: they start anew; one that stays so is lost in words")
