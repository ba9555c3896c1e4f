"""A volume larger than memory should be: a project, one step of training, scores; each in a process of its own.

    python benchmarks/big/volume.py --slices 300 --slices 600 --folder /tmp/big [--side 512] [--width 8]

makes ``volume-SIDE-SLICES/image.nii`` (uint16, with labels beside it, written a slice at a time) where it is not there
yet, and prints a table. The network is that of the standard preset, or narrower, as what it says does not matter here
and what a narrow one says is there sooner; it has taken one step.
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

import nibabel
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from measured import peak  # type: ignore[import-not-found]

from src_core.config import preset
from src_core.data.slices import slice_axis
from src_core.store.create import create_from_folders
from src_core.store.project import Project

PITCH, RADIUS = 64, 22
SPACING = 2.0
"""Distance of slices, mm; pixels are 1 mm long."""

RUN = "bare"
STEPS = ("create", "train", "score")


def make_volume(folder: Path, side: int, slices: int) -> Path:
    """NIfTI with balls, and their labels, some of which were forgotten."""
    path = folder / f"volume-{side}-{slices}"
    if path.exists():
        return path
    partial = path.with_name("partial-" + path.name)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    image = _file(partial / "image.nii", (side, side, slices), np.uint16)
    mask = _file(partial / "mask.nii", (side, side, slices), np.uint8)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 120, (8, side, side))
    x, y = (axis % PITCH - PITCH // 2 for axis in np.ogrid[:side, :side])
    for at in range(slices):
        z = SPACING * (at % (PITCH // SPACING) - PITCH / SPACING / 2)
        inside = x**2 + y**2 + z**2 <= RADIUS**2
        image[..., at] = 900 + 300 * inside + noise[at % 8]
        inside[:, : PITCH * (at // 40 % 4)] = False
        mask[..., at] = inside
    image.flush()
    mask.flush()
    partial.rename(path)
    return path


def _file(path: Path, shape: tuple[int, ...], dtype: Any) -> Any:
    """An empty NIfTI file, as an array."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_sform(np.diag([1.0, 1.0, SPACING, 1.0]), code=1)
    header.set_zooms((1.0, 1.0, SPACING))
    header.set_xyzt_units("mm")
    with path.open("wb") as file:
        header["vox_offset"], header["magic"] = 352, b"n+1"
        file.write(header.binaryblock + b"\0\0\0\0")
        file.truncate(352 + int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.memmap(path, dtype, "r+", 352, shape, "F")


# ------------------------------------------------------------------ the steps


def create(folder: Path, project: Path) -> dict[str, float]:
    """Make the project."""
    shutil.rmtree(project, ignore_errors=True)
    listed = folder / "list.csv"
    listed.write_text(f"image,mask\n{folder / 'image.nii'},{folder / 'mask.nii'}\n", encoding="utf-8")
    started = time.perf_counter()
    opened, _ = create_from_folders(project, listed)
    case = opened.cases[0]
    assert case.shape[slice_axis(case)] == min(case.shape) or case.spacing[slice_axis(case)] == SPACING
    opened.close()
    return {"seconds": time.perf_counter() - started, "peak_gb": peak()}


def train_(project: Path, width: int, dimensions: str) -> dict[str, float]:
    """Make a run of one step."""
    from src_core.train.control import Control
    from src_core.train.run import train

    more = {"base_width": width} if width else {}
    settings = preset("standard", epochs=1, steps_per_epoch=1, device="cpu", threads=1, dimensions=dimensions, **more)
    shutil.rmtree(project / "runs" / RUN, ignore_errors=True)
    started = time.perf_counter()
    train(project, RUN, settings, listener=lambda _message: None, control=Control())
    return {"seconds": time.perf_counter() - started, "peak_gb": peak()}


def score(project: Path) -> dict[str, float]:
    """Score the volume with that run."""
    from src_core.infer.score import score_run

    started = time.perf_counter()
    score_run(project, RUN, device="cpu", threads=1, quick=True, listener=lambda _message: None)
    seconds = time.perf_counter() - started
    with Project.open(project) as opened:
        regions = len(opened.run(RUN).regions())
    return {"seconds": seconds, "regions": regions, "peak_gb": peak()}


def main() -> None:
    """Measure every volume that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, action="append", required=True)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--width", type=int, default=0, help="of the network; 0 is that of the preset")
    parser.add_argument("--dimensions", default="2d", choices=("2d", "2.5d", "3d"))
    parser.add_argument("--skip", action="append", default=[], choices=STEPS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        folder = options.folder / f"volume-{options.side}-{options.slices[0]}"
        project = folder.with_name(folder.name + ".metadcseg")
        steps = {
            "create": lambda: create(folder, project),
            "train": lambda: train_(project, options.width, options.dimensions),
            "score": lambda: score(project),
        }
        sys.stdout.write(json.dumps(steps[options.step]()))
        return
    for slices in options.slices:
        make_volume(options.folder, options.side, slices)
        for step in STEPS:
            if step not in options.skip:
                found = _alone(options, slices, step)
                words = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
                sys.stdout.write(f"| {slices} | {step} | {words} |\n")
                sys.stdout.flush()


def _alone(options: argparse.Namespace, slices: int, step: str) -> dict[str, float]:
    """One step in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--slices", str(slices), "--side", str(options.side), "--step", step]
    command += ["--folder", str(options.folder), "--width", str(options.width), "--dimensions", options.dimensions]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


if __name__ == "__main__":
    main()
