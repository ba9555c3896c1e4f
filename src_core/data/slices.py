"""The slices of a volume: which way they lie, and which one shows a thing best."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np

from src_core.data.case import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class OnGrid(Protocol):
    """Something with sides and the size of a pixel along each, as a :class:`~src_core.data.case.CaseInfo`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides, px."""

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of a pixel along each side."""


class Sides(NamedTuple):
    """Sides and the size of a pixel along each."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]


def slice_axis(case: OnGrid) -> int:
    """The axis across the slices of a volume: that of the coarsest spacing, the first of equal ones."""
    return max(range(len(case.shape)), key=lambda axis: (case.spacing[axis], -axis))


def best_slice(mask: NDArray[np.bool_], axis: int) -> int:
    """The slice across an axis with most pixels of a mask; of several the one nearest to the middle."""
    return fullest(pixels_of_slices(mask, axis))


def pixels_of_slices(mask: NDArray[np.bool_], axis: int) -> NDArray[np.int64]:
    """How many pixels of a mask each slice across an axis has."""
    counts: NDArray[np.int64] = mask.sum(axis=tuple(other for other in range(mask.ndim) if other != axis))
    return counts


def fullest(counts: NDArray[np.int64]) -> int:
    """The slice with most pixels, of several the one nearest to the middle; from the pixels of each."""
    most = np.flatnonzero(counts == counts.max())
    return int(most[np.argmin(np.abs(most - (len(counts) - 1) / 2))])


def one_slice(values: NDArray[Scalar], axis: int, at: int) -> NDArray[Scalar]:
    """A slice of a volume, without its axis."""
    return values[(slice(None),) * axis + (at,)]


def sliced(box: Box, axis: int, start: int, stop: int) -> Box:
    """A box with other edges along one axis."""
    return Box(
        (*box.start[:axis], start, *box.start[axis + 1 :]),
        (*box.stop[:axis], stop, *box.stop[axis + 1 :]),
    )


def slice_box(box: Box, axis: int, at: int) -> Box:
    """One slice of a box, at a place in the volume."""
    return sliced(box, axis, at, at + 1)


def slices_text(box: Box, case: OnGrid) -> str:
    """``slices 3 to 7 of 0 to 87`` for a box of a volume; empty for an image."""
    if len(case.shape) == 2:
        return ""
    axis = slice_axis(case)
    first, last, end = box.start[axis], box.stop[axis] - 1, case.shape[axis] - 1
    return (f"slice {first}" if first == last else f"slices {first} to {last}") + f" of 0 to {end}"
