"""How many pixels are wrong where no region asks: labels that are trusted, and doubted spots too small for a region.

Trust says how many to expect. What is found in regions tells nothing about them: regions are where trust is low. So
their expectation is multiplied by a factor that nobody knows until whole images are verified after they were scored.
Before, its logarithm is normal around 0 (``SPREAD``); each image that was verified whole tells how many wrong pixels
were there for one that was expected. Images differ: their counts follow a negative binomial distribution, whose
concentration is not known either, of clumps of pixels (wrong pixels do not come one by one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SPREAD = {"doubted": 0.5, "trusted": 0.8}
"""Standard deviation of the logarithm of the factor: 0.8 is a factor of 3.7 either way in nine projects of ten."""

DRAWS = 4000

CLUMP = 20.0
"""Pixels that are wrong together, px: the size below which a region is not put forward."""

_FACTORS = np.linspace(-4, 4, 161)
_ALIKE = np.array([0.5, 1.0, 2.0, 5.0, 20.0])
"""Concentrations of the images around their common factor, equally probable before anything is known."""


def wrong_left(
    expected: Floats,
    most: float,
    checked: Floats,
    found: Floats,
    spread: float,
    rng: np.random.Generator,
) -> Floats:
    """Draws of the wrong pixels that are left, px, ``(S,)``.

    Parameters
    ----------
    expected : array, float, (N,)
        Expected wrong pixels of each image that is not verified, px.
    most : float
        How many pixels there are in these, px.
    checked, found : array, float, (K,)
        Expected and found wrong pixels of each image that was verified whole after it was scored, px.
    spread : float
        Of :data:`SPREAD`.
    rng : Generator
    """
    total = float(expected.sum())
    if total <= 0 or most <= 0:
        return np.zeros(DRAWS)
    factor, alike = _posterior(checked, found, spread, rng)
    mean = total * factor
    variance = CLUMP * mean + factor**2 * float((expected**2).sum()) / alike
    shape = mean**2 / np.maximum(variance, 1e-9)
    return np.minimum(rng.gamma(shape, mean / shape), most)


def _posterior(checked: Floats, found: Floats, spread: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of the factor and of the concentration, by their joint distribution on a grid."""
    factor, alike = np.exp(_FACTORS)[:, None, None], _ALIKE[None, :, None]
    mean = np.maximum(factor * checked / CLUMP, 1e-9)
    clumps = found / CLUMP
    chance = (
        gammaln(clumps + alike)
        - gammaln(alike)
        - gammaln(clumps + 1)
        + alike * np.log(alike / (alike + mean))
        + clumps * np.log(mean / (alike + mean))
    ).sum(axis=2)
    logs = chance - 0.5 * (_FACTORS[:, None] / spread) ** 2
    weights = np.exp(logs - logs.max()).ravel()
    chosen = rng.choice(len(weights), DRAWS, p=weights / weights.sum())
    jitter = rng.uniform(-0.5, 0.5, DRAWS) * (_FACTORS[1] - _FACTORS[0])
    row, column = np.divmod(chosen, len(_ALIKE))
    return np.exp(_FACTORS[row] + jitter), _ALIKE[column]
