"""Planted errors, phantoms and metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.config import PRESETS, TrainingSettings, preset
from src_core.data.noise import (
    ANNOTATORS,
    annotator_of,
    corrupt,
    drop_and_add,
    ellipse,
    grow_or_shrink,
    markov,
    overlap,
)
from src_core.data.phantoms import phantom_set
from src_core.errors import SettingsError
from src_core.metrics.detection import boundary_band, detection, detection_over_images
from src_core.metrics.overlap import damaged_share, dice_per_class


def disc(radius=20, size=96):
    y, x = np.indices((size, size)) - size / 2
    return np.hypot(y, x) <= radius


@pytest.mark.parametrize("grow", [True, False])
@pytest.mark.parametrize("dice", [0.8, 0.6])
def test_growing_and_shrinking_reach_the_overlap(grow, dice):
    changed = grow_or_shrink(disc(), dice, grow=grow)
    assert overlap(disc(), changed) == pytest.approx(dice, abs=0.05)
    assert (changed.sum() > disc().sum()) == grow


def test_markov_noise_reaches_the_overlap_from_either_side():
    for outwards in (0.8, 0.2):
        changed = markov(disc(), 0.7, np.random.default_rng(0), outwards=outwards)
        assert overlap(disc(), changed) == pytest.approx(0.7, abs=0.06)
        assert (changed.sum() > disc().sum()) == (outwards > 0.5)


@pytest.mark.parametrize("recipe", ["quality", "markov", "biased"])
def test_recipes_hit_their_ratio_on_average_and_repeat(recipe):
    slices = phantom_set(0, 24, (96, 96))
    noisy = [corrupt(s.truth, recipe=recipe, ratio=0.4, seed=1, name=s.name) for s in slices]
    dice = np.mean([overlap(s.truth > 0, n > 0) for s, n in zip(slices, noisy, strict=True)])
    assert dice == pytest.approx(0.6, abs=0.06)
    again = corrupt(slices[0].truth, recipe=recipe, ratio=0.4, seed=1, name=slices[0].name)
    assert np.array_equal(again, noisy[0])
    other = corrupt(slices[0].truth, recipe=recipe, ratio=0.4, seed=2, name=slices[0].name)
    assert not np.array_equal(other, noisy[0])


def test_empty_masks_stay_empty_and_classes_stay_classes():
    empty = np.zeros((32, 32), np.uint8)
    labels = np.zeros((64, 64), np.uint8)
    labels[10:30, 10:30], labels[40:60, 40:60] = 1, 2
    for recipe in ("quality", "markov", "biased"):
        assert not corrupt(empty, recipe=recipe, ratio=0.4, seed=0, name="a").any()
        assert set(np.unique(corrupt(labels, recipe=recipe, ratio=0.3, seed=0, name="a"))) <= {0, 1, 2}
    assert not drop_and_add(empty > 0, 0.5, np.random.default_rng(0)).any()
    assert not ellipse(empty > 0).any()


def test_habits_show():
    over = [n for n in map(str, range(200)) if annotator_of(n, 0) == ANNOTATORS[0]]
    slices = phantom_set(1, 20, (96, 96))
    grown = [
        corrupt(s.truth, recipe="biased", ratio=0.4, seed=0, name=s.name, case=over[0]).sum() > s.truth.sum()
        for s in slices
    ]
    assert 0.5 < np.mean(grown) < 1.0
    assert {annotator_of(n, 0) for n in map(str, range(50))} == set(ANNOTATORS)


def test_phantoms_are_repeatable_and_not_solved_by_a_threshold():
    first, again = phantom_set(5, 3), phantom_set(5, 4)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=False))
    for slice_ in first:
        assert 0.02 < slice_.truth.mean() < 0.3
        best = max(overlap(slice_.truth > 0, slice_.image > level) for level in range(0, 255, 5))
        assert best < 0.93
    assert set(np.unique(phantom_set(5, 1, classes=3)[0].truth)) == {0, 1, 2}


# ------------------------------------------------------------------ metrics


def test_detection_by_hand():
    found = detection(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False]))
    assert found.auroc == pytest.approx(0.75)
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert found.prevalence == 0.5
    assert np.isnan(detection(np.ones(3), np.zeros(3, bool)).auroc)


def test_the_band_is_near_either_boundary():
    given, truth = np.zeros((60, 60), np.uint8), np.zeros((60, 60), np.uint8)
    given[:, 40:] = 1
    truth[:, 20:] = 1
    band = boundary_band(given, truth)
    assert band[0, 10]
    assert band[0, 30]
    assert not band[0, 5]
    assert not band[0, 59]
    found = detection_over_images([np.random.default_rng(0).random((60, 60))], [given], [truth])
    assert found["all"].prevalence == pytest.approx(20 / 60)
    assert found["all"].auroc == pytest.approx(0.5, abs=0.05)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_dice_equals_the_slow_form(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 3, (6, 6)).astype(np.uint8) for _ in range(2))
    for index, value in enumerate(dice_per_class(a, b, 4), start=1):
        both = sum(x == y == index for x, y in zip(a.flat, b.flat, strict=True))
        total = sum(x == index for x in a.flat) + sum(x == index for x in b.flat)
        assert value == pytest.approx(2 * both / total if total else 1.0)


def test_damage_counts_right_pixels_only():
    given, truth = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 0]], np.uint8)
    assert damaged_share(given, np.array([[1, 0, 1, 1]], np.uint8), truth) == pytest.approx(1 / 3)
    assert damaged_share(given, truth, truth) == 0


# ------------------------------------------------------------------ settings


def test_settings_go_round_through_json():
    import json

    for settings_ in PRESETS.values():
        assert TrainingSettings.from_mapping(json.loads(settings_.to_json())) == settings_


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs is 0, expected a number from 1"),
        ({"patch_size": 100}, "multiple of 16"),
        ({"method": "magic"}, "expected one of metadcseg"),
        ({"seed": "one"}, "expected int"),
        ({"nothing": 1}, "Unknown setting 'nothing'"),
    ],
)
def test_bad_settings_are_refused_when_made(change, words):
    with pytest.raises(SettingsError, match=words):
        preset("quick", **change)
    with pytest.raises(SettingsError, match="Preset is 'slow'"):
        preset("slow")
