"""Write the tables of the accuracy benchmark from its finished cells.

Usage::

    python benchmarks/accuracy/report.py benchmarks/reports/accuracy.jsonl > benchmarks/reports/accuracy.md
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from cells import BASE, ROWS, WITHOUT_NOISE
from run import COLUMNS

Column = tuple[str, str, float]
Values = dict[tuple[Column, str], dict[int, float]]

CONTROLS = ("noisy", "clean", "mixed", "finetune", "teacher", "l2b")
RECIPES = {"biased": "R11 biased annotators", "markov": "R3 Markov", "quality": "R1' quality", "rater": "other rater"}
FIGURES: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "Dice of the network on test cases": ("test", ("overlap", "dice"), True),
    "HD95 of the network on test cases, px": ("test", ("surface", "hd95"), False),
    "Average precision of finding wrong pixels, 10-px band": (
        "labels",
        ("detection", "band", "average_precision"),
        True,
    ),
    "Average precision of finding wrong pixels, all pixels": (
        "labels",
        ("detection", "all", "average_precision"),
        True,
    ),
    "Dice of the proposed masks": ("labels", ("correction", "dice_proposed"), True),
    "Right pixels damaged by the proposals": ("labels", ("correction", "damaged"), False),
    "Errors met after 50 regions": ("labels", ("component_recall", "50"), True),
    "F1 of trust below 0.5": ("labels", ("operating_point", "f1"), True),
    "Calibration error of trust": ("labels", ("calibration_error",), False),
}


def figure(row: dict[str, Any], part: str, path: tuple[str, ...]) -> float | None:
    """A number of a finished cell; None where the row does not have it."""
    value: Any = row.get(part)
    for name in path:
        value = None if value is None else value.get(name)
    return value


def collect(rows: list[dict[str, Any]], part: str, path: tuple[str, ...]) -> Values:
    """Column and row name to the figure of each seed; rows without noise stand in every column of their data set."""
    found: Values = defaultdict(dict)
    for row in rows:
        value = figure(row, part, path)
        if value is None:
            continue
        own = (row["dataset"], row["noise"], row["ratio"])
        columns = [c for c in COLUMNS if c[0] == row["dataset"]] if row["row"] in WITHOUT_NOISE else [own]
        for column in columns:
            found[column, row["row"]][row["seed"]] = value
    return found


def text(values: dict[int, float], *, best: bool) -> str:
    """Mean, and spread from two seeds on."""
    if not values:
        return ""
    spread = f" ± {stdev(values.values()):.3f}" if len(values) > 1 else ""
    number = f"{mean(values.values()):.3f}{spread}"
    return f"**{number}**" if best else number


def table(title: str, values: Values, *, higher: bool) -> list[str]:
    """A table of columns by rows; the best of a column in bold, the oracle aside."""
    names = [name for name in ROWS if any(row == name for _, row in values)]
    lines = [f"## {title}", "", f"| data, noise, share | {' | '.join(names)} | seeds |"]
    lines.append(f"| --- |{' --- |' * (len(names) + 1)}")
    for column in sorted(COLUMNS):
        cells = {name: values.get((column, name), {}) for name in names}
        rivals = {name: mean(cell.values()) for name, cell in cells.items() if cell and name != "oracle"}
        if not rivals:
            continue
        best = max(rivals, key=lambda name: rivals[name] if higher else -rivals[name])
        seeds = max(len(cell) for cell in cells.values())
        shown = " | ".join(text(cell, best=name == best) for name, cell in cells.items())
        share = f", {100 * column[2]:.0f} %" if column[1] != "rater" else ""
        lines.append(f"| {column[0]}, {RECIPES[column[1]]}{share} | {shown} | {seeds} |")
    return [*lines, ""]


def paired(values: Values, column: Column, first: str, second: str) -> list[tuple[float, float]]:
    """Figures of two rows from the seeds that both have."""
    a, b = values.get((column, first), {}), values.get((column, second), {})
    return [(a[seed], b[seed]) for seed in sorted(a.keys() & b.keys())]


def aims(dice: Values, precision: Values) -> list[str]:
    """How the default stands to what it is meant to reach, column by column, on the seeds that both sides have."""
    lines = [
        "## The aims",
        "",
        "Points of test Dice above the best control of the column; what the default leaves of 1 - AP of cleanlab's "
        "score, band (aim: at most 0.75); AP above that of the probability of the given label under `mixed`, band. All "
        "on the same seeds.",
        "",
        "| data, noise, share | best control | Dice points above it | 1 - AP to cleanlab's | AP above mixed | seeds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for column in sorted(COLUMNS):
        ours = dice.get((column, "metadcseg"), {})
        rivals = {name: paired(dice, column, "metadcseg", name) for name in CONTROLS}
        rivals = {name: pairs for name, pairs in rivals.items() if len(pairs) == len(ours) and pairs}
        confident = paired(precision, column, "metadcseg", "cleanlab")
        mixed = paired(precision, column, "metadcseg", "mixed")
        if not rivals:
            continue
        best = max(rivals, key=lambda name: mean(b for _, b in rivals[name]))
        points = 100 * mean(a - b for a, b in rivals[best])
        ratio = f"{mean(1 - a for a, _ in confident) / mean(1 - b for _, b in confident):.2f}" if confident else ""
        above = f"{mean(a - b for a, b in mixed):+.3f}" if mixed else ""
        name = f"{column[0]}, {RECIPES[column[1]]}, {100 * column[2]:.0f} %"
        lines.append(f"| {name} | {best} | {points:+.1f} | {ratio} | {above} | {len(ours)} |")
    return [*lines, ""]


def overview(dice: Values, precision: Values, proposed: Values) -> list[str]:
    """Every row over all columns: its mean, and how far it is behind the best row where it is furthest behind."""
    lines = [
        "## Over all columns",
        "",
        "Means over the columns, of the seeds that are there; and Dice points behind the best row of the column, on "
        "average, where that is most, and in how many columns it is at most 0.5 (the best one is found afterwards).",
        "",
        "| row | test Dice | behind, mean | behind, most | within 0.5 | AP, band | Dice of proposals | seeds, mean |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    columns = sorted({column for column, _ in dice})
    names = [name for name in ROWS if name != "oracle" and all(dice.get((column, name)) for column in columns)]
    best = {column: max(_mean(dice, column, name) for name in names) for column in columns}
    for name in names:
        behind = [100 * (best[column] - _mean(dice, column, name)) for column in columns]
        cells = [f"{mean(_mean(dice, column, name) for column in columns):.3f}"]
        cells += [f"{mean(behind):.1f}", f"{max(behind):.1f}", f"{sum(points <= 0.5 for points in behind)}"]
        for values in (precision, proposed):
            there = all(values.get((column, name)) for column in columns)
            cells.append(f"{mean(_mean(values, column, name) for column in columns):.3f}" if there else "")
        cells.append(f"{mean(len(dice[column, name]) for column in columns):.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, "", f"{len(columns)} columns.", ""]


def _mean(values: Values, column: Column, name: str) -> float:
    return mean(values[column, name].values())


def main() -> None:
    text_lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in text_lines if line.strip()]
    seconds: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        seconds[row["row"]].append(row["seconds"])
    settings = ", ".join(f"{name} {value}" for name, value in BASE.items())
    lines = ["# Accuracy", "", f"{len(rows)} finished cells. Settings of all rows: {settings}.", ""]
    found = {title: collect(rows, part, path) for title, (part, path, _) in FIGURES.items()}
    titles = list(FIGURES)
    lines += aims(found[titles[0]], found[titles[2]])
    lines += overview(found[titles[0]], found[titles[2]], found["Dice of the proposed masks"])
    for title, (_, _, higher) in FIGURES.items():
        lines += table(title, found[title], higher=higher)
    lines += [
        "## Time",
        "",
        "| row | mean seconds a cell, one thread, scoring included | cells |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {name} | {mean(seconds[name]):.0f} | {len(seconds[name])} |" for name in ROWS if seconds[name]]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
