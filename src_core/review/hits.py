"""How much of a suspect region is really wrong, as far as the decisions so far tell.

Trust says what share m of a region's pixels is expected to be wrong. Regions are reviewed in the order of their score,
so those that wait are smaller and less doubted than those that were decided, and the hit rate of the decided ones must
not be carried over to them. Instead a line is fitted::

    logit m = logit(1 - trust) + a + b (logit(1 - trust) - x0) + c (log pixels - l0)

a, b and c are 0 where trust means what it says. They are drawn there by normal priors (``SPREAD``), so that with few
decisions the estimate is the calibrated expectation, and with many it is what was found. The share that is wrong in one
region follows a beta distribution of mean m and concentration k: pixels of a region are wrong together (small k) or
apart. Whoever accepts a proposal as a whole tells only that more than half of it is right; how much more is known where
a region was painted or a whole image verified. k is not known either and takes part in the uncertainty.

The posterior is sampled: a Laplace approximation for each of a few k, corrected by importance weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, expit, logit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SPREAD = (0.8, 0.5, 0.5)
"""Standard deviations of a, b and c before anything was decided: how far trust may be off. At 0.8 the odds of a label
to be wrong may be 3.7 times what trust says, or that part of it, in nine projects of ten."""

CONCENTRATIONS = (0.3, 1.0, 3.0, 10.0)
WEIGHT = 0.5
"""Of a finding: regions of one image are wrong together, and the line is only nearly right, so each counts half."""

ALONE = 0.1
"""Concentration by which the regions that wait vary around their mean: nearly all or nothing. Small regions vary more
than the large ones that were decided first, so what those tell of k is not carried over."""

CERTAIN = 0.02
"""Trust is never nearer to 0 or 1 than this when it is turned into log-odds."""

EDGES = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Shares of wrong pixels that are told apart where the share is known."""

KEPT, ACCEPTED = len(EDGES) - 1, len(EDGES)
"""Kinds of findings after the classes of known shares: kept and accepted as a whole."""

KINDS = len(EDGES) + 1
PROPOSALS, DRAWS = 250, 1000
"""Proposed draws of each concentration, and those that are kept of all."""

_TAIL = 5  # degrees of freedom of the proposal: its tails are longer than those of the posterior
_GRID = np.linspace(-16, 16, 641)
_STEP = _GRID[1] - _GRID[0]


def log_odds_of_error(trust: NDArray[np.floating]) -> Floats:
    """Log-odds of ``1 - trust``, kept away from certainty."""
    odds: Floats = logit(np.clip(1 - np.asarray(trust, dtype=np.float64), CERTAIN, 1 - CERTAIN))
    return odds


def kind_of(share: float | None, *, accepted: bool) -> int:
    """Which kind of finding a decided region is.

    Parameters
    ----------
    share : float or None
        Of its pixels that were wrong, in [0, 1]; None when it was only accepted or kept as a whole.
    accepted : bool
        Used when the share is not known.
    """
    if share is None:
        return ACCEPTED if accepted else KEPT
    return int(np.searchsorted(EDGES[1:-1], share, side="left"))


def _tables() -> tuple[Floats, Floats]:
    """Log-likelihood of each kind of finding and its Fisher information, by concentration and logit m.

    Returns
    -------
    log_chance, information : array, (concentrations, kinds, grid)
        The information of a kind is its part of that of its sort: known shares, or decisions on the whole.
    """
    m = expit(_GRID)
    chances = []
    for k in CONCENTRATIONS:
        below = np.array([betainc(m * k, (1 - m) * k, edge) for edge in EDGES])
        kept, accepted = betainc(m * k, (1 - m) * k, 0.5), betainc((1 - m) * k, m * k, 0.5)
        chances.append([*np.diff(below, axis=0), kept, accepted])
    chance = np.clip(np.array(chances), 1e-12, 1.0)
    log_chance = np.log(chance)
    parts = chance * np.gradient(log_chance, _STEP, axis=2) ** 2
    known, whole = (part.sum(axis=1, keepdims=True) for part in (parts[:, :KEPT], parts[:, KEPT:]))
    return log_chance, np.concatenate([known.repeat(KEPT, axis=1), whole.repeat(KINDS - KEPT, axis=1)], axis=1)


_LOG_CHANCE, _INFORMATION = _tables()


@dataclass(frozen=True)
class Cells:
    """Regions that are much alike, as one row.

    Attributes
    ----------
    odds : array, float, (N,)
        Mean log-odds of error that trust says.
    size : array, float, (N,)
        Mean natural logarithm of the pixels.
    counts : array, float, (N, KINDS)
        Findings of each kind among decided regions.
    pixels, squares : array, float, (N,)
        Sum of the pixels, and of their squares, that nobody vouches for yet.
    """

    odds: Floats
    size: Floats
    counts: Floats
    pixels: Floats
    squares: Floats


def cells_of(odds: Floats, size: Floats, kind: NDArray[np.integer], left: Floats) -> Cells:
    """Gather regions in cells of 0.3 of log-odds and 0.5 of log pixels.

    Parameters
    ----------
    odds, size : array, float, (N,)
        As in :class:`Cells`, a region each.
    kind : array, int, (N,)
        Finding in a decided region, -1 in one that is not decided.
    left : array, float, (N,)
        Pixels that nobody vouches for.
    """
    place = np.round(odds / 0.3).astype(np.int64) * 1000 + np.round(size / 0.5).astype(np.int64)
    _, cell = np.unique(place, return_inverse=True)
    many = int(cell.max()) + 1 if len(cell) else 0
    members = np.bincount(cell, minlength=many)
    decided = kind >= 0
    counts = np.bincount(cell[decided] * KINDS + kind[decided], minlength=many * KINDS).reshape(many, KINDS)
    return Cells(
        odds=np.bincount(cell, odds, many) / members,
        size=np.bincount(cell, size, many) / members,
        counts=counts.astype(np.float64),
        pixels=np.bincount(cell, left, many).astype(np.float64),
        squares=np.bincount(cell, left**2, many).astype(np.float64),
    )


