"""The region in hand where it is too large to be held: most of a large image, as a rule."""

from __future__ import annotations

from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np

from napari_metadcseg.hand import Hand
from src_core.data.case import Box
from src_core.review.region_parts import RegionPixels, parts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.data.scores import Region
    from src_core.store.runs import Run

COARSE = 2**20
"""About so many values at most say where such a region is."""

MIDDLE = 1024
"""Edge of the part that stands for it in pictures, px."""


def read_large(region: Region, run: Run, case: CaseInfo) -> Hand:
    """Take a region in hand without reading it, but for where it is and a part in its middle."""
    pixels = RegionPixels(run, region, run.generation)
    step = ceil((prod(region.box.shape) / COARSE) ** 0.5)
    window = _middle(region.box)
    return Hand(
        region,
        pixels.mask,
        pixels.proposed,
        run.name,
        window,
        pixels.proposed(window),
        coarse=_coarse(pixels, case, step),
        step=step,
    )


def _middle(box: Box) -> Box:
    edges = [min(edge, MIDDLE) for edge in box.shape]
    start = tuple(a + (whole - edge) // 2 for a, whole, edge in zip(box.start, box.shape, edges, strict=True))
    return Box(start, tuple(a + edge for a, edge in zip(start, edges, strict=True)))


def _coarse(pixels: RegionPixels, case: CaseInfo, step: int) -> NDArray[np.bool_]:
    """Where in its box a region is: squares of ``step`` px with at least one of its pixels."""
    box = pixels.region.box
    if pixels.region.pixels == prod(box.shape):
        return np.ones([ceil(edge / step) for edge in box.shape], bool)
    found = np.zeros([ceil(edge / step) for edge in box.shape], bool)
    for part in parts_of(case.shape, box):
        mask, corner = pixels.mask(part), [a - b for a, b in zip(part.start, box.start, strict=True)]
        for axis, a in enumerate(corner):
            borders = np.unique([0, *range(-a % step, mask.shape[axis], step)])
            mask = np.logical_or.reduceat(mask, borders, axis=axis)
        at = tuple(slice(a // step, a // step + edge) for a, edge in zip(corner, mask.shape, strict=True))
        found[at] |= mask
    return found
