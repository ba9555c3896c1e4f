"""A small judge of labels, taught by verified pixels whose given label is known.

A verified image tells both the given and the true label, so the habits of whoever drew the masks can be learned:
the given mask is evidence about shape and place even where it is wrong. For each foreground class a logistic
regression predicts the true label of a pixel from three features:

1. the teacher's log-odds for the class, centred and scaled over all cases (:class:`Scale`), so that networks of
   different strength can be compared;
2. the same, smoothed;
3. signed distance to the given boundary, in radii of the given objects and levelling off, after moving it to agree best
   with the teacher, image by image: the shape of the given mask without its size.

The distance to the boundary where it was given is left out on purpose: with few annotators it fits their habits in
the verified images and failed on held-out ones.

Pixels of an image say nearly the same, so an image weighs as much as 3 independent ones, and the regression is
shrunk accordingly. What minimises the log-loss draws objects too small, so the level at which a pixel is called
foreground is the one with the best Dice on held-out images. Judge and teacher then count as much as each other: the
judge is taught by few people's habits and by weaker networks than the one that it judges, and half of it was never
worse than the teacher on development cases, where all of it sometimes was.

The teacher's opinion must come from a network that has not learned the image's verified labels
(:mod:`src_core.train.crossfit`). This is ours, not the paper's. The judge is used only where it was earned: taught on
some groups of images it must predict the others better than the teacher alone, and the verified images must be as
often wrong as the others look (somebody who verifies only good masks would otherwise teach it that all masks are good).

Shape suffixes: C classes, X any number of space axes (2 or 3), N pixels, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

FEATURES = 3
MAX_PIXELS_AN_IMAGE = 3000
MIN_PIXELS = 2000
MIN_WRONG = 200
MIN_IMAGES = 4
MAX_LOG_ODDS = 8.0
SMOOTHING = 2.0
IMAGE_WEIGHT = 3.0
LEVELS = np.linspace(-3, 1.5, 19)
"""Log-odds at which a pixel may be called foreground."""
SHARE = 0.5
"""Share of the judge in the posterior; the rest is the teacher's."""


@dataclass(frozen=True)
class Scale:
    """Where a network's log-odds lie, class by class, over the cases of a project.

    Attributes
    ----------
    centers : tuple of float
        Level above which the network sees as much of the class as the given masks hold, one a foreground class.
    spreads : tuple of float
        Root mean square of the log-odds, > 0.
    """

    centers: tuple[float, ...]
    spreads: tuple[float, ...]

    @classmethod
    def of(cls, teachers: Sequence[NDArray[np.floating]], given: Sequence[NDArray[np.uint8]]) -> Scale:
        """From opinions, ``(C, X)`` each, and given masks of the same cases."""
        return cls.of_levels([levels_of(*pair) for pair in zip(teachers, given, strict=True)])

    @classmethod
    def of_levels(cls, levels: Sequence[Levels]) -> Scale:
        """From what :func:`levels_of` tells of each case."""
        centers, spreads = [], []
        pixels = sum(each.pixels for each in levels)
        for index in range(levels[0].log_odds_CN.shape[0]):
            log_odds = np.concatenate([each.log_odds_CN[index] for each in levels])
            share = sum(int(each.given_C[index]) for each in levels) / pixels
            centers.append(float(np.quantile(log_odds, 1 - share)))
            spreads.append(max(float(np.sqrt(np.square(log_odds).mean())), 1e-3))
        return cls(tuple(centers), tuple(spreads))


class Levels(NamedTuple):
    """What a case tells of the scale: log-odds of each foreground class at every seventh pixel, and given pixels."""

    log_odds_CN: NDArray[np.float64]
    given_C: NDArray[np.int64]
    pixels: int


def levels_of(teacher_CX: NDArray[np.floating], given_X: NDArray[np.uint8]) -> Levels:
    """From an opinion and a given mask."""
    log_odds = [_log_odds(each_X.ravel()[::7]) for each_X in teacher_CX[1:]]
    given = [np.count_nonzero(given_X == index) for index in range(1, len(teacher_CX))]
    return Levels(np.stack(log_odds), np.array(given, dtype=np.int64), given_X.size)


