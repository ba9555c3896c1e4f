"""Overlap of label images, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def dice_per_class(a: NDArray[np.uint8], b: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """Dice of each foreground class, shape ``(classes - 1,)``; 1 where both are empty."""
    result = np.ones(classes - 1)
    for index in range(1, classes):
        first, second = a == index, b == index
        total = int(first.sum()) + int(second.sum())
        if total:
            result[index - 1] = 2.0 * int((first & second).sum()) / total
    return result


def damaged_share(given: NDArray[np.uint8], cleaned: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Share of the pixels whose given label was right that are wrong after cleaning; 0 when none was right."""
    right = given == truth
    return float((cleaned[right] != truth[right]).mean()) if right.any() else 0.0
