"""How large the structures of a mask are. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def edges_of(label: NDArray[np.uint8]) -> list[float]:
    """Edges of squares (cubes) as large as the structures of a mask, specks of under 9 px left out, px."""
    found: list[float] = []
    for index in set(np.unique(label).tolist()) - {0, IGNORE}:
        numbers, count = ndimage.label(label == index)
        if count:
            sizes = np.bincount(numbers.ravel())[1:]
            found += (sizes[sizes >= 9] ** (1 / label.ndim)).tolist()
    return found
