"""Projects whose truth is known, with the opinion of a made-up model whose trust is right, or wrong in a known way.

The model knows the true outline up to a smooth error, an error a image, and grain. Its trust in the given label is
calibrated on 150 other images (isotonic regression), so that in the setting *calibrated* of the labels with a trust of
0.8 four in five are right. The other settings bend the log-odds of trust.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.data.noise import Recipe, corrupt
from src_core.data.phantoms import phantom
from src_core.review.regions import find_regions, image_score
from src_core.store.create import NewCase, build_project
from src_core.store.runs import ScoreWriter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (96, 96)
POOL = 150
"""Images that trust is calibrated on."""

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=255, color=OKABE_ITO[1]),
)


class Setting(NamedTuple):
    """How trust is bent: ``logit trust <- slope * logit trust + shift``."""

    slope: float
    shift: float


SETTINGS = {
    "calibrated": Setting(1.0, 0.0),
    "overconfident": Setting(1.6, 0.0),
    "underconfident": Setting(0.6, 0.0),
    "too trusting": Setting(1.0, 0.7),
    "too doubting": Setting(1.0, -0.7),
    "far overconfident": Setting(2.5, 0.0),
    "far too trusting": Setting(1.0, 1.6),
}

NOISE: tuple[tuple[Recipe, float], ...] = (("markov", 0.2), ("quality", 0.2), ("biased", 0.3))
"""What is planted, one recipe a project in turn."""


class Slice(NamedTuple):
    """An image, its true and given label, and the model's probability of foreground, each (H, W)."""

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    given: NDArray[np.uint8]
    probability: NDArray[np.float64]

    @property
    def raw_trust(self) -> NDArray[np.float64]:
        """The model's probability of the given label."""
        return np.where(self.given > 0, self.probability, 1 - self.probability)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> NDArray[np.float64]:
    values = ndimage.gaussian_filter(rng.normal(size=shape), grain)
    return values / values.std()


def opinion(truth: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float64]:
    """Probability of foreground of a model that is a little wrong about the outline, px for px."""
    inside = ndimage.distance_transform_edt(truth > 0)
    outside = ndimage.distance_transform_edt(truth == 0)
    distance = np.where(truth > 0, inside - 0.5, 0.5 - outside)
    error = 2.25 * _smooth(rng, truth.shape, 6) + 1.2 * _smooth(rng, truth.shape, 2) + rng.normal()
    return expit((distance + error) / 2)


def slices(seed: int, count: int, recipe: Recipe, ratio: float) -> list[Slice]:
    """Images with planted errors and the model's opinion of each."""
    made = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        image, truth = phantom(rng, SHAPE)
        given = corrupt(truth, recipe=recipe, ratio=ratio, seed=seed, name=f"slice_{index:02d}")
        made.append(Slice(image, truth, given, opinion(truth, rng)))
    return made


@cache
def calibration(recipe: Recipe, ratio: float, pool: int = POOL) -> IsotonicRegression:
    """Share of labels that are right, by the model's probability of them."""
    others = slices(1_000_000, pool, recipe, ratio)
    raw = np.concatenate([slice_.raw_trust.ravel() for slice_ in others])
    right = np.concatenate([(slice_.given == slice_.truth).ravel() for slice_ in others])
    return IsotonicRegression(out_of_bounds="clip", y_min=1e-4, y_max=1 - 1e-4).fit(raw, right)


def trust_of(slice_: Slice, fitted: IsotonicRegression, setting: Setting) -> NDArray[np.float32]:
    """Trust in the given label, bent as the setting says."""
    calibrated = fitted.predict(slice_.raw_trust.ravel()).reshape(slice_.truth.shape)
    return expit(setting.slope * logit(np.clip(calibrated, 1e-4, 1 - 1e-4)) + setting.shift).astype(np.float32)


def build(
    folder: Path, made: list[Slice], fitted: IsotonicRegression, setting: Setting
) -> dict[int, NDArray[np.uint8]]:
    """Write a scored project to ``folder``; return the true labels by case id."""
    cases = [
        NewCase(name=f"slice_{index:02d}", image=slice_.image, given=slice_.given) for index, slice_ in enumerate(made)
    ]
    with build_project(folder, cases, CLASSES, author="made up") as project:
        run = project.path / "runs" / "made-up"
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"run": "made-up", "started": "2025"}), encoding="utf-8")
        writer = ScoreWriter(run, "made-up")
        regions, images = [], []
        for case, slice_ in zip(project.cases, made, strict=True):
            trust = trust_of(slice_, fitted, setting)
            proposed = (slice_.probability > 0.5).astype(np.uint8)
            maps = {
                "trust": trust,
                "label": slice_.given,
                "proposed": proposed,
                "verified": np.zeros_like(proposed),
            }
            found, numbers = find_regions(case, uncertainty=np.zeros(SHAPE, np.float32), **maps)
            writer.write(case.id, {"trust": trust, "proposed": proposed, "regions": numbers})
            regions += found
            images.append(image_score(case, numbers=numbers, row=project.version()[1], **maps))
        writer.finish(images, regions)
        return {case.id: slice_.truth for case, slice_ in zip(project.cases, made, strict=True)}
