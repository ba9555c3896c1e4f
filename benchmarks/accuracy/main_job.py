"""The main job on a folder of images and true masks: plant errors, create, train, score, rank, export, measure.

Everything goes through the command line, as a person's script would. Usage::

    python benchmarks/accuracy/main_job.py --data ../shared/data/la-heart-slices --out /tmp/main-job

``mixed`` is the honest control: its trust is the probability of the given label from a model trained on noisy and
verified pixels together, without any of the method's weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from PIL import Image

from src_core.data.noise import corrupt
from src_core.metrics.correction import correction
from src_core.metrics.detection import detection_over_images
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo


def case_of(stem: str) -> str:
    """The patient of a slice: the part of the name before ``_z``."""
    return stem.split("_z")[0]


def plant(data: Path, out: Path, ratio: float, seed: int, share: float) -> set[str]:
    """Write corrupted masks of all images and trusted masks of a share of the cases; return the verified cases."""
    files = sorted((data / "masks").glob("*.png"))
    cases = sorted({case_of(path.stem) for path in files})
    rng = np.random.default_rng(seed)
    verified = set(rng.choice(cases, size=max(1, round(share * len(cases))), replace=False).tolist())
    for name in ("noisy", "trusted"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for path in files:
        truth = np.array(Image.open(path))
        values = np.unique(truth)
        classes = np.searchsorted(values, truth).astype(np.uint8)
        noisy = corrupt(classes, recipe="biased", ratio=ratio, seed=seed, name=path.stem, case=case_of(path.stem))
        Image.fromarray(values[noisy].astype(truth.dtype)).save(out / "noisy" / path.name)
        if case_of(path.stem) in verified:
            Image.fromarray(truth).save(out / "trusted" / path.name)
    return verified


def command(*words: str | Path) -> tuple[float, int]:
    """Run a command; return its seconds and its peak memory in bytes."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "src_core", *map(str, words)])
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.2)
    if process.wait():
        raise SystemExit(f"{' '.join(map(str, words))} ended with exit status {process.returncode}.")
    return time.perf_counter() - started, peak


def true_values(data: Path) -> Callable[[CaseInfo], NDArray[Any]]:
    """Function that reads the true mask of an image."""
    return lambda case: np.array(Image.open(data / "masks" / f"{case.name}.png"))


def measure(project_path: Path, run_name: str, true_of: Callable[[CaseInfo], NDArray[Any]]) -> dict[str, object]:
    """Detection of wrong pixels and Dice of the proposals on the images that are not verified."""
    with Project.open(project_path) as project:
        run = project.run(run_name)
        verified = project.verified_counts()
        scores, given, truth, proposed = [], [], [], []
        for case in project.cases:
            if case.id in verified:
                continue
            truth.append(np.searchsorted([info.value for info in project.classes], true_of(case)).astype(np.uint8))
            given.append(project.read_given(case))
            scores.append(1 - run.read_map(case.id, "trust"))
            proposed.append(run.read_map(case.id, "proposed"))
        classes = len(project.classes)
    found = detection_over_images(scores, given, truth)
    return {
        "images": len(truth),
        "detection": {name: values.to_dict() for name, values in found.items()},
        **correction(given, proposed, truth, classes).to_dict(),
    }


def main() -> None:
    """Run the benchmark and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ratio", type=float, default=0.4)
    parser.add_argument("--verified", type=float, default=0.1, help="share of the cases that are verified")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--methods", nargs="+", default=["metadcseg", "mixed"])
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True)
    plant(arguments.data, out, arguments.ratio, arguments.seed, arguments.verified)
    project = out / "job.metadcseg"
    images = arguments.data / "images"
    command("create", project, "--images", images, "--masks", out / "noisy", "--clean-masks", out / "trusted")
    results: dict[str, object] = {"settings": {k: str(v) for k, v in vars(arguments).items()}}
    for method in arguments.methods:
        extra = [] if arguments.epochs is None else ["--epochs", str(arguments.epochs)]
        words = [
            "--preset",
            arguments.preset,
            "--method",
            method,
            "--seed",
            str(arguments.seed),
            "--run",
            method,
        ]
        seconds, peak = command("train", project, *words, *extra)
        score_seconds, _ = command("score", project, "--run", method)
        with Project.open(project) as opened:
            per_step = opened.run(method).history()[-1]["seconds_per_step"]
        results[method] = {
            "train_seconds": seconds,
            "score_seconds": score_seconds,
            "seconds_per_step": per_step,
            "peak_memory_mb": peak / 2**20,
            **measure(project, method, true_values(arguments.data)),
        }
    command("rank", project, "--by", "region", "--top", "5", "--run", arguments.methods[0])
    command(
        "export",
        project,
        out / "export",
        "--what",
        "cleaned,proposed,trust,uncertainty",
        "--run",
        arguments.methods[0],
    )
    (out / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
