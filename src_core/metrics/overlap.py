"""Overlap of label images, class by class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def _counts(
    a: NDArray[np.uint8], b: NDArray[np.uint8], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each class in ``a``, in ``b`` and in both, shape ``(classes,)``."""
    in_a, in_b = (np.bincount(labels.ravel(), minlength=classes)[:classes] for labels in (a, b))
    return in_a, in_b, np.bincount(a[a == b], minlength=classes)[:classes]


def dice_per_class(a: NDArray[np.uint8], b: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """Dice of each foreground class, shape ``(classes - 1,)``; 1 where both are empty."""
    in_a, in_b, both = _counts(a, b, classes)
    total = in_a + in_b
    return np.where(total > 0, 2.0 * both / np.maximum(total, 1), 1.0)[1:]


def iou_per_class(a: NDArray[np.uint8], b: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """Intersection over union of each class, background included, shape ``(classes,)``; 1 where both are empty."""
    in_a, in_b, both = _counts(a, b, classes)
    union = in_a + in_b - both
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)


@dataclass(frozen=True)
class Overlap:
    """Agreement of predictions with the truth over many cases.

    Attributes
    ----------
    dice, iou : float
        Mean over cases and foreground classes, in [0, 1].
    dice_spread : float
        Standard deviation over the cases of the mean over foreground classes.
    iou_with_background : float
        The mean IoU when background counts as a class.
    both_empty : int
        Cases and foreground classes that are empty in both, and count as 1.
    cases : int
    """

    dice: float
    dice_spread: float
    iou: float
    iou_with_background: float
    both_empty: int
    cases: int

    def to_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def overlap_over_cases(
    predicted: Sequence[NDArray[np.uint8]], truth: Sequence[NDArray[np.uint8]], classes: int
) -> Overlap:
    """Dice and IoU of label images, or volumes, of the same shape in pairs.

    Parameters
    ----------
    predicted, truth : sequence of array, uint8
        Class indices below ``classes``; at least one case.
    classes : int
        Background included.
    """
    pairs = list(zip(predicted, truth, strict=True))
    dice = np.array([dice_per_class(p, t, classes) for p, t in pairs])
    iou = np.array([iou_per_class(p, t, classes) for p, t in pairs])
    empty = sum(not ((p == index).any() or (t == index).any()) for p, t in pairs for index in range(1, classes))
    return Overlap(
        dice=float(dice.mean()),
        dice_spread=float(dice.mean(axis=1).std()),
        iou=float(iou[:, 1:].mean()),
        iou_with_background=float(iou.mean()),
        both_empty=empty,
        cases=len(pairs),
    )
