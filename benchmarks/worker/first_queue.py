"""Time from pressing Train to a first queue, and how good that queue is, on 50 slices of 128 px.

The real training process is started as the window does it. Beside the time on the clock stands the processor time of
the process, which is what the clock would show on a computer that does nothing else. Errors are planted, so it is known
which regions are right.
A queue is useful when at least half of the first 20 regions hold mostly wrong pixels::

    python benchmarks/worker/first_queue.py [--preset quick] [--images DIR --masks DIR] [--seed 0]

Prints a line for every queue that the run makes, in Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from src_core.config import preset
from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.data.noise import corrupt
from src_core.data.phantoms import phantom_set
from src_core.io.images import read
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.worker.client import WorkerClient

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=255, color=OKABE_ITO[1]),
)
FIRST = 20
SLICES = 50
SIDE = 128
TRUSTED = 6


def slices(arguments: argparse.Namespace) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, image and true mask of 50 slices."""
    if arguments.images is None:
        return [(one.name, one.image, one.truth) for one in phantom_set(arguments.seed, SLICES, (SIDE, SIDE))]
    found = []
    for path in sorted(arguments.images.iterdir())[:SLICES]:
        truth = next(arguments.masks.glob(f"{path.stem}.*"))
        found.append((path.stem, read(path).pixels, (read(truth).pixels > 0).astype(np.uint8)))
    return found


def build(folder: Path, chosen: list[tuple[str, np.ndarray, np.ndarray]], seed: int) -> dict[str, np.ndarray]:
    """Make the project; return the true masks."""
    cases = [
        NewCase(
            name=name,
            image=image,
            given=corrupt(truth, recipe="biased", ratio=0.4, seed=seed, name=name),
            clean=truth if index % (len(chosen) // TRUSTED) == 0 else None,
        )
        for index, (name, image, truth) in enumerate(chosen)
    ]
    build_project(folder, cases, CLASSES, author="benchmark").close()
    return {name: truth for name, _, truth in chosen}


def right_regions(path: Path, truth: dict[str, np.ndarray]) -> tuple[int, int, int]:
    """Of the first 20 regions those that hold mostly wrong pixels; regions looked at; regions in all."""
    with Project.open(path) as project:
        run = project.run()
        regions = run.regions()
        right = 0
        for region in regions[:FIRST]:
            case = project.case(region.case_id)
            inside = run.read_map(case.id, "regions") == region.number
            wrong = project.read_given(case) != truth[case.name]
            right += bool(inside.any() and wrong[inside].mean() > 0.5)
    return right, min(FIRST, len(regions)), len(regions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which the run is ended")
    arguments = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{os.cpu_count()} cores, load of others at the start {load:.1f}\n")
    print("| queue | seconds after Train | processor seconds | step | regions | right of the first 20 |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.metadcseg"
        truth = build(path, slices(arguments), arguments.seed)
        client = WorkerClient()
        began, step, number = time.monotonic(), 0, 0
        client.start(path, preset(arguments.preset, seed=arguments.seed))
        while client.state.alive and time.monotonic() - began < arguments.limit:
            for message in client.poll():
                step = int(message.data.get("step", step))
                if message.type == "scored":
                    seconds, number = time.monotonic() - began, number + 1
                    busy = sum(psutil.Process(client.pid).cpu_times()[:2]) if client.pid else float("nan")
                    right, looked, regions = right_regions(path, truth)
                    cells = (number, f"{seconds:.0f}", f"{busy:.0f}", step, regions, f"{right} of {looked}")
                    print(f"| {' | '.join(map(str, cells))} |", flush=True)
            time.sleep(0.02)
        print(f"\n{client.state} after {time.monotonic() - began:.0f} s. {client.error}")
        client.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
