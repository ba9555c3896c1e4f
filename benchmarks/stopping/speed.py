"""How long the figures take after a decision, on a project of many images.

Usage::

    python benchmarks/stopping/speed.py --images 10000 --out /tmp/speed

Images of 64 x 64 px with three regions each in the table of the run; maps are written for those that are decided, and
the sizes of the others' regions are drawn, since regions of many sizes are what takes time. Wall clock and processor
time of :meth:`StopEstimator.now` after each decision: keep, accept, painted and confirmed, whole image verified.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from src_core.data.case import Box, ClassInfo
from src_core.data.scores import ImageScore, Region, Rest
from src_core.review import decisions
from src_core.review.stopping import StopEstimator
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.store.runs import ScoreWriter

SIDE, EDGE = 64, 8
PLACES = ((2, 2), (30, 10), (50, 40))


def regions_of(case_id: int, name: str, rng: np.random.Generator, *, drawn: bool) -> list[Region]:
    """Three squares; their sizes are drawn where nobody will look."""
    sizes = 20 + rng.lognormal(5, 1.3, 3).astype(int) if drawn else [EDGE**2] * 3
    return [
        Region(
            id=f"{name}#{number}",
            number=number,
            case_id=case_id,
            image=name,
            kind="error",
            score=float(size * doubt),
            pixels=int(size),
            given=0,
            proposed=1,
            box=Box((y, x), (y + EDGE, x + EDGE)),
            trust=1 - float(doubt),
            uncertainty=0.0,
        )
        for number, ((y, x), doubt, size) in enumerate(
            zip(PLACES, rng.uniform(0.3, 0.95, 3), sizes, strict=True), start=1
        )
    ]


def build(folder: Path, images: int, decided: int) -> None:
    """A project of that many images, of which the last ones are decided later."""
    rng = np.random.default_rng(0)
    empty = np.zeros((SIDE, SIDE), np.uint8)
    cases = (NewCase(name=f"image_{index:05d}", image=empty, given=empty) for index in range(images))
    classes = (
        ClassInfo(index=0, name="background", value=0, color="#000000"),
        ClassInfo(index=1, name="organ", value=255, color="#56B4E9"),
    )
    with build_project(folder, cases, classes) as project:
        run = project.path / "runs" / "made-up"
        run.mkdir(parents=True)
        (run / "run.json").write_text(
            json.dumps({"run": "made-up", "started": "2025", "kind": "imported", "source": "made-up"}), encoding="utf-8"
        )
        writer = ScoreWriter(run, "made-up")
        regions, scores = [], []
        for case in project.cases:
            found = regions_of(case.id, case.name, rng, drawn=case.id < images - decided)
            trust, numbers = np.full((SIDE, SIDE), 0.995, np.float32), np.zeros((SIDE, SIDE), np.int32)
            for region in found:
                trust[region.box.slices], numbers[region.box.slices] = region.trust, region.number
            if case.id >= images - decided:
                proposed = (numbers > 0).astype(np.uint8)
                writer.write(case.id, {"trust": trust, "proposed": proposed, "regions": numbers})
            trusted = SIDE**2 - 3 * EDGE**2
            rest = Rest(
                doubted_pixels=0, doubted_wrong=0, trusted_pixels=trusted, trusted_wrong=0.005 * trusted, foreground=900
            )
            regions += found
            scores.append(
                ImageScore(
                    case_id=case.id, image=case.name, score=0.1, estimated_wrong_pixels=1.0, rest=rest, row=0
                )
            )  # fmt: skip
        writer.finish(scores, regions)


def decide(project: Project, region: Region, how: str) -> None:
    """One decision."""
    case = project.case(region.case_id)
    mask = np.ones(region.box.shape, bool)
    if how == "accept":
        project.commit(decisions.accept(project, region, mask, np.ones(region.box.shape, np.uint8), "made-up"))
    elif how == "keep":
        project.commit(decisions.keep(project, region, mask, "made-up"))
    elif how == "confirm":
        stroke = decisions.edit(project, case, region.box, np.eye(EDGE, dtype=np.uint8))
        if stroke is not None:
            project.commit(stroke)
        project.commit(decisions.confirm(project, region, mask, "made-up"))
    else:
        project.commit(decisions.verify_image(project, case))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--decisions", type=int, default=300)
    arguments = parser.parse_args()
    build(arguments.out, arguments.images, arguments.decisions)
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with Project.open(arguments.out, write=True) as project:
        started = time.perf_counter()
        estimator = StopEstimator(project, project.run())
        estimator.now()
        print(f"First figures after opening: {1000 * (time.perf_counter() - started):.0f} ms\n")
        regions = {region.case_id: region for region in project.run().regions()}
        hows = ("accept", "keep", "keep", "confirm", "image")
        for index in range(arguments.decisions):
            how = hows[index % len(hows)]
            decide(project, regions[arguments.images - 1 - index], how)
            started, busy = time.perf_counter(), time.process_time()
            estimator.now()
            taken[how].append((time.perf_counter() - started, time.process_time() - busy))
        started = time.perf_counter()
        StopEstimator(project, project.run()).curve()
        print(f"The whole curve anew, after opening: {1000 * (time.perf_counter() - started):.0f} ms\n")
    print(
        "| decision | n | median ms | 95th percentile ms | processor time, median ms |\n| --- | --- | --- | --- | --- |"
    )
    for how, times in taken.items():
        wall, busy_times = (1000 * np.array(values) for values in zip(*times, strict=True))
        print(
            f"| {how} | {len(times)} | {np.median(wall):.0f} | {np.quantile(wall, 0.95):.0f} "
            f"| {np.median(busy_times):.0f} |"
        )


if __name__ == "__main__":
    main()
