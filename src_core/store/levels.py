"""Smaller copies of large images, masks and maps, so that a window shows all of one without reading all of it.

Each level has half the size of the one before, down to one that a window can hold. Images and maps are brought to the
mean of 2 x 2 pixels: subsampled, structures of a few pixels flicker and stains look grainy. Masks keep every second
pixel: a mean of classes is none, a majority makes all small objects vanish, and this way the share of every class
stays about right, and a change of a mask is followed by copying some of its pixels. So level k of a mask is
``mask[::2**k, ::2**k]``.

The arrays are zarr as all others of a project, a file a chunk: decisions change single chunks, which would have to
rewrite a shard each. They are made from whole chunks in the order of a quadtree, so memory holds four of them a level,
however large the image is.
"""

from __future__ import annotations

import logging
import shutil
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from src_core.data.case import Box
from src_core.store import chunks
from src_core.store.reading import read_object, whole_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

LARGE = 4096
"""Images with a longer side, px, are shown by levels and edited in parts."""

COARSEST = 512
"""No level is made below one whose longer side is this, px."""

BLOCK = 512
"""Edge of what is worked on at once, px: a chunk."""

ROW = "row"
"""Attribute of levels that are complete: the row of the record that they are of."""

_WIDER = {1: np.uint16, 2: np.uint32}
"""What holds the sum of four values of so many bytes."""

How = Literal["mean", "nearest"]


def is_large(shape: Sequence[int]) -> bool:
    """True for an image that is shown by levels; volumes are not."""
    return len(shape) == 2 and max(shape) > LARGE


