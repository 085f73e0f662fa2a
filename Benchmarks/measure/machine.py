"""Where a measurement was made: without it a figure says nothing."""

import os
import platform
import re
import subprocess

VERSIONS = {
    "iperf3": ("iperf3", "--version"), "udpcast": ("udp-sender", "--license"),
    "uftp": ("uftp",), "tgt": ("tgtd", "-V"), "qemu-img": ("qemu-img", "--version"),
    "gcc": ("gcc", "--version"), "iproute2": ("tc", "-V"), "nftables": ("nft", "--version"),
    "ethtool": ("ethtool", "--version"),
}
PACKAGES = {"udpcast": "udpcast", "uftp": "uftp"}


def describe(program):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = re.findall(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+) kB", file.read())[1]) // 1024
    versions = {name: version(name, words) for name, words in VERSIONS.items()}
    versions["mirrorcast"] = first_line(program, "--version")
    return {"cpu": models[0] if models else "unknown", "cores": os.cpu_count(),
            "memoryMebibytes": memory, "kernel": platform.release(), "system": system(),
            "loadAtStart": os.getloadavg()[0], "versions": versions}


def system():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def first_line(*words):
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except OSError:
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else None


def version(name, words):
    """A program's own words; for those that don't tell, the package's."""
    if name in PACKAGES:
        return first_line("dpkg-query", "-W", "-f", "${Version}", PACKAGES[name])
    return first_line(*words)


def sentence(machine):
    return (f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
            f"{machine['system']}; load {machine['loadAtStart']:.1f} at the start")
