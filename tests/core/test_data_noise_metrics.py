"""Phantoms and settings."""

from __future__ import annotations

import numpy as np
import pytest

from src_core.config import PRESETS, TrainingSettings, preset
from src_core.data.noise import overlap
from src_core.data.phantoms import phantom_set
from src_core.errors import SettingsError


def test_phantoms_are_repeatable_and_not_solved_by_a_threshold():
    first, again = phantom_set(5, 3), phantom_set(5, 4)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=False))
    for slice_ in first:
        assert 0.02 < slice_.truth.mean() < 0.3
        best = max(overlap(slice_.truth > 0, slice_.image > level) for level in range(0, 255, 5))
        assert best < 0.93
    assert set(np.unique(phantom_set(5, 1, classes=3)[0].truth)) == {0, 1, 2}


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
