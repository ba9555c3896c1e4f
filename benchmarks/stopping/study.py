"""Do the intervals of the stop estimate hold what they promise? Many simulated reviews of projects of known truth.

Usage::

    python benchmarks/stopping/study.py --reviews 200 --results benchmarks/reports/stopping.jsonl
    python benchmarks/stopping/report.py benchmarks/reports/stopping.jsonl > benchmarks/reports/stopping.md

A simulated annotator works down the queue; at some places the estimate is compared with the wrong pixels that are
really left among those that nobody vouches for. Half-way an audit is drawn, and what it would tell is written down; the
review goes on without it. When all regions are decided, some images drawn at random are verified whole. Stopped and
started again, it goes on with the seeds that are missing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rehearsal import NOISE, SETTINGS, Setting, build, calibration, slices

from src_core.data.case import Box, is_verified
from src_core.review import audit, decisions
from src_core.review.regions import BELOW
from src_core.review.replay import Finding, Outcome
from src_core.review.simulated import SimulatedAnnotator
from src_core.review.stopping import LEVEL, StopEstimator
from src_core.store.journal import Action, Record
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from src_core.store.runs import Run

    Truth = Mapping[int, NDArray[np.uint8]]

STOPS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the regions that are decided where the estimate is looked at."""

IMAGES = 20
AUDIT, AUDIT_AT = 10, 0.5
"""Draws of the audit, and the share of the regions that are decided before it."""

CHECKS = (2, 4)
"""Images that are verified whole in the end."""


def parts_of(project: Project, run: Run) -> dict[int, NDArray[np.int8]]:
    """Which part of the estimate each pixel belongs to: 0 a region, 1 doubted, 2 trusted."""
    return {
        case.id: np.where(run.read_map(case.id, "regions") > 0, 0, 1 + (run.read_map(case.id, "trust") >= BELOW))
        for case in project.cases
    }


def really_left(project: Project, parts: Mapping[int, NDArray[np.int8]], truth: Truth) -> dict[str, int]:
    """Wrong pixels that nobody vouches for, by part, and those that somebody vouches for, px."""
    found = dict.fromkeys(("in_regions", "doubted", "trusted", "vouched"), 0)
    for case in project.cases:
        label, verified = project.read_labels(case)
        wrong, vouched = label != truth[case.id], is_verified(verified)
        left = np.bincount(parts[case.id][wrong & ~vouched], minlength=3)
        for name, pixels in zip(found, (*left, (wrong & vouched).sum()), strict=True):
            found[name] += int(pixels)
    found["wrong"] = found["in_regions"] + found["doubted"] + found["trusted"]
    return found


def verify_whole(project: Project, truth: Truth, case_id: int) -> None:
    """Paint what is wrong in an image and say that the rest is right."""
    case = project.case(case_id)
    stroke = decisions.edit(project, case, Box.whole(case.shape), truth[case_id])
    if stroke is not None:
        project.commit(stroke)
    project.commit(decisions.verify_image(project, case))


