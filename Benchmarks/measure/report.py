"""What a run leaves behind: all figures as JSON, tables in Markdown, and the plots."""

import json
import os
import subprocess
import sys

from .bars import repairs_per_drop, repairs_per_loss, stall
from .cases import LOSSES, ONE_LEGS_LOSS
from .figures import sendings_least
from .machine import sentence

PLOTS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "plots.py")


def spread(figures, key, of="goodputBytesPerSecond", scale=1e6, digits=1):
    values = [value / scale for value in figures.values(key, of).values()]
    if not values:
        return "–"
    return (f"{figures.median(key, of) / scale:.{digits}f} "
            f"({min(values):.{digits}f}–{max(values):.{digits}f})")


def bars_table(bars):
    return ["| bar | measured (least–most) | threshold | met |", "|---|---|---|---|",
            *(bar.row for bar in bars)]


def figures_table(figures):
    """Every key with its rate, median, least and most."""
    lines = ["| measurement | MB/s to each leg | writes/s | p50 µs | p99 µs |",
             "|---|---|---|---|---|"]
    for key in figures.runs:
        def percentile(name):
            return spread(figures, key, lambda run: run.get("latencyMicroseconds", {}).get(name),
                          1, 0)
        lines.append(f"| {key} | {spread(figures, key)} | "
                     f"{spread(figures, key, 'writesPerSecond', 1, 0)} | {percentile('p50')} | "
                     f"{percentile('p99')} |")
    return lines


def loss_table(figures):
    lines = ["| each leg loses | MB/s to each leg | sendings at the least | longest stall ms |",
             "|---|---|---|---|"]
    for percent in LOSSES:
        key = f"loss.ours.{percent}"
        if key in figures.runs:
            lines.append(f"| {percent} % | {spread(figures, key)} | "
                         f"{sendings_least(percent):.4f} | {spread(figures, key, stall, 1, 0)} |")
    if "loss.one" in figures.runs:
        lines += ["", f"One leg of three loses {ONE_LEGS_LOSS} %: repairs per block that it lost "
                  + spread(figures, "loss.one", repairs_per_loss, 1, 3)
                  + ", per datagram that the rule dropped "
                  + spread(figures, "loss.one", repairs_per_drop, 1, 3) + "."]
    return lines if len(lines) > 2 else []


def markdown(figures, bars, machine, rounds, seconds, more=()):
    met = sum(bar.met is True for bar in bars)
    lines = [f"Median of {rounds} interleaved rounds (least–most), MTU 1500, memory, hosts in "
             f"network namespaces on one bridge; {seconds:.0f} s in all.",
             f"{sentence(machine)}.", "",
             *bars_table(bars), "", f"{met} of {len(bars)} bars met.", ""]
    if losses := loss_table(figures):
        lines += [*losses, ""]
    lines += [*figures_table(figures), "", *more]
    if figures.errors:
        lines += ["", "Not measured:", ""]
        lines += [f"- {error['key']} in round {error['round']}: {error['words'].splitlines()[0]}"
                  for error in figures.errors]
    return "\n".join(lines) + "\n"


def write(folder, figures, bars, machine, rounds, seconds, name="lab", more=()):
    """lab.json, lab.md, the plots of it; of another name there are no plots. `more` are lines for
    the Markdown, which is returned with a complaint or None."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{name}.json")
    result = {"machine": machine, "rounds": rounds, "seconds": round(seconds, 1),
              "bars": [bar.json for bar in bars], "errors": figures.errors, "figures": figures.runs}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    text = markdown(figures, bars, machine, rounds, seconds, more)
    with open(os.path.join(folder, f"{name}.md"), "w", encoding="utf-8") as file:
        file.write(text)
    return text, draw(path, folder) if name == "lab" else None


def draw(path, folder):
    """By whichever Python has matplotlib: Debian's package belongs to Debian's interpreter."""
    for python in (sys.executable, "/usr/bin/python3"):
        known = subprocess.run([python, "-c", "import matplotlib"], capture_output=True)
        if known.returncode == 0:
            done = subprocess.run(
                [python, "-B", PLOTS, path, folder], capture_output=True, text=True)
            return done.stderr.strip() or None if done.returncode else None
    return "no matplotlib: no plots (Scripts/setup lab installs it)"
