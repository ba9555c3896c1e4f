"""One offset a given mask: how much more or less of each class its author draws than the network sees.

Whoever draws too much or too little of an object is wrong all along its boundary, and always in the same direction.
Adding one number a class to the logits of an image moves the boundary that the network predicts outwards or inwards.
With the number that fits the given mask best, the loss asks the network for the place and the shape that the mask
shows, and no longer for its size; the size comes from the verified pixels, which get no offset. This is ours, not the
paper's; annotator models (a confusion matrix for each annotator) are its relatives.

Shape suffixes: B batch, C classes, X any number of space axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from src_core.losses.pixel import one_hot

if TYPE_CHECKING:
    from torch import Tensor

ITERATIONS = 8
LARGEST_STEP = 1.0
LARGEST = 3.0
"""Bounds of a Newton step and of an offset, in log-odds."""


@torch.no_grad()
def fitted_offsets(logits_BCX: Tensor, labels_BX: Tensor, weights_BX: Tensor, *, ridge: float) -> Tensor:
    """Offsets of the logits that fit the labels of each image best.

    They minimise the mean cross-entropy over an image plus ``ridge / 2`` times their sum of squares, by Newton's
    method. As they are at their best, the gradient of the loss with offsets needs no derivative through them.

    Parameters
    ----------
    logits_BCX : Tensor, float
    labels_BX : Tensor, int64
        ``IGNORE`` only where the weight is 0.
    weights_BX : Tensor, float, >= 0
        0 leaves a pixel out; an image without any gets offsets of 0.
    ridge : float
        > 0. Larger values believe the size of the masks more.

    Returns
    -------
    Tensor, float, (B, C)
        Within [-3, 3]; sums to 0 over the classes of an image, unless it was bounded.
    """
    classes = logits_BCX.shape[1]
    weights_B1N = weights_BX.flatten(1).unsqueeze(1)
    weights_B1N = weights_B1N / weights_B1N.sum(2, keepdim=True).clamp_min(1e-6)
    wanted_BC = (one_hot(labels_BX, classes).flatten(2) * weights_B1N).sum(2)
    logits_BCN = logits_BCX.flatten(2)
    offsets_BC = torch.zeros_like(wanted_BC)
    for _ in range(ITERATIONS):
        share_BCN = (logits_BCN + offsets_BC.unsqueeze(2)).softmax(1)
        weighted_BCN = share_BCN * weights_B1N
        found_BC = weighted_BCN.sum(2)
        curvature_BCC = torch.diag_embed(found_BC + ridge) - weighted_BCN @ share_BCN.transpose(1, 2)
        slope_BC = found_BC - wanted_BC + ridge * offsets_BC
        step_BC = torch.linalg.solve(curvature_BCC, slope_BC)
        offsets_BC = (offsets_BC - step_BC.clamp(-LARGEST_STEP, LARGEST_STEP)).clamp(-LARGEST, LARGEST)
    return offsets_BC


def with_offsets(logits_BCX: Tensor, offsets_BC: Tensor, where_BX: Tensor) -> Tensor:
    """Logits with the offsets of their image added where a mask is true, ``(B, C, X)``."""
    shape = (*offsets_BC.shape, *[1] * (logits_BCX.ndim - 2))
    return logits_BCX + offsets_BC.view(shape) * where_BX.unsqueeze(1)
