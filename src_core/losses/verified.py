"""The loss on verified pixels: cross-entropy, and Dice where an image shows enough of a class.

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_core.losses.dice import soft_dice_loss
from src_core.losses.pixel import one_hot, pixel_cross_entropy, weighted_mean

if TYPE_CHECKING:
    from torch import Tensor

MIN_CLASS_PIXELS = 64
"""Dice of a class counts in an image with this many verified pixels of it, and as many of others."""


def verified_loss(logits_BCX: Tensor, labels_BX: Tensor, weights_BX: Tensor, *, dice_weight: float = 0.0) -> Tensor:
    """Weighted mean of the cross-entropy, plus ``dice_weight`` times the Dice loss, over verified pixels.

    Parameters
    ----------
    logits_BCX : Tensor, float
    labels_BX : Tensor, int64
        Verified labels; ``IGNORE`` only where the weight is 0.
    weights_BX : Tensor, float, >= 0
        0 where nothing is verified: such pixels have no influence at all.
    dice_weight : float
        lambda_md.
    """
    loss = weighted_mean(pixel_cross_entropy(logits_BCX, labels_BX), weights_BX)
    if not dice_weight:
        return loss
    verified_BX = (weights_BX > 0).to(logits_BCX.dtype)
    target_BCX = one_hot(labels_BX, logits_BCX.shape[1])
    own_BC = (target_BCX * verified_BX.unsqueeze(1)).flatten(2).sum(2)
    others_BC = own_BC.sum(1, keepdim=True) - own_BC
    counted_BC = (own_BC >= MIN_CLASS_PIXELS) & (others_BC >= MIN_CLASS_PIXELS)
    return loss + dice_weight * soft_dice_loss(logits_BCX.softmax(1), target_BCX, verified_BX, counted_BC)
