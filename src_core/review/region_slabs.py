"""Suspect regions of a volume that is seen slab by slab, the same as those of the whole volume.

Slabs lie across one axis, whichever, and come in order. What is kept of those that were seen are the last planes, and a
few numbers of each group that may still become a region: memory follows the area of a plane and the number of regions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from src_core.review.components import gathered
from src_core.review.region_groups import RegionFinder
from src_core.review.regions import BELOW, MIN_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo


class RegionSlabs(RegionFinder):
    """Finds the regions of one volume.

    Parameters
    ----------
    case : CaseInfo
    axis : int
        Across which slabs follow each other; each has all of the other axes.
    min_pixels, below
        As of :func:`~src_core.review.regions.find_regions`.
    """

    def __init__(self, case: CaseInfo, axis: int, min_pixels: int = MIN_PIXELS, below: float = BELOW) -> None:
        super().__init__(case, min_pixels, below)
        self._axis, self._deep = axis, self.reach[axis]
        self._around = (self._deep, *(reach for other, reach in enumerate(self.reach) if other != axis))
        self._groups_before: NDArray[np.int64] | None = None
        self._pairs_before: NDArray[np.int32] | None = None
        self._known = 0

    def _meet(self, box: Box, placed: NDArray[np.int64], pairs: NDArray[np.int32]) -> None:
        """Groups go over from one slab to the next where planes on either side of the border have them together."""
        groups: NDArray[np.int64] = np.moveaxis(placed, self._axis, 0)
        pairs = np.moveaxis(pairs, self._axis, 0)
        before: set[int] = set()
        if self._groups_before is not None and self._pairs_before is not None:
            near = len(self._groups_before) + self._deep
            before = _numbers_in(self._groups_before)
            groups = np.concatenate([self._groups_before, groups])
            pairs = np.concatenate([self._pairs_before, pairs])
            self._join(groups[:near], pairs[:near])
        self._groups_before, self._pairs_before = groups[-self._deep :].copy(), pairs[-self._deep :].copy()
        last = box.stop[self._axis] == self.case.shape[self._axis]
        going_on = set() if last else set(map(self._root, _numbers_in(self._groups_before)))
        seen = {*map(self._root, before), *range(self._known + 1, self._last + 1)}
        for number in seen - going_on:
            self._settle(number)
        self._known = self._last

    def _join(self, groups: NDArray[np.int64], pairs: NDArray[np.int32]) -> None:
        """Make one of the groups of which some planes show that they belong together."""
        together = gathered(pairs, self._around)
        inside = together > 0
        found = np.unique(together[inside].astype(np.int64) * (self._last + 1) + groups[inside])
        for (one, first), (other, second) in pairwise(zip(*np.divmod(found, self._last + 1), strict=True)):
            if one == other:
                self._unite(int(first), int(second))


def _numbers_in(groups: NDArray[np.int64]) -> set[int]:
    return set(np.unique(groups).tolist()) - {0}
