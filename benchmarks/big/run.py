"""Images larger than memory: a project, corrections, checks, export, scoring; each step in a process of its own.

    python benchmarks/big/run.py --side 4000 --side 8000 --folder /tmp/big [--tiles 40]

makes ``slide-SIDE/slide.ome.zarr`` (RGB, with labels beside it, written a row of chunks at a time) where it is not
there yet, and prints a table. Scoring is of a network of the standard width that has taken one step, as what it says
does not matter here. The bare network is timed within the same run, over the same tiles: what is left is reading, maps,
regions and writing. ``--tiles`` stops scoring after so many tiles.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr

sys.path.insert(0, str(Path(__file__).parents[1]))
from measured import peak  # type: ignore[import-not-found]

from src_core.config import preset
from src_core.data.case import Box
from src_core.review import decisions
from src_core.store.create import create_from_folders
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.verify import problems_of

CHUNK = 1024
PITCH, RADIUS = 64, 14
STROKE, CORRECTIONS = 48, 60
RUN = "bare"
STEPS = ("create", "open", "correct", "mark", "verify", "export", "train", "score")


# ------------------------------------------------------------------ the slide


def make_slide(folder: Path, side: int) -> Path:
    """An OME-Zarr image of discs with its labels; the same square of texture over and over, so that it packs well."""
    path = folder / f"slide-{side}" / "slide.ome.zarr"
    if path.exists():
        return path
    partial = path.with_name("partial.ome.zarr")
    shutil.rmtree(partial, ignore_errors=True)
    image = _array(partial, {}, "yxc", (side, side, 3), (CHUNK, CHUNK, 3))
    zarr.create_group(str(partial / "labels")).attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    labels = _array(partial / "labels" / "cells", {"image-label": {}}, "yx", (side, side), (CHUNK, CHUNK))
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:CHUNK, :CHUNK]
    mask = ((y % PITCH - PITCH // 2) ** 2 + (x % PITCH - PITCH // 2) ** 2 <= RADIUS**2).astype(np.uint8)
    noise = rng.integers(0, 24, (CHUNK, CHUNK, 3))
    tile = (200 - mask[..., None] * np.array([90, 120, 60]) + noise).astype(np.uint8)
    wide = -(-side // CHUNK)
    for start in range(0, side, CHUNK):
        rows = min(CHUNK, side - start)
        image[start : start + rows] = np.tile(tile[:rows], (1, wide, 1))[:, :side]
        drawn = np.tile(mask[:rows], (1, wide))[:, :side]
        drawn[:, start % side : start % side + PITCH] = 0  # some were forgotten
        labels[start : start + rows] = drawn
    partial.rename(path)
    return path


def _array(folder: Path, more: dict[str, Any], axes: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Any:
    multiscale = {
        "axes": [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in axes],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(axes)}]},
        ],
    }
    group = zarr.create_group(str(folder), overwrite=False)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **more}
    return zarr.create_array(str(folder / "0"), shape=shape, chunks=chunks, dtype=np.uint8)


# ------------------------------------------------------------------ the steps


def create(slide: Path, project: Path) -> dict[str, float]:
    """Make the project."""
    shutil.rmtree(project, ignore_errors=True)
    listed = slide.parent / "list.csv"
    listed.write_text(f"image,mask\n{slide},{slide}\n", encoding="utf-8")
    started = time.perf_counter()
    create_from_folders(project, listed)[0].close()
    return {"seconds": time.perf_counter() - started, "peak_gb": peak()}


def open_(project: Path) -> dict[str, float]:
    """Open it and read what a window shows at first: a square of image and label."""
    started = time.perf_counter()
    with Project.open(project, write=True) as opened:
        case = opened.cases[0]
        box = Box((0, 0), (min(1024, case.shape[0]), min(1024, case.shape[1])))
        opened.read_image(case, box)
        opened.read_labels(case, box)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_gb": peak()}


def correct(project: Path) -> dict[str, float]:
    """Strokes at places all over the image."""
    rng, times = np.random.default_rng(1), []
    with Project.open(project, write=True) as opened:
        case = opened.cases[0]
        for _ in range(CORRECTIONS):
            y, x = (int(rng.integers(0, side - STROKE)) for side in case.shape)
            box = Box((y, x), (y + STROKE, x + STROKE))
            started = time.perf_counter()
            label = 1 - np.minimum(opened.read_label(case, box), 1)
            change = decisions.edit(opened, case, box, label)
            assert change is not None
            opened.commit(change)
            times.append(time.perf_counter() - started)
    return {"median_ms": 1e3 * float(np.median(times)), "p95_ms": 1e3 * float(np.percentile(times, 95))}


def mark(project: Path) -> dict[str, float]:
    """Mark all of it as right, turn that back, and mark it again."""
    with Project.open(project, write=True) as opened:
        started = time.perf_counter()
        opened.commit(decisions.verify_image(opened, opened.cases[0]))
        seconds = time.perf_counter() - started
        opened.undo()
        back = time.perf_counter() - started - seconds
        opened.redo()
    return {"seconds": seconds, "back_seconds": back, "peak_gb": peak()}


def verify(project: Path) -> dict[str, float]:
    """Play its record back."""
    started = time.perf_counter()
    with Project.open(project) as opened:
        found = problems_of(opened)
    return {"seconds": time.perf_counter() - started, "problems": len(found), "peak_gb": peak()}


def export_(project: Path) -> dict[str, float]:
    """Export the cleaned mask and its provenance in the formats that are written in strips."""
    seconds = {}
    out = project.parent / "out"
    with Project.open(project) as opened:
        for format in ("same", "tiff", "npy", "nifti"):
            shutil.rmtree(out, ignore_errors=True)
            started = time.perf_counter()
            export(opened, out, ["cleaned", "provenance"], format)  # type: ignore[arg-type]
            seconds[f"{format}_seconds"] = time.perf_counter() - started
    shutil.rmtree(out, ignore_errors=True)
    return {**seconds, "peak_gb": peak()}


def train_(project: Path) -> dict[str, float]:
    """Make a run of one step: what its network says does not matter here."""
    from src_core.train.control import Control
    from src_core.train.run import train

    settings = preset("standard", epochs=1, steps_per_epoch=1, device="cpu")
    shutil.rmtree(project / "runs" / RUN, ignore_errors=True)
    started = time.perf_counter()
    train(project, RUN, settings, listener=lambda _message: None, control=Control())
    return {"seconds": time.perf_counter() - started, "peak_gb": peak()}


def score(project: Path, tiles: int) -> dict[str, float]:
    """Score the image with that run, and time what the network takes of it."""
    from src_core.infer import score as scoring
    from src_core.train.control import Control

    control, network, marks = Control(), [], []
    bare = scoring.teacher_prediction

    def timed(*args: Any, **options: Any) -> Any:
        started = time.perf_counter()
        found = bare(*args, **options)
        network.append((started, time.perf_counter()))
        return found

    def listen(message: Any) -> None:
        if message.type == "scoring":
            marks.append(time.perf_counter())
            if tiles and message.data["done"] > tiles:
                control.stop()

    scoring.teacher_prediction = timed
    scoring.score_run(project, RUN, device="cpu", listener=listen, control=control)
    first, last = marks[0], marks[-1]
    asked = sum(stop - start for start, stop in network if first <= start and stop <= last)
    return {
        "tiles": len(marks) - 1,
        "seconds_a_tile": (last - first) / max(len(marks) - 1, 1),
        "throughput_of_bare_network": asked / (last - first),
        "peak_gb": peak(),
    }


def main() -> None:
    """Measure every side that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, action="append", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=0)
    parser.add_argument("--skip", action="append", default=[], choices=STEPS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        slide = options.folder / f"slide-{options.side[0]}" / "slide.ome.zarr"
        project = options.folder / f"slide-{options.side[0]}.metadcseg"
        steps = {
            "create": lambda: create(slide, project),
            "open": lambda: open_(project),
            "correct": lambda: correct(project),
            "mark": lambda: mark(project),
            "verify": lambda: verify(project),
            "export": lambda: export_(project),
            "train": lambda: train_(project),
            "score": lambda: score(project, options.tiles),
        }
        sys.stdout.write(json.dumps(steps[options.step]()))
        return
    for side in options.side:
        make_slide(options.folder, side)
        for step in STEPS:
            if step not in options.skip:
                found = _alone(options, side, step)
                words = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
                sys.stdout.write(f"| {side} | {step} | {words} |\n")
                sys.stdout.flush()


def _alone(options: argparse.Namespace, side: int, step: str) -> dict[str, float]:
    """One step in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--side", str(side), "--folder", str(options.folder), "--step", step]
    command += ["--tiles", str(options.tiles)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


if __name__ == "__main__":
    main()
