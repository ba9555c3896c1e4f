"""Pixels that are read when they are asked for, box by box, of files that need not fit into memory."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import FormatError
from src_core.io.guard import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Place = tuple[slice, ...]

LAZY_FROM = 2**26
"""Arrays of so many bytes are read box by box where their format can; smaller ones at once."""

STRIP_ROWS = {2: 512, 3: 64}
"""Rows (slices of a volume) of a strip, those of a chunk of a project, by the number of space axes."""


class LazyArray:
    """An array that is read box by box.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
        Of what is read, native byte order.
    read : callable
        Gets a slice with start and stop for each axis, inside of the shape, and returns these values.
    where : str
        The file, for messages.
    """

    def __init__(
        self, shape: Sequence[int], dtype: Any, read: Callable[[Place], NDArray[Any]], where: str = "the image"
    ) -> None:
        self.shape = tuple(int(side) for side in shape)
        self.dtype = np.dtype(dtype)
        self._read = read
        self._where = where

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What it would take in memory."""
        return int(prod(self.shape) * self.dtype.itemsize)

    def __getitem__(self, place: Place) -> NDArray[Any]:
        """A box; axes that are left out are taken whole."""
        full = [*place, *(slice(None),) * (self.ndim - len(place))]
        sides = zip(full, self.shape, strict=True)
        values = np.asarray(self._read(tuple(slice(*one.indices(side)[:2]) for one, side in sides)))
        return values.astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, for those that need it whole.

        Raises
        ------
        FormatError
            If it is larger than what is read whole.
        """
        if self.nbytes > MAX_BYTES:
            size = " x ".join(map(str, self.shape))
            raise FormatError(
                f"{self._where} is {size} px, {self.nbytes / 2**30:.1f} GiB, and is needed whole here; expected at "
                f"most {MAX_BYTES // 2**30} GiB."
            )
        values = self[()]
        return values if dtype is None else values.astype(dtype)

    def without_last(self) -> LazyArray:
        """The only channel of an array with one."""
        return LazyArray(self.shape[:-1], self.dtype, lambda place: self[(*place, slice(0, 1))][..., 0], self._where)

    def without_first(self) -> LazyArray:
        """The only slice of a stack of one."""
        return LazyArray(self.shape[1:], self.dtype, lambda place: self[(slice(0, 1), *place)][0], self._where)

    def with_first(self) -> LazyArray:
        """A stack of one slice."""
        return LazyArray((1, *self.shape), self.dtype, lambda place: self[place[1:]][None], self._where)

    def picked(self, shape: Sequence[int]) -> LazyArray:
        """Every n-th value along each axis, so that no new value appears: the array as a smaller level of itself."""
        if tuple(shape) == self.shape:
            return self

        def read(place: Place) -> NDArray[Any]:
            sides = zip(place, self.shape, shape, strict=True)
            wanted = [np.arange(part.start, part.stop) * have // want for part, have, want in sides]
            values = self[tuple(slice(int(rows[0]), int(rows[-1]) + 1) for rows in wanted)]
            return values[np.ix_(*(rows - rows[0] for rows in wanted))]

        return LazyArray(shape, self.dtype, read, self._where)

    def mapped(self, change: Callable[..., NDArray[Any]], dtype: Any, *others: LazyArray) -> LazyArray:
        """The same places with other values: ``change`` gets a box of this array, and of the others."""
        return LazyArray(
            self.shape, dtype, lambda place: change(self[place], *(other[place] for other in others)), self._where
        )


def arranged(source: Any, order: Sequence[int], dtype: Any, where: str, *, channels: int | None = None) -> LazyArray:
    """An array of a library with its axes in another order; those that are left out have to be of length one.

    Parameters
    ----------
    source : array-like
        Has ``shape`` and gives boxes for a tuple of slices.
    order : sequence of int
        Axis of the source for each axis of the result.
    dtype : dtype
    where : str
        The file, for messages.
    channels : int, optional
        So many of the last axis only.
    """
    shape = [int(source.shape[axis]) for axis in order]
    if channels is not None:
        shape[-1] = channels
    rest = [axis for axis in range(len(source.shape)) if axis not in order]

    def read(place: Place) -> NDArray[Any]:
        asked = [slice(0, 1)] * len(source.shape)
        for axis, part in zip(order, place, strict=True):
            asked[axis] = part
        values: NDArray[Any] = np.asarray(source[tuple(asked)])
        return values.transpose([*order, *rest]).reshape([part.stop - part.start for part in place])

    return LazyArray(shape, dtype, read, where)


def first_slice(pixels: Any) -> Any:
    """The only slice of a stack of one."""
    return pixels.without_first() if isinstance(pixels, LazyArray) else pixels[0]


def strips(pixels: Any, space: int | None = None) -> Iterator[NDArray[Any]]:
    """The array as parts along its first axis, in order; an array in memory in one part."""
    if not isinstance(pixels, LazyArray):
        yield pixels
        return
    rows = STRIP_ROWS[min(pixels.ndim if space is None else space, 3)]
    for start in range(0, pixels.shape[0], rows):
        yield pixels[(slice(start, start + rows),)]


def runs(pixels: Any, rows: int | None = None) -> Iterator[tuple[Place, NDArray[Any]]]:
    """The array as parts in the order of its values, with their places; an array in memory in one part.

    Parameters
    ----------
    pixels : array or LazyArray
    rows : int, optional
        Of a part, along the first axis that is longer than one; those of a chunk of a project by default.
    """
    if not isinstance(pixels, LazyArray):
        yield tuple(slice(0, side) for side in pixels.shape), pixels
        return
    axis = next((k for k, side in enumerate(pixels.shape) if side > 1), 0)
    step = rows or STRIP_ROWS[min(max(pixels.ndim - axis, 2), 3)]
    for start in range(0, pixels.shape[axis], step):
        stop = min(start + step, pixels.shape[axis])
        rest = tuple(slice(0, side) for side in pixels.shape[axis + 1 :])
        place = (*(slice(0, 1),) * axis, slice(start, stop), *rest)
        yield place, pixels[place]