def audited(
    project: Project, estimator: StopEstimator, wanted: Mapping[str, tuple[bool, int]], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an audit tells here, and what it should: wrong in the eyes of the annotator, and really wrong, px.

    Parameters
    ----------
    project : Project
    estimator : StopEstimator
        Its ledger stays as it is.
    wanted : mapping of region id to (bool, int)
        Whether the annotator would accept it, and its pixels that are really wrong.
    seed : int
    """
    run, regions, ledger = estimator.run, estimator.regions, estimator.ledger()
    left = dict(zip((region.id for region in regions), ledger.left_in_regions, strict=True))
    audit.draw(project, estimator, draws=AUDIT, seed=seed)
    sample = audit.latest(project, estimator)
    assert sample is not None
    items = project.samples.items(sample.id)
    by_id = {region.id: region for region in regions}
    twin = ledger.copy()
    for item in items:
        region, accepts = by_id[item.region], wanted[item.region][0]
        record = Record(
            id=0, time="", author="", case_id=region.case_id, action=Action.ACCEPT if accepts else Action.KEEP,
            region=region.id, run=run.name, note="", box=None, target=None, pixels=0,
        )  # fmt: skip
        twin.add(Outcome(record=record, findings=(Finding(region, accepts * region.pixels, 0, False),)))
    found = audit.result(sample, items, twin, LEVEL)
    asked = {item.region for item in items}
    later = [region for region in regions if left[region.id] > 0 and region.id not in asked]
    return {"low": found.low, "value": found.value, "high": found.high}, {
        "accepted": sum(wanted[region.id][0] * region.pixels for region in later),
        "wrong": sum(wanted[region.id][1] for region in later),
    }


def answers(project: Project, run: Run, truth: Truth) -> dict[str, tuple[bool, int]]:
    """For each region, whether the annotator would accept it, and how many of its pixels are really wrong."""
    found = {}
    for region in run.regions():
        inside = run.read_map(region.case_id, "regions") == region.number
        label, proposed = project.read_given(project.case(region.case_id)), run.read_map(region.case_id, "proposed")
        wrong = int((label != truth[region.case_id])[inside].sum())
        found[region.id] = int((proposed == truth[region.case_id])[inside].sum()) > region.pixels - wrong, wrong
    return found


def review(project: Project, truth: Truth, seed: int) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Estimate and truth at every stop."""
    run = project.run()
    rng = np.random.default_rng(seed)
    estimator, parts = StopEstimator(project, run), parts_of(project, run)
    wanted = answers(project, run, truth)
    queue = sorted(run.regions(), key=lambda region: (-region.score, region.id))
    places = {round(stop * len(queue)): stop for stop in STOPS}
    annotator = SimulatedAnnotator(project, run, truth, rng=rng)
    for done in annotator.review(queue):
        if done.regions in places:
            yield f"{places[done.regions]:.2f}", asdict(estimator.now()), really_left(project, parts, truth)
        if places.get(done.regions) == AUDIT_AT:
            yield "audit", *audited(project, estimator, wanted, seed)
    order = rng.permutation(list(truth))
    for before, images in zip((0, *CHECKS), CHECKS, strict=False):
        for case_id in order[before:images]:
            verify_whole(project, truth, int(case_id))
        yield f"checked {images}", asdict(estimator.now()), really_left(project, parts, truth)


def rehearse(seed: int, setting: Setting, made: list[Any], fitted: Any, folder: Path) -> list[dict[str, Any]]:
    """One simulated review of one project; a row a stop."""
    truth = build(folder / "study", made, fitted, setting)
    with Project.open(folder / "study", write=True, author="simulated annotator") as project:
        return [
            {"stop": stop, "estimate": estimate, "truth": left} for stop, estimate, left in review(project, truth, seed)
        ]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--reviews", type=int, default=200, help="of each setting")
    parser.add_argument("--first", type=int, default=2000, help="seed of the first; below 2000 were looked at before")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    arguments = parser.parse_args()
    lines = arguments.results.read_text(encoding="utf-8").splitlines() if arguments.results.is_file() else []
    done = {(row["seed"], row["setting"]) for row in map(json.loads, lines)}
    for seed in range(arguments.first, arguments.first + arguments.reviews):
        recipe, ratio = NOISE[seed % len(NOISE)]
        missing = [name for name in arguments.settings if (seed, name) not in done]
        made = slices(seed, IMAGES, recipe, ratio) if missing else []
        for name in missing:
            with tempfile.TemporaryDirectory(prefix="metadcseg-") as folder:
                rows = rehearse(seed, SETTINGS[name], made, calibration(recipe, ratio), Path(folder))
            with arguments.results.open("a", encoding="utf-8") as file:
                for row in rows:
                    file.write(json.dumps({"seed": seed, "setting": name, "recipe": recipe, **row}) + "\n")


if __name__ == "__main__":
    main()
