"""The main job on volumes, in ``2d``, ``2.5d`` and ``3d``: plant errors, create, train, score, measure.

Everything goes through the command line, as a person's script would. Usage::

    python benchmarks/accuracy/volumes.py --data ../shared/data/la-heart-volumes --out /tmp/volumes --seeds 0 1

Of the volumes one is verified, another one for each seed; ``mixed`` is the honest control, as in ``main_job.py``. A
line of JSON is added to ``results.jsonl`` for every run that is finished; started again, it goes on with the rest.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
from main_job import command, measure

from src_core.data.noise import RECIPES, corrupted
from src_core.store.project import Project

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo

DIMENSIONS = ("2d", "2.5d", "3d")
METHODS = ("metadcseg", "mixed")
SETTINGS: dict[str, Any] = {
    "preset": "quick",
    "network": "unet",
    "base_width": 8,
    "max_side": 96,
    "patch_size": 64,
    "epochs": 12,
    "steps_per_epoch": 25,
    "batch_size": 4,
    "meta_batch_size": 2,
    "learning_rate": 3e-3,
    "threads": 1,
    "device": "cpu",
}
"""The quick preset with the small network of the accuracy benchmark, so that volumes can be learned on a CPU."""


def plant(data: Path, out: Path, recipe: Any, ratio: float, seed: int) -> list[dict[str, Any]]:
    """Write images, corrupted masks, and the true mask of one volume; what was planted."""
    for name in ("images", "noisy", "trusted"):
        (out / name).mkdir(parents=True, exist_ok=True)
    planted = []
    files = sorted(data.glob("*_label.nii.gz"))
    for number, path in enumerate(files):
        name = path.name.split("_")[0]
        source = nibabel.load(path)
        truth = np.asarray(source.dataobj).astype(np.uint8)
        # recipes that go slice by slice take the first axis for it
        made = corrupted(np.ascontiguousarray(truth.T), recipe=recipe, ratio=ratio, seed=seed, name=name, case=name)
        verified = number == seed % len(files)
        noisy = nibabel.Nifti1Image(np.ascontiguousarray(made.labels.T), source.affine, source.header)
        nibabel.save(noisy, out / "noisy" / f"{name}.nii.gz")
        shutil.copy(path.with_name(f"{name}_image.nii.gz"), out / "images" / f"{name}.nii.gz")
        if verified:
            shutil.copy(path, out / "trusted" / f"{name}.nii.gz")
        planted.append({**made.recipe, "verified": verified, "wrong": float((made.labels != truth.T).mean())})
    return planted


def truth_of(data: Path, case: CaseInfo) -> NDArray[Any]:
    """The true mask of a volume, in the order of axes that the project has."""
    return np.asarray(nibabel.load(data / f"{case.name}_label.nii.gz").dataobj).T


def one(project: Path, name: str, settings: dict[str, Any], data: Path) -> dict[str, Any]:
    """Train, score and measure one run."""
    file = project.with_name(f"{name}.json")
    file.write_text(json.dumps({"settings": settings}), encoding="utf-8")
    shutil.rmtree(project / "runs" / name, ignore_errors=True)  # what an earlier start of this left unfinished
    seconds, peak = command("train", project, "--settings", file, "--run", name)
    score_seconds, score_peak = command("score", project, "--run", name, "--threads", "1")
    with Project.open(project) as opened:
        regions = len(opened.run(name).regions())
    return {
        "train_seconds": seconds,
        "score_seconds": score_seconds,
        "peak_memory_mb": max(peak, score_peak) / 2**20,
        "regions": regions,
        **measure(project, name, lambda case: truth_of(data, case)),
    }


COLUMNS = {
    "AP all": lambda row: row["detection"]["all"]["average_precision"],
    "AP band": lambda row: row["detection"]["band"]["average_precision"],
    "AUROC band": lambda row: row["detection"]["band"]["auroc"],
    "Dice given": lambda row: row["dice_given"],
    "Dice proposed": lambda row: row["dice_proposed"],
    "wrong repaired": lambda row: row["repaired"],
    "right damaged": lambda row: row["damaged"],
    "prevalence all": lambda row: row["detection"]["all"]["prevalence"],
    "prevalence band": lambda row: row["detection"]["band"]["prevalence"],
}


def table(rows: list[dict[str, Any]], by: tuple[str, ...]) -> str:
    """Means of the rows that agree in what they are grouped by, in Markdown."""
    names = [*by, "runs", *COLUMNS, "training, s", "peak memory, MB"]
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    for key in sorted({tuple(row[name] for name in by) for row in rows}):
        of_it = [row for row in rows if tuple(row[name] for name in by) == key]
        found = [f"{mean(value(row) for row in of_it):.3f}" for value in COLUMNS.values()]
        seconds, peak = mean(row["train_seconds"] for row in of_it), max(row["peak_memory_mb"] for row in of_it)
        lines.append(f"| {' | '.join([*map(str, key), str(len(of_it)), *found, f'{seconds:.0f}', f'{peak:.0f}'])} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is not finished yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME_image.nii.gz and NAME_label.nii.gz")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--noise", choices=RECIPES, nargs="+", default=["biased"])
    parser.add_argument("--ratio", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
    parser.add_argument("--dimensions", choices=DIMENSIONS, nargs="+", default=list(DIMENSIONS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    arguments = parser.parse_args()
    results = arguments.out / "results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(row["noise"], row["seed"], row["dimensions"], row["method"]) for row in rows}
    for seed in arguments.seeds:
        for noise in arguments.noise:
            folder = arguments.out / f"{noise}-{seed}"
            project = folder / "job.metadcseg"
            if not project.exists():
                planted = plant(arguments.data, folder, noise, arguments.ratio, seed)
                (folder / "planted.json").write_text(json.dumps(planted, indent=2), encoding="utf-8")
                places = ["--images", folder / "images", "--masks", folder / "noisy"]
                command("create", project, *places, "--clean-masks", folder / "trusted")
            for dimensions in arguments.dimensions:
                for method in arguments.methods:
                    cell = {"noise": noise, "seed": seed, "dimensions": dimensions, "method": method}
                    if tuple(cell.values()) in done:
                        continue
                    settings = {**SETTINGS, **cell, "epochs": arguments.epochs}
                    del settings["noise"]
                    row = {**cell, **one(project, f"{dimensions.replace('.', '')}-{method}", settings, arguments.data)}
                    rows.append(row)
                    with results.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
    for by in (("noise", "seed", "dimensions", "method"), ("noise", "dimensions", "method")):
        print(table(rows, by), end="\n\n")


if __name__ == "__main__":
    main()
