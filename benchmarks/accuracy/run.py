"""Run the cells of the accuracy benchmark that are not finished yet.

Each finished cell is one line of JSON at the end of the results file, so that little is lost when the program is
stopped; started again, it goes on with the rest. Usage::

    python benchmarks/accuracy/run.py --data ../shared/data --results benchmarks/reports/accuracy.jsonl
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any

from cells import BEGINNINGS, ROWS, WITHOUT_NOISE, Cell, run
from tqdm import tqdm

PLANTED = list(product(("la-heart-slices", "nuclei"), ("biased", "markov", "quality"), (0.4, 0.6, 0.2)))
COLUMNS: list[tuple[str, str, float]] = [*PLANTED, ("fundus-two-raters", "rater", 1.0)]


def cells(seeds: list[int], rows: list[str], columns: list[tuple[str, str, float]]) -> list[Cell]:
    """Everything to be run, one seed after the other; a row that sees no noise stands once a data set."""
    wanted: dict[Cell, None] = {}
    for seed, (dataset, noise, ratio), row in product(seeds, columns, rows):
        blind = row in WITHOUT_NOISE
        wanted[Cell(dataset, "none" if blind else noise, 0.0 if blind else ratio, seed, row)] = None
    return list(wanted)


def jobs(todo: list[Cell]) -> list[list[Cell]]:
    """Cells that are run together: those of one column and seed that begin alike."""
    together: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in todo:
        together.setdefault((*cell.key[:4], BEGINNINGS.get(cell.row, cell.row)), []).append(cell)
    return list(together.values())


def finished(results: Path) -> set[tuple[Any, ...]]:
    """Keys of the cells in the results file; a line cut off by a power failure is not one."""
    done = set()
    for line in results.read_text(encoding="utf-8").splitlines() if results.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        done.add(tuple(row[name] for name in ("dataset", "noise", "ratio", "seed", "row")))
    return done


def append(results: Path, row: dict[str, Any]) -> None:
    """Add a line, beginning a new one where the last was cut off."""
    with results.open("a+b") as file:
        file.seek(0, os.SEEK_END)
        whole = file.tell() == 0 or (file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n")
        file.write(b"" if whole else b"\n")
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--columns", nargs="+", help="such as la-heart-slices/biased/0.4; all unless given")
    parser.add_argument("--processes", type=int, default=max((os.cpu_count() or 2), 1))
    arguments = parser.parse_args()
    columns = [column for column in COLUMNS if not arguments.columns or "/".join(map(str, column)) in arguments.columns]
    done = finished(arguments.results)
    todo = [cell for cell in cells(arguments.seeds, arguments.rows, columns) if cell.key not in done]
    # torch's threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    failed = 0
    with ProcessPoolExecutor(arguments.processes, mp_context=context) as pool:
        running = {pool.submit(run, job, arguments.data): job for job in jobs(todo)}
        for future in tqdm(as_completed(running), total=len(running), unit="job"):
            if future.exception() is None:
                for row in future.result():
                    append(arguments.results, row)
            else:
                failed += len(running[future])
                tqdm.write(f"{[cell.key for cell in running[future]]} failed: {future.exception()}")
    if failed:
        raise SystemExit(f"{failed} cells failed; see above, and start again to try them once more.")


if __name__ == "__main__":
    main()
