"""Masks as shapes: overlap, growing and shrinking, ellipses, and the search for a strength that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


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


def fitted(
    mask: NDArray[np.bool_],
    dice: float,
    changed: Callable[[float], NDArray[np.bool_]],
    high: float,
    steps: int = 16,
) -> tuple[float, NDArray[np.bool_]]:
    """Bisect the strength of a change until the overlap with the mask is ``dice``.

    Parameters
    ----------
    mask : array, bool
    dice : float
        In [0, 1].
    changed : function
        The changed mask for a strength from 0 to ``high``; the overlap should fall with it, by and large.
    high : float
        Largest strength.
    steps : int
        Number of masks that are tried.

    Returns
    -------
    strength : float
    found : array, bool
        The closest of all that were tried, as a random change need not get stronger evenly.
    """
    low, best = 0.0, (0.0, mask)
    nearest = abs(1.0 - dice)
    for _ in range(steps):
        middle = (low + high) / 2
        found = changed(middle)
        reached = overlap(mask, found)
        if abs(reached - dice) < nearest:
            nearest, best = abs(reached - dice), (middle, found)
        if reached > dice:
            low = middle
        else:
            high = middle
    return best


def ellipse(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The axis-aligned ellipse in the box around a 2-D mask."""
    if mask.ndim != 2:
        raise InputError(
            f"The ellipse around a mask was asked for {mask.ndim} axes, expected 2; pass one slice at a time."
        )
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return mask.copy()
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    radius = max((np.ptp(rows) + 1) / 2, 0.5), max((np.ptp(columns) + 1) / 2, 0.5)
    y, x = np.indices(mask.shape)
    result: NDArray[np.bool_] = ((y - middle[0]) / radius[0]) ** 2 + ((x - middle[1]) / radius[1]) ** 2 <= 1
    return result


def ellipses(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The ellipse of a 2-D mask, or of each slice along axis 0 of a 3-D one, as annotators draw slice by slice."""
    return ellipse(mask) if mask.ndim == 2 else np.stack([ellipse(slice_) for slice_ in mask])


def diameter(mask: NDArray[np.bool_]) -> float:
    """Diameter, px, of the disc or ball with as many pixels as the mask."""
    count = int(mask.sum())
    return float(2 * np.sqrt(count / np.pi) if mask.ndim == 2 else 2 * (0.75 * count / np.pi) ** (1 / 3))


def box(mask: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """Slices of the box around a mask that is not empty, widened by ``margin`` px as far as the image goes."""
    found: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, side.start - margin), min(edge, side.stop + margin))
        for side, edge in zip(found, mask.shape, strict=True)
    )


def objects_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the connected objects of a mask (touching at a corner counts), from 1; and how many there are."""
    numbers, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return numbers, int(count)
