"""How much the evidence may say, and what trust means in numbers: earned on verified pixels.

Verified pixels whose given label is known are examples of right and wrong given labels. A logistic regression of
*right* on the teacher's log odds and on the difference of evidence is fitted on half of the images and tried on the
other half, both ways.
Only when the evidence improves the held-out log-loss does it get a scale: the ratio of the two coefficients.

Trust is calibrated in the same way: a straight line through its log-odds (Platt scaling), so that of the labels with a
trust of 0.8 four in five are right. The order of pixels stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_PIXELS = 2000
MIN_WRONG = 200
MAX_SCALE = 2.0
CERTAIN = 1e-4
"""Trust is never nearer to 0 or 1 than this when it is turned into log-odds."""


@dataclass(frozen=True)
class Examples:
    """Verified pixels of several images.

    Attributes
    ----------
    log_odds : array, float, (N,)
        ``log p(y) - log p(best other label)`` of the teacher.
    evidence : array, float, (N,)
        Evidence of y minus that of the best other label.
    right : array, bool, (N,)
        True where the given label was right.
    image : array, int, (N,)
        Which image a pixel is of.
    """

    log_odds: NDArray[np.floating]
    evidence: NDArray[np.floating]
    right: NDArray[np.bool_]
    image: NDArray[np.integer]

    @classmethod
    def joined(cls, parts: list[Examples]) -> Examples | None:
        """All parts as one; None when there are none."""
        if not parts:
            return None
        fields = ("log_odds", "evidence", "right", "image")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def earned_scale(examples: Examples) -> float | None:
    """Scale s_A of the evidence in [0, 2]; 0 when it does not help; None when there are too few examples.

    At least 2,000 verified pixels, 200 of them with a wrong given label, of two images or more, both halves
    holding right and wrong ones, are needed.
    """
    halves = _halves(examples.right, examples.image)
    if halves is None:
        return None
    features = np.column_stack([examples.log_odds, examples.evidence])
    if _held_out_loss(features, examples.right, halves) >= _held_out_loss(features[:, :1], examples.right, halves):
        return 0.0
    prior, evidence = LogisticRegression().fit(features, examples.right).coef_[0]
    return float(np.clip(evidence / prior, 0, MAX_SCALE)) if prior > 0 else 0.0


@dataclass(frozen=True)
class TrustScale:
    """A line through the log-odds of trust that makes it the share of labels that are right.

    Attributes
    ----------
    slope : float
        > 0, so that the order of pixels stays.
    intercept : float
    """

    slope: float
    intercept: float

    def __call__(self, trust: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated trust in [0, 1], float32; 0 and 1 stay near 0 and 1."""
        calibrated: NDArray[np.float32] = expit(self.slope * _log_odds(trust) + self.intercept).astype(np.float32)
        return calibrated


def _log_odds(trust: NDArray[np.floating]) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = logit(np.clip(np.asarray(trust, dtype=np.float64), CERTAIN, 1 - CERTAIN))
    return odds


def earned_trust_scale(
    trust: NDArray[np.floating], right: NDArray[np.bool_], image: NDArray[np.integer]
) -> TrustScale | None:
    """Calibrate trust on held-out verified pixels.

    Parameters
    ----------
    trust : array, float, (N,), in [0, 1]
        Of the given label, by networks that have not learned the verified one.
    right : array, bool, (N,)
        True where the given label was right.
    image : array, int, (N,)
        Which image a pixel is of.

    Returns
    -------
    TrustScale or None
        None when there are too few examples (as for :func:`earned_scale`), or when calibrating on one half of the
        images does not lower the log-loss of the other.
    """
    halves = _halves(right, image)
    if halves is None:
        return None
    odds = _log_odds(trust)
    as_it_is = sum(log_loss(right[half], expit(odds[half])) for half in halves)
    if _held_out_loss(odds[:, None], right, halves) >= as_it_is:
        return None
    model = LogisticRegression().fit(odds[:, None], right)
    slope = float(model.coef_[0, 0])
    return TrustScale(slope, float(model.intercept_[0])) if slope > 0 else None


def _halves(right: NDArray[np.bool_], image: NDArray[np.integer]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Pixels of every other image, and the rest; None when there are too few, or a half is all right or all wrong."""
    images = np.unique(image)
    if len(right) < MIN_PIXELS or int((~right).sum()) < MIN_WRONG or len(images) < 2:
        return None
    first = np.isin(image, images[::2])
    if any(len(np.unique(right[half])) < 2 for half in (first, ~first)):
        return None
    return first, ~first


def _held_out_loss(
    features: NDArray[np.float64], right: NDArray[np.bool_], halves: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> float:
    """Log-loss of a regression fitted on one half and tried on the other, both ways."""
    loss = 0.0
    for fit, test in (halves, halves[::-1]):
        model = LogisticRegression().fit(features[fit], right[fit])
        loss += log_loss(right[test], model.predict_proba(features[test])[:, 1])
    return loss
