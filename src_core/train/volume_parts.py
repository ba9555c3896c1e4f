"""Large volumes, brought to what a network sees some slices at a time; the same as of the whole, but for rounding.

Shape suffixes: I input channels, X space axes; Z slices.
"""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from src_core.data.case import Box
from src_core.data.slices import slice_axis, sliced
from src_core.store.chunks import chunk_shape
from src_core.train.dimensions import NEIGHBOURS
from src_core.train.parts import intensities_of_parts, needed, resized_planes, spans
from src_core.train.working import nearest, normalise, overlapping, resize_image, resize_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from src_core.data.slices import OnGrid
    from src_core.train.intensities import Intensities
    from src_core.train.working import Working

LARGE = 2**25
"""Volumes of more voxels are learned, scored and predicted in parts; and those are predicted so that are read box by
box."""

AT_ONCE = 2**24
"""About so many voxels are read at a time."""


def is_large(shape: tuple[int, ...]) -> bool:
    """True for a volume that is worked on in parts."""
    return len(shape) == 3 and prod(shape) > LARGE


def across(grid: OnGrid, working: Working) -> int:
    """The axis along which parts of a volume follow each other: across its slices, if it is cut into them."""
    return slice_axis(grid) if working.cuts(grid) else 0


def slab(shape: tuple[int, ...], axis: int, span: slice) -> Box:
    """Some slices across an axis."""
    return sliced(Box.whole(shape), axis, span.start, span.stop)


def slices_at_once(shape: tuple[int, ...], axis: int, most: int) -> int:
    """So many slices across an axis have at most so many voxels; as stored chunks are long, or a part of that."""
    chunk = chunk_shape(shape)[axis]
    fitting = max(most * shape[axis] // prod(shape), 1)
    return chunk if fitting >= chunk else 2 ** (fitting.bit_length() - 1)


class VolumeReader:
    """Reads one volume.

    Parameters
    ----------
    read : callable
        Gives the voxels of a box, with or without channels last.
    grid : OnGrid
        Sides and spacing of the volume.
    working : Working

    Attributes
    ----------
    axis : int
        As of :func:`across`.
    """

    def __init__(self, read: Callable[[Box], NDArray[Any]], grid: OnGrid, working: Working) -> None:
        self._read, self._grid, self._working = read, grid, working
        self._shape = tuple(grid.shape)
        self.axis = across(grid, working)
        self._step = slices_at_once(self._shape, self.axis, AT_ONCE)

    @cached_property
    def intensities(self) -> Intensities:
        """Scale of the volume; it is gone through three times where it has its own."""
        return self._working.intensities or intensities_of_parts(self._parts)

    def _parts(self) -> Iterator[NDArray[Any]]:
        parts = spans(self._shape[self.axis], self._step)
        return (self._read(slab(self._shape, self.axis, span)) for span in parts)

    def slices(self) -> Iterator[NDArray[np.float32]]:
        """Slices at working resolution, ``(I, X)``, one after the other."""
        shape = self._working.shape(self._grid)[1:]
        for values in self._parts():
            for each in np.moveaxis(values, self.axis, 0):
                found = normalise(each, self._working.channels, 2, self.intensities)
                yield resize_image(found, shape)

    def planes(self, planes: slice) -> NDArray[np.float32]:
        """Some planes of the volume as a whole at working resolution, ``(I, X)``."""
        wanted = self._working.shape(self._grid)
        at_once = int(AT_ONCE * wanted[0] / prod(self._shape))
        found = []
        for span in spans(planes.stop - planes.start, at_once):
            part = slice(span.start + planes.start, span.stop + planes.start)
            source = needed(self._shape, wanted, part)
            values = self._read(slab(self._shape, 0, source))
            values = normalise(values, self._working.channels, 3, self.intensities)
            found.append(resized_planes(values, source.start, self._shape, wanted, part))
        return np.concatenate(found, axis=1)

    def images(self) -> list[torch.Tensor]:
        """As :meth:`~src_core.train.working.Working.images` of the whole."""
        wanted = self._working.shape(self._grid)
        if not self._working.cuts(self._grid):
            return [torch.from_numpy(self.planes(slice(0, wanted[0])))]
        reach = NEIGHBOURS if self._working.dimensions == "2.5d" else 0
        padded_ZIX = np.empty((wanted[0] + 2 * reach, self._working.channels, *wanted[1:]), np.float32)
        for at, each in enumerate(self.slices(), start=reach):
            padded_ZIX[at] = each
        padded_ZIX[:reach], padded_ZIX[wanted[0] + reach :] = padded_ZIX[reach], padded_ZIX[wanted[0] + reach - 1]
        return overlapping(padded_ZIX, reach)


def labels_in_parts(
    read: Callable[[Box], tuple[NDArray[np.uint8], ...]], grid: OnGrid, working: Working
) -> list[NDArray[np.uint8]]:
    """Labels of a volume, as :meth:`~src_core.train.working.Working.labels` of the whole.

    Parameters
    ----------
    read : callable
        Gives those of a box, of one or more kinds.
    grid : OnGrid
    working : Working
    """
    shape, axis, wanted = tuple(grid.shape), across(grid, working), working.shape(grid)
    places = nearest(shape[axis], wanted[0])
    at_once = slices_at_once(shape, axis, AT_ONCE)
    found: list[list[NDArray[np.uint8]]] = []
    for span in spans(shape[axis], at_once):
        inside = places[(places >= span.start) & (places < span.stop)] - span.start
        if len(inside):
            kinds = (np.moveaxis(values, axis, 0)[inside] for values in read(slab(shape, axis, span)))
            found.append([resize_labels(values, (len(inside), *wanted[1:])) for values in kinds])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]
