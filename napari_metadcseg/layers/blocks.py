"""A large volume as napari wants arrays: read in blocks where somebody looks, the last of which are kept.

A slice takes a block for each 64 x 64 px of it, and the 63 slices beside it come with that: blocks are the chunks that
the project has on disk, which are unpacked whole anyway. What is painted stays in its blocks until it is recorded.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import Box
from src_core.store.masks import common

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import DTypeLike, NDArray

    Read = Callable[[Box], NDArray[Any]]
    """Reads a box of the volume."""

    Place = tuple[int, ...]
    """Of a block, counted in blocks."""

EDGE = 64
"""Of a block, px: a chunk of a volume."""

SLABS = 3
"""So many layers of blocks, cut where they are widest, are kept: the one in view, the one with the region that comes
next, and the one beside that in view."""

MOST_BYTES = 2**29
"""But no more than this of an array, unless the layer in view takes it."""

AXES = 3


class Blocks:
    """One array of a volume.

    It may be asked for what is to be seen next from one other thread, by :meth:`fetch`; all else is for the window's.

    Parameters
    ----------
    shape : tuple of int
        Three sides, and channels if there are any.
    dtype : dtype
    read : callable
        Reads a box; in the window's thread.
    seen : callable, optional
        False while nobody can see slices of it: then slices are one zero in size, and nothing is read for them.

    Attributes
    ----------
    ahead : int
        How many layers of blocks may be read before somebody looks at them.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: DTypeLike, read: Read, seen: Callable[[], bool] = lambda: True
    ) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._sides, self._read, self._seen = self.shape[:AXES], read, seen
        counts = [ceil(side / EDGE) for side in self._sides]
        slab = max(prod(counts) // count for count in counts)
        taken = slab * EDGE**AXES * prod(self.shape[AXES:]) * self.dtype.itemsize
        self.ahead = max(min(SLABS, MOST_BYTES // taken) - 1, 0)
        self._most = slab * (1 + self.ahead)
        self._kept: OrderedDict[Place, NDArray[Any]] = OrderedDict()
        self._painted: set[Place] = set()
        self._changes = 0
        self._mutex = threading.Lock()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def kept(self) -> int:
        """Bytes that are held in memory."""
        with self._mutex:
            return sum(block.nbytes for block in self._kept.values())

    # ---------------------------------------------------------------- as an array

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("A volume that is read in parts cannot be had without a copy.")
        values = self.read(Box.whole(self._sides))
        return values if dtype is None else values.astype(dtype, copy=False)

    def __getitem__(self, place: Any) -> NDArray[Any]:
        """A part, always a copy; ``place`` as numpy takes it, without new axes."""
        box, inside = located(place, self._sides)
        if self._seen() or any(isinstance(part, np.ndarray) for part in inside):
            found = self.read(box)
        else:
            found = np.zeros([*(min(edge, 1) for edge in box.shape), *self.shape[AXES:]], self.dtype)
        values: NDArray[Any] = found[inside]
        return values

    def __setitem__(self, place: Any, values: Any) -> None:
        """Paint; it is kept until :meth:`recorded`."""
        box, inside = located(place, self._sides)
        part = self.read(box)
        part[inside] = values
        for at in _places(box):
            of_part, of_block = common(self._box(at), box)
            block = self._block(at)
            with self._mutex:
                block[of_block] = part[of_part]
                self._kept[at] = block
                self._painted.add(at)

    # ---------------------------------------------------------------- blocks

    def read(self, box: Box) -> NDArray[Any]:
        """The values of a box, a copy."""
        values = np.empty((*box.shape, *self.shape[AXES:]), self.dtype)
        keep = prod(ceil(edge / EDGE) for edge in box.shape) <= self._most
        for row in self._rows(box, values):
            for at, block in self._split(row, self._read(row)):
                _copy(values, box, block, self._box(at))
                if keep:
                    self._keep(at, block)
        return values

    def _rows(self, box: Box, values: NDArray[Any]) -> Iterator[Box]:
        """Fill in what is kept, and give what is left of a box, in rows of whole blocks."""
        missing = []
        for at in _places(box):
            with self._mutex:
                block = self._kept.get(at)
                if block is not None:
                    self._kept.move_to_end(at)
            if block is None:
                missing.append(at)
            else:
                _copy(values, box, block, self._box(at))
        return self._joined(missing)

    def _joined(self, places: list[Place]) -> Iterator[Box]:
        """Blocks that lie beside each other as one box, since every reading costs a little of its own."""
        first = last = None
        for at in places:
            if last is None or (*last[:-1], last[-1] + 1) != at:
                if first is not None and last is not None:
                    yield Box(self._box(first).start, self._box(last).stop)
                first = at
            last = at
        if first is not None and last is not None:
            yield Box(self._box(first).start, self._box(last).stop)

    def _split(self, row: Box, values: NDArray[Any]) -> Iterator[tuple[Place, NDArray[Any]]]:
        for at in _places(row):
            yield at, np.array(values[self._box(at).within(row)], self.dtype, order="C")

    def _box(self, at: Place) -> Box:
        start = tuple(place * EDGE for place in at)
        return Box(start, tuple(min(a + EDGE, side) for a, side in zip(start, self._sides, strict=True)))

    def _block(self, at: Place) -> NDArray[Any]:
        with self._mutex:
            block = self._kept.get(at)
        return np.array(self._read(self._box(at)), self.dtype) if block is None else block

    def _keep(self, at: Place, block: NDArray[Any], changes: int | None = None) -> bool:
        """Keep a block, unless something has changed since so many changes; of others only the last ones."""
        with self._mutex:
            if changes is not None and changes != self._changes:
                return False
            self._kept.setdefault(at, block)
            for old in list(itertools.islice(self._kept, max(len(self._kept) - self._most, 0))):
                if old not in self._painted:
                    del self._kept[old]
        return True

    # ---------------------------------------------------------------- in another thread

    def fetch(self, box: Box, read: Read, stopping: Callable[[], bool]) -> None:
        """Read what is missing of a box, so that it is there when somebody looks; changes meanwhile end that."""
        with self._mutex:
            changes = self._changes
            missing = []
            for at in _places(box.common(Box.whole(self._sides))):
                if at in self._kept:
                    self._kept.move_to_end(at)  # else what is read of the others would push it out
                else:
                    missing.append(at)
        for row in self._joined(missing):
            if stopping():
                return
            for at, block in self._split(row, read(row)):
                if not self._keep(at, block, changes):
                    return

    # ---------------------------------------------------------------- following what is recorded

    def recorded(self) -> None:
        """All that was painted is recorded, so it can be read again."""
        with self._mutex:
            self._painted.clear()
            self._changes += 1

    def changed(self, box: Box | None = None) -> None:
        """Something else is recorded in a box, or anywhere; what was painted beside it stays."""
        box = Box.whole(self._sides) if box is None else box
        with self._mutex:
            self._changes += 1
            stale = [at for at in self._kept if self._box(at).meets(box)]
            for at in stale:
                if at not in self._painted:
                    del self._kept[at]
            painted = [at for at in stale if at in self._painted]
        for at in painted:
            part = self._box(at).common(box)
            values = self._read(part)
            with self._mutex:
                self._kept[at][part.within(self._box(at))] = values


def located(place: Any, sides: tuple[int, ...]) -> tuple[Box, tuple[Any, ...]]:
    """The smallest box around an index of an array, and the index as seen from that box.

    Parameters
    ----------
    place : int, slice, array of int or bool, Ellipsis, or a tuple of these
    sides : tuple of int
        Of the array, without channels; what is left out is taken whole, and what there is more is of the channels.

    Raises
    ------
    IndexError
        If it lies outside.
    """
    parts = list(place) if isinstance(place, tuple) else [place]
    if len(parts) == 1 and getattr(parts[0], "dtype", None) == np.bool_:
        parts = list(np.nonzero(parts[0]))
    dots = next((at for at, part in enumerate(parts) if part is Ellipsis), None)
    if dots is not None:
        parts[dots : dots + 1] = [slice(None)] * (len(sides) - len(parts) + 1)
    parts += [slice(None)] * (len(sides) - len(parts))
    found = [_span(part, side) for part, side in zip(parts, sides, strict=False)]
    box = Box(tuple(start for start, _, _ in found), tuple(stop for _, stop, _ in found))
    return box, (*(inside for _, _, inside in found), *parts[len(sides) :])


def _span(part: Any, side: int) -> tuple[int, int, Any]:
    """First and last index but one of an axis, and the index as seen from the first."""
    if isinstance(part, slice):
        indices = range(*part.indices(side))
        if not indices:
            return 0, 0, slice(None)
        low, high = min(indices[0], indices[-1]), max(indices[0], indices[-1])
        return low, high + 1, slice(None, None, indices.step)
    values = np.asarray(part)
    if not values.size:
        return 0, 0, values.astype(int)
    values = np.where(values < 0, values + side, values)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= side:
        raise IndexError(f"Place {low if low < 0 else high} lies outside of an axis of {side}.")
    return low, high + 1, values - low if values.ndim else int(values) - low


def _places(box: Box) -> Iterator[Place]:
    return itertools.product(*(range(a // EDGE, ceil(b / EDGE)) for a, b in zip(box.start, box.stop, strict=True)))


def _copy(values: NDArray[Any], box: Box, block: NDArray[Any], place: Box) -> None:
    """Put what a block and a box have in common into the values of the box."""
    target, source = common(place, box)
    values[target] = block[source]
