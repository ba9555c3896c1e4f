"""Labels from the slices beside: copied, or interpolated between two of them.

Interpolation is shape-based (Raya and Udupa 1990): the signed distances to two outlines are averaged, and the outline
in between is where the mean is 0. Where two outlines of a class do not overlap, their mean would be empty; so they are
brought to a common centre first, on the line between the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.case import IGNORE, Box
from src_core.errors import InputError
from src_core.review.edits import free, sizes_of
from src_core.review.windows import around, bounding, checked, without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def lay(
    label: NDArray[np.uint8],
    source: NDArray[np.uint8],
    indices: Sequence[int],
    *,
    box: Box | None = None,
    unlabelled: bool = False,
) -> NDArray[np.uint8]:
    """Give some classes the pixels that they have in another label; other classes keep theirs.

    Parameters
    ----------
    label, source : array, uint8, of one shape
        Where ``source`` has no label nothing changes.
    indices : sequence of int
        Classes, without background.
    box : Box, optional
        Nothing outside of it changes.
    unlabelled : bool
        Also label pixels that have no label.
    """
    box = checked(label, box)
    if label.shape != source.shape:
        raise InputError(
            f"A label of {source.shape} px cannot be laid over one of {label.shape} px; take one of the same size."
        )
    result = label.copy()
    here, there = label[box.slices], source[box.slices]
    own, taken = np.isin(here, indices), np.isin(there, indices)
    open_ = own | free(here, unlabelled=unlabelled)
    laid = np.where(taken & open_, there, here)
    result[box.slices] = np.where(own & ~taken & (there != IGNORE), np.uint8(0), laid)
    return result


def copy_slice(
    label: NDArray[np.uint8],
    at: int,
    source: int,
    indices: Sequence[int],
    *,
    axis: int = 0,
    box: Box | None = None,
    unlabelled: bool = False,
) -> NDArray[np.uint8]:
    """Copy classes from one slice of a volume to another.

    Parameters
    ----------
    label : array, uint8, 3-D
    at, source : int
        The slice that changes, and the one that it is copied from.
    indices : sequence of int
        Classes, without background.
    axis : int
        Across the slices.
    box : Box, optional
        Nothing outside of it changes; its edges along ``axis`` do not matter.
    unlabelled : bool
        Also label pixels that have no label.

    Raises
    ------
    InputError
        If there is no such slice.
    """
    result, flat = _volume(label, box, axis)
    for number in (at, source):
        if not 0 <= number < label.shape[axis]:
            raise InputError(f"There is no slice {number}; this volume has slices 0 to {label.shape[axis] - 1}.")
    slices = np.moveaxis(result, axis, 0)
    slices[at] = lay(slices[at], slices[source], indices, box=flat, unlabelled=unlabelled)
    return result


def interpolate_slices(
    label: NDArray[np.uint8],
    first: int,
    last: int,
    indices: Sequence[int],
    *,
    axis: int = 0,
    spacing: Sequence[float] | None = None,
    box: Box | None = None,
    unlabelled: bool = False,
) -> NDArray[np.uint8]:
    """Draw classes anew in all slices between two of a volume.

    Parameters
    ----------
    label : array, uint8, 3-D
    first, last : int
        The slices to draw between; they stay as they are.
    indices : sequence of int
        Classes, without background.
    axis, box, unlabelled
        As in :func:`copy_slice`.
    spacing : sequence of float, optional
        Size of a pixel along each axis; 1 by default.

    Raises
    ------
    InputError
        If there are no such slices, or none between them.
    """
    result, flat = _volume(label, box, axis)
    if not 0 <= first < last - 1 < label.shape[axis] - 1:
        raise InputError(
            f"There is no slice to draw between slices {first} and {last}; expected two of 0 to "
            f"{label.shape[axis] - 1} that are not neighbours."
        )
    sizes = without(sizes_of(label, spacing), axis)
    slices = np.moveaxis(result, axis, 0)
    for at in range(first + 1, last):
        drawn = interpolate(slices[first], slices[last], (at - first) / (last - first), indices, spacing=sizes)
        slices[at] = lay(slices[at], drawn, indices, box=flat, unlabelled=unlabelled)
    return result


def _volume(label: NDArray[np.uint8], box: Box | None, axis: int) -> tuple[NDArray[np.uint8], Box]:
    """A copy of a volume, and the box within a slice."""
    box = checked(label, box, axis)
    if label.ndim != 3:
        raise InputError(f"Slices of a label with {label.ndim} axes were asked for; expected a volume with 3.")
    return label.copy(), Box(without(box.start, axis), without(box.stop, axis))


def gap(label: NDArray[np.uint8], index: int, at: int, *, axis: int = 0) -> tuple[int, int] | None:
    """The slices to draw a class between, as a person means it who stands at a slice.

    If the slice does not hold the class, the nearest ones before and after that do. If it does, the gap that ends
    here, else the one that begins here.

    Returns
    -------
    (int, int) or None
        None when there is no such gap.
    """
    others = tuple(other for other in range(label.ndim) if other != axis)
    drawn = np.flatnonzero((label == index).any(axis=others))
    before, after = drawn[drawn < at], drawn[drawn > at]
    pairs = [(before, after)]
    if at in drawn:
        here = np.array([at])
        pairs = [(before, here), (here, after)]
    for low, high in pairs:
        if len(low) and len(high) and high[0] - low[-1] > 1:
            return int(low[-1]), int(high[0])
    return None


# ------------------------------------------------------------------ shapes


def interpolate(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    share: float,
    indices: Sequence[int],
    *,
    spacing: Sequence[float] | None = None,
) -> NDArray[np.uint8]:
    """Shapes of some classes between two labels.

    Parameters
    ----------
    before, after : array, uint8, of one shape
    share : float
        How far on the way from ``before`` to ``after``, in [0, 1].
    indices : sequence of int
        Classes, without background.
    spacing : sequence of float, optional
        Size of a pixel along each axis; 1 by default.

    Returns
    -------
    array, uint8
        The classes, background elsewhere. Where two claim a pixel it goes to the one that it is deeper in.
    """
    sizes = sizes_of(before, spacing)
    drawn = np.zeros(before.shape, dtype=np.uint8)
    deepest = np.zeros(before.shape, dtype=np.float32)
    for index in indices:
        window, depth = _between(before == index, after == index, share, sizes)
        if window is None or depth is None:
            continue
        deeper = depth > deepest[window.slices]
        drawn[window.slices][deeper] = index
        deepest[window.slices][deeper] = depth[deeper]
    return drawn


def _between(
    before: NDArray[np.bool_], after: NDArray[np.bool_], share: float, sizes: Sequence[float]
) -> tuple[Box | None, NDArray[np.float32] | None]:
    """Mean signed distance to two outlines, positive inside, in the box that holds both."""
    if not before.any() or not after.any():
        return None, None
    if not (before & after).any():
        step = _centre(after) - _centre(before)
        before, after = _moved(before, share * step), _moved(after, (share - 1) * step)
    both = bounding(before | after)
    if both is None:
        return None, None
    window = around(both, [1] * before.ndim, before.shape)
    near, far = (_depth(mask[window.slices], sizes) for mask in (before, after))
    return window, (1 - share) * near + share * far


def _depth(mask: NDArray[np.bool_], sizes: Sequence[float]) -> NDArray[np.float32]:
    """Distance to the outline, positive inside; half a pixel from it there is no more than half of a pixel."""
    far = np.float32(np.linalg.norm(np.multiply(mask.shape, sizes)))
    inside = ndimage.distance_transform_edt(mask, sampling=sizes) if not mask.all() else np.full(mask.shape, far)
    outside = ndimage.distance_transform_edt(~mask, sampling=sizes) if mask.any() else np.full(mask.shape, far)
    half = min(sizes) / 2
    depth: NDArray[np.float32] = np.where(mask, inside - half, half - outside).astype(np.float32)
    return depth


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.array([axis.mean() for axis in np.nonzero(mask)])


def _moved(mask: NDArray[np.bool_], step: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A mask moved by whole pixels; what leaves the image is lost."""
    moved = np.zeros_like(mask)
    whole = np.round(step).astype(int)
    points = [axis + move for axis, move in zip(np.nonzero(mask), whole, strict=True)]
    inside = np.logical_and.reduce([(axis >= 0) & (axis < edge) for axis, edge in zip(points, mask.shape, strict=True)])
    moved[tuple(axis[inside] for axis in points)] = True
    return moved
