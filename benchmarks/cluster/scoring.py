"""Scoring on a Dask cluster: how much quicker two workers are than one, and whether they say the same.

::

    python benchmarks/cluster/scoring.py [--images 64] [--side 192] [--repeats 3]

Both clusters are processes of this machine with one thread each, in turns, on the loopback interface. The time is that
of the whole call: the run is read on each worker, centers are found, images are looked at, maps written. Aim: two
workers are at least 1.7 times as fast as one, on a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster

from src_core.config import preset
from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.data.noise import corrupt
from src_core.data.phantoms import phantom_set
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.train.control import Control
from src_core.train.run import train
from src_core.worker.cluster_scoring import score_on_cluster

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=255, color=OKABE_ITO[1]),
)
MAPS = ("trust", "alpha", "beta", "uncertainty", "proposed", "regions")
AIM = 1.7


def build(folder: Path, images: int, side: int) -> Path:
    slices = phantom_set(1, images, (side, side))
    cases = [
        NewCase(
            name=one.name,
            image=one.image,
            given=corrupt(one.truth, recipe="biased", ratio=0.4, seed=1, name=one.name),
            clean=one.truth if index % 8 == 0 else None,
        )
        for index, one in enumerate(slices)
    ]
    project = build_project(folder / "p.metadcseg", cases, CLASSES, author="benchmark")
    project.close()
    return project.path


def all_scores(path: Path, run: str) -> tuple[list[np.ndarray], list[object]]:
    with Project.open(path) as project:
        found = project.run(run)
        maps = [found.read_map(case.id, name) for case in project.cases for name in MAPS]
        return maps, [*found.images(), *found.regions()]


def timed(path: Path, run: str, workers: int) -> float:
    """Seconds of one scoring with so many workers that have started already."""
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None, "silence_logs": 50}
    with LocalCluster(n_workers=workers, **options) as cluster:
        with Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(workers)
            client.run(_imported)
        started = time.perf_counter()
        score_on_cluster(path, run, address=cluster.scheduler_address, device="cpu", threads=1, listener=_nobody)
        return time.perf_counter() - started


def _imported() -> None:
    import src_core.infer.score  # noqa: F401


def _nobody(_message: object) -> None:
    """Nobody listens."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = build(Path(folder), arguments.images, arguments.side)
        settings = preset("quick", epochs=2, steps_per_epoch=4, device="cpu", max_side=arguments.side)
        run = train(path, None, settings, listener=_nobody, control=Control())
        seconds: dict[int, list[float]] = {1: [], 2: []}
        said = {}
        for _ in range(arguments.repeats):
            for workers, times in seconds.items():
                times.append(timed(path, run, workers))
                said[workers] = all_scores(path, run)
    maps, ranked = zip(said[1], said[2], strict=True)
    equal = ranked[0] == ranked[1] and all(np.array_equal(one, two) for one, two in zip(*maps, strict=True))
    one, two = (statistics.median(times) for times in seconds.values())
    each = {workers: [round(value, 2) for value in times] for workers, times in seconds.items()}
    print(f"{arguments.images} images of {arguments.side} px, seconds by workers: {each}")
    print(f"medians {one:.2f} s and {two:.2f} s: {one / two:.2f} times as fast (aim {AIM})")
    print(f"outputs equal: {equal}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
