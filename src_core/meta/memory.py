"""What the meta weights have said so far about every label of every pixel.

The weights of one step are noisy, since they come from a few verified crops. The memory keeps a running mean a
pixel and class, in the case's own frame, however the crop was turned.

Shape suffixes: B batch, C classes, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

CLIP = 8.0
"""Weights are cut at this many times their mean magnitude."""


def common_mode_removed(weights_BCHW: Tensor, candidates_BHW: Tensor, pseudo_BHW: Tensor) -> Tensor:
    """Subtract, class by class, the batch mean over the pixels that carry this class as a candidate.

    The direction ``v`` mostly says that the network draws too much or too little; that moves every pixel of a
    class alike and tells nothing about one of them.

    Parameters
    ----------
    weights_BCHW : Tensor
    candidates_BHW, pseudo_BHW : Tensor, int64
        Label in question (``IGNORE`` where there is none) and the teacher's label.
    """
    centered = weights_BCHW.clone()
    for index in range(weights_BCHW.shape[1]):
        carriers = ((candidates_BHW == index) | (pseudo_BHW == index)) & (candidates_BHW != IGNORE)
        if carriers.any():
            centered[:, index] -= weights_BCHW[:, index][carriers].mean()
    return centered


def normalised(weights_BCHW: Tensor, candidates_BHW: Tensor, pseudo_BHW: Tensor) -> Tensor:
    """Divide by the mean magnitude over both candidate maps of the batch and clip at +-8; 0 stays 0."""
    valid = candidates_BHW != IGNORE
    if not valid.any():
        return torch.zeros_like(weights_BCHW)
    both = torch.cat(
        [
            weights_BCHW.gather(1, torch.where(valid, candidates_BHW, 0).unsqueeze(1)).squeeze(1)[valid],
            weights_BCHW.gather(1, pseudo_BHW.unsqueeze(1)).squeeze(1)[valid],
        ]
    )
    return (weights_BCHW / both.abs().mean().clamp_min(1e-20)).clamp(-CLIP, CLIP)


class EvidenceMemory:
    """Running mean of the normalised weights, float16, one ``(C, H, W)`` map a case.

    Parameters
    ----------
    shapes : list of (int, int)
        Height and width of the cases.
    classes : int
    """

    def __init__(self, shapes: list[tuple[int, int]], classes: int) -> None:
        self.maps = [torch.zeros((classes, *shape), dtype=torch.float16) for shape in shapes]

    def read(self, case: int) -> Tensor:
        """Evidence of a case, float32, ``(C, H, W)``; 0 is no evidence."""
        return self.maps[case].float()

    def update(self, case: int, weights_CHW: Tensor, covered_HW: Tensor, rate: float) -> None:
        """Move the covered pixels towards new weights by ``rate``; non-finite weights change nothing."""
        usable = covered_HW & torch.isfinite(weights_CHW).all(0)
        old = self.maps[case].float()
        new = (1 - rate) * old + rate * torch.nan_to_num(weights_CHW)
        self.maps[case] = torch.where(usable, new, old).half()
