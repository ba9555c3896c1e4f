"""How far two scores of the same things agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_RANKED = 3
"""Fewer things than this have no order worth comparing."""


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation in [-1, 1], ties by their mean rank.

    None for fewer than three things, or when all of them are equal in one of the scores.
    """
    if len(first) < MIN_RANKED or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(spearmanr(first, second).statistic)


def shared_at_top(first: Sequence[str], second: Sequence[str], count: int) -> int:
    """How many of the first ``count`` of one order are among the first ``count`` of the other."""
    return len(set(first[:count]) & set(second[:count]))


@dataclass
class TwoByTwo:
    """Counts of what two judges say of the same pixels, yes or no.

    Attributes
    ----------
    both, first, second, neither : int
        Pixels that both, only the first, only the second, or neither of them says yes to.
    """

    both: int = 0
    first: int = 0
    second: int = 0
    neither: int = 0

    def add(self, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> None:
        """Count more pixels."""
        both = int(np.count_nonzero(first & second))
        one, other = int(np.count_nonzero(first)) - both, int(np.count_nonzero(second)) - both
        self.both, self.first, self.second = self.both + both, self.first + one, self.second + other
        self.neither += first.size - both - one - other

    @property
    def total(self) -> int:
        """All pixels."""
        return self.both + self.first + self.second + self.neither

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa in [-1, 1]: agreement beyond chance; None when chance alone makes it complete."""
        n = self.total
        yes = (self.both + self.first) * (self.both + self.second)
        no = (self.neither + self.first) * (self.neither + self.second)
        if n * n == yes + no:
            return None
        return (n * (self.both + self.neither) - yes - no) / (n * n - yes - no)
