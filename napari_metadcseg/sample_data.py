"""Samples with planted mask errors: generated, so that the truth is known and no network is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from src_core.data.noise import corrupt
from src_core.data.phantoms import phantom_set

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SEED = 7
COUNT = 20
TRUSTED = 4
RATIO = 0.4


class Sample(NamedTuple):
    """A slice with its true mask and one with planted errors."""

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    given: NDArray[np.uint8]


def samples(count: int = COUNT) -> list[Sample]:
    """The slices of the demo; their annotators draw too much, too little, or sloppily."""
    return [
        Sample(
            phantom.name,
            phantom.image,
            phantom.truth,
            corrupt(phantom.truth, recipe="biased", ratio=RATIO, seed=SEED, name=phantom.name),
        )
        for phantom in phantom_set(SEED, count)
    ]


def write_folders(folder: Path, slices: list[Sample], trusted: int = TRUSTED) -> None:
    """Write ``images``, ``masks`` (with errors, 0/255), ``trusted`` (true, of the first ones) and ``truth``."""
    for name in ("images", "masks", "trusted", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, sample in enumerate(slices):
        Image.fromarray(sample.image).save(folder / "images" / f"{sample.name}.png")
        Image.fromarray(sample.given * np.uint8(255)).save(folder / "masks" / f"{sample.name}.png")
        Image.fromarray(sample.truth * np.uint8(255)).save(folder / "truth" / f"{sample.name}.png")
        if index < trusted:
            Image.fromarray(sample.truth * np.uint8(255)).save(folder / "trusted" / f"{sample.name}.png")


def open_samples() -> list[tuple[Any, dict[str, Any], str]]:
    """Layers for napari's File > Open Sample: a few slices, each with a mask that has errors."""
    layers: list[tuple[Any, dict[str, Any], str]] = []
    for index, sample in enumerate(samples(6)):
        shown = index == 0
        layers.append((sample.image, {"name": sample.name, "visible": shown}, "image"))
        layers.append((sample.given, {"name": f"{sample.name} mask", "visible": shown, "opacity": 0.4}, "labels"))
    return layers