class HitModel:
    """The line through the findings of a review.

    Parameters
    ----------
    cells : Cells
        Of all regions, decided or not.
    rng : Generator
    """

    def __init__(self, cells: Cells, rng: np.random.Generator) -> None:
        self._cells = cells
        self._rng = rng
        middle = [float(values.mean()) if len(values) else 0.0 for values in (cells.odds, cells.size)]
        ones = np.ones_like(cells.odds)
        self._design = np.stack([ones, cells.odds - middle[0], cells.size - middle[1]], axis=1)
        found = cells.counts.sum(axis=1) > 0
        self._counts, self._found_odds = WEIGHT * cells.counts[found], cells.odds[found]
        self._found_design = self._design[found]
        self._prior = 1 / np.square(SPREAD)

    def shifts(self) -> Floats:
        """Draws of a, b and c from the posterior, ``(S, 3)``; from the prior when nothing was found yet."""
        parts = [self._sample(index) for index in range(len(CONCENTRATIONS))]
        shifts, logs = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        weights = np.exp(logs - logs.max())
        chosen = self._rng.choice(len(weights), DRAWS, p=weights / weights.sum())
        return shifts[chosen]

    def wrong_left(self) -> Floats:
        """Draws of the wrong pixels in regions that nobody vouches for, px, ``(S,)``."""
        pixels, squares = self._cells.pixels, self._cells.squares
        open_ = pixels > 0
        total = float(pixels.sum())
        if total == 0:
            return np.zeros(DRAWS)
        mean = expit(self._cells.odds[open_] + self.shifts() @ self._design[open_].T)
        expected = mean @ pixels[open_]
        variance = (mean * (1 - mean)) @ squares[open_] / (ALONE + 1)
        return _between(expected, variance, total, self._rng)

    def _sample(self, index: int) -> tuple[Floats, Floats]:
        """Draws with one concentration and their log weights, by a Laplace approximation with long tails."""
        table = self._counts @ _LOG_CHANCE[index]  # log-likelihood of each cell over the grid
        mode, precision = self._mode(table, self._counts @ _INFORMATION[index])
        root = np.linalg.cholesky(np.linalg.inv(precision))
        normal = self._rng.standard_normal((PROPOSALS, 3))
        standard = normal * np.sqrt(_TAIL / self._rng.chisquare(_TAIL, (PROPOSALS, 1)))
        shifts = mode + standard @ root.T
        proposal = -(_TAIL + 3) / 2 * np.log1p((standard**2).sum(axis=1) / _TAIL) - np.log(np.diag(root)).sum()
        return shifts, self._log_posterior(table, shifts) - proposal

    def _mode(self, table: Floats, information: Floats) -> tuple[Floats, Floats]:
        """The most probable a, b, c, and the curvature there, by Fisher scoring with halved steps."""
        design = self._found_design
        slope: Floats = np.gradient(table, _STEP, axis=1)
        shift: Floats = np.zeros(3)
        value = self._log_posterior(table, shift[None])[0]
        for _ in range(25):
            at = self._at(shift[None])
            precision = (design * _look(information, at).T).T @ design + np.diag(self._prior)
            step = np.linalg.solve(precision, design.T @ _look(slope, at)[0] - self._prior * shift)
            for halving in range(12):
                tried = shift + step / 2**halving
                better = self._log_posterior(table, tried[None])[0]
                if better >= value:
                    break
            gain = better - value
            shift, value = tried, better
            if gain < 1e-6:
                break
        return shift, precision

    def _at(self, shifts: Floats) -> Floats:
        at: Floats = self._found_odds + shifts @ self._found_design.T
        return at

    def _log_posterior(self, table: Floats, shifts: Floats) -> Floats:
        """Up to a constant that does not depend on the concentration, ``(S,)``."""
        total: Floats = _look(table, self._at(shifts)).sum(axis=1) - 0.5 * (self._prior * shifts**2).sum(axis=1)
        return total


def _look(tables: Floats, at: Floats) -> Floats:
    """Read one table over the grid for each column of ``at``, linearly between its points, ``(S, N)``."""
    place = np.clip((at - _GRID[0]) / _STEP, 0, len(_GRID) - 1.001)
    low = place.astype(np.intp)
    part = place - low
    low += np.arange(len(tables)) * len(_GRID)
    flat = tables.ravel()
    first = flat.take(low)
    values: Floats = first + (flat.take(low + 1) - first) * part
    return values


def _between(mean: Floats, variance: Floats, most: float, rng: np.random.Generator) -> Floats:
    """Draws between 0 and ``most`` with these moments: a stretched beta distribution."""
    share = np.clip(mean / most, 1e-9, 1 - 1e-9)
    together = np.maximum(most**2 * share * (1 - share) / np.maximum(variance, 1e-9) - 1, 1e-3)
    draws: Floats = most * rng.beta(share * together, (1 - share) * together)
    return draws
