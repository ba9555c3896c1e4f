"""Whether a probability means what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def expected_calibration_error(
    probability: NDArray[np.floating], outcome: NDArray[np.bool_], *, bins: int = 15
) -> float:
    """Mean distance between stated probability and observed frequency, in [0, 1]; NaN without pixels.

    Bins of equal width, each counted by its pixels (Naeini et al. 2015; Guo et al. 2017).

    Parameters
    ----------
    probability : array, any shape, in [0, 1]
    outcome : array, bool, of that shape
        What happened.
    bins : int
    """
    if not probability.size:
        return float("nan")
    stated = probability.ravel().astype(np.float64)
    index = np.minimum((stated * bins).astype(np.intp), bins - 1)
    difference = np.bincount(index, weights=stated - outcome.ravel(), minlength=bins)
    return float(np.abs(difference).sum() / stated.size)
