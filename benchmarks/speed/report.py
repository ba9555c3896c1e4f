"""Run the speed benchmark in one go, and write its ratios and a plot of cost against size.

Usage::

    python benchmarks/speed/report.py --out benchmarks/reports
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
COLOURS = {"plain": "#000000", "clean": "#56B4E9", "ours": "#E69F00", "double": "#CC79A7"}
NAMES = {
    "plain": "plain step",
    "clean": "with verified term",
    "ours": "ours: observes meta weights",
    "weights": "ours: weights in the loss",
    "double": "double backward",
}
COLOURS["weights"] = "#009E73"
MARKERS = {"plain": "o", "clean": "s", "ours": "^", "weights": "v", "double": "D"}


def measure(file: Path) -> None:
    """Run every form at every size by pytest-benchmark, the forms of one size right after another."""
    words = [sys.executable, "-m", "pytest", str(HERE / "bench_step.py"), "-q", "-p", "no:cacheprovider"]
    words += ["-o", "python_files=bench_*.py", "-o", "python_functions=bench_*", "-o", "filterwarnings="]
    subprocess.run([*words, "--timeout=0", f"--benchmark-json={file}"], check=True, cwd=HERE)


def rows_of(file: Path) -> list[dict[str, Any]]:
    """Form, size, seconds a step (median over rounds) and peak bytes."""
    found = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
    return [{**item["extra_info"], "seconds": item["stats"]["median"]} for item in found]


def at(rows: list[dict[str, Any]], dims: int, side: int, form: str) -> dict[str, Any]:
    """The measurement of one form at one size."""
    return next(row for row in rows if (row["dims"], row["side"], row["form"]) == (dims, side, form))


def slope(rows: list[dict[str, Any]], dims: int, form: str, name: str) -> float:
    """Exponent of cost over pixels, by a line through the logarithms; 1 is linear."""
    chosen = [row for row in rows if row["dims"] == dims and row["form"] == form]
    pixels = [row["side"] ** dims for row in chosen]
    return float(np.polyfit(np.log(pixels), np.log([row[name] for row in chosen]), 1)[0])


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| size | plain, s | with verified term, s | ours, s | weights in the loss, s | double backward, s "
        "| ours / verified | weights / verified | double / ours | extra memory, ours / double |",
        "| --- |" + " --- |" * 9,
    ]
    for dims, side in sorted({(row["dims"], row["side"]) for row in rows}):
        plain, clean, ours, weights, double = (
            at(rows, dims, side, form) for form in ("plain", "clean", "ours", "weights", "double")
        )
        extra = [max(row["peak_bytes"] - plain["peak_bytes"], 0) for row in (ours, double)]
        times = " | ".join(f"{row['seconds']:.3f}" for row in (plain, clean, ours, weights, double))
        lines.append(
            f"| {dims}-D, {side} | {times} | {ours['seconds'] / clean['seconds']:.2f} "
            f"| {weights['seconds'] / clean['seconds']:.2f} | {double['seconds'] / ours['seconds']:.2f} "
            f"| {extra[0] / max(extra[1], 1):.2f} |"
        )
    return lines


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Seconds and memory against pixels, one column a dimension."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for column, dims in enumerate((2, 3)):
        for axis, name, label, unit in (
            (axes[0, column], "seconds", "seconds a step", 1.0),
            (axes[1, column], "peak_bytes", "peak memory of a step, MB", 1e6),
        ):
            for form in NAMES:
                chosen = [row for row in rows if row["dims"] == dims and row["form"] == form]
                pixels = [row["side"] ** dims for row in chosen]
                values = [row[name] / unit for row in chosen]
                axis.plot(pixels, values, marker=MARKERS[form], color=COLOURS[form], label=NAMES[form])
            axis.set(xlabel="pixels of a crop", ylabel=label, ylim=(0, None), title=f"{dims}-D")
            axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for speed.md and speed.png")
    parser.add_argument("--json", type=Path, help="take the measurements from this file instead of making them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.json or Path(folder) / "speed.json"
        if arguments.json is None:
            measure(file)
        rows = rows_of(file)
    first = rows[0]
    slopes = ", ".join(
        f"{dims}-D {slope(rows, dims, 'ours', 'seconds'):.2f} (memory {slope(rows, dims, 'ours', 'peak_bytes'):.2f})"
        for dims in (2, 3)
    )
    lines = [
        "# Speed",
        "",
        f"One run on {os.cpu_count()} CPU cores, medians. 2-D: {first['network']}, batch {first['batch']}, as in the "
        "preset *standard*; 3-D: DynUNet of width 16, batch 2. `ours` is the default step: with offsets of "
        "the given masks, a guided gradient, and the meta weights observed when due. `weights` puts weights and DCD "
        "emphasis "
        "into the loss (`cross_fit` off). Extra memory is what a step holds at its peak beyond the plain step. Helpers "
        "(cross-fitting) come on top of `ours`: one step with the verified term for every two steps.",
        "",
        *table(rows),
        "",
        f"Cost grows with pixels to the power of: {slopes}; 1 is linear.",
        "",
        "![Cost of a step against the size of its crops](speed.png)",
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(rows, arguments.out / "speed.png")


if __name__ == "__main__":
    main()
