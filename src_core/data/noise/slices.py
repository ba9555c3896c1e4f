"""Recipe for volumes: a block of slices is drawn too small or not at all (R10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.noise.record import Job, Origin, Painted, repaint
from src_core.data.noise.shapes import grow_or_shrink
from src_core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DICE = 0.5  # of a slice that is drawn too small


def slice_block(labels: NDArray[np.uint8], start: int, count: int, *, empty: bool) -> NDArray[np.uint8]:
    """Empty ``count`` slices along axis 0 from ``start`` on, or shrink each class in each of them to a Dice of 0.5.

    Parameters
    ----------
    labels : array, uint8, (Z, Y, X)
    start, count : int
    empty : bool
    """
    noisy = labels.copy()
    noisy[start : start + count] = 0
    if empty:
        return noisy
    for at in range(start, min(start + count, len(labels))):
        for index in np.unique(labels[at][labels[at] > 0]):
            noisy[at][grow_or_shrink(labels[at] == index, _DICE, grow=False)] = index
    return noisy


def slices(job: Job) -> Painted:
    """A block of ``round(ratio * n)`` of the ``n`` slices from the first to the last that has any foreground.

    The under-drawer draws them too small, the other annotators leave them out, each in all cases of theirs.
    """
    labels = job.labels
    if labels.ndim != 3:
        raise InputError(
            f"The noise recipe 'slices' got labels with {labels.ndim} axes, expected 3 (slices, rows, columns); "
            "stack the slices of a case or choose another recipe."
        )
    start = Painted(labels.copy(), np.zeros(labels.shape, np.uint8))
    used = np.flatnonzero(labels.any(axis=(1, 2)))
    if not len(used):
        return start
    extent = int(used[-1] - used[0]) + 1
    count = round(job.ratio * extent)
    first = int(used[0] + job.rng.integers(extent - count + 1))
    empty = job.annotator != "under-drawer"
    after = repaint(start, slice_block(labels, first, count, empty=empty), Origin.SLICE, labels)
    return Painted(after.labels, after.origin, {"first_slice": first, "slices": count, "emptied": empty})
