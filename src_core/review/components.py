"""Connected objects of a mask, and what they touch.

Objects hang together over corners, what surrounds them only over faces, so that a closed outline has an inside.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def numbered(mask: NDArray[np.bool_], *, corners: bool = True) -> tuple[NDArray[np.int32], int]:
    """Number the connected parts of a mask from 1; ``corners`` says whether parts that touch there are one."""
    reach = mask.ndim if corners else 1
    numbers, count = ndimage.label(mask, structure=ndimage.generate_binary_structure(mask.ndim, reach))
    return numbers, int(count)


def gathered(values: NDArray[np.int32], reach: tuple[int, ...]) -> NDArray[np.int32]:
    """Number the groups of pixels that have one value and of which each is near to another.

    Parameters
    ----------
    values : array, int32
        0 is nothing.
    reach : tuple of int
        Pixels are near to each other that lie no further apart than this along each axis, px, odd; 1 is touching,
        also at corners.

    Returns
    -------
    array, int32
        From 1, in the order of each group's first pixel; 0 where there is nothing.
    """
    numbers = np.zeros(values.shape, dtype=np.int32)
    last = 0
    for value, window in enumerate(ndimage.find_objects(values), start=1):
        if window is None:
            continue
        mask = values[window] == value
        near = ndimage.maximum_filter(mask, size=reach, mode="constant") if max(reach) > 1 else mask
        found, count = numbered(near)
        numbers[window][mask] = found[mask] + last
        last += count
    return _in_order(numbers)


def _in_order(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Number anew by the first pixel of each."""
    inside = np.flatnonzero(numbers)
    flat = numbers.ravel()
    firsts = np.full(int(numbers.max(initial=0)) + 1, -1, dtype=np.int64)
    firsts[flat[inside[::-1]]] = inside[::-1]
    table = np.empty(len(firsts), dtype=np.int32)
    table[np.argsort(firsts, kind="stable")] = np.arange(len(firsts))
    ordered: NDArray[np.int32] = table[numbers]
    return ordered


def touching(
    numbers: NDArray[np.int32], others: NDArray[np.int32], *, corners: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Which parts touch which others.

    Parameters
    ----------
    numbers, others : array, int, of one shape
        Numbers from 1; 0 is nothing. The work grows with the pixels of ``numbers`` that are not 0.
    corners : bool
        Whether touching at a corner counts.

    Returns
    -------
    part, other, contacts : array, int64, (N,)
        One entry a pair, ordered, with how many neighbouring pixels of the other the part has.
    """
    points = np.nonzero(numbers)
    own = numbers[points].astype(np.int64)
    framed = np.pad(others, 1)
    most = int(others.max(initial=0)) + 1
    found = []
    for step in product((-1, 0, 1), repeat=numbers.ndim):
        if not any(step) or (not corners and np.count_nonzero(step) > 1):
            continue
        there = framed[tuple(axis + 1 + move for axis, move in zip(points, step, strict=True))]
        hit = there > 0
        found.append(own[hit] * most + there[hit])
    pairs, contacts = np.unique(np.concatenate(found), return_counts=True)
    return pairs // most, pairs % most, contacts.astype(np.int64)


def at_rim(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers that reach the rim of the array, without 0."""
    found: list[NDArray[np.int32]] = []
    for axis in range(numbers.ndim):
        found += [np.take(numbers, edge, axis=axis).ravel() for edge in (0, -1)]
    there = np.unique(np.concatenate(found))
    return there[there > 0]


def chosen(numbers: NDArray[np.int32], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the parts for which ``kept[number]`` holds; number 0 never does."""
    table = kept.copy()
    table[0] = False
    mask: NDArray[np.bool_] = table[numbers]
    return mask


def surrounding(
    numbers: NDArray[np.int32], count: int, label: NDArray[np.uint8], *, never: tuple[int, ...]
) -> NDArray[np.uint8]:
    """The class that each part has most contact with.

    Of several the lowest; 255 only where there is no other, as between pixels without a label; 0 where there is none.

    Parameters
    ----------
    numbers : array, int32
        Of the parts, from 1.
    count : int
        How many there are.
    label : array, uint8, shape of ``numbers``
    never : tuple of int
        Classes that do not count.

    Returns
    -------
    array, uint8, (count + 1,)
        By number.
    """
    result = np.zeros(count + 1, dtype=np.uint8)
    outside = np.where(numbers > 0, 0, label.astype(np.int32) + 1)
    part, other, contacts = touching(numbers, outside, corners=False)
    counts = ~np.isin(other - 1, never)
    part, other, contacts = part[counts], other[counts], contacts[counts]
    contacts[other - 1 == IGNORE] = 0
    order = np.lexsort((-other, contacts, part))  # the last of a part has most contact
    result[part[order]] = other[order] - 1
    return result
