"""The region in hand with its pixels and surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Box
from src_core.data.slices import best_slice, slice_axis

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.data.scores import Region
    from src_core.review.region_parts import Pixels
    from src_core.store.runs import Run

HELD = 2**24
"""A region whose box has more pixels than this is not held in memory, but read in parts, px."""

LEAST_WINDOW = 32
"""Least height and width of a region's surroundings, px, before half of it is added."""


@dataclass(frozen=True)
class Hand:
    """The region in hand with its pixels, as they were when it was taken: new scores cannot change the question.

    Attributes
    ----------
    region : Region
    mask : array, bool, shape of the region's box; or what reads it in parts
    proposed : array, uint8, shape of the region's box; or what reads it in parts
    run : str
        That proposed it.
    window : Box
        The region's box with its surroundings; of a region that is not held, a part in the middle of it, of a volume
        in one slice.
    window_proposed : array, uint8, shape of the window
    axis, at : int, and int or None
        Of a volume, the axis across its slices and the slice that shows the region best, or of a region that is not
        held the one in its middle; None of an image.
    coarse : array, bool, optional
        Of a region that is not held, where in its box it is: a value for ``step`` px along each axis.
    step : int
    locate : callable, optional
        Of such a region, finds ``coarse``, which is all of its box until then. That takes a while; what it is given is
        called now and then, and may end it by an error.
    """

    region: Region
    mask: Pixels[np.bool_]
    proposed: Pixels[np.uint8]
    run: str
    window: Box
    window_proposed: NDArray[np.uint8]

    axis: int = 0
    at: int | None = None
    coarse: NDArray[np.bool_] | None = None
    step: int = 1
    locate: Callable[[Callable[[], object]], NDArray[np.bool_]] | None = None

    @property
    def held(self) -> bool:
        """False for a region that is so large that it is read in parts."""
        return self.coarse is None

    @property
    def window_mask(self) -> NDArray[np.bool_]:
        """The region's pixels, bool, shape of the window."""
        if callable(self.mask):
            return self.mask(self.window)
        found = np.zeros(self.window.shape, dtype=bool)
        found[self.region.box.within(self.window)] = self.mask
        return found

    @property
    def outline(self) -> tuple[NDArray[np.bool_], tuple[int, ...]]:
        """What shows where the region is, a value for ``step`` px a side; and the px of the image that it begins at."""
        if self.coarse is not None:
            return self.coarse, self.region.box.start
        return self.window_mask, self.window.start


def is_held(region: Region) -> bool:
    """False for a region that is read in parts."""
    return prod(region.box.shape) <= HELD


def read_held(region: Region, run: Run, case: CaseInfo) -> Hand:
    """Read a region that is held in memory."""
    mask = run.read_map(region.case_id, "regions", region.box) == region.number
    axis, at = shown_at(region.box, mask, case)
    window = with_surroundings(region.box, case.shape, None if at is None else axis)
    proposed = run.read_map(region.case_id, "proposed", window)
    return Hand(region, mask, proposed[region.box.within(window)], run.name, window, proposed, axis, at)


def shown_at(box: Box, mask: NDArray[np.bool_], case: CaseInfo) -> tuple[int, int | None]:
    """Axis across the slices of a volume, and the slice that shows most of a mask in a box; None of an image."""
    if len(case.shape) == 2:
        return 0, None
    axis = slice_axis(case)
    return axis, box.start[axis] + (best_slice(mask, axis) if mask.any() else 0)


def with_surroundings(box: Box, shape: tuple[int, ...], across: int | None = None) -> Box:
    """A box with its surroundings, about as high as wide, inside of an image; ``across`` slices as it is."""
    edge = max(*(side for axis, side in enumerate(box.shape) if axis != across), LEAST_WINDOW) * 3 // 2
    middles = [(a + b) // 2 for a, b in zip(box.start, box.stop, strict=True)]
    start = [max(middle - edge // 2 - 1, 0) for middle in middles]
    stop = [min(middle + edge // 2 + 1, whole) for middle, whole in zip(middles, shape, strict=True)]
    if across is not None:
        start[across], stop[across] = box.start[across], box.stop[across]
    return Box(tuple(start), tuple(stop))
