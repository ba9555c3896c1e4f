"""Planted mask errors: what annotators do wrong, made on purpose, so that finding it can be measured.

Masks only; images stay as they are. ``ratio`` is one minus the Dice overlap that a corrupted mask is meant to
have with the true one ("40 % noise" is a Dice of 0.6). Recipes:

============ ================================================================================
``quality``  grow, shrink, or replace by an ellipse, to a Dice drawn around the target (R1')
``markov``   the rim is flipped at random, step by step, until the target is reached (R3)
``biased``   annotators with habits: one draws too much, one too little, one is sloppy (R11)
============ ================================================================================

Sources: Yao et al., ICLR 2023 (Markov boundary noise); the others are described in docs/method.md.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Recipe = Literal["quality", "markov", "biased"]

ANNOTATORS = ("over-drawer", "under-drawer", "sloppy")


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice overlap of two masks in [0, 1]; 1 when both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2.0 * int((a & b).sum()) / total


def grow_or_shrink(mask: NDArray[np.bool_], dice: float, *, grow: bool) -> NDArray[np.bool_]:
    """Move the boundary evenly outwards or inwards until the overlap with the mask falls to ``dice``.

    The distance is found by bisection, so it fits objects of any size. At least one pixel stays.
    """
    if not mask.any():
        return mask.copy()
    outside: NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
    inside: NDArray[np.float64] = ndimage.distance_transform_edt(mask)

    def moved(distance: float) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = outside <= distance if grow else inside > distance
        return result

    low, high = 0.0, float(outside.max() if grow else inside.max() - 1e-6)
    for _ in range(20):
        middle = (low + high) / 2
        if overlap(mask, moved(middle)) > dice:
            low = middle
        else:
            high = middle
    candidates = (moved(low), moved(high))
    return min(candidates, key=lambda found: abs(overlap(mask, found) - dice))


def markov(
    mask: NDArray[np.bool_],
    dice: float,
    rng: np.random.Generator,
    *,
    outwards: float = 0.8,
    flip: float = 0.05,
    max_steps: int = 600,
) -> NDArray[np.bool_]:
    """Flip pixels of the outer rim (with chance ``outwards`` a step) or of the inner rim until ``dice`` is reached.

    Parameters
    ----------
    mask : array, bool
    dice : float
        Where to stop, in [0, 1].
    rng : Generator
    outwards, flip : float
        theta1 and theta2: chance that a step works on the outer rim; chance that a pixel of the rim flips.
    max_steps : int
    """
    noisy = mask.copy()
    if not mask.any():
        return noisy
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    for _ in range(max_steps):
        if rng.random() < outwards:
            rim = ndimage.binary_dilation(noisy, cross) & ~noisy
        else:
            rim = noisy & ~ndimage.binary_erosion(noisy, cross, border_value=1)
        noisy ^= rim & (rng.random(mask.shape) < flip)
        smooth = ndimage.gaussian_filter(noisy.astype(np.float32), 1.0) > 0.5
        if not smooth.any() or overlap(mask, smooth) <= dice:
            break
    result: NDArray[np.bool_] = smooth
    return result


def ellipse(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The axis-aligned ellipse in the box around a 2-D mask."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return mask.copy()
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    radius = max((np.ptp(rows) + 1) / 2, 0.5), max((np.ptp(columns) + 1) / 2, 0.5)
    y, x = np.indices(mask.shape)
    result: NDArray[np.bool_] = ((y - middle[0]) / radius[0]) ** 2 + ((x - middle[1]) / radius[1]) ** 2 <= 1
    return result


def drop_and_add(mask: NDArray[np.bool_], chance: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Lose each connected object with a chance, and with the same chance copy one to another place (R9)."""
    objects, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    noisy = mask.copy()
    for number in range(1, count + 1):
        if rng.random() < chance:
            noisy[objects == number] = False
    if count and rng.random() < chance:
        copy = objects == rng.integers(1, count + 1)
        shift = [int(rng.integers(-edge // 3, edge // 3 + 1)) for edge in mask.shape]
        noisy |= np.roll(copy, shift, axis=tuple(range(mask.ndim)))
    return noisy


def _target(ratio: float, rng: np.random.Generator) -> float:
    """Dice drawn around ``1 - ratio``, within [0.05, 0.98]."""
    while True:
        value = rng.normal(1 - ratio, 0.1)
        if 0.05 <= value <= 0.98:
            return float(value)


def _quality(mask: NDArray[np.bool_], ratio: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    dice = _target(ratio, rng)
    kind = rng.random()
    if kind < 0.8:
        return grow_or_shrink(mask, dice, grow=bool(kind < 0.4))
    return grow_or_shrink(ellipse(mask), dice, grow=bool(rng.random() < 0.5))


def _over(mask: NDArray[np.bool_], ratio: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    return grow_or_shrink(mask, _target(ratio, rng), grow=bool(rng.random() < 0.8))


def _under(mask: NDArray[np.bool_], ratio: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    return grow_or_shrink(mask, _target(ratio, rng), grow=bool(rng.random() < 0.2))


def _sloppy(mask: NDArray[np.bool_], ratio: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    outwards = 0.8 if rng.random() < 0.5 else 0.2
    return markov(drop_and_add(mask, ratio / 4, rng), _target(ratio, rng), rng, outwards=outwards)


_HABITS: dict[str, Callable[[NDArray[np.bool_], float, np.random.Generator], NDArray[np.bool_]]] = {
    "over-drawer": _over,
    "under-drawer": _under,
    "sloppy": _sloppy,
}


def annotator_of(case: str, seed: int) -> str:
    """Who draws a case: the same person for all slices of one seed and case name."""
    return ANNOTATORS[zlib.crc32(f"{seed}/{case}".encode()) % len(ANNOTATORS)]


def corrupt(
    labels: NDArray[np.uint8], *, recipe: Recipe, ratio: float, seed: int, name: str, case: str | None = None
) -> NDArray[np.uint8]:
    """Plant errors in a label image, class by class.

    Parameters
    ----------
    labels : array, uint8
        True class indices; 0 is background.
    recipe : str
        ``quality``, ``markov`` or ``biased``.
    ratio : float
        One minus the Dice aimed at, in (0, 1).
    seed : int
    name : str
        Of the image; with the seed it decides every draw.
    case : str, optional
        Of the patient, for the annotator of ``biased``; the name when not given.

    Returns
    -------
    array, uint8, same shape
        An empty mask stays empty.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    noisy = np.zeros_like(labels)
    for index in range(1, int(labels.max()) + 1):
        mask = labels == index
        if recipe == "quality":
            changed = _quality(mask, ratio, rng)
        elif recipe == "markov":
            changed = markov(mask, 1 - ratio, rng)
        else:
            changed = _HABITS[annotator_of(case or name, seed)](mask, ratio, rng)
        noisy[changed] = index
    return noisy
