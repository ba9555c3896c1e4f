"""Suspect regions of an image that is seen block by block, the same as those of the whole image.

Blocks come row by row. What is kept of those that were seen are the last lines of the row of blocks above, the right
side of the block before, and a few numbers of each group of pixels that may still become a region: memory follows the
side of the image and the number of regions, not its area.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from src_core.review.region_groups import RegionFinder
from src_core.review.regions import BELOW, MIN_PIXELS, REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo


@dataclass
class _Edge:
    """Lines of pixels ``(K, L)``, the nearest to the other side first: groups, 0 for none, and label with proposal."""

    groups: NDArray[np.int64]
    pairs: NDArray[np.int32]

    @classmethod
    def empty(cls, length: int) -> _Edge:
        return cls(np.zeros((REACH, length), np.int64), np.zeros((REACH, length), np.int32))

    @classmethod
    def of(cls, groups: NDArray[np.int64], pairs: NDArray[np.int32]) -> _Edge:
        return cls(groups[:REACH].copy(), pairs[:REACH].copy())

    def put(self, columns: slice, part: _Edge) -> None:
        lines = slice(0, len(part.groups))
        self.groups[lines, columns], self.pairs[lines, columns] = part.groups, part.pairs


class RegionBlocks(RegionFinder):
    """Finds the regions of one image, whose blocks come row by row.

    All of a row of blocks have the same rows. Only the last ones of the image may have a side shorter than
    :data:`~src_core.review.regions.REACH`.
    """

    def __init__(self, case: CaseInfo, min_pixels: int = MIN_PIXELS, below: float = BELOW) -> None:
        super().__init__(case, min_pixels, below)
        self._above: _Edge | None = None
        self._top: _Edge | None = None
        self._bottom: _Edge | None = None
        self._left: _Edge | None = None

    def _meet(self, box: Box, placed: NDArray[np.int64], pairs: NDArray[np.int32]) -> None:
        width = self.case.shape[1]
        if box.start[1] == 0:
            self._left = None
            self._top, self._bottom = _Edge.empty(width), _Edge.empty(width)
        assert self._top is not None
        assert self._bottom is not None
        columns = slice(box.start[1], box.stop[1])
        self._top.put(columns, _Edge.of(placed, pairs))
        self._bottom.put(columns, _Edge.of(placed[::-1], pairs[::-1]))
        if self._left is not None:
            self._join(self._left, _Edge.of(placed.T, pairs.T))
        self._left = _Edge.of(placed.T[::-1], pairs.T[::-1])
        if box.stop[1] == width:
            if self._above is not None:
                self._join(self._above, self._top)
            self._above = self._bottom

    def _join(self, one: _Edge, other: _Edge) -> None:
        """Join the groups on two sides of a line that are near to each other."""
        for here, there in product(range(len(one.groups)), range(len(other.groups))):
            if here + there + 1 <= REACH:
                self._join_lines(one.groups[here], one.pairs[here], other.groups[there], other.pairs[there])

    def _join_lines(
        self,
        groups: NDArray[np.int64],
        pairs: NDArray[np.int32],
        other_groups: NDArray[np.int64],
        other_pairs: NDArray[np.int32],
    ) -> None:
        if not (pairs.any() and other_pairs.any()):
            return
        length = len(groups)
        most = min(REACH, length - 1)
        for shift in range(-most, most + 1):
            near = slice(max(shift, 0), length + min(shift, 0))
            far = slice(max(-shift, 0), length + min(-shift, 0))
            same = (pairs[near] == other_pairs[far]) & (pairs[near] > 0)
            found = np.unique(np.stack([groups[near][same], other_groups[far][same]], axis=1), axis=0)
            for first, second in found.tolist():
                self._unite(first, second)
