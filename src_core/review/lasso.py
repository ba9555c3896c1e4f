"""The pixels inside of a lasso."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.draw import polygon

from src_core.data.case import Box
from src_core.errors import InputError
from src_core.review.windows import without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


def lasso_mask(
    vertices: ArrayLike, shape: Sequence[int], *, axis: int = 0, at: int = 0
) -> tuple[Box, NDArray[np.bool_]]:
    """The pixels whose centres a lasso encloses, and the box around it.

    Parameters
    ----------
    vertices : array, float, (N, axes)
        In px, in array order; the centre of the first pixel is 0. The last is joined to the first.
    shape : sequence of int
        Of the label, ``(H, W)`` or of a volume.
    axis, at : int
        In a volume the lasso lies in slice ``at`` across this axis, whatever its vertices say there.

    Returns
    -------
    box : Box
        In a volume one slice thick.
    mask : array, bool, shape of the box

    Raises
    ------
    InputError
        If there are fewer than three vertices, or no pixel lies inside.
    """
    points = np.asarray(vertices, dtype=float)
    if points.ndim != 2 or points.shape[1] != len(shape) or len(points) < 3 or not np.isfinite(points).all():
        raise InputError("A lasso needs at least three points; draw around what you mean with the left button held.")
    across = axis if len(shape) == 3 else None
    flat = without(tuple(shape), across)
    rows, columns = polygon(*np.delete(points, [] if across is None else [across], axis=1).T, shape=flat)
    if not len(rows):
        raise InputError("The lasso encloses no pixel of the image; draw around what you mean.")
    start, stop = (int(rows.min()), int(columns.min())), (int(rows.max()) + 1, int(columns.max()) + 1)
    mask = np.zeros((stop[0] - start[0], stop[1] - start[1]), dtype=bool)
    mask[rows - start[0], columns - start[1]] = True
    if across is None:
        return Box(start, stop), mask
    thick = Box((*start[:across], at, *start[across:]), (*stop[:across], at + 1, *stop[across:]))
    return thick, np.expand_dims(mask, across)
