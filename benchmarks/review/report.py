"""Tables of the review study, in Markdown: ``python benchmarks/review/report.py RESULTS.jsonl > REPORT.md``."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

SHARES = (0.5, 0.8)
NAMES = {
    "trust": "trust (the queue without answers)",
    "learned": "**trust, corrected by the answers (the queue's default)**",
    "cleanlab": "cleanlab, sum",
    "cleanlab, mean": "cleanlab, mean",
    "entropy": "entropy, sum",
    "entropy, mean": "entropy, mean",
    "random": "random, mean of 20",
    "truth": "best possible",
    "images": "decisions when what can be accepted of an image is accepted together",
    "rounds": "trust, trained anew after 50 and after 100",
}


def needed(row: dict[str, Any], share: float) -> int | None:
    """Regions until so large a share of the wrong pixels is gone; None if it never is."""
    left = np.asarray(row["wrong_pixels_left"])
    there = np.flatnonzero(left <= (1 - share) * left[0])
    return int(row["regions"][there[0]]) if len(there) else None


def main() -> None:
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    columns: dict[tuple[str, str, int], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        order = "random" if line["order"].startswith("random") else line["order"]
        columns[line["data"], line["noise"], line["seed"]][order].append(line)
    print(
        "# Review\n\nRegions to be looked at until a share of the wrong pixels is gone; `benchmarks/review/study.py`. "
        "One seed; random order is the mean of twenty. All orders but the last have the same regions and proposals, so "
        "the best possible order, which knows the truth, bounds what an order can do. The correction by answers was "
        "designed on the column nuclei, instances, so its figure there is no evidence.\n"
    )
    for (data, noise, seed), orders in columns.items():
        first = orders["trust"][0]
        print(f"\n## {data}, {noise}, seed {seed}\n")
        print(
            f"{first['regions'][-1]} regions, {first['wrong_pixels_left'][0]:,} wrong pixels. After all of them "
            f"{first['wrong_pixels_left'][-1] / first['wrong_pixels_left'][0]:.1%} of these are left, mean Dice "
            f"{first['dice'][0]:.3f} to {first['dice'][-1]:.3f}; {first['regions_painted'][-1]} were painted; "
            f"{first['good_pixels_damaged'][-1] / first['pixels_reviewed'][-1]:.2%} of the pixels reviewed were right "
            "before and are wrong now.\n"
        )
        print("| order | 50 % | 80 % | times the queue's, at 80 % |\n| --- | --- | --- | --- |")
        ours = needed(first, 0.8)
        for order, name in NAMES.items():
            if order in orders:
                counts = [[needed(row, share) for row in orders[order]] for share in SHARES]
                words = [_mean(each) for each in counts]
                ratio = "" if ours is None or None in counts[1] else f"{np.mean(counts[1]) / ours:.2f}"
                print(f"| {name} | {words[0]} | {words[1]} | {ratio} |")
        if {"random", "truth", "learned"} <= orders.keys():
            print(f"\n{_against_random(orders)}")


def _against_random(orders: dict[str, list[dict[str, Any]]]) -> str:
    """How many times fewer regions than in random order, and the most that any order of them can bring."""
    words = []
    for share in SHARES:
        random, ours, best = (
            float(np.mean([needed(row, share) or np.nan for row in orders[order]]))
            for order in ("random", "learned", "truth")
        )
        words.append(
            f"at {share:.0%} {random / ours:.1f} times fewer regions than in random order ({random / best:.1f})"
        )
    return f"The queue takes {' and '.join(words)}; in brackets what the best possible order of these regions would do."


def _mean(counts: list[int | None]) -> str:
    return "never" if None in counts else f"{np.mean([count for count in counts if count is not None]):.0f}"


if __name__ == "__main__":
    main()
