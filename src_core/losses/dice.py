"""Soft Dice against soft targets, with a weight for every pixel.

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import torch

MIN_PIXELS = 8.0
"""A class counts in an image when target or prediction hold more than this many (weighted) pixels of it."""


def soft_dice_loss(
    probabilities_BCX: torch.Tensor,
    target_BCX: torch.Tensor,
    weights_BX: torch.Tensor,
    counted_BC: torch.Tensor | None = None,
) -> torch.Tensor:
    """One minus soft Dice, averaged over the classes present in an image, then over images.

    MONAI's Dice losses have no weight a pixel together with skipping of absent classes, hence this one.

    Parameters
    ----------
    probabilities_BCX, target_BCX : Tensor, float, in [0, 1]
        Softmax of the network; soft target (rows sum to 1 where there is one).
    weights_BX : Tensor, float, >= 0
        0 leaves a pixel out of numerator and denominator.
    counted_BC : Tensor, bool, optional
        False leaves a class of an image out.

    Returns
    -------
    Tensor, scalar in [0, 1]
        0 when no class is present anywhere.
    """
    weights_B1X = weights_BX.unsqueeze(1)
    overlap_BC = (weights_B1X * probabilities_BCX * target_BCX).flatten(2).sum(2)
    predicted_BC = (weights_B1X * probabilities_BCX).flatten(2).sum(2)
    wanted_BC = (weights_B1X * target_BCX).flatten(2).sum(2)
    dice_BC = (2 * overlap_BC + 1e-5) / (predicted_BC + wanted_BC + 1e-5)
    present_BC = (torch.maximum(predicted_BC, wanted_BC) > MIN_PIXELS).to(dice_BC.dtype).detach()
    if counted_BC is not None:
        present_BC = present_BC * counted_BC
    per_image_B = ((1 - dice_BC) * present_BC).sum(1) / present_BC.sum(1).clamp_min(1)
    counted = (present_BC.sum(1) > 0).to(per_image_B.dtype)
    return (per_image_B * counted).sum() / counted.sum().clamp_min(1)
