"""simulate: a review by an annotator who knows the true masks."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src_core.commands.progress import bar
from src_core.errors import FormatError, InputError, MaskValueError, PairingError
from src_core.io.pairs import files_by_stem
from src_core.io.sources import read_label_of
from src_core.review.simulated import Progress, SimulatedAnnotator, as_learned, by_suspicion
from src_core.store.copy import copy_project
from src_core.store.project import Project

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from src_core.data.scores import Region
    from src_core.store.runs import Run


def simulate(arguments: argparse.Namespace) -> int:
    """Review a copy of the project region by region, and print how far each decision got."""
    if arguments.regions is not None and arguments.regions < 1:
        raise InputError(f"--regions is {arguments.regions}, expected 1 or more.")
    if not 0 <= arguments.sloppiness <= 1:
        raise InputError(f"--sloppiness is {arguments.sloppiness:g}, expected a chance from 0 to 1.")
    rng = np.random.default_rng(arguments.seed)
    with Project.open(arguments.project) as project, tempfile.TemporaryDirectory(prefix="metadcseg-") as folder:
        run = project.run(arguments.run_name)
        truth = _read_truth(project, Path(arguments.truth))
        queue = _in_order(project, run, arguments.order, rng)[: arguments.regions]
        copy = copy_project(project, Path(folder) / project.path.name)
        with Project.open(copy, write=True, author="simulated annotator") as work, bar() as progress:
            annotator = SimulatedAnnotator(
                work, run, truth, sloppiness=arguments.sloppiness, paints=arguments.paints, rng=rng
            )
            task = progress.add_task("reviewing", total=len(queue) + 1, note="")
            rows = []
            learned = arguments.order == "learned"
            taken = islice(as_learned(work, run.regions()), arguments.regions) if learned else queue
            for row in annotator.review(taken):
                rows.append(row)
                progress.update(task, advance=1)
    _print(rows, arguments.format)
    return 0


def _in_order(project: Project, run: Run, order: str, rng: np.random.Generator) -> list[Region]:
    """Regions that wait for a decision, in the order they are taken."""
    decided = project.decisions()
    waiting = [region for region in run.regions() if decided.get(region.id, "skip") == "skip"]
    if order in ("trust", "learned"):
        return sorted(waiting, key=lambda region: (-region.score, region.id))
    if order == "random":
        return [waiting[place] for place in rng.permutation(len(waiting))]
    from src_core.infer.suspicion import suspicion_maps

    return by_suspicion(waiting, run, suspicion_maps(project, run, order))  # type: ignore[arg-type]


def _read_truth(project: Project, folder: Path) -> dict[int, NDArray[np.uint8]]:
    problems: list[str] = []
    files = files_by_stem(folder, "true masks", problems)
    found = {}
    for case in project.cases:
        path = files.get(case.name)
        if path is None:
            if files:
                problems.append(f"Image {case.name} has no true mask in {folder}; add one.")
            continue
        try:
            label = read_label_of(path, case, project.classes)
        except (FormatError, MaskValueError) as error:
            problems.append(str(error))
            continue
        found[case.id] = label
    if problems:
        raise PairingError(problems)
    return found


def _print(rows: list[Progress], format: str) -> None:
    table = [{**asdict(row), "dice": round(row.dice, 6)} for row in rows]
    if format == "json":
        print(json.dumps(table, indent=2))
        return
    writer = csv.DictWriter(sys.stdout, [field.name for field in fields(Progress)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
