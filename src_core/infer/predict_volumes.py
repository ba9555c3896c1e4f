"""The trained model on volumes that are larger than memory: some slices, or a row of windows, at a time.

What is said of a volume is what is said of it whole, but for rounding: slices are asked about one by one, windows are
blended as in the whole.

Shape suffixes: C classes, I input channels, X space axes; Z slices.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from src_core.data.case import Box, around
from src_core.errors import storage_errors
from src_core.io.lazy import LazyArray
from src_core.store.chunks import chunk_shape, new_array
from src_core.train.augment import sample
from src_core.train.dimensions import NEIGHBOURS
from src_core.train.parts import needed, spans
from src_core.train.volume_parts import VolumeReader, slab
from src_core.train.windows import planes_in_windows
from src_core.train.working import SLAB_VOXELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from src_core.data.slices import OnGrid
    from src_core.train.working import Working

    Ask = Callable[[torch.Tensor], torch.Tensor]


class VolumePrediction:
    """What the model says of one volume, in parts.

    Parameters
    ----------
    ask : callable
        Probabilities ``(1, C, X)`` of a normalised image ``(1, I, X)``, or of a window, at working resolution.
    at_size : callable
        Probabilities ``(C, X)`` of a slice ``(I, X)``, at the size that is told.
    read : callable
        Gives the voxels of a box, with or without channels last.
    grid : OnGrid
        Sides and spacing of the volume.
    working : Working
    window : tuple of int or None
        Of a network of volumes.
    """

    def __init__(
        self,
        ask: Ask,
        at_size: Callable[[torch.Tensor, tuple[int, ...]], NDArray[np.float32]],
        read: Callable[[Box], NDArray[Any]],
        grid: OnGrid,
        working: Working,
        window: tuple[int, ...] | None,
    ) -> None:
        self._ask, self._at_size, self._grid = ask, at_size, grid
        self.shape = tuple(grid.shape)
        self._working, self._window = working, window
        self._reader = VolumeReader(read, grid, working)
        self._axis = self._reader.axis
        self._sides = tuple(edge for axis, edge in enumerate(self.shape) if axis != self._axis)

    def __iter__(self) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        """Parts of the volume, in order across its slices, with the probability of each class, ``(C, X)``."""
        return self._slices() if self._working.cuts(self._grid) else self._slabs()

    def _box(self, span: slice) -> Box:
        return slab(self.shape, self._axis, span)

    # ---------------------------------------------------------------- slice by slice

    def _slices(self) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        reach = NEIGHBOURS if self._working.dimensions == "2.5d" else 0
        coming = self._reader.slices()
        last = next(coming)
        beside = deque([last] * (reach + 1), 2 * reach + 1)
        for _ in range(reach):
            last = next(coming, last)
            beside.append(last)
        for at in range(self.shape[self._axis]):
            found = self._at_size(torch.from_numpy(np.concatenate(list(beside))), self._sides)
            yield self._box(slice(at, at + 1)), np.expand_dims(found, self._axis + 1)
            last = next(coming, last)
            beside.append(last)

    # ---------------------------------------------------------------- window by window

    def _slabs(self) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        wanted = self._working.shape(self._grid)
        waiting = deque(spans(self.shape[0], SLAB_VOXELS // prod(self._sides)))
        start, held_1CX = 0, None
        for first, found_1CX in planes_in_windows(self._ask, self._planes, wanted, self._window):
            held_1CX = found_1CX if held_1CX is None else torch.cat([held_1CX, found_1CX], dim=2)
            end = first + found_1CX.shape[2]
            while waiting and needed(wanted, self.shape, waiting[0]).stop <= end:
                yield self._box(waiting[0]), self._enlarged(held_1CX, start, waiting.popleft())
            if waiting:
                gone = needed(wanted, self.shape, waiting[0]).start - start
                start, held_1CX = start + gone, held_1CX[:, :, gone:].clone()

    def _planes(self, planes: slice) -> torch.Tensor:
        """Some planes of the volume at working resolution, ``(1, I, X)``."""
        return torch.from_numpy(self._reader.planes(planes))[None]

    def _enlarged(self, held_1CX: torch.Tensor, start: int, rows: slice) -> NDArray[np.float32]:
        """Some slices at the volume's own size, from planes that begin with ``start``."""
        wanted = self._working.shape(self._grid)
        if wanted == self.shape:
            return held_1CX[0, :, rows.start - start : rows.stop - start].cpu().numpy()
        steps = np.array([old / new for old, new in zip(wanted, self.shape, strict=True)])
        matrix = np.column_stack([np.diag(steps), (steps - 1) / 2 - [start, 0, 0]])
        size = (rows.stop - rows.start, *self._sides)
        values = sample(held_1CX[0].cpu(), matrix, size, nearest=False, border=True, start=(rows.start, 0, 0))
        return values.numpy()

    # ---------------------------------------------------------------- the mask

    @contextmanager
    def label(self, folder: Path) -> Iterator[LazyArray]:
        """The most probable class of each voxel, uint8, kept in a file below a folder meanwhile.

        Raises
        ------
        StorageError
            If the disk is full or may not be written.
        """
        with storage_errors(folder, "No mask was written."):
            folder.mkdir(parents=True, exist_ok=True)
            place = TemporaryDirectory(prefix=".predicted-", dir=folder)
        with place as name:
            array = new_array(Path(name) / "label", self.shape, np.dtype(np.uint8), complete=False)
            for box, values in self._gathered(chunk_shape(self.shape)[self._axis]):
                with storage_errors(folder, "No mask was written."):
                    array.write(box, values)
            yield LazyArray(self.shape, np.uint8, lambda where: array.read(_boxed(where)), "the prediction")

    def _gathered(self, least: int) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
        """Labels of some slices together, so that a chunk is not written once for each."""
        boxes, labels = [], []
        for box, found in self:
            boxes.append(box)
            labels.append(found.argmax(0).astype(np.uint8))
            if box.stop[self._axis] - boxes[0].start[self._axis] >= least or box.stop == self.shape:
                yield around(boxes), np.concatenate(labels, axis=self._axis)
                boxes, labels = [], []


def _boxed(where: tuple[slice, ...]) -> Box:
    return Box(tuple(side.start for side in where), tuple(side.stop for side in where))
