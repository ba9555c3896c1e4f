"""A small judge of labels, taught by verified pixels whose given label is known.

A verified image tells both the given and the true label, so the habits of whoever drew the masks can be learned:
the given mask is evidence about shape and place even where it is wrong. For each foreground class a logistic
regression predicts the true label of a pixel from four features:

1. the teacher's log-odds for the class;
2. the same, smoothed;
3. signed distance to the given boundary, in radii of the given object, after moving it to agree best with the
   teacher, image by image: the shape of the given mask without its size;
4. the evidence memory, for the class against its rival.

The distance to the boundary where it was given is left out on purpose: with few annotators it fits their habits in
the verified images and failed on held-out ones.

This is ours, not the paper's. The judge is used only where it was earned: it must predict held-out images better
than the teacher alone, and the verified images must be as often wrong as the others look (somebody who verifies only
good masks would otherwise teach it that all masks are good).

Shape suffixes: C classes, X any number of space axes (2 or 3), N pixels, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

FEATURES = 4
MAX_PIXELS_AN_IMAGE = 3000
MIN_PIXELS = 2000
MIN_WRONG = 200
MIN_IMAGES = 4
REACH = 1.5
MAX_LOG_ODDS = 8.0
SMOOTHING = 2.0


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance to the boundary of a mask in radii of a disc of its area: positive inside, clipped at +-1.5."""
    if not mask.any():
        return np.full(mask.shape, -REACH)
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    distance = np.where(mask, inside - 0.5, 0.5 - outside) / np.sqrt(mask.sum() / np.pi)
    clipped: NDArray[np.float64] = np.clip(distance, -REACH, REACH)
    return clipped


def best_shift(distance: NDArray[np.float64], probability: NDArray[np.floating]) -> float:
    """Level of the distance at which the region inside overlaps a probability map best (soft Dice)."""
    order = np.argsort(-distance, axis=None)
    gained = np.cumsum(probability.ravel()[order])
    dice = 2 * gained / (np.arange(1, len(order) + 1) + gained[-1])
    return float(distance.ravel()[order[int(dice.argmax())]])


def features(
    teacher_CX: NDArray[np.floating],
    evidence_CX: NDArray[np.floating],
    given_X: NDArray[np.uint8],
    index: int,
) -> NDArray[np.float64]:
    """Features of every pixel for one class.

    Parameters
    ----------
    teacher_CX : array, float, in [0, 1]
    evidence_CX : array, float
    given_X : array, uint8
        Given label; ``IGNORE`` counts as outside of every class.
    index : int
        The class.

    Returns
    -------
    array, float64, (X, 4)
    """
    probability = np.clip(teacher_CX[index].astype(np.float64), 1e-6, 1 - 1e-6)
    log_odds = np.clip(np.log(probability / (1 - probability)), -MAX_LOG_ODDS, MAX_LOG_ODDS)
    distance = signed_distance(given_X == index)
    shifted = distance - best_shift(distance, probability)
    rival = np.delete(evidence_CX, index, axis=0).max(axis=0)
    smooth = ndimage.gaussian_filter(log_odds, SMOOTHING)
    return np.stack([log_odds, smooth, shifted, evidence_CX[index] - rival], axis=-1)


@dataclass(frozen=True)
class VerifiedImage:
    """One verified image as the judge sees it, all ``(…, X)``.

    Attributes
    ----------
    teacher_CX : array, float, in [0, 1]
    evidence_CX : array, float
    given_X, true_X : array, uint8
    verified_X : array, bool
    """

    teacher_CX: NDArray[np.floating]
    evidence_CX: NDArray[np.floating]
    given_X: NDArray[np.uint8]
    true_X: NDArray[np.uint8]
    verified_X: NDArray[np.bool_]

    @property
    def usable_X(self) -> NDArray[np.bool_]:
        """Verified pixels that have a given label."""
        mask: NDArray[np.bool_] = self.verified_X & (self.given_X != IGNORE) & (self.true_X != IGNORE)
        return mask


