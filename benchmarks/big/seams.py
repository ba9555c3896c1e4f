"""How far tiles differ at their borders, with and without blending, and from the whole image.

    python benchmarks/big/seams.py [--side 1200] [--epochs 30]

A network is trained on tiles of discs that are found by their brightness alone, then asked about a new image: in tiles
that are cut at their borders, in tiles that are blended, and, what slides are too large for, all at once. Printed are
the steps between neighbouring pixels across borders beside those between all others, as far as they are more than in
the whole image, and the differences from it. What the network says is the probability of its first class.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from src_core.config import preset
from src_core.data.case import Box, ClassInfo
from src_core.data.slices import Sides
from src_core.infer import seams
from src_core.infer.predict import Predictor
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.train.control import Control
from src_core.train.run import train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.infer.predict_tiles import TiledPrediction
    from src_core.messages import Message

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color="#000000"),
    ClassInfo(index=1, name="cell", value=255, color="#56B4E9"),
)
REACH = 32
"""Pixels nearer to a border than this are not counted as away from borders."""


def discs(side: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Discs of several sizes, denser on one side, on an uneven ground: no two tiles are alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    mask = np.zeros((side, side), np.uint8)
    for _ in range(side * side // 6000):
        row, column = rng.integers(0, side), int(side * rng.random() ** 2)
        radius = int(rng.integers(6, 22))
        part = np.s_[max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1]
        mask[part][(y[part] - row) ** 2 + (x[part] - column) ** 2 <= radius**2] = 1
    image = 70 + 50 * mask + 40 * np.sin(y / side * 3) + rng.normal(0, 14, mask.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def steps(found: NDArray[np.float32], borders: list[list[int]]) -> tuple[float, float]:
    """Mean step between neighbouring pixels, across borders and elsewhere."""
    across, rest = [], []
    for axis, places in enumerate(borders):
        step = np.abs(np.diff(found, axis=axis)).mean(axis=1 - axis)
        across += [step[place - 1] for place in places]
        rest += np.delete(step, [place - 1 for place in places]).tolist()
    return float(np.mean(across)), float(np.mean(rest))


def together(tiled: TiledPrediction) -> NDArray[np.float32]:
    """The first class of all tiles."""
    found = np.zeros(tiled.shape, np.float32)
    for box, opinion in tiled:
        found[box.slices] = opinion[1]
    return found


def quiet(_message: Message) -> None:
    """Nothing is said."""


def main() -> None:
    """Train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1200)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image, mask = discs(options.side, 0)
        case = NewCase(name="slide", image=image, given=mask, clean=mask)
        build_project(Path(folder) / "p", [case], CLASSES).close()
        small = {"base_width": 8, "patch_size": 64, "batch_size": 4, "meta_batch_size": 4, "steps_per_epoch": 20}
        settings = preset("quick", tile="on", max_side=256, epochs=options.epochs, device="cpu", threads=1, **small)
        name = train(Path(folder) / "p", None, settings, listener=quiet, control=Control())
        with Project.open(Path(folder) / "p") as project:
            predictor = Predictor(project.run(name, scored=False).path, "cpu")
    report(predictor, discs(options.side, 1)[0])


def report(predictor: Predictor, image: NDArray[np.uint8]) -> None:
    """Ask in three ways and print what they differ by."""
    tiled = partial(predictor.in_tiles, lambda box: image[box.slices], image.shape)
    first = tiled()
    assert first is not None
    tiling, grid = predictor._working.tiling, Sides(image.shape, (1.0, 1.0))
    assert tiling is not None
    borders = [list(range(tiling.side, edge, tiling.side)) for edge in image.shape]
    away = np.ones(image.shape, bool)
    for axis, places in enumerate(borders):
        for place in places:
            away[(slice(None),) * axis + (slice(max(place - REACH, 0), place + REACH),)] = False
    everything = np.asarray(first._image.image(Box.whole(image.shape)))
    whole = predictor._ask(torch.from_numpy(everything)[None])[0, 1].cpu().numpy()
    blend, seams.Seams.blend = seams.Seams.blend, lambda _self, _number, _box, _outer, values: values  # type: ignore
    cut = together(tiled())  # type: ignore[arg-type]
    seams.Seams.blend = blend  # type: ignore[method-assign]
    found = {"whole": whole, "cut": cut, "blended": together(first)}
    print(f"{image.shape[0]} px, {tiling.count(grid)} tiles of {tiling.side} px, step {tiling.step}\n")
    print("| | step across borders | elsewhere | from the whole, away from borders: mean | largest |")
    print("| --- | --- | --- | --- | --- |")
    for name, values in found.items():
        across, rest = steps(values, borders)
        apart = np.abs(values - whole)[away]
        print(f"| {name} | {across:.4f} | {rest:.4f} | {apart.mean():.4f} | {apart.max():.3f} |")


if __name__ == "__main__":
    main()
