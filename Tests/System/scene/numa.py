"""What the kernel says of a process's threads and memory, by NUMA node."""

import contextlib
import os
import re


def numbers(text):
    """0,2-4 as a set."""
    found = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def read(path):
    with open(path) as file:
        return file.read()


def lanes(pid):
    """The cores that each lane of a process may run on, in the order of their starts."""
    found = []
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = read(f"/proc/{pid}/task/{task}/status")
            if re.search(r"^Name:\s+mirror-lane", status, re.M):
                found.append(numbers(re.search(r"^Cpus_allowed_list:\s+(.*)", status, re.M)[1]))
    return found


def slabs(pid):
    """(nodes asked for, nodes that pages lie on) of all memory that was asked of certain nodes."""
    found = []
    for line in read(f"/proc/{pid}/numa_maps").splitlines():
        policy = re.search(r" (?:prefer|bind)[^:]*:(\S+)", line)
        pages = {int(node) for node in re.findall(r" N(\d+)=", line)}
        if policy and pages:
            found.append((numbers(policy[1]), pages))
    return found


def slab_bytes(pid):
    """Bytes by node of all memory that was asked of certain nodes."""
    found = {}
    for line in read(f"/proc/{pid}/numa_maps").splitlines():
        if not re.search(r" (?:prefer|bind)[^:]*:", line):
            continue
        size = int(re.search(r"kernelpagesize_kB=(\d+)", line + " kernelpagesize_kB=4")[1]) << 10
        for node, pages in re.findall(r" N(\d+)=(\d+)", line):
            found[int(node)] = found.get(int(node), 0) + int(pages) * size
    return found


def pinned(pid):
    """Bytes that devices may reach: what is registered."""
    return int(re.search(r"^VmPin:\s+(\d+) kB", read(f"/proc/{pid}/status"), re.M)[1]) << 10