def _log_odds(probability_X: NDArray[np.floating]) -> NDArray[np.float64]:
    clipped = np.clip(probability_X.astype(np.float64), 1e-6, 1 - 1e-6)
    log_odds: NDArray[np.float64] = np.clip(np.log(clipped / (1 - clipped)), -MAX_LOG_ODDS, MAX_LOG_ODDS)
    return log_odds


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance to the boundary of a mask in mean radii of its objects, levelling off: positive inside, within ±1.

    The mean radius is three times the mean distance of the pixels inside, which is exact for a disc and does not grow
    with the number of objects.
    """
    if not mask.any():
        return np.full(mask.shape, -1.0)
    inside = ndimage.distance_transform_edt(mask) - 0.5
    outside = ndimage.distance_transform_edt(~mask) - 0.5
    radius = max(3 * float(inside[mask].mean()), 1.0)
    distance: NDArray[np.float64] = np.tanh(np.where(mask, inside, -outside) / radius)
    return distance


def best_shift(distance: NDArray[np.float64], probability: NDArray[np.floating]) -> float:
    """Level of the distance at which the region inside overlaps a probability map best (soft Dice)."""
    order = np.argsort(-distance, axis=None)
    gained = np.cumsum(probability.ravel()[order])
    dice = 2 * gained / (np.arange(1, len(order) + 1) + gained[-1])
    return float(distance.ravel()[order[int(dice.argmax())]])


def features(
    teacher_CX: NDArray[np.floating],
    given_X: NDArray[np.uint8],
    index: int,
    scale: Scale,
) -> NDArray[np.float64]:
    """Features of every pixel for one class.

    Parameters
    ----------
    teacher_CX : array, float, in [0, 1]
    given_X : array, uint8
        Given label; ``IGNORE`` counts as outside of every class.
    index : int
        The class.
    scale : Scale
        Of the teacher.

    Returns
    -------
    array, float64, (X, 3)
    """
    log_odds = _log_odds(teacher_CX[index])
    distance = signed_distance(given_X == index)
    shifted = distance - best_shift(distance, teacher_CX[index].astype(np.float64))
    smooth = ndimage.gaussian_filter(log_odds, SMOOTHING)
    center, spread = scale.centers[index - 1], scale.spreads[index - 1]
    return np.stack([(log_odds - center) / spread, (smooth - center) / spread, shifted], axis=-1)


@dataclass(frozen=True)
class VerifiedImage:
    """One verified image as the judge sees it, all ``(…, X)``.

    Attributes
    ----------
    teacher_CX : array, float, in [0, 1]
        By a network that has not learned this image's verified labels.
    scale : Scale
        Of that network.
    given_X, true_X : array, uint8
    verified_X : array, bool
    share : float, in (0, 1]
        How much of an image it is: the slices of a volume say nearly the same and count as one image together.
    """

    teacher_CX: NDArray[np.floating]
    scale: Scale
    given_X: NDArray[np.uint8]
    true_X: NDArray[np.uint8]
    verified_X: NDArray[np.bool_]
    share: float = 1.0

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

    def opinion(
        self,
        teacher_CX: NDArray[np.floating],
        given_X: NDArray[np.uint8],
        scale: Scale,
    ) -> NDArray[np.float64]:
        """What the judge alone thinks: probability of every class at every pixel, ``(C, X)``, sums to 1 over C."""
        scores = [np.zeros(given_X.shape)]
        for index, (intercept, *weights) in enumerate(self.coefficients, start=1):
            scores.append(intercept + features(teacher_CX, given_X, index, scale) @ np.array(weights))
        opinion: NDArray[np.float64] = softmax(np.stack(scores), axis=0)
        return opinion

    def posterior(
        self,
        teacher_CX: NDArray[np.floating],
        given_X: NDArray[np.uint8],
        scale: Scale,
    ) -> NDArray[np.float32]:
        """The judge's opinion and the teacher's together, float32, ``(C, X)``, sums to 1 over C."""
        own = self.opinion(teacher_CX, given_X, scale)
        posterior: NDArray[np.float32] = (SHARE * own + (1 - SHARE) * teacher_CX).astype(np.float32)
        return posterior


def earned_judge(
    images: Sequence[VerifiedImage], groups: Sequence[int], classes: int, disagreement: float
) -> Judge | None:
    """Teach a judge, if the verified images allow it.

    Parameters
    ----------
    images : sequence of VerifiedImage
    groups : sequence of int
        Which images belong together (one patient's, one network's); the judge is tried on groups it was not taught on.
    classes : int
        Background included.
    disagreement : float
        Share of pixels at which given label and teacher differ in images that nobody has verified.

    Returns
    -------
    Judge or None
        None when there are fewer than 4 images, 2,000 pixels, 200 wrong ones or 2 groups, when the verified images are
        half as often or less in disagreement with the teacher than the others, or when the log-loss of held-out groups,
        averaged over images, is not lower than with the teacher's log-odds alone, in at least half of the images.
    """
    usable = [(image, group) for image, group in zip(images, groups, strict=True) if image.usable_X.any()]
    wrong = sum(int((image.given_X != image.true_X)[image.usable_X].sum()) for image, _ in usable)
    pixels = sum(int(image.usable_X.sum()) for image, _ in usable)
    if round(sum(image.share for image, _ in usable), 6) < MIN_IMAGES or pixels < MIN_PIXELS or wrong < MIN_WRONG:
        return None
    if len({group for _, group in usable}) < 2 or _disagreement([image for image, _ in usable]) < disagreement / 2:
        return None
    found = [_fit_class([_Sample.of(image, index, group) for image, group in usable]) for index in range(1, classes)]
    rows = [row for row in found if row is not None]
    return Judge(tuple(rows)) if len(rows) == len(found) else None


def _disagreement(images: Sequence[VerifiedImage]) -> float:
    differing = [(image.teacher_CX.argmax(axis=0) != image.given_X)[image.usable_X] for image in images]
    return float(np.concatenate(differing).mean())


@dataclass(frozen=True)
class _Sample:
    """Features and truth of evenly taken pixels of one image, for one class."""

    x_NF: NDArray[np.float64]
    y_N: NDArray[np.bool_]
    group: int
    share: float

    @classmethod
    def of(cls, image: VerifiedImage, index: int, group: int) -> _Sample:
        chosen = np.flatnonzero(image.usable_X)
        chosen = chosen[:: max(1, len(chosen) // MAX_PIXELS_AN_IMAGE)]
        values = features(image.teacher_CX, image.given_X, index, image.scale).reshape(-1, FEATURES)
        return cls(values[chosen], image.true_X.ravel()[chosen] == index, group, image.share)


def _fit_class(samples: Sequence[_Sample]) -> tuple[float, ...] | None:
    """Intercept and weights; None when not earned."""
    held_out = _held_out_scores(samples)
    model = _fitted(samples, slice(None))
    if held_out is None or model is None:
        return None
    level = max(LEVELS, key=lambda level: _mean_dice(samples, [score > level for score in held_out]))
    scaler, regression = model[0], model[-1]
    weights = regression.coef_[0] / scaler.scale_
    intercept = regression.intercept_[0] - float(weights @ scaler.mean_) - float(level)
    return (float(intercept), *(float(weight) for weight in weights))


def _mean_dice(samples: Sequence[_Sample], called: Sequence[NDArray[np.bool_]]) -> float:
    found = []
    for sample, mask in zip(samples, called, strict=True):
        total = int(mask.sum()) + int(sample.y_N.sum())
        found.append(2 * int((mask & sample.y_N).sum()) / total if total else 1.0)
    return float(np.mean(found))


def _fitted(samples: Sequence[_Sample], columns: slice) -> Pipeline | None:
    x_NF = np.concatenate([sample.x_NF[:, columns] for sample in samples])
    y_N = np.concatenate([sample.y_N for sample in samples])
    if len(np.unique(y_N)) < 2:
        return None
    weights_N = np.concatenate(
        [np.full(len(sample.y_N), IMAGE_WEIGHT * sample.share / len(sample.y_N)) for sample in samples]
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=300))
    return model.fit(x_NF, y_N, logisticregression__sample_weight=weights_N)


def _held_out_scores(samples: Sequence[_Sample]) -> list[NDArray[np.float64]] | None:
    """Log-odds of every sample by a judge taught on the other groups; None when the teacher alone does as well."""
    gains: list[float] = []
    scores: dict[int, NDArray[np.float64]] = {}
    for held_out in sorted({sample.group for sample in samples}):
        taught = [sample for sample in samples if sample.group != held_out]
        full, alone = _fitted(taught, slice(None)), _fitted(taught, slice(0, 1))
        if full is None or alone is None:
            return None
        for number, sample in enumerate(samples):
            if sample.group == held_out:
                gains.append(_loss(alone, sample, slice(0, 1)) - _loss(full, sample, slice(None)))
                scores[number] = full.decision_function(sample.x_NF)
    if float(np.mean(gains)) <= 0 or float(np.mean(np.array(gains) > 0)) < 0.5:
        return None
    return [scores[number] for number in range(len(samples))]


def _loss(model: Pipeline, sample: _Sample, columns: slice) -> float:
    return float(log_loss(sample.y_N, model.predict_proba(sample.x_NF[:, columns])[:, 1], labels=[False, True]))
