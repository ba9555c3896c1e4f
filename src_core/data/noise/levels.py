"""How noisy a set is, by each of the conventions in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.noise.shapes import overlap
from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class NoiseLevels:
    """Noise of a set of label images; "40 % noise" can mean any of the first three.

    Attributes
    ----------
    quality : float
        Mean Dice in [0, 1], over every class in every image that has it in the given or in the true labels.
    affected : float
        Share in [0, 1] of the images with at least one wrong pixel.
    per_object : float
        Wrong pixels / true foreground pixels, over the whole set, from 0, can be above 1; not a number
        where there is no foreground.
    flipped : float
        Share in [0, 1] of all pixels that are wrong.
    """

    quality: float
    affected: float
    per_object: float
    flipped: float


def noise_levels(given: Sequence[NDArray[np.uint8]], truth: Sequence[NDArray[np.uint8]]) -> NoiseLevels:
    """Compare given with true labels, image by image.

    Parameters
    ----------
    given, truth : sequence of array, uint8
        As many of each, not none, with equal shapes; images of a set may differ in shape.

    Raises
    ------
    InputError
        Where they do not fit together.
    """
    if len(given) != len(truth) or not len(given):
        raise InputError(
            f"Noise levels were asked for {len(given)} given and {len(truth)} true label images, expected as many of "
            "each and at least one; pass one true image for each given one."
        )
    dice: list[float] = []
    wrong: list[int] = []
    for number, (a, b) in enumerate(zip(given, truth, strict=True), start=1):
        if a.shape != b.shape:
            raise InputError(
                f"Label image {number} has the shape {a.shape}, its true labels {b.shape}, expected equal shapes; "
                "check that both lists are in the same order."
            )
        wrong.append(int((a != b).sum()))
        dice += [overlap(a == index, b == index) for index in np.union1d(a, b) if index]
    foreground = sum(int((b > 0).sum()) for b in truth)
    return NoiseLevels(
        quality=float(np.mean(dice)) if dice else 1.0,
        affected=float(np.mean([count > 0 for count in wrong])),
        per_object=sum(wrong) / foreground if foreground else float("nan"),
        flipped=sum(wrong) / max(1, sum(b.size for b in truth)),
    )
