"""When the network has learned what the masks have in common and starts to learn their errors.

Early in training the agreement of the teacher with the given labels rises steeply, then flattens: what is learned
from there on is more and more the errors themselves. The curve is fitted with ``a (1 - exp(-x^b / c))``, and the
warm-up ends where its slope has fallen by nine tenths (after ADELE, Liu et al. 2022; the curve there is of training
IoU).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_POINTS = 4
DROP = 0.9


def rise(x: NDArray[np.float64], a: float, b: float, c: float) -> NDArray[np.float64]:
    """The curve of early learning: 0 at 0, ``a`` in the long run."""
    values: NDArray[np.float64] = a * (1 - np.exp(-(x**b) / c))
    return values


def has_flattened(agreement: Sequence[float], *, drop: float = DROP) -> bool:
    """True when the curve's slope at its last point has fallen by ``drop`` from its slope at the first.

    Parameters
    ----------
    agreement : sequence of float, in [0, 1]
        Overlap of the teacher's labels with the given ones after each epoch.
    drop : float
        In (0, 1).

    Returns
    -------
    bool
        False with fewer than 4 points, or when the curve cannot be fitted.
    """
    if len(agreement) < MIN_POINTS:
        return False
    x = np.arange(1, len(agreement) + 1, dtype=np.float64)
    bounds = ([0.0, 0.1, 0.01], [1.0, 5.0, 1000.0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            fitted, _ = curve_fit(rise, x, np.asarray(agreement), p0=(0.8, 1.0, 1.0), bounds=bounds, maxfev=2000)
    except RuntimeError:  # no convergence: not the shape of a learning curve
        return False
    slopes = [_slope(at, *fitted) for at in (x[0], x[-1])]
    return bool(slopes[1] <= (1 - drop) * slopes[0])


def _slope(x: float, a: float, b: float, c: float) -> float:
    return float(a * b / c * x ** (b - 1) * np.exp(-(x**b) / c))
