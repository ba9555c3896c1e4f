"""Two hundred random faults of the training process, and a report.

::

    python benchmarks/worker/faults.py [--count 200] [--seed 0] [--out benchmarks/reports/faults.md]

The disk is filled in a file system of its own, where mounting one is permitted (Linux, root or a user namespace).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(count: int, seed: int) -> list[dict]:
    """The rows that the driver prints."""
    may_mount = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.process.faults", folder, "--count", str(count), "--seed", str(seed)]
        if may_mount:
            command = ["unshare", "--mount", *command, "--mount"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        rows.append({"fault": "the driver itself ended", "said": "", "works": False})
    return rows


def table(rows: list[dict]) -> str:
    """A row a kind of fault."""
    kinds: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        kinds[row["fault"]].append(row)
    lines = [
        "| fault | times | as it should | left processes | zombies | shared memory | longest poll, ms | said |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, found in sorted(kinds.items()):
        sums = [sum(len(row.get(name, ())) for row in found) for name in ("left", "zombies", "shared_memory")]
        slowest = 1000 * max(row.get("slowest_poll", 0.0) for row in found)
        right = sum(row["works"] for row in found)
        cells = [kind, len(found), right, *sums, f"{slowest:.1f}", found[0]["said"].replace("|", "/") or "-"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    wrong = [row for row in rows if not row["works"]]
    lines += ["", f"{len(rows) - len(wrong)} of {len(rows)} as it should."]
    lines += [f"\nNot as it should, *{row['fault']}*: {row['said'] or 'nothing was said'}" for row in wrong]
    lines += [f"\nLeft after *{row['fault']}*: {', '.join(row['left'])}" for row in rows if row.get("left")]
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = run(arguments.count, arguments.seed)
    words = f"# Faults of the training process\n\n{arguments.count} faults, seed {arguments.seed}.\n\n{table(rows)}"
    print(words)
    if arguments.out is not None:
        arguments.out.write_text(words, encoding="utf-8")
    return int(not all(row["works"] for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
