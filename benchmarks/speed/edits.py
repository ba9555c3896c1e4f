"""Time of each edit tool on a label of 4096 x 4096, in a box of 512 px on an outline and on all of it.

The label is a disc and another class in it, with or without 4,000 specks and holes. What counts is what a person waits
for: the tool, without reading and writing the project. CPU time stands beside it, as it does not depend on what else
the machine does.

Usage::

    python benchmarks/speed/edits.py
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.case import Box
from src_core.review.edits import fill_holes, grow, relabel, remove_islands, shrink
from src_core.review.smoothing import smooth
from src_core.review.windows import around, relative

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIDE, EDGE, REACH = 4096, 512, 16


def labels() -> dict[str, NDArray[np.uint8]]:
    """A clean label and one with specks."""
    y, x = np.ogrid[:SIDE, :SIDE]
    clean = np.zeros((SIDE, SIDE), np.uint8)
    clean[(y - SIDE / 2) ** 2 + (x - SIDE / 2) ** 2 < (0.42 * SIDE) ** 2] = 1
    clean[(y - SIDE / 2) ** 2 + (x - 0.6 * SIDE) ** 2 < (0.07 * SIDE) ** 2] = 2
    specks = np.zeros_like(clean, dtype=bool)
    specks[tuple(np.random.default_rng(0).integers(5, SIDE - 5, (2, 4000)))] = True
    specks = ndimage.binary_dilation(specks, iterations=3)
    return {"clean": clean, "specks": np.where(specks & (clean < 2), 1 - clean, clean).astype(np.uint8)}


TOOLS: dict[str, Callable[[NDArray[np.uint8], Box], NDArray[np.uint8]]] = {
    "fill holes": lambda label, box: fill_holes(label, 1, box=box),
    "remove islands": lambda label, box: remove_islands(label, 1, 50, box=box),
    "smooth by 2": lambda label, box: smooth(label, 1, 2, box=box),
    "grow by 3": lambda label, box: grow(label, 1, 3, box=box),
    "shrink by 3": lambda label, box: shrink(label, 1, 3, box=box),
    "relabel": lambda label, box: relabel(label, np.argwhere(label[box.slices] == 1)[0] + box.start, to=2),
}


def timed(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median wall and CPU time, ms."""
    found = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = np.median(found, axis=0) * 1e3
    return float(wall), float(cpu)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    top = int(0.08 * SIDE - EDGE / 2)
    box = Box((top, (SIDE - EDGE) // 2), (top + EDGE, (SIDE + EDGE) // 2))
    window = around(box, [REACH, REACH], (SIDE, SIDE))  # what is read of the project
    print("| tool | label | box: wall, ms | CPU, ms | all: wall, ms | CPU, ms |\n| --- | --- | --- | --- | --- | --- |")
    for kind, label in labels().items():
        part, inner = label[window.slices].copy(), relative(box, window)
        for name, tool in TOOLS.items():
            near = timed(lambda part=part, inner=inner, tool=tool: tool(part, inner), rounds)
            whole = timed(lambda label=label, tool=tool: tool(label, Box.whole(label.shape)), max(rounds // 2, 1))
            print(f"| {name} | {kind} | {near[0]:.1f} | {near[1]:.1f} | {whole[0]:.0f} | {whole[1]:.0f} |")


if __name__ == "__main__":
    main()
