"""How much the evidence may say: earned on verified pixels whose given label is known.

Such pixels are examples of right and wrong given labels. A logistic regression of *right* on the teacher's log
odds and on the difference of evidence is fitted on half of the images and tried on the other half, both ways.
Only when the evidence improves the held-out log-loss does it get a scale: the ratio of the two coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_PIXELS = 2000
MIN_WRONG = 200
MAX_SCALE = 2.0


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
    wrong = int((~examples.right).sum())
    images = np.unique(examples.image)
    if len(examples.right) < MIN_PIXELS or wrong < MIN_WRONG or len(images) < 2:
        return None
    first = np.isin(examples.image, images[::2])
    features = np.column_stack([examples.log_odds, examples.evidence])
    with_evidence: list[float] = []
    without: list[float] = []
    for fit, test in ((first, ~first), (~first, first)):
        if len(np.unique(examples.right[fit])) < 2 or len(np.unique(examples.right[test])) < 2:
            return None
        for columns, losses in (([0, 1], with_evidence), ([0], without)):
            model = LogisticRegression().fit(features[fit][:, columns], examples.right[fit])
            losses.append(log_loss(examples.right[test], model.predict_proba(features[test][:, columns])[:, 1]))
    if sum(with_evidence) >= sum(without):
        return 0.0
    prior, evidence = LogisticRegression().fit(features, examples.right).coef_[0]
    return float(np.clip(evidence / prior, 0, MAX_SCALE)) if prior > 0 else 0.0
