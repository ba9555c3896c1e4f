"""What a decision on a region is worth, learned from the answers so far.

A region is worth the wrong pixels that one decision settles: its pixels times the share m of them that is wrong. Trust
says what m is to be expected; answers tell where it errs, such as that small regions, or those where the model would
take label away, are mostly right in these images. So a line is fitted to them, as in :mod:`src_core.review.hits`::

    logit m = logit(1 - trust) + a + b logit(1 - trust) + c log(pixels / 100) + d_pair

with a coefficient d for each pair of label and proposal. All are 0 without answers, and normal priors draw them there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from src_core.review.hits import CERTAIN, SPREAD, WEIGHT, log_odds_of_error
from src_core.store.journal import Action

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from src_core.data.scores import Region
    from src_core.store.journal import Record

    Floats = NDArray[np.float64]

FOUND = "found"
"""Among the scores of a row that confirms what was painted: share of the region's pixels that have another label."""

LEAST = 20
"""Fewer answers teach nothing, and after so many more it is learned anew."""

PAIR_SPREAD = 1.0
TYPICAL = 100.0
"""Pixels of a region at which its size says nothing, px."""

STEPS = 50


def share_found(record: Record) -> float | None:
    """Share of a region's pixels that a decision found to be wrong, in [0, 1]; None where it does not tell."""
    if record.action == Action.ACCEPT:
        return 1.0
    if record.action == Action.KEEP:
        return 0.0
    found = record.scores.get(FOUND) if record.action == Action.CONFIRM else None
    return float(found) if isinstance(found, (int, float)) else None


class Worth:
    """Expected wrong pixels of regions, by what was found in some of them.

    Parameters
    ----------
    regions : sequence of Region
        Those without labels are worth nothing here.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self._ids = [region.id for region in regions]
        self._place = {region_id: place for place, region_id in enumerate(self._ids)}
        self._labelled = np.array([region.labelled for region in regions], dtype=bool)
        self._pixels = np.array([region.pixels for region in regions], dtype=np.float64)
        self._expected = log_odds_of_error(np.array([region.trust for region in regions], dtype=np.float64))
        pairs = np.array([256 * region.given + region.proposed for region in regions], dtype=np.int64)
        kinds = np.unique(pairs)
        columns = [np.ones_like(self._pixels), self._expected, np.log(np.maximum(self._pixels, 1) / TYPICAL)]
        self._features = np.column_stack([*columns, *(pairs == pair for pair in kinds)]).astype(np.float64)
        self._precision = 1 / np.array([*SPREAD, *(PAIR_SPREAD,) * len(kinds)]) ** 2

    def learned(self, answers: Mapping[str, float]) -> dict[str, float]:
        """Expected wrong pixels of every region.

        Parameters
        ----------
        answers : mapping of region id to float
            Share of its pixels that was found to be wrong, in [0, 1]; of other regions is taken no notice.
        """
        known = [(self._place[key], share) for key, share in answers.items() if key in self._place]
        known = [(place, share) for place, share in known if self._labelled[place]]
        shift = np.zeros(len(self._ids))
        if len(known) >= LEAST:
            places = np.array([place for place, _ in known])
            shares = np.clip([share for _, share in known], CERTAIN, 1 - CERTAIN)
            shift = self._features @ self._fitted(self._features[places], self._expected[places], shares)
        worth = np.where(self._labelled, self._pixels * expit(self._expected + shift), 0.0)
        return dict(zip(self._ids, worth.tolist(), strict=True))

    def _fitted(self, features: Floats, offset: Floats, shares: Floats) -> Floats:
        """Coefficients of the highest posterior, by Newton's steps; each answer counts ``WEIGHT``."""
        found = np.zeros(features.shape[1])
        for _ in range(STEPS):
            mean = expit(offset + features @ found)
            slope = features.T @ (WEIGHT * (shares - mean)) - self._precision * found
            curve = (features.T * (WEIGHT * mean * (1 - mean))) @ features + np.diag(self._precision)
            step = np.linalg.solve(curve, slope)
            found += step / max(1.0, float(np.abs(step).max()))  # never far at once, where the line is steep
            if np.abs(step).max() < 1e-8:
                break
        return found
