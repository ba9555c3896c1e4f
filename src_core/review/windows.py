"""Boxes of a label: what surrounds them, what lies in them, and edits that change nothing outside of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Box
from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from numpy.typing import NDArray

    Value = TypeVar("Value")
    Work = Callable[[NDArray[np.uint8], Box], NDArray[np.uint8]]


def around(box: Box, margin: Sequence[int], shape: tuple[int, ...]) -> Box:
    """A box widened by a margin, px an axis, as far as an array of the given shape goes."""
    return Box(
        tuple(max(0, start - more) for start, more in zip(box.start, margin, strict=True)),
        tuple(min(edge, stop + more) for stop, more, edge in zip(box.stop, margin, shape, strict=True)),
    )


def relative(box: Box, window: Box) -> Box:
    """A box as seen from the corner of a window that holds it."""
    return Box(
        tuple(a - b for a, b in zip(box.start, window.start, strict=True)),
        tuple(a - b for a, b in zip(box.stop, window.start, strict=True)),
    )


def bounding(mask: NDArray[np.bool_]) -> Box | None:
    """Smallest box around a mask; None when it is empty."""
    starts, stops = [], []
    for axis in range(mask.ndim):
        there = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not len(there):
            return None
        starts.append(int(there[0]))
        stops.append(int(there[-1]) + 1)
    return Box(tuple(starts), tuple(stops))


def without(values: Sequence[Value], axis: int | None) -> tuple[Value, ...]:
    """A value an axis without that of one axis; all of them for None."""
    return tuple(value for at, value in enumerate(values) if at != axis)


def checked(label: NDArray[np.uint8], box: Box | None, axis: int | None = None) -> Box:
    """The box that an edit works on, the whole label by default.

    Raises
    ------
    InputError
        If the label is no 2-D or 3-D uint8 array, the box does not lie in it, or there is no such axis.
    """
    if label.dtype != np.uint8 or label.ndim not in (2, 3):
        raise InputError(
            f"An edit got a label of type {label.dtype} with {label.ndim} axes, expected uint8 class indices with 2 or "
            "3; convert it first."
        )
    box = Box.whole(label.shape) if box is None else box
    fits = len(box.start) == label.ndim and all(
        0 <= start < stop <= edge for start, stop, edge in zip(box.start, box.stop, label.shape, strict=True)
    )
    if not fits:
        raise InputError(f"An edit was asked for box {box.start}-{box.stop}; expected one inside of {label.shape}.")
    if axis is not None and not 0 <= axis < label.ndim:
        raise InputError(f"An edit was asked along axis {axis}; expected 0 to {label.ndim - 1}.")
    return box


def change_within(
    label: NDArray[np.uint8], work: Work, *, box: Box, reach: Sequence[int], axis: int | None = None
) -> NDArray[np.uint8]:
    """Let an edit work on a box and what surrounds it; only the box changes.

    Parameters
    ----------
    label : array, uint8
    work : callable
        Called with a window of the label and the box as seen from the window; returns the window anew. It gets slices
        when ``axis`` is given.
    box : Box
    reach : sequence of int
        How far the edit has to look beyond the box, px an axis.
    axis : int, optional
        Work slice by slice along this axis.

    Returns
    -------
    array, uint8
        A new label, of the same shape.
    """
    result = label.copy()
    if axis is None:
        window = around(box, reach, label.shape)
        inner = relative(box, window)
        result[box.slices] = work(label[window.slices], inner)[inner.slices]
        return result
    flat = Box(without(box.start, axis), without(box.stop, axis))
    slices, results = np.moveaxis(label, axis, 0), np.moveaxis(result, axis, 0)
    for at in range(box.start[axis], box.stop[axis]):
        results[at] = change_within(slices[at], work, box=flat, reach=without(reach, axis))
    return result
