"""Score maps of an image, and what is known of it before they are made.

Shape suffixes: C classes, X space axes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from src_core.train.working import enlarged

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Place = tuple[slice | int, ...]


@dataclass(frozen=True)
class Maps:
    """Score maps of one image, ``(H, W)`` or ``(Z, H, W)``, at its own size.

    Attributes
    ----------
    trust : array, float32, in [0, 1]
        Probability that the current label is right; 1 where verified, 0 where there is no label.
    alpha, beta : array, float32, in [0, 1]
        Weights of the label and of the model's own label.
    uncertainty : array, float32, in [0, 1]
        Dynamic Center Distance.
    proposed : array, uint8
        Most probable class; the verified label where there is one.
    """

    trust: NDArray[np.float32]
    alpha: NDArray[np.float32]
    beta: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    proposed: NDArray[np.uint8]

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Maps:
        """Maps to be filled part by part."""
        trust, alpha, beta, uncertainty = (np.zeros(shape, dtype=np.float32) for _ in range(4))
        return cls(trust, alpha, beta, uncertainty, np.zeros(shape, dtype=np.uint8))

    def fill(self, place: Place, rows: slice, part: Maps) -> None:
        """Write the maps of a part to its place: to some rows of a slice, or of the whole."""
        for field in fields(self):
            getattr(self, field.name)[place][rows] = getattr(part, field.name)


class Opinion(NamedTuple):
    """What is known of a case at working resolution: prior and evidence of each class, and uncertainty."""

    prior_1CX: Tensor
    evidence_1CX: Tensor
    uncertainty_11X: Tensor

    def at_size(self, size: tuple[int, ...], rows: slice) -> Opinion:
        """The same at another size, some rows (slices) of it."""
        return Opinion(*(enlarged(values, size, rows) for values in self))
