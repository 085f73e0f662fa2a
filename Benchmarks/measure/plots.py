#!/usr/bin/env -S python3 -B
"""Draws the lab's curves from its JSON, each as SVG and PNG.

    plots.py LAB.JSON FOLDER

Stands alone, so that any Python with matplotlib can run it and old figures can be drawn again.
"""

import json
import os
import statistics
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../Tests/System"))

from measure.figures import sendings_least  # noqa: E402

OURS, PEER, OTHER = "#0b5fa5", "#b5651d", "#777777"


def series(figures, prefix, of, number=float):
    """(x, median, least, most) of the keys `prefix.x`, by x (`loss.ours.0.1` is x = 0.1)."""
    found = []
    for key, runs in figures.items():
        if key.startswith(prefix + "."):
            values = [value for value in map(of, runs) if value is not None]
            if values:
                found.append((number(key[len(prefix) + 1:]), statistics.median(values),
                              min(values), max(values)))
    return sorted(found)


def line(axes, points, label, color, style="-", marker="o"):
    if not points:
        return
    x, middle, low, high = zip(*points)
    axes.plot(x, middle, style, marker=marker, color=color, label=label, markersize=4)
    if any(a != b for a, b in zip(low, high)):
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def goodput(run):
    return run["goodputBytesPerSecond"] / 1e6


def bytes_of(size):
    return int(size[:-1]) << {"K": 10, "M": 20}[size[-1]]


def draw_legs(axes, figures):
    line(axes, series(figures, "uplink.ours", goodput), "mirrorcast", OURS)
    line(axes, series(figures, "uplink.tcp", goodput), "as many TCP streams", PEER, marker="s")
    axes.set(xlabel="legs", ylabel="MB/s to each leg", ylim=(0, None),
             title="1 MiB writes over an uplink of 1 Gbit/s")


def draw_loss(axes, figures):
    points = series(figures, "loss.ours", goodput)
    line(axes, points, "mirrorcast", OURS)
    if points and points[0][0] == 0:
        x = [step / 10 for step in range(0, int(points[-1][0] * 10) + 1)]
        axes.plot(x, [points[0][1] / sendings_least(percent) for percent in x], "--", color=OTHER,
                  label="the least that the losses cost")
    axes.set(xlabel="each of 3 legs loses, %", ylabel="MB/s to each leg",
             title="1 MiB writes over an uplink of 500 Mbit/s", ylim=(0, None))


def draw_latency(axes, figures):
    for name, style in (("p50", "-"), ("p99", ":")):
        line(axes, series(figures, "latency.ours", lambda run: run["latencyMicroseconds"][name],
                          bytes_of), f"mirrorcast, 3 legs, {name}", OURS, style)
    for peer, words, color in (("tgt", "one tgt, mean", OTHER),
                               ("quorum", "QEMU quorum on 3 tgt, mean", PEER)):
        line(axes, series(figures, f"latency.{peer}", lambda run: run["meanMicroseconds"],
                          bytes_of), words, color, "--", "s")
    sizes = [key[len("latency.ours."):] for key in figures if key.startswith("latency.ours.")]
    axes.set(yscale="log", xlabel="bytes of a write", ylabel="µs", title="One write at a time")
    axes.set_xscale("log", base=2)
    axes.set_xticks([bytes_of(size) for size in sizes], sizes)
    axes.minorticks_off()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        result = json.load(file)
    machine, figures = result["machine"], result["figures"]
    plt.rcParams.update({"svg.hashsalt": "mirrorcast", "font.size": 9})
    for name, case, draw in (("legs", "uplink", draw_legs), ("loss", "loss", draw_loss),
                             ("latency", "latency", draw_latency)):
        if not any(key.startswith(f"{case}.ours.") for key in figures):
            continue
        picture, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
        draw(axes, figures)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        where = f"{machine['cpu']}, {machine['cores']} cores, median of {result['rounds']}"
        picture.text(0.995, 0.005, where, fontsize=6, color=OTHER, ha="right", va="bottom")
        for kind in ("svg", "png"):
            picture.savefig(os.path.join(sys.argv[2], f"{name}.{kind}"), dpi=150)
        plt.close(picture)


if __name__ == "__main__":
    main()