@dataclass(frozen=True)
class Judge:
    """Coefficients of the regressions.

    Attributes
    ----------
    coefficients : tuple of tuples of float
        For each foreground class: intercept, then one a feature.
    """

    coefficients: tuple[tuple[float, ...], ...]

    def posterior(
        self,
        teacher_CX: NDArray[np.floating],
        evidence_CX: NDArray[np.floating],
        given_X: NDArray[np.uint8],
    ) -> NDArray[np.float32]:
        """Probability of every class at every pixel, float32, ``(C, X)``, sums to 1 over C."""
        scores = [np.zeros(given_X.shape)]
        for index, (intercept, *weights) in enumerate(self.coefficients, start=1):
            scores.append(intercept + features(teacher_CX, evidence_CX, given_X, index) @ np.array(weights))
        stacked = np.stack(scores)
        stacked -= stacked.max(axis=0)
        exponent = np.exp(stacked)
        posterior: NDArray[np.float32] = (exponent / exponent.sum(axis=0)).astype(np.float32)
        return posterior


def earned_judge(images: Sequence[VerifiedImage], classes: int, disagreement: float) -> Judge | None:
    """Teach a judge, if the verified images allow it.

    Parameters
    ----------
    images : sequence of VerifiedImage
    classes : int
        Background included.
    disagreement : float
        Share of pixels at which given label and teacher differ in images that nobody has verified.

    Returns
    -------
    Judge or None
        None when there are fewer than 4 images, 2,000 pixels or 200 wrong ones, when the verified images are half as
        often or less in disagreement with the teacher than the others, or when held-out images are not predicted
        better than by the teacher alone.
    """
    usable = [image for image in images if image.usable_X.any()]
    wrong = sum(int((image.given_X != image.true_X)[image.usable_X].sum()) for image in usable)
    pixels = sum(int(image.usable_X.sum()) for image in usable)
    if len(usable) < MIN_IMAGES or pixels < MIN_PIXELS or wrong < MIN_WRONG:
        return None
    if _disagreement(usable) < disagreement / 2:
        return None
    rows = []
    for index in range(1, classes):
        row = _fit_class(usable, index)
        if row is None:
            return None
        rows.append(row)
    return Judge(tuple(rows))


def _disagreement(images: Sequence[VerifiedImage]) -> float:
    differing = [(image.teacher_CX.argmax(axis=0) != image.given_X)[image.usable_X] for image in images]
    return float(np.concatenate(differing).mean())


def _fit_class(images: Sequence[VerifiedImage], index: int) -> tuple[float, ...] | None:
    inputs, targets, owners = [], [], []
    for number, image in enumerate(images):
        chosen = np.flatnonzero(image.usable_X)
        chosen = chosen[:: max(1, len(chosen) // MAX_PIXELS_AN_IMAGE)]
        values = features(image.teacher_CX, image.evidence_CX, image.given_X, index)
        inputs.append(values.reshape(-1, FEATURES)[chosen])
        targets.append(image.true_X.ravel()[chosen] == index)
        owners.append(np.full(len(chosen), number))
    x_NF, y_N, owner_N = np.concatenate(inputs), np.concatenate(targets), np.concatenate(owners)
    if not _predicts_better(x_NF, y_N, owner_N % 2 == 0):
        return None
    model = _regression().fit(x_NF, y_N)
    scaler, regression = model[0], model[-1]
    weights = regression.coef_[0] / scaler.scale_
    intercept = regression.intercept_[0] - float(weights @ scaler.mean_)
    return (float(intercept), *(float(weight) for weight in weights))


def _regression() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=200))


def _predicts_better(x_NF: NDArray[np.float64], y_N: NDArray[np.bool_], first_N: NDArray[np.bool_]) -> bool:
    """True when all features together predict the other half of the images better than the teacher alone."""
    full = alone = 0.0
    for fit in (first_N, ~first_N):
        test = ~fit
        if len(np.unique(y_N[fit])) < 2 or len(np.unique(y_N[test])) < 2:
            return False
        for columns in (slice(None), slice(0, 1)):
            model = _regression().fit(x_NF[fit][:, columns], y_N[fit])
            loss = log_loss(y_N[test], model.predict_proba(x_NF[test][:, columns])[:, 1])
            if columns == slice(None):
                full += loss
            else:
                alone += loss
    return full < alone
