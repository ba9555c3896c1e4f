"""Cross-entropy of every pixel, kept apart until it has its weight.

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


def pixel_cross_entropy(logits_BCX: Tensor, labels_BX: Tensor) -> Tensor:
    """Cross-entropy ``-log softmax(z)[label]`` of each pixel, >= 0.

    Parameters
    ----------
    logits_BCX : Tensor, float
    labels_BX : Tensor, int64
        Class index, or ``IGNORE`` where there is none.

    Returns
    -------
    Tensor, float, (B, X)
        0 where the label is ``IGNORE``.
    """
    return functional.cross_entropy(logits_BCX, labels_BX, reduction="none", ignore_index=IGNORE)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Sum of weights times values over the sum of weights; 0 when no weight is positive."""
    total = weights.sum()
    return (values * weights).sum() / total.clamp_min(1e-8)


def one_hot(labels_BX: Tensor, classes: int) -> Tensor:
    """Labels as ``(B, C, X)`` of 0 and 1; all 0 where there is no label."""
    labelled = labels_BX != IGNORE
    hot = functional.one_hot(torch.where(labelled, labels_BX, 0), classes).movedim(-1, 1).float()
    return hot * labelled.unsqueeze(1)
