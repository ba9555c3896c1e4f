"""Phantoms, metrics and settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.config import PRESETS, TrainingSettings, preset
from src_core.data.noise import overlap
from src_core.data.phantoms import phantom_set
from src_core.errors import SettingsError
from src_core.metrics.detection import boundary_band, detection, detection_over_images
from src_core.metrics.overlap import damaged_share, dice_per_class


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
