"""What a correction of labels gained, and what it broke."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from src_core.metrics.overlap import overlap_over_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Correction:
    """Labels before and after, against the truth.

    Attributes
    ----------
    dice_given, dice_proposed : float
        Mean Dice over cases and foreground classes, before and after.
    repaired : float
        Share of the wrong pixels that are right afterwards; NaN when none was wrong.
    damaged : float
        Share of the right pixels that are wrong afterwards; NaN when none was right.
    """

    dice_given: float
    dice_proposed: float
    repaired: float
    damaged: float

    def to_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def correction(
    given: Sequence[NDArray[np.uint8]],
    proposed: Sequence[NDArray[np.uint8]],
    truth: Sequence[NDArray[np.uint8]],
    classes: int,
) -> Correction:
    """Compare label images before and after a correction with the truth; shares are over the pixels of all cases."""
    before, after, true = (np.concatenate([labels.ravel() for labels in group]) for group in (given, proposed, truth))
    right = before == true
    return Correction(
        dice_given=overlap_over_cases(given, truth, classes).dice,
        dice_proposed=overlap_over_cases(proposed, truth, classes).dice,
        repaired=_share((after == true)[~right]),
        damaged=_share((after != true)[right]),
    )


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else float("nan")
