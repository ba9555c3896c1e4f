"""Write the tables of the study of the stop estimate.

Usage::

    python benchmarks/stopping/report.py stopping.jsonl
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]

HEAD = (
    "| stop | wrong left | coverage | truth above | width | bias "
    "| regions: coverage | regions: width | regions: bias | wrong vouched |"
)
AUDIT_HEAD = "| setting | reviews | accepted | coverage | width | bias | coverage of really wrong |"


def rule(head: str) -> str:
    """The line under the head of a table."""
    return "|" + " --- |" * (head.count("|") - 1)


def figures(rows: Rows, part: str) -> tuple[float, float, float, float, float]:
    """Mean truth, coverage, how often the truth is above, and width and bias as parts of the mean truth."""
    truth = np.array([row["truth"][part] for row in rows], dtype=float)
    low, value, high = (np.array([row["estimate"][part][end] for row in rows]) for end in ("low", "value", "high"))
    mean = max(float(truth.mean()), 1.0)
    # medians of draws are no whole pixels: half of one to either side is no miss
    inside = (low - 0.5 <= truth) & (truth <= high + 0.5)
    above = truth > high + 0.5
    return mean, inside.mean(), above.mean(), (high - low).mean() / mean, (value - truth).mean() / mean


def row_of(stop: str, rows: Rows) -> str:
    """One line of a table: what is true, and how the intervals did."""
    mean, covered, above, width, bias = figures(rows, "wrong")
    _, covered_inside, _, width_inside, bias_inside = figures(rows, "in_regions")
    vouched = np.mean([row["truth"]["vouched"] for row in rows])
    inside = f"{covered_inside:.2f} | {width_inside:.2f} | {bias_inside:+.2f}"
    if max(row["truth"]["in_regions"] for row in rows) < 20:
        inside = "| |"
    whole = f"{covered:.2f} | {above:.2f} | {width:.2f} | {bias:+.2f}"
    return f"| {stop} | {mean:,.0f} | {whole} | {inside} | {vouched:,.0f} |"


def audit_row(setting: str, rows: Rows) -> str:
    """How the audits of one setting did."""
    ends = [[row["estimate"][end] for row in rows] for end in ("low", "value", "high")]
    low, value, high = np.array(ends, dtype=float)
    accepted, wrong = (np.array([row["truth"][name] for row in rows], dtype=float) for name in ("accepted", "wrong"))
    mean = accepted.mean()
    covered, really = (np.mean((low <= truth) & (truth <= high)) for truth in (accepted, wrong))
    return (
        f"| {setting} | {len(rows)} | {mean:,.0f} | {covered:.2f} | {(high - low).mean() / mean:.2f} | "
        f"{(value - accepted).mean() / mean:+.2f} | {really:.2f} |"
    )


def main() -> None:
    """Print a table for every setting, and one of the audits."""
    table: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        table[row["setting"]][row["stop"]].append(row)
    for setting, stops in table.items():
        reviews = len(next(iter(stops.values())))
        print(f"\n### {setting[0].upper()}{setting[1:]}, {reviews} reviews\n\n{HEAD}\n{rule(HEAD)}")
        for stop, rows in stops.items():
            if stop != "audit":
                print(row_of(stop, rows))
    print(f"\n### Audits\n\n{AUDIT_HEAD}\n{rule(AUDIT_HEAD)}")
    for setting, stops in table.items():
        print(audit_row(setting, stops["audit"]))


if __name__ == "__main__":
    main()
