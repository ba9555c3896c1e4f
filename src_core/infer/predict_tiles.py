"""The trained model on images that are worked on in tiles: no more than a row of tiles is in memory.

Tiles have the halo that scoring gives them, and are blended as there.

Shape suffixes: C classes, K maps, X space axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from src_core.data.slices import Sides
from src_core.infer.score_tiles import HALO, at_full_size
from src_core.infer.seams import Seams
from src_core.io.lazy import LazyArray
from src_core.train.tile_reader import TiledImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from numpy.typing import NDArray

    from src_core.data.case import Box
    from src_core.train.intensities import Intensities
    from src_core.train.tiles import Tiling

    Ask = Callable[[torch.Tensor], torch.Tensor]


class TiledPrediction:
    """What the model says of one large image, tile by tile.

    Parameters
    ----------
    ask : callable
        Probabilities ``(1, C, X)`` of a normalised image ``(1, I, X)``, at working resolution.
    read : callable
        Gives the pixels of a box of the image.
    shape : tuple of int
        Of the image, px.
    tiling : Tiling
    channels : int
        Of the images that were learned from.
    intensities : Intensities, optional
        Of all images that were learned from, instead of those of this one.
    """

    def __init__(
        self,
        ask: Ask,
        read: Callable[[Box], NDArray[Any]],
        shape: tuple[int, ...],
        tiling: Tiling,
        channels: int,
        intensities: Intensities | None = None,
    ) -> None:
        self.shape = shape
        self._ask, self._tiling = ask, tiling
        self._image = TiledImage(read, shape, tiling, channels, intensities)
        self._grid = Sides(shape, (1.0,) * len(shape))
        self._row: tuple[int, NDArray[np.uint8]] | None = None
        self._seams = Seams(tiling, self._grid)

    def __iter__(self) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        """Every tile with the probability of each class, float32, ``(C, X)``, at the image's own size."""
        for number in range(self._tiling.count(self._grid)):
            yield self._tiling.box(self._grid, number), self._opinion(number)

    def _opinion(self, number: int) -> NDArray[np.float32]:
        """Of a tile; all tiles before it, or its row and the one before, were asked for in their order."""
        box = self._tiling.box(self._grid, number)
        outer = self._tiling.around(self._grid, box, HALO)
        found_1CX = self._ask(torch.from_numpy(self._image.image(outer))[None])
        found_1CX = self._seams.blend(number, box, outer, found_1CX)
        tile: NDArray[np.float32] = at_full_size(found_1CX, box, outer, self._tiling.step)[0].cpu().numpy()
        return tile

    def label(self) -> LazyArray:
        """The most probable class of each pixel, uint8, found when it is asked for; best asked for in order."""
        return LazyArray(self.shape, np.uint8, self._labels_of, "the prediction")

    def _labels_of(self, place: tuple[slice, ...]) -> NDArray[np.uint8]:
        rows, columns = place
        side = self._tiling.side
        found = np.empty((rows.stop - rows.start, self.shape[1]), np.uint8)
        for number in range(rows.start // side, -(-rows.stop // side)):
            low, high = max(rows.start, number * side), min(rows.stop, (number + 1) * side)
            found[low - rows.start : high - rows.start] = self._row_of(number)[
                low - number * side : high - number * side
            ]
        return found[:, columns]

    def _row_of(self, number: int) -> NDArray[np.uint8]:
        """Labels of a row of tiles; the last one is kept."""
        if self._row is None or self._row[0] != number:
            if number and (self._row is None or self._row[0] != number - 1):
                self._made(number - 1)  # its rims are blended into this one
            self._row = number, self._made(number)
        return self._row[1]

    def _made(self, number: int) -> NDArray[np.uint8]:
        across = -(-self.shape[1] // self._tiling.side)
        tiles = range(number * across, (number + 1) * across)
        return np.concatenate([self._opinion(tile).argmax(0).astype(np.uint8) for tile in tiles], axis=1)
