"""The region in hand where it is too large to be held: most of a large image or volume, as a rule."""

from __future__ import annotations

from functools import partial
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np

from napari_metadcseg.hand import Hand
from src_core.data.case import Box
from src_core.data.slices import slice_axis
from src_core.review.region_parts import RegionPixels, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.data.scores import Region
    from src_core.store.runs import Run

COARSE = 2**20
"""About so many values at most say where such a region is."""

MIDDLE = 1024
"""Edge of the part that stands for it in pictures, px."""


def read_large(region: Region, run: Run, case: CaseInfo) -> Hand:
    """Take a region in hand without reading it, but for a part in its middle; where it is, is to be found then."""
    pixels, box = RegionPixels(run, region, run.generation), region.box
    step = ceil((prod(box.shape) / COARSE) ** (1 / len(box.shape)))
    axis = None if len(box.shape) == 2 else slice_axis(case)
    window = _middle(box, axis)
    return Hand(
        region,
        pixels.mask,
        pixels.proposed,
        run.name,
        window,
        pixels.proposed(window),
        axis=axis or 0,
        at=None if axis is None else window.start[axis],
        coarse=np.ones([ceil(edge / step) for edge in box.shape], bool),
        step=step,
        locate=None if region.pixels == prod(box.shape) else partial(_coarse, pixels, case, step),
    )


def _middle(box: Box, across: int | None) -> Box:
    """A part in the middle of a box, of a volume in one slice ``across`` an axis."""
    edges = [1 if axis == across else min(edge, MIDDLE) for axis, edge in enumerate(box.shape)]
    start = tuple(a + (whole - edge) // 2 for a, whole, edge in zip(box.start, box.shape, edges, strict=True))
    return Box(start, tuple(a + edge for a, edge in zip(start, edges, strict=True)))


def _coarse(pixels: RegionPixels, case: CaseInfo, step: int, check: Callable[[], object]) -> NDArray[np.bool_]:
    """Where in its box a region is: squares or cubes of ``step`` px with at least one of its pixels."""
    box = pixels.region.box
    found = np.zeros([ceil(edge / step) for edge in box.shape], bool)
    for part in parts_of(case.shape, box):
        check()
        mask, corner = pixels.mask(part), [a - b for a, b in zip(part.start, box.start, strict=True)]
        for axis, a in enumerate(corner):
            borders = np.unique([0, *range(-a % step, mask.shape[axis], step)])
            mask = np.logical_or.reduceat(mask, borders, axis=axis)
        at = tuple(slice(a // step, a // step + edge) for a, edge in zip(corner, mask.shape, strict=True))
        found[at] |= mask
    return found
