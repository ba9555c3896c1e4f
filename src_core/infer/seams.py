"""Tiles that go over into each other: what is said of one is blended with what its neighbours say of its rim.

Tiles come row by row. Behind the border between two of them the one that came first, whose halo reaches there, is
believed less from pixel to pixel, and the other more; so each tile is final when it comes, and only rims are kept.

Shape suffixes: K maps, X space axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from src_core.data.case import Box
    from src_core.data.slices import OnGrid
    from src_core.train.tiles import Tiling

REACH = 16
"""So many working px behind a border the tile before is believed, too; half of its halo, whose rim lacks context."""


class Seams:
    """Blends the tiles of one image.

    Parameters
    ----------
    tiling : Tiling
    grid : OnGrid
        The image.
    """

    def __init__(self, tiling: Tiling, grid: OnGrid) -> None:
        self._tiling = tiling
        self._across = -(-grid.shape[1] // tiling.side)
        self._right: tuple[int, Tensor] | None = None
        self._below: dict[int, tuple[int, Tensor]] = {}

    def blend(self, number: int, box: Box, outer: Box, values_1KX: Tensor) -> Tensor:
        """Maps of a tile and its halo, blended with the tiles before it.

        Parameters
        ----------
        number : int
            Of the tile; those before it in its row, and the row before, count if they came just before.
        box, outer : Box
            The tile, and with its halo, px of the image.
        values_1KX : Tensor
            Of ``outer``, at working resolution.
        """
        row, column = divmod(number, self._across)
        (top, bottom), (left, right) = self._place(box, outer)
        blended_1KX = values_1KX.clone()
        if column and self._right is not None and self._right[0] == number - 1:
            _ramp(blended_1KX, self._right[1], 3, left)
        self._right = number, values_1KX[:, :, :, right - 1 : right + REACH].clone()
        above, self._below[column] = (
            self._below.get(column),
            (row, blended_1KX[:, :, bottom - 1 : bottom + REACH].clone()),
        )
        if row and above is not None and above[0] == row - 1:
            _ramp(blended_1KX, above[1], 2, top)
        return blended_1KX

    def _place(self, box: Box, outer: Box) -> list[tuple[int, int]]:
        """From where to where a tile lies in what surrounds it, working px."""
        starts = [(a - o) // self._tiling.step for a, o in zip(box.start, outer.start, strict=True)]
        return [(start, start + edge) for start, edge in zip(starts, self._tiling.shape(box), strict=True)]


def _ramp(values_1KX: Tensor, before_1KX: Tensor, axis: int, border: int) -> None:
    """Lay what was said before over a rim: all of it up to the border, then less and less."""
    length = min(before_1KX.shape[axis], values_1KX.shape[axis] - border + 1)
    weight = 1 - torch.clamp(torch.arange(-1, length - 1, device=values_1KX.device), min=0) / REACH
    weight = weight.reshape([-1 if each == axis else 1 for each in range(values_1KX.ndim)])
    part_1KX = values_1KX.narrow(axis, border - 1, length)
    part_1KX.add_(weight * (before_1KX.narrow(axis, 0, length) - part_1KX))
