"""Smoothing the outline of a class without changing how many objects and holes there are.

A Gaussian of the class, cut at one half, rounds corners; it also swallows small objects, cuts thin necks, and joins
what lies close. So of the pixels it would change, connected pieces are only changed where that leaves the objects as
they are: a piece that is given up must hang on one object and one background, and so must a piece that is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.case import IGNORE, Box
from src_core.review.components import chosen, numbered, touching
from src_core.review.edits import free, sizes_of
from src_core.review.windows import change_within, checked, without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_TRUNCATE = 3.0  # standard deviations that the Gaussian reaches


def smooth(
    label: NDArray[np.uint8],
    index: int,
    by: float,
    *,
    spacing: Sequence[float] | None = None,
    box: Box | None = None,
    axis: int | None = None,
) -> NDArray[np.uint8]:
    """Round the outline of a class.

    The class takes background only; what it gives up goes to the class that is nearest. The number of its objects, and
    of the pieces of its surroundings, stays the same in the box and what is near it. Pixels without a label count on
    neither side.

    Parameters
    ----------
    label : array, uint8
        Class index, 255 where there is no label.
    index : int
        The class.
    by : float
        Standard deviation of the Gaussian, in the unit of ``spacing``: corners of about this radius are rounded.
    spacing : sequence of float, optional
        Size of a pixel along each axis; 1 by default, so that ``by`` is in px.
    box : Box, optional
        Nothing outside of it changes.
    axis : int, optional
        Work slice by slice along this axis.

    Returns
    -------
    array, uint8
        A new label, of the same shape.
    """
    box, spacing = checked(label, box, axis), sizes_of(label, spacing)
    sigma = [by / size for size in spacing]

    def work(part: NDArray[np.uint8], inner: Box) -> NDArray[np.uint8]:
        mask = part == index
        wanted = _rounded(mask, part, without(sigma, axis))
        wanted &= mask | free(part, unlabelled=False)
        inside = np.zeros(part.shape, dtype=bool)
        inside[inner.slices] = True
        rounded = keep_objects(mask, np.where(inside, wanted, mask))
        return _relabelled(part, mask, rounded, index)

    return change_within(label, work, box=box, reach=[int(np.ceil(_TRUNCATE * one)) + 1 for one in sigma], axis=axis)


def _rounded(mask: NDArray[np.bool_], part: NDArray[np.uint8], sigma: Sequence[float]) -> NDArray[np.bool_]:
    """Pixels where more than half of the labelled surroundings are of the class."""
    share = _blurred(mask, sigma)
    labelled = part != IGNORE
    if not labelled.all():
        share -= 0.5 * _blurred(labelled, sigma)
        result: NDArray[np.bool_] = np.where(labelled, share > 0, mask)
        return result
    result = share > 0.5
    return result


def _blurred(mask: NDArray[np.bool_], sigma: Sequence[float]) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(
        mask.astype(np.float32), sigma, mode="nearest", truncate=_TRUNCATE
    )
    return blurred


def _relabelled(
    part: NDArray[np.uint8], mask: NDArray[np.bool_], rounded: NDArray[np.bool_], index: int
) -> NDArray[np.uint8]:
    lost = mask & ~rounded
    result = np.where(rounded, np.uint8(index), part)
    others = ~mask & (part != IGNORE)
    if lost.any() and others.any():
        if (part[others] == 0).all():
            result[lost] = 0
            return result
        nearest = ndimage.distance_transform_edt(~others, return_distances=False, return_indices=True)
        result[lost] = part[tuple(axis[lost] for axis in nearest)]
    return result


# ------------------------------------------------------------------ objects


def keep_objects(mask: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The wanted mask, as far as that neither makes, loses, splits nor joins objects or pieces of background.

    Each piece that is changed hangs like a leaf on one object and on one piece of background; cutting leaves off a
    graph leaves it connected, and as many of them as there are.
    """
    kept = mask & wanted
    smaller = mask & ~_leaves(mask & ~wanted, stays=kept, goes_to=~mask)
    larger = _leaves(wanted & ~mask, stays=~(smaller | wanted), goes_to=smaller, solid=False)
    return smaller | larger


def _leaves(
    pieces: NDArray[np.bool_],
    *,
    stays: NDArray[np.bool_],
    goes_to: NDArray[np.bool_],
    solid: bool = True,
) -> NDArray[np.bool_]:
    """Pieces that hang on one part of what stays, and on one part of what they would go to.

    Parameters
    ----------
    pieces : array, bool
        Pixels that are to change sides.
    stays, goes_to : array, bool
        What is left of the side they leave, and the side that they join.
    solid : bool
        True when they leave the objects, which hang together over corners; background does over faces only.
    """
    numbers, count = numbered(pieces)
    if not count:
        return pieces
    good = np.ones(count + 1, dtype=bool)
    for side, corners in ((stays, solid), (goes_to, not solid)):
        parts = numbered(side, corners=corners)[0]
        good &= _partners(numbers, count, parts, corners=corners) == 1
        if not corners:
            good &= _faces_touch(pieces, numbers, count, parts)
    return chosen(numbers, good)


def _partners(numbers: NDArray[np.int32], count: int, parts: NDArray[np.int32], *, corners: bool) -> NDArray[np.int64]:
    """How many parts each piece touches, by number."""
    return np.bincount(touching(numbers, parts, corners=corners)[0], minlength=count + 1)


def _faces_touch(
    pieces: NDArray[np.bool_], numbers: NDArray[np.int32], count: int, parts: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Whether all of a piece touches background over faces, where it hangs together over corners only."""
    splinters, many = numbered(pieces, corners=False)
    owner = np.zeros(many + 1, dtype=np.int64)
    owner[splinters[pieces]] = numbers[pieces]
    touched = np.zeros(many + 1, dtype=bool)
    touched[touching(splinters, parts, corners=False)[0]] = True
    good = np.ones(count + 1, dtype=bool)
    good[owner[~touched]] = False
    return good
