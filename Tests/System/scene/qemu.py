"""What QEMU's block layer does with a LUN: images in and out, single commands, NBD behind it."""

import json
import os
import subprocess
import time

from .stage import check

MEBIBYTE = 1 << 20
# Where a sparse image has data, in MiB: the rest is a hole.
DATA = (0, 5, 6, 17)


def sparse(stage, name, size):
    """A file with data at few places."""
    path = stage.path(name)
    with open(path, "wb") as file:
        file.truncate(size)
        for place in DATA:
            file.seek(place * MEBIBYTE)
            file.write(os.urandom(MEBIBYTE))
    return path


def allocated(path):
    return os.stat(path).st_blocks * 512


def copies(stage, url, disk, size, isThin):
    """An image written, compared and read back; what was a hole is one, where there can be."""
    image, back = sparse(stage, "sparse", size), stage.path("copied")
    raw = ("-f", "raw", "-O", "raw")
    # Full of something else before.
    stage.tool("qemu-io", "-f", "raw", "-c", f"write -P 0x77 0 {size}", url)
    stage.tool("qemu-img", "convert", "-n", *raw, image, url)
    stage.tool("qemu-img", "compare", "-f", "raw", "-F", "raw", image, url)
    stage.check_same(image, disk)
    stage.tool("qemu-img", "convert", *raw, "-S", "4k", url, back)
    stage.check_same(image, back)
    data = len(DATA) * MEBIBYTE
    check(allocated(back) <= data + MEBIBYTE, f"read back {allocated(back)} bytes of {data}")
    if isThin:
        check(allocated(disk) <= data + MEBIBYTE, f"{allocated(disk)} bytes for {data} of data")
    other = stage.random_file("other", size)
    stage.tool("qemu-img", "convert", "-n", *raw, other, url)
    done = stage.tool("qemu-img", "compare", "-f", "raw", "-F", "raw", image, url, status=1)
    check("mismatch" in done.out.lower() or "differ" in done.out.lower(), done.tail())
    stage.check_same(other, disk)


def commands(stage, url, block):
    """One by one, each with what must be read afterwards."""
    words = [
        "write -P 0xab 0 1M", "read -P 0xab 0 1M",
        f"write -P 0x11 1M {block}", f"read -P 0x11 1M {block}",
        "write -f -P 0xcd 64k 64k", "read -P 0xcd 64k 64k", "read -P 0xab 0 64k",
        "flush",
        "write -z 128k 128k", "read -P 0 128k 128k",
        "write -z -u 256k 64k", "read -P 0 256k 64k", "read -P 0xab 320k 64k",
        "discard 0 512k", "writev -P 0x5a 2M 4k 8k 64k", "readv -P 0x5a 2M 64k 8k 4k",
        *(f"aio_write -P {0x20 + place} {3072 + place * 64}k 64k" for place in range(8)),
        "aio_flush",
        *(f"aio_read -P {0x20 + place} {3072 + place * 64}k 64k" for place in range(8)),
        "aio_flush",
    ]
    # Once through QEMU's cache, where the target's own is flushed, and once with FUA on each write.
    for cache in ("writeback", "writethrough"):
        given = [word for each in words for word in ("-c", each)]
        done = stage.tool("qemu-io", "-t", cache, "-f", "raw", *given, url)
        said = done.out + done.err
        for bad in ("verification failed", "failed:", "rror"):
            check(bad not in said, f"{cache}:\n{done.tail(40)}")
    stage.say(f"qemu-img and qemu-io, blocks of {block} bytes: identical, in and out; write, FUA, "
              "flush, zeros, discard, vectors, asynchronous")


def maps(stage, url, disk, size):
    """`qemu-img map` shows data where there is some, and only there."""
    stage.tool("qemu-io", "-f", "raw", "-c", f"discard 0 {size}", url)
    for place in DATA:
        stage.tool("qemu-io", "-f", "raw", "-c", f"write -P 3 {place}M 1M", url)
    told = json.loads(stage.tool("qemu-img", "map", "--output=json", "-f", "raw", url).out)
    check(sum(one["length"] for one in told) == size, f"not all of the disk: {told}")
    data = [0] * (size // MEBIBYTE)
    for one in told:
        if one["data"]:
            for place in range(one["start"], one["start"] + one["length"], 4096):
                data[place // MEBIBYTE] += 4096
        else:
            check(one["zero"], f"neither data nor zero: {one}")
    wanted = [MEBIBYTE if place in DATA else 0 for place in range(len(data))]
    check(data == wanted, f"data at {[at for at, has in enumerate(data) if has]} MiB, not {DATA}")
    check(allocated(disk) <= len(DATA) * MEBIBYTE + (64 << 10), f"{allocated(disk)} allocated")
    stage.say(f"qemu-img map: data at {DATA} MiB and nowhere else, in {len(told)} extents")


def through_nbd(stage, url, size):
    """qemu-nbd gives the LUN to NBD's own tools."""
    path = stage.path("nbd.sock")
    daemon = subprocess.Popen(
        ["qemu-nbd", "-t", "-f", "raw", "--discard=unmap", "-e", "4", "-k", path, url],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Before its target: without one it would not end.
    stage.stack.callback(end, daemon)
    deadline = time.monotonic() + 20
    while not os.path.exists(path):
        check(daemon.poll() is None and time.monotonic() < deadline, "qemu-nbd is not ready")
        time.sleep(0.02)
    uri = f"nbd+unix:///?socket={path}"
    told = json.loads(stage.tool("nbdinfo", "--json", uri).out)["exports"][0]
    for name in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn"):
        check(told[name], f"nbdinfo: {name} is {told[name]}")
    check(told["export-size"] == size, f"nbdinfo: {told['export-size']} bytes")
    image, back = sparse(stage, "by-nbd", size), stage.path("from-nbd")
    stage.tool("nbdcopy", image, uri)
    stage.tool("nbdcopy", uri, back)
    stage.check_same(image, back)
    done = stage.tool(
        "fio", "--name=verified", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite",
        "--bsrange=4k-128k", "--bs_unaligned=0", "--iodepth=16", f"--size={size}",
        "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0",
        "--fsync=64", "--randseed=7",
        "--output-format=json", limit=120)
    job = json.loads(done.out[done.out.index("{"):])["jobs"][0]
    check(job["error"] == 0 and job["read"]["io_bytes"] >= size // 2,
          f"fio: error {job['error']}, {job['read']['io_bytes']} bytes verified")
    stage.say(f"qemu-nbd: nbdinfo, nbdcopy both ways, fio: {job['write']['total_ios']} writes, "
              f"{job['read']['io_bytes'] >> 20} MiB verified by crc32c")
    check(end(daemon), "qemu-nbd does not end")


def end(daemon):
    """Whether it ended when it was asked to."""
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
        return False
    return True
