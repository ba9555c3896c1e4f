"""What training on is worth: a run from a finished one with more verified masks, against new runs.

::

    python benchmarks/worker/train_on.py [--seeds 3] [--epochs 9]

A run is trained with few verified masks; then more images are verified with their true masks, as a review does. Printed
for the images that nobody verified: average precision of distrust for wrong labels, and Dice of what is proposed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import average_precision_score

from src_core.config import preset
from src_core.data.case import OKABE_ITO, Box, ClassInfo, Verified
from src_core.data.noise import corrupt
from src_core.data.phantoms import phantom_set
from src_core.infer.score import score_run
from src_core.store.create import NewCase, build_project
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.train import follow_up
from src_core.train.control import Control
from src_core.train.run import train

if TYPE_CHECKING:
    from src_core.config import TrainingSettings

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=255, color=OKABE_ITO[1]),
)
IMAGES, SIDE, BEFORE, MORE = 30, 64, 4, 8
RATES = (0.25, 0.5, 1.0)


def build(folder: Path, seed: int) -> tuple[Path, dict[str, np.ndarray]]:
    """The project with few verified masks, and the truth."""
    slices = phantom_set(seed, IMAGES, (SIDE, SIDE))
    cases = [
        NewCase(
            name=one.name,
            image=one.image,
            given=corrupt(one.truth, recipe="biased", ratio=0.4, seed=seed, name=one.name),
            clean=one.truth if index % (IMAGES // BEFORE) == 0 else None,
        )
        for index, one in enumerate(slices)
    ]
    project = build_project(folder / "p.metadcseg", cases, CLASSES, author="benchmark")
    project.close()
    return project.path, {one.name: one.truth for one in slices}


def review(path: Path, truth: dict[str, np.ndarray]) -> None:
    """Verify more images with their true masks."""
    with Project.open(path, write=True) as project:
        waiting = [case for case in project.cases if not project.read_verified(case).any()]
        for case in waiting[:: len(waiting) // MORE][:MORE]:
            wrong = project.read_label(case) != truth[case.name]
            kinds = np.where(wrong, Verified.CORRECTED, Verified.CONFIRMED).astype(np.uint8)
            patch = Patch(Box((0, 0), case.shape), truth[case.name].astype(np.uint8), kinds)
            project.commit(Change(case.id, Action.CONFIRM, patch))


def trained(path: Path, name: str, settings: TrainingSettings, start_from: str | None = None) -> None:
    train(path, name, settings, start_from=start_from, listener=lambda _message: None, control=Control())
    score_run(path, name, device="cpu", listener=lambda _message: None)


def measured(path: Path, name: str, truth: dict[str, np.ndarray]) -> tuple[float, float]:
    """Average precision and Dice over images that nobody verified."""
    distrust, wrong, overlap, size = [], [], 0, 0
    with Project.open(path) as project:
        run = project.run(name)
        for case in project.cases:
            if project.read_verified(case).any():
                continue
            true, proposed = truth[case.name], run.read_map(case.id, "proposed")
            distrust.append(1 - run.read_map(case.id, "trust").ravel())
            wrong.append((project.read_label(case) != true).ravel())
            overlap += 2 * int(((true == 1) & (proposed == 1)).sum())
            size += int((true == 1).sum() + (proposed == 1).sum())
    return average_precision_score(np.concatenate(wrong), np.concatenate(distrust)), overlap / size


def one_seed(folder: Path, seed: int, epochs: int) -> dict[str, tuple[float, float]]:
    path, truth = build(folder, seed)
    sizes = {"base_width": 8, "patch_size": 64, "max_side": 64, "steps_per_epoch": 20, "threads": 1, "device": "cpu"}
    settings = preset("quick", epochs=epochs, seed=seed, **sizes)
    trained(path, "before", settings)
    review(path, truth)
    found = {"before, nothing more verified": measured(path, "before", truth)}
    for rate in RATES:
        follow_up.SLOWER = rate
        name = f"on-{rate}"
        trained(path, name, follow_up.follow_up_settings(settings), "before")
        found[f"train on, a third of the epochs, rate x {rate}"] = measured(path, name, truth)
    short = preset("quick", epochs=-(-epochs // follow_up.SHARE), seed=seed, **sizes)
    for name, chosen in (("new, a third of the epochs", short), ("new, all epochs", settings)):
        trained(path, name.replace(", ", "-").replace(" ", "-"), chosen)
        found[name] = measured(path, name.replace(", ", "-").replace(" ", "-"), truth)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=9)
    arguments = parser.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            for name, values in one_seed(Path(folder), seed, arguments.epochs).items():
                rows.setdefault(name, []).append(values)
    print(f"Phantoms, {IMAGES} images of {SIDE} px, {BEFORE} verified, then {MORE} more; {arguments.seeds} seeds.\n")
    print("| run | average precision, mean (each seed) | Dice of proposals, mean (each seed) |\n| --- | --- | --- |")
    for name, values in rows.items():
        cells = []
        for part in zip(*values, strict=True):
            cells.append(f"{np.mean(part):.3f} ({', '.join(f'{value:.3f}' for value in part)})")
        print(f"| {name} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
