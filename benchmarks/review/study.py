"""How many regions a person has to look at: orders of the queue compared, with and without training in between.

Errors are planted in masks of real images, some patients are verified, a model is trained and scores the rest; then
the simulated annotator works down the regions through the same decisions as the window: in the order of the queue, as
the queue learns from the answers, and with training in between. What a decision finds does not depend on those before
it as long as the regions are the same (the study compares), so other orders of them are counted, not walked again.
A finished part is one line of JSON, so that the program goes on where it was stopped. Usage::

    python benchmarks/review/study.py --data ../shared/data --work /tmp/review --results benchmarks/reports/review.jsonl
    python benchmarks/review/report.py benchmarks/reports/review.jsonl > benchmarks/reports/review.md
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from src_core.data.noise import corrupt
from src_core.infer.suspicion import suspicion_maps
from src_core.review.simulated import SimulatedAnnotator, as_learned, by_suspicion
from src_core.store.copy import copy_project
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from src_core.data.scores import Region
    from src_core.store.runs import Run

COLUMNS = tuple((data, noise) for data in ("la-heart-slices", "nuclei") for noise in ("biased", "instances"))
RATIO = 0.4
VERIFIED = 0.1
RANDOM_ORDERS = 20
ROUND = 50
"""So many decisions lie between two trainings, in the part with training in between."""

ROUNDS = 3
COUNTED = ("pixels_reviewed", "pixels_fixed", "good_pixels_damaged", "regions_painted")

Rows = dict[str, list[Any]]
"""Columns of a walk: the values at its start and after each region."""


def patient_of(stem: str) -> str:
    """The patient of a slice: the part of the name before ``_z``."""
    return stem.split("_z")[0]


def prepare(data: Path, folder: Path, noise: str, seed: int) -> Path:
    """Plant errors, verify some patients, train and score, unless that is done; the project."""
    project = folder / "study.metadcseg"
    if not project.exists():
        _plant(data, folder, noise, seed)
        words = ("--images", data / "images", "--masks", folder / "noisy", "--clean-masks", folder / "trusted")
        command("create", project, *words)
    _train(project, "first", seed)
    return project


def _plant(data: Path, folder: Path, noise: str, seed: int) -> None:
    paths = sorted((data / "masks").glob("*.png"))
    patients = sorted({patient_of(path.stem) for path in paths})
    count = max(1, round(VERIFIED * len(patients)))
    verified = set(np.random.default_rng(seed).choice(patients, size=count, replace=False).tolist())
    for name in ("noisy", "trusted", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in paths:
        pixels = np.array(Image.open(path))
        truth = (pixels.reshape(*pixels.shape[:2], -1)[..., 0] > 0).astype(np.uint8)
        given = corrupt(truth, recipe=noise, ratio=RATIO, seed=seed, name=path.stem, case=patient_of(path.stem))  # type: ignore[arg-type]
        Image.fromarray(given * 255).save(folder / "noisy" / path.name)
        Image.fromarray(truth * 255).save(folder / "truth" / path.name)
        if patient_of(path.stem) in verified:
            Image.fromarray(truth * 255).save(folder / "trusted" / path.name)


def _train(project: Path, run: str, seed: int) -> None:
    """Train and score a run with the quick preset, as far as that is not done."""
    with Project.open(project) as opened:
        runs = {each.name: each for each in opened.runs()}
        trained = run in runs and len(runs[run].history()) >= runs[run].settings().epochs
        scored = trained and runs[run].has_scores
    if not trained:
        resume = ["--resume"] if run in runs else []
        command("train", project, "--preset", "quick", "--seed", str(seed), "--run", run, *resume)
    if not scored:
        command("score", project, "--run", run)


def command(*words: str | Path) -> None:
    """Run ``metadcseg``."""
    subprocess.run([sys.executable, "-m", "src_core", *map(str, words)], check=True)


def read_truth(project: Project, folder: Path) -> dict[int, NDArray[np.uint8]]:
    """True masks of the images that nobody had verified at the start."""
    imported = {record.case_id for record in project.history() if record.action == "import"}
    return {
        case.id: (np.array(Image.open(folder / "truth" / f"{case.name}.png")) > 0).astype(np.uint8)
        for case in project.cases
        if case.id not in imported
    }


# ---------------------------------------------------------------- orders without training in between


def walk(
    project: Project, run: Run, truth: dict[int, NDArray[np.uint8]], *, learned: bool
) -> tuple[list[Region], Rows]:
    """Review a copy of the project, in the order of the scores or as the queue learns it: a row after each region."""
    met: list[Region] = []

    def noted(regions: Iterable[Region]) -> Iterator[Region]:
        for region in regions:
            met.append(region)
            yield region

    with tempfile.TemporaryDirectory(prefix="review-") as folder:
        copy = copy_project(project, Path(folder) / project.path.name)
        with Project.open(copy, write=True, author="simulated annotator") as work:
            annotator = SimulatedAnnotator(work, run, truth, rng=np.random.default_rng(0))
            order = as_learned(work, run.regions()) if learned else run.regions()
            rows = [asdict(progress) for progress in annotator.review(noted(order))]
    return met, {name: [row[name] for row in rows] for name in rows[0]}


def changes(met: list[Region], rows: Rows) -> dict[str, dict[str, int]]:
    """What the decision on each region found, by its id."""
    steps = {name: np.diff(rows[name]).tolist() for name in COUNTED}
    return {region.id: {name: steps[name][place] for name in COUNTED} for place, region in enumerate(met)}


def counted(groups: Iterable[tuple[list[Region], int]], found: dict[str, dict[str, int]], wrong: int) -> Rows:
    """A row after each group of regions, from what the decisions found and how many decisions a group takes."""
    rows: Rows = {name: [0] for name in ("regions", *COUNTED)}
    for regions, decisions in groups:
        rows["regions"].append(rows["regions"][-1] + decisions)
        for name in COUNTED:
            rows[name].append(rows[name][-1] + sum(found[region.id][name] for region in regions))
    left = wrong - np.array(rows["pixels_fixed"]) + np.array(rows["good_pixels_damaged"])
    return {**rows, "wrong_pixels_left": left.tolist()}


def orders(project: Project, run: Run, truth: dict[int, NDArray[np.uint8]]) -> Iterator[tuple[str, list[Region]]]:
    """The same regions in different orders; the last one knows the truth and cannot be beaten."""
    regions = run.regions()
    kinds: tuple[Literal["cleanlab", "entropy"], ...] = ("cleanlab", "entropy")
    for kind in kinds:
        maps = suspicion_maps(project, run, kind)
        yield kind, by_suspicion(regions, run, maps)
        in_region = {region.id: place for place, region in enumerate(by_suspicion(regions, run, maps))}
        means = sorted(regions, key=lambda region: (_mean(region, run, maps), in_region[region.id]), reverse=True)
        yield f"{kind}, mean", means
    for seed in range(RANDOM_ORDERS):
        order = np.random.default_rng(seed).permutation(len(regions))
        yield f"random {seed}", [regions[place] for place in order]
    wrong = {case_id: project.read_label(project.case(case_id)) != true for case_id, true in truth.items()}
    yield "truth", by_suspicion(regions, run, {key: mask.astype(np.float64) for key, mask in wrong.items()})


def _mean(region: Region, run: Run, maps: dict[int, NDArray[np.float32]]) -> float:
    inside = run.read_map(region.case_id, "regions", region.box) == region.number
    return float(maps[region.case_id][region.box.slices][inside].mean())


def together(regions: list[Region], found: dict[str, dict[str, int]]) -> Iterator[tuple[list[Region], int]]:
    """Image by image, the worst first: what can be accepted in an image is accepted together, by one decision."""
    images: dict[int, list[Region]] = {}
    for region in regions:
        images.setdefault(region.case_id, []).append(region)
    for group in sorted(images.values(), key=lambda each: -sum(region.score for region in each)):
        accepted = sum(found[each.id]["pixels_fixed"] > 0 and not found[each.id]["regions_painted"] for each in group)
        yield group, len(group) - accepted + (accepted > 0)


def without_training(project: Project, run: Run, truth: dict[int, NDArray[np.uint8]]) -> Iterator[tuple[str, Rows]]:
    """All orders."""
    met, rows = walk(project, run, truth, learned=False)
    yield "trust", rows
    found, wrong = changes(met, rows), rows["wrong_pixels_left"][0]
    other, learned = walk(project, run, truth, learned=True)
    if changes(other, learned) != found:
        raise AssertionError("Decisions found something else in another order; walk each order by itself.")
    yield "learned", learned
    for name, order in orders(project, run, truth):
        yield name, counted((([region], 1) for region in order), found, wrong)
    yield "images", counted(together(met, found), found, wrong)


# ---------------------------------------------------------------- with training in between


def rounds(project: Path, folder: Path, seed: int) -> Rows:
    """Review the first regions, train on the answers, go on with the new regions, and so on; on a copy."""
    copy = folder / "rounds.metadcseg"
    if not copy.exists():
        with Project.open(project) as opened:
            copy_project(opened, copy)
        (copy / "runs").mkdir(exist_ok=True)
        os.symlink((project / "runs" / "first").resolve(), copy / "runs" / "first")
    found: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        name = "first" if number == 0 else f"round-{number}"
        if number:
            _train(copy, name, seed)
        with Project.open(copy, write=True, author="simulated annotator") as work:
            truth, run = read_truth(work, folder), work.run(name)
            decided = work.decisions()
            todo = [region for region in run.regions() if region.id not in decided]
            todo = todo[:ROUND] if number < ROUNDS - 1 else todo
            annotator = SimulatedAnnotator(work, run, truth, rng=np.random.default_rng(number))
            before = dict.fromkeys(("regions", *COUNTED), 0) if not found else found[-1]
            for progress in annotator.review(todo):
                row = asdict(progress)
                found.append(row | {name: row[name] + before[name] for name in ("regions", *COUNTED)})
    return {name: [row[name] for row in found] for name in found[0]}


# ---------------------------------------------------------------- the study


def thinned(rows: Rows) -> Rows:
    """The first row, the last, and those at which another half of a percent of the wrong pixels is gone."""
    left = np.asarray(rows["wrong_pixels_left"])
    reached = [np.flatnonzero(left <= level) for level in left[0] * np.linspace(1, 0, 201)]
    kept = sorted({0, len(left) - 1, *(int(places[0]) for places in reached if len(places))})
    return {name: [values[place] for place in kept] for name, values in rows.items()}


def finished(results: Path) -> set[tuple[Any, ...]]:
    """What stands in the results file already."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return {tuple(json.loads(line)[name] for name in ("data", "noise", "seed", "order")) for line in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="projects are made here, and kept")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", action="store_true", help="also with training in between")
    arguments = parser.parse_args()
    done = finished(arguments.results)

    def keep(data: str, noise: str, order: str, row: Rows) -> None:
        line = {"data": data, "noise": noise, "seed": arguments.seed, "order": order, **thinned(row)}
        with arguments.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    for data, noise in COLUMNS:
        folder = arguments.work / f"{data}-{noise}-{arguments.seed}"
        if (data, noise, arguments.seed, "images") not in done:
            with Project.open(prepare(arguments.data / data, folder, noise, arguments.seed)) as opened:
                for order, rows in without_training(opened, opened.run("first"), read_truth(opened, folder)):
                    if (data, noise, arguments.seed, order) not in done:
                        keep(data, noise, order, rows)
        if arguments.rounds and (data, noise, arguments.seed, "rounds") not in done:
            keep(data, noise, "rounds", rounds(folder / "study.metadcseg", folder, arguments.seed))


if __name__ == "__main__":
    main()
