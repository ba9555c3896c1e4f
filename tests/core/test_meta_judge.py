"""The judge of labels: features by hand, and when it is earned."""

from __future__ import annotations

import numpy as np
import pytest

from src_core.data.noise import grow_or_shrink
from src_core.meta.judge import (
    FEATURES,
    Scale,
    VerifiedImage,
    best_shift,
    earned_judge,
    features,
    signed_distance,
)

GROUPS = [0, 0, 1, 1, 2, 2, 3, 3]
SCALE = Scale((0.0,), (1.0,))


def disc(radius, size=64):
    y, x = np.indices((size, size)) - size / 2
    return np.hypot(y, x) <= radius


def test_signed_distance_is_in_radii_and_levels_off():
    distance = signed_distance(disc(16))
    assert distance[32, 32] == pytest.approx(np.tanh(1), abs=0.04)
    assert distance[32, 32 + 24] == pytest.approx(np.tanh(-0.5), abs=0.04)
    assert (signed_distance(np.zeros((4, 4), bool)) == -1).all()
    assert (distance > 0).sum() == disc(16).sum()


def test_many_objects_are_measured_like_one():
    one = np.pad(disc(8, 32), 0)
    many = np.tile(one, (3, 3))
    assert signed_distance(many)[32:64, 32:64] == pytest.approx(signed_distance(one), abs=1e-9)


def test_the_best_shift_moves_the_given_boundary_to_the_teachers():
    distance = signed_distance(disc(20))
    level = best_shift(distance, disc(14).astype(float))
    found = distance >= level
    assert found.sum() == pytest.approx(disc(14).sum(), rel=0.05)


def images(rng, *, biased: bool, count: int = 8):
    """Discs whose masks are drawn a third too large when biased; the teacher is right but unsure near the edge."""
    out = []
    for _ in range(count):
        true = disc(rng.uniform(10, 16))
        given = grow_or_shrink(true, 0.75, grow=True) if biased else true
        distance = signed_distance(true) * 2 + rng.normal(0, 1.5, true.shape)
        teacher = 1 / (1 + np.exp(-distance))
        out.append(
            VerifiedImage(
                np.stack([1 - teacher, teacher]), SCALE, given.astype(np.uint8), true.astype(np.uint8),
                np.ones((64, 64), bool),
            )
        )  # fmt: skip
    return out


def test_a_habit_is_learned_and_corrects_other_images():
    rng = np.random.default_rng(0)
    taught = images(rng, biased=True)
    judge = earned_judge(taught, GROUPS, 2, disagreement=0.1)
    assert judge is not None
    assert len(judge.coefficients[0]) == FEATURES + 1
    for image in images(rng, biased=True, count=3):
        posterior = judge.posterior(image.teacher_CX, image.given_X, SCALE)
        assert posterior.dtype == np.float32
        assert np.allclose(posterior.sum(axis=0), 1, atol=1e-5)
        wrong_given = (image.given_X != image.true_X).mean()
        wrong_teacher = (image.teacher_CX.argmax(axis=0) != image.true_X).mean()
        own = judge.opinion(image.teacher_CX, image.given_X, SCALE)
        assert (own.argmax(axis=0) != image.true_X).mean() < 0.5 * min(wrong_given, wrong_teacher)
        assert (posterior.argmax(axis=0) != image.true_X).mean() < 0.8 * min(wrong_given, wrong_teacher)


def test_it_is_not_earned_from_few_or_from_good_masks_only():
    rng = np.random.default_rng(0)
    assert earned_judge(images(rng, biased=True, count=3), GROUPS[:3], 2, 0.1) is None
    assert earned_judge(images(rng, biased=False), GROUPS, 2, 0.1) is None


def test_it_is_not_earned_when_the_verified_images_are_better_than_the_others():
    taught = images(np.random.default_rng(0), biased=True)
    own = np.mean([(i.teacher_CX.argmax(axis=0) != i.given_X).mean() for i in taught])
    assert earned_judge(taught, GROUPS, 2, disagreement=1.5 * own) is not None
    assert earned_judge(taught, GROUPS, 2, disagreement=2.5 * own) is None


def test_features_are_finite_without_foreground_and_without_label():
    teacher = np.stack([np.ones((8, 8)), np.zeros((8, 8))])
    given = np.full((8, 8), 255, np.uint8)
    values = features(teacher, given, 1, SCALE)
    assert values.shape == (8, 8, FEATURES)
    assert np.isfinite(values).all()
