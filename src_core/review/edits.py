"""Edits of a label around painting: holes, islands, outlines, objects, and what the model proposes.

Each takes a label (uint8 class index, 255 where there is none; 2-D or 3-D) and returns a new one of the same shape.
What holds for all of them:

- With a ``box`` nothing outside of it changes, so nothing is edited out of sight. Holes, islands and objects are edited
  whole or not at all: those that reach beyond the box stay.
- Other classes keep their pixels: a class only takes pixels of the background. What it gives up becomes background, or
  what surrounds it.
- Pixels without a label stay so unless ``unlabelled`` is given. They say nothing about an outline either.
- With ``axis`` a volume is edited slice by slice along it.
- Distances are in the unit of ``spacing``: px by default, mm where the image says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import flood

from src_core.data.case import IGNORE, Box
from src_core.errors import InputError
from src_core.review.components import at_rim, chosen, numbered, surrounding, touching
from src_core.review.windows import around, bounding, change_within, checked, relative, without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ROUNDING = 1 + 1e-6  # so that a distance of 3 x 0.1 mm counts as 0.3 mm


def free(label: NDArray[np.uint8], *, unlabelled: bool) -> NDArray[np.bool_]:
    """Pixels that a class may take: background, and those without a label if asked for."""
    mask: NDArray[np.bool_] = (label == 0) | (label == IGNORE) if unlabelled else label == 0
    return mask


def fill_holes(
    label: NDArray[np.uint8], index: int, *, box: Box | None = None, axis: int | None = None, unlabelled: bool = False
) -> NDArray[np.uint8]:
    """Fill background that a class encloses.

    Enclosed background that does not touch the class stays: it is the hole of another class that lies inside.

    Parameters
    ----------
    label : array, uint8
    index : int
        The class.
    box : Box, optional
    axis : int, optional
    unlabelled : bool
        Also fill enclosed pixels without a label.
    """
    box = checked(label, box, axis)

    def work(part: NDArray[np.uint8], _inner: Box) -> NDArray[np.uint8]:
        mask = part == index
        near = bounding(mask)
        result = part.copy()
        if near is None:
            return result
        inside = result[near.slices]
        inside[_holes(inside, mask[near.slices], unlabelled=unlabelled)] = index
        return result

    # a hole that reaches the rim of box and one pixel more is not closed within the box
    return change_within(label, work, box=box, reach=[1] * label.ndim, axis=axis)


def _holes(part: NDArray[np.uint8], mask: NDArray[np.bool_], *, unlabelled: bool) -> NDArray[np.bool_]:
    """Pixels to fill; ``mask`` is the class, and reaches every side of the part."""
    numbers, count = numbered(~mask, corners=False)
    closed = np.ones(count + 1, dtype=bool)
    closed[at_rim(numbers)] = False
    enclosed = chosen(numbers, closed)
    fitting = enclosed & free(part, unlabelled=unlabelled)
    if np.array_equal(fitting, enclosed):
        return fitting
    numbers, count = numbered(fitting, corners=False)
    touched = np.zeros(count + 1, dtype=bool)
    touched[touching(numbers, mask.astype(np.int32), corners=False)[0]] = True
    return chosen(numbers, touched)


def remove_islands(
    label: NDArray[np.uint8], index: int, smaller: int, *, box: Box | None = None, axis: int | None = None
) -> NDArray[np.uint8]:
    """Remove the small objects of a class; each becomes what surrounds it most.

    Parameters
    ----------
    label : array, uint8
    index : int
        The class.
    smaller : int
        Objects with fewer pixels than this are removed, px.
    box : Box, optional
    axis : int, optional
    """
    box = checked(label, box, axis)

    def work(part: NDArray[np.uint8], inner: Box) -> NDArray[np.uint8]:
        numbers, count = numbered(part == index)
        small = np.bincount(numbers.ravel(), minlength=count + 1) < smaller
        beyond = numbers.copy()
        beyond[inner.slices] = 0
        small[np.unique(beyond)] = False
        mask = chosen(numbers, small)
        numbers = np.where(mask, numbers, 0)
        classes = surrounding(numbers, count, part, never=(index,))
        return np.where(mask, classes[numbers], part)

    return change_within(label, work, box=box, reach=[1] * label.ndim, axis=axis)


def grow(
    label: NDArray[np.uint8],
    index: int,
    by: float,
    *,
    spacing: Sequence[float] | None = None,
    box: Box | None = None,
    axis: int | None = None,
    unlabelled: bool = False,
) -> NDArray[np.uint8]:
    """Move the outline of a class outwards; it takes background at most ``by`` away.

    Parameters
    ----------
    label : array, uint8
    index : int
        The class.
    by : float
        In the unit of ``spacing``.
    spacing : sequence of float, optional
        Size of a pixel along each axis; 1 by default, so that ``by`` is in px.
    box : Box, optional
    axis : int, optional
    unlabelled : bool
        Also take pixels without a label.
    """
    box, spacing = checked(label, box, axis), sizes_of(label, spacing)
    sizes = without(spacing, axis)

    def work(part: NDArray[np.uint8], _inner: Box) -> NDArray[np.uint8]:
        near = within(part == index, by, sizes)
        return np.where(near & free(part, unlabelled=unlabelled), np.uint8(index), part)

    return change_within(label, work, box=box, reach=reach_of(by, spacing), axis=axis)


def shrink(
    label: NDArray[np.uint8],
    index: int,
    by: float,
    *,
    spacing: Sequence[float] | None = None,
    box: Box | None = None,
    axis: int | None = None,
) -> NDArray[np.uint8]:
    """Move the outline of a class inwards; what is at most ``by`` from another class becomes background.

    The rim of the image and pixels without a label are no outline: there the class stays. Parameters as in
    :func:`grow`.
    """
    box, spacing = checked(label, box, axis), sizes_of(label, spacing)
    sizes = without(spacing, axis)

    def work(part: NDArray[np.uint8], _inner: Box) -> NDArray[np.uint8]:
        mask = part == index
        lost = mask & within(~mask & (part != IGNORE), by, sizes)
        return np.where(lost, np.uint8(0), part)

    return change_within(label, work, box=box, reach=reach_of(by, spacing), axis=axis)


def take_proposal(
    label: NDArray[np.uint8],
    proposed: NDArray[np.uint8],
    where: NDArray[np.bool_],
    *,
    index: int | None = None,
    unlabelled: bool = False,
) -> NDArray[np.uint8]:
    """Take over what the model proposes, as inside of a lasso or of a region.

    Parameters
    ----------
    label, proposed : array, uint8, of one shape
    where : array, bool, of the same shape
    index : int, optional
        Only what this class gains or loses by it; all classes by default.
    unlabelled : bool
        Also label pixels that have no label.
    """
    checked(label, None)
    taken = where & (proposed != IGNORE)
    if index is not None:
        taken &= (label == index) | (proposed == index)
    if not unlabelled:
        taken &= label != IGNORE
    return np.where(taken, proposed, label)


def relabel(
    label: NDArray[np.uint8], at: Sequence[int], *, to: int | None = None, box: Box | None = None
) -> NDArray[np.uint8]:
    """Give one connected object to another class.

    Parameters
    ----------
    label : array, uint8
    at : sequence of int
        A pixel of the object.
    to : int, optional
        The class; that which surrounds it most by default.
    box : Box, optional

    Raises
    ------
    InputError
        If there is no object, or it reaches beyond the box.
    """
    box = checked(label, box)
    at = tuple(int(place) for place in at)
    inside = len(at) == label.ndim and all(a <= p < b for a, p, b in zip(box.start, at, box.stop, strict=True))
    if not inside or label[at] in (0, IGNORE):
        raise InputError(
            f"There is no object at {at} in the part that is edited; click on one, or edit all of the image."
        )
    window = around(box, [1] * label.ndim, label.shape)
    inner, part = relative(box, window), label[window.slices]
    mask = flood(part == label[at], tuple(p - a for p, a in zip(at, window.start, strict=True)))
    if np.count_nonzero(mask) > np.count_nonzero(mask[inner.slices]):
        raise InputError("This object reaches beyond the part that is edited; choose the whole image to relabel it.")
    if to is None:
        to = int(surrounding(mask.astype(np.int32), 1, part, never=())[1])
    result = label.copy()
    result[window.slices][mask] = to
    return result


# ------------------------------------------------------------------ distances


def within(mask: NDArray[np.bool_], by: float, spacing: Sequence[float]) -> NDArray[np.bool_]:
    """Pixels at most ``by`` from a pixel of the mask; none when the mask is empty."""
    near = np.zeros(mask.shape, dtype=bool)
    found = bounding(mask)
    if found is None:
        return near
    window = around(found, reach_of(by, spacing), mask.shape)
    part = mask[window.slices]
    nearest = ndimage.distance_transform_edt(~part, sampling=spacing, return_distances=False, return_indices=True)
    square = np.zeros(part.shape, dtype=np.float32)
    for place, own, size in zip(nearest, np.ogrid[tuple(map(slice, part.shape))], spacing, strict=True):
        square += np.square((place - own).astype(np.float32) * np.float32(size))
    near[window.slices] = square <= (by * _ROUNDING) ** 2
    return near


def reach_of(by: float, spacing: Sequence[float]) -> list[int]:
    """How many pixels a distance reaches along each axis."""
    return [int(np.ceil(by / size)) for size in spacing]


def sizes_of(label: NDArray[np.uint8], spacing: Sequence[float] | None) -> tuple[float, ...]:
    """Size of a pixel along each axis of a label, 1 by default.

    Raises
    ------
    InputError
        If there is not one positive size an axis.
    """
    sizes = (1.0,) * label.ndim if spacing is None else tuple(spacing)
    if len(sizes) != label.ndim or not all(np.isfinite(size) and size > 0 for size in sizes):
        raise InputError(
            f"An edit got the pixel sizes {sizes} for a label with {label.ndim} axes; expected one above 0 an axis."
        )
    return sizes
