"""Write the tables of the study of the stop estimate.

Usage::

    python benchmarks/stopping/report.py benchmarks/reports/stopping.jsonl > benchmarks/reports/stopping.md
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

HEAD = "| stop | reviews | wrong left | coverage | truth above | width | bias | coverage in regions | wrong vouched |"


def row_of(stop: str, rows: list[dict[str, Any]]) -> str:
    """One line of a table: what is true, and how the intervals did."""
    truth = np.array([row["truth"]["wrong"] for row in rows], dtype=float)
    low, value, high = (np.array([row["estimate"]["wrong"][end] for row in rows]) for end in ("low", "value", "high"))
    inside = np.array([row["truth"]["in_regions"] for row in rows], dtype=float)
    ends = [np.array([row["estimate"]["in_regions"][end] for row in rows]) for end in ("low", "high")]
    vouched = np.mean([row["truth"]["vouched"] for row in rows])
    mean = truth.mean()
    return (
        f"| {stop} | {len(rows)} | {mean:.0f} | {np.mean((low <= truth) & (truth <= high)):.2f} | "
        f"{np.mean(truth > high):.2f} | {(high - low).mean() / mean:.2f} | {(value - truth).mean() / mean:+.2f} | "
        f"{np.mean((ends[0] <= inside) & (inside <= ends[1])):.2f} | {vouched:.0f} |"
    )


def main() -> None:
    """Print a table for every setting."""
    table: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        table[row["setting"]][row["stop"]].append(row)
        if len(sys.argv) > 2:
            table[f"{row['setting']}, {row['recipe']}"][row["stop"]].append(row)
    for setting, stops in table.items():
        print(f"\n### {setting}\n\n{HEAD}\n|{' --- |' * (HEAD.count('|') - 1)}")
        for stop, rows in stops.items():
            print(row_of(stop, rows))


if __name__ == "__main__":
    main()
