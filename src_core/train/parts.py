"""A volume that is larger than memory, brought to what a network sees some planes at a time; equal to the whole.

Shape suffixes: I input channels, X space axes.
"""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.train.intensities import PERCENTILES, Intensities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Parts = Callable[[], Iterable[NDArray[np.generic]]]

_HALF = 2**16
_PIECE = 2**20
"""So many values are counted at a time, which takes some 40 bytes each."""

_TRUNCATE = 4.0
"""Spreads after which scipy cuts a Gaussian off."""


def intensities_of_parts(parts: Parts) -> Intensities:
    """As :meth:`Intensities.of` of all values together, which are gone through three times.

    Parameters
    ----------
    parts : callable
        Gives the parts anew each time, of any shape and type.
    """
    upper = np.zeros(_HALF, np.int64)
    for piece in _pieces(parts):
        upper += np.bincount(_keys(piece) >> 16, minlength=_HALF)
    size = int(upper.sum())
    places = [(size - 1) * percent / 100 for percent in PERCENTILES]
    ranks = sorted({rank for place in places for rank in (floor(place), ceil(place))})
    found = dict(zip(ranks, _ranked(parts, upper, ranks), strict=True))
    low, high = (
        float(found[floor(place)] + (place - floor(place)) * (found[ceil(place)] - found[floor(place)]))
        for place in places
    )
    sums = np.zeros(2)
    for piece in _pieces(parts):
        over = np.clip(piece.astype(np.float64), low, high) - low
        sums += over.sum(), np.square(over).sum()
    mean, square = sums / size
    return Intensities(low, high, float(mean + low), max(float(np.sqrt(max(square - mean**2, 0.0))), 1e-6))


def _pieces(parts: Parts) -> Iterator[NDArray[np.generic]]:
    for part in parts():
        flat = part.ravel()
        yield from (flat[piece] for piece in spans(flat.size, _PIECE))


def _ranked(parts: Parts, upper: NDArray[np.int64], ranks: list[int]) -> list[np.float64]:
    """The values at some ranks, from the least: after the upper half of their bits the lower ones are counted."""
    ends = np.cumsum(upper)
    heads = [int(np.searchsorted(ends, rank, side="right")) for rank in ranks]
    lower = {head: np.zeros(_HALF, np.int64) for head in heads}
    for piece in _pieces(parts):
        keys = _keys(piece)
        for head, counts in lower.items():
            counts += np.bincount(keys[keys >> 16 == head] & (_HALF - 1), minlength=_HALF)
    values = []
    for rank, head in zip(ranks, heads, strict=True):
        before = int(ends[head] - upper[head])
        tail = int(np.searchsorted(np.cumsum(lower[head]), rank - before, side="right"))
        values.append(_value(head << 16 | tail))
    return values


def _keys(values: NDArray[np.generic]) -> NDArray[np.uint32]:
    """Whole numbers in the order of the values, which are taken as float32."""
    bits = np.ascontiguousarray(values, np.float32).ravel().view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(2**31))


def _value(key: int) -> np.float64:
    bits = key ^ 2**31 if key >> 31 else ~key & 2**32 - 1
    return np.float64(np.array(bits, np.uint32).view(np.float32))


# -------------------------------------------------------------------- size


def needed(shape: tuple[int, ...], wanted: tuple[int, ...], planes: slice) -> slice:
    """Planes of a volume that some planes of it in another size are made from."""
    step = shape[0] / wanted[0]
    reach = int(_TRUNCATE * _spread(step) + 0.5) + 1 if shape != wanted else 0
    first, last = ((place + 0.5) * step - 0.5 for place in (planes.start, planes.stop - 1))
    return slice(max(floor(first) - reach, 0), min(floor(last) + 2 + reach, shape[0]))


def resized_planes(
    part_IX: NDArray[np.float32], start: int, shape: tuple[int, ...], wanted: tuple[int, ...], planes: slice
) -> NDArray[np.float32]:
    """As :func:`~src_core.train.working.resize_image` of the whole volume, some planes of the result.

    Parameters
    ----------
    part_IX : array, float32, (I, X)
        The planes that are :func:`needed`, from ``start`` on.
    start : int
    shape, wanted : tuple of int
        Sides of the whole, before and after.
    planes : slice
        Of the result.
    """
    if shape == wanted:
        return part_IX[:, planes.start - start : planes.stop - start]
    steps = [old / new for old, new in zip(shape, wanted, strict=True)]
    offset = [0.5 * step - 0.5 for step in steps]
    offset[0] = (planes.start + 0.5) * steps[0] - 0.5 - start
    size = (planes.stop - planes.start, *wanted[1:])
    smooth = (ndimage.gaussian_filter(each, [_spread(step) for step in steps], mode="mirror") for each in part_IX)
    found = [ndimage.affine_transform(each, steps, offset, size, order=1, mode="mirror") for each in smooth]
    return np.stack(found)


def _spread(step: float) -> float:
    return max(0.0, (step - 1) / 2)


def spans(stop: int, step: int, start: int = 0) -> Iterator[slice]:
    """Spans beside each other, of at most ``step``."""
    return (slice(first, min(first + step, stop)) for first in range(start, stop, max(step, 1)))
