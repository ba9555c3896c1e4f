"""What the meta weights have said so far about every label of every pixel.

The weights of one step are noisy, since they come from a few verified crops. The memory keeps a running mean a
pixel and class, in the case's own frame, however the crop was turned.

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

CLIP = 8.0
"""Weights are cut at this many times their mean magnitude."""


def common_mode_removed(weights_BCX: Tensor, candidates_BX: Tensor, pseudo_BX: Tensor) -> Tensor:
    """Subtract, class by class, the batch mean over the pixels that carry this class as a candidate.

    The direction ``v`` mostly says that the network draws too much or too little; that moves every pixel of a
    class alike and tells nothing about one of them.

    Parameters
    ----------
    weights_BCX : Tensor
    candidates_BX, pseudo_BX : Tensor, int64
        Label in question (``IGNORE`` where there is none) and the teacher's label.
    """
    centered = weights_BCX.clone()
    for index in range(weights_BCX.shape[1]):
        carriers = ((candidates_BX == index) | (pseudo_BX == index)) & (candidates_BX != IGNORE)
        if carriers.any():
            centered[:, index] -= weights_BCX[:, index][carriers].mean()
    return centered


def normalised(weights_BCX: Tensor, candidates_BX: Tensor, pseudo_BX: Tensor) -> Tensor:
    """Divide by the mean magnitude over both candidate maps of the batch and clip at +-8; 0 stays 0."""
    valid = candidates_BX != IGNORE
    if not valid.any():
        return torch.zeros_like(weights_BCX)
    both = torch.cat(
        [
            weights_BCX.gather(1, torch.where(valid, candidates_BX, 0).unsqueeze(1)).squeeze(1)[valid],
            weights_BCX.gather(1, pseudo_BX.unsqueeze(1)).squeeze(1)[valid],
        ]
    )
    return (weights_BCX / both.abs().mean().clamp_min(1e-20)).clamp(-CLIP, CLIP)


class EvidenceMemory:
    """Running mean of the normalised weights, float16, one ``(C, X)`` map a case.

    Parameters
    ----------
    shapes : list of tuple of int
        Sides of the cases, px.
    classes : int
    """

    def __init__(self, shapes: list[tuple[int, ...]], classes: int) -> None:
        self._classes = classes
        self.maps: list[Tensor] = []
        self.grow(shapes)

    def grow(self, shapes: list[tuple[int, ...]]) -> None:
        """Make room for cases that follow those that are there: ``shapes`` are the sides of all."""
        new = shapes[len(self.maps) :]
        self.maps += [torch.zeros((self._classes, *shape), dtype=torch.float16) for shape in new]

    def read(self, case: int) -> Tensor:
        """Evidence of a case, float32, ``(C, X)``; 0 is no evidence."""
        return self.maps[case].float()

    def update(
        self, case: int, weights_CX: Tensor, covered_X: Tensor, rate: float, window: tuple[slice, ...] = ()
    ) -> None:
        """Move the covered pixels of a window towards new weights by ``rate``; non-finite weights change nothing."""
        usable = covered_X & torch.isfinite(weights_CX).all(0)
        place = self.maps[case][(slice(None), *window)]
        old = place.float()
        new = (1 - rate) * old + rate * torch.nan_to_num(weights_CX)
        place.copy_(torch.where(usable, new, old))