def level_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes of the levels below an array ``(H, W)`` or ``(H, W, channels)``, from the largest."""
    found = []
    while max(shape[:2]) > COARSEST:
        shape = (-(-shape[0] // 2), -(-shape[1] // 2), *shape[2:])
        found.append(shape)
    return found


def halved(values: NDArray[Any], how: How) -> NDArray[Any]:
    """An array of half the height and width, rounded up, of the same type.

    Parameters
    ----------
    values : array, (H, W) or (H, W, channels)
    how : str
        ``mean`` of 2 x 2 pixels, at odd edges of those there are; or ``nearest``.
    """
    if how == "nearest":
        return values[::2, ::2]
    odd = [(0, side % 2) for side in values.shape[:2]]
    if any(side for _, side in odd):
        values = np.pad(values, odd + [(0, 0)] * (values.ndim - 2), mode="edge")
    whole = np.issubdtype(values.dtype, np.integer)
    unsigned = np.issubdtype(values.dtype, np.unsignedinteger)
    wide = _WIDER.get(values.dtype.itemsize, np.float64) if unsigned else np.float64 if whole else values.dtype
    rows = values[::2].astype(wide) + values[1::2]
    total = rows[:, ::2] + rows[:, 1::2]
    mean = (total + 2) // 4 if unsigned and wide is not np.float64 else np.rint(total / 4) if whole else total / 4
    found: NDArray[Any] = mean.astype(values.dtype)
    return found


class Levels:
    """The smaller copies of one array, in a folder of their own.

    They are there to be looked at: what is missing or damaged is read as zeros, and made again.

    Parameters
    ----------
    folder : Path
        A group; its arrays are ``1``, ``2``, ...
    shape : tuple of int
        Of the array itself.
    dtype : dtype
    how : str
        As in :func:`halved`.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: Any, how: How) -> None:
        self.folder = folder
        self.shape, self.dtype, self.how = tuple(shape), np.dtype(dtype), how
        self.shapes = level_shapes(self.shape) if self.shape else []
        self._open: dict[int, chunks.ChunkedArray] = {}

    @property
    def row(self) -> int | None:
        """Row of the record that they are of; None while they are not complete."""
        try:
            attributes = read_object(self.folder / chunks.METADATA).get("attributes")
        except (OSError, ValueError):
            return None
        return whole_of(attributes, ROW) if isinstance(attributes, dict) else None

    # ---------------------------------------------------------------- reading

    def read(self, level: int, box: Box | None = None) -> NDArray[Any]:
        """A box of a level, 1 for the largest; zeros where there is nothing yet.

        A chunk that is damaged gives zeros, too, and marks the levels as incomplete, so that they are made again.
        """
        shape = self.shapes[level - 1]
        try:
            array = self._array(level)
            if array.shape == shape:
                return array.read(box)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            logger.warning("%s; it is made again at the next opening.", error)
            self.forget()
        size = shape if box is None else (*box.shape, *shape[len(box.shape) :])
        return np.zeros(size, self.dtype)

    def _array(self, level: int) -> chunks.ChunkedArray:
        if level not in self._open:
            self._open[level] = chunks.ChunkedArray(self.folder / str(level))
        return self._open[level]

    def forget(self) -> None:
        """Mark them as incomplete, so that they are made again."""
        try:
            (self.folder / chunks.METADATA).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s", error)

    # ---------------------------------------------------------------- making

    def make(self, read: Callable[[Box], NDArray[Any]], row: int) -> Iterator[None]:
        """Make all levels; may be left at every step, and is to be begun anew then.

        Parameters
        ----------
        read : callable
            Reads a box of the array.
        row : int
            Of the record, that what is read is at least of.

        Raises
        ------
        OSError
            If the disk is full or may not be written.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self._open = {}
        self.folder.mkdir(parents=True)
        for level, shape in enumerate(self.shapes, 1):
            self._open[level] = chunks.new_array(self.folder / str(level), shape, self.dtype, complete=False)
        last = len(self.shapes)
        for y, x in self._places(last):
            yield from self._made(last, y, x, read)
        self.note(row)

    def note(self, row: int) -> None:
        """Note that they are complete, and of which row."""
        chunks.write_group(self.folder, {ROW: row})

    def _places(self, level: int) -> Iterator[tuple[int, int]]:
        height, width = self._shape(level)
        return product(range(-(-height // BLOCK)), range(-(-width // BLOCK)))

    def _shape(self, level: int) -> tuple[int, ...]:
        return (self.shape if level == 0 else self.shapes[level - 1])[:2]

    def _made(
        self, level: int, y: int, x: int, read: Callable[[Box], NDArray[Any]]
    ) -> Generator[None, None, NDArray[Any]]:
        """A block of a level, made from the four below it, and written."""
        sides = self._shape(level)
        start = (y * BLOCK, x * BLOCK)
        box = Box(start, (min(start[0] + BLOCK, sides[0]), min(start[1] + BLOCK, sides[1])))
        if level == 0:
            return read(box)
        values = np.empty((*box.shape, *self.shape[2:]), self.dtype)
        below, half = self._shape(level - 1), BLOCK // 2
        for down, right in product((0, 1), (0, 1)):
            if (2 * y + down) * BLOCK < below[0] and (2 * x + right) * BLOCK < below[1]:
                part = halved((yield from self._made(level - 1, 2 * y + down, 2 * x + right, read)), self.how)
                top, left = down * half, right * half
                values[top : top + part.shape[0], left : left + part.shape[1]] = part
        self._array(level).write(box, values)
        yield
        return values

    # ---------------------------------------------------------------- following

    def follow(self, box: Box, values: NDArray[Any]) -> None:
        """Take over changed pixels of a mask.

        Parameters
        ----------
        box : Box
        values : array
            Of the mask in the box.

        Raises
        ------
        OSError, ValueError
            If a level cannot be read or written; the levels are marked as incomplete then.
        """
        try:
            for level in range(1, len(self.shapes) + 1):
                step = 2**level
                start = tuple(-(-a // step) for a in box.start)
                stop = tuple(-(-b // step) for b in box.stop)
                if all(a < b for a, b in zip(start, stop, strict=True)):
                    offset = [a * step - corner for a, corner in zip(start, box.start, strict=True)]
                    self._array(level).write(Box(start, stop), values[offset[0] :: step, offset[1] :: step])
        except (OSError, ValueError):
            self.forget()
            raise
