"""Metrics, by hand and against slow forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.metrics.calibration import expected_calibration_error
from src_core.metrics.correction import correction
from src_core.metrics.detection import (
    boundary_band,
    component_recall,
    detection,
    detection_over_images,
    operating_point,
)
from src_core.metrics.overlap import dice_per_class, iou_per_class, overlap_over_cases
from src_core.metrics.surface import surface_distance


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


def test_overlap_counts_empty_pairs_and_says_whether_background_counts():
    empty = np.zeros((4, 4), np.uint8)
    half, quarter = empty.copy(), empty.copy()
    half[:2] = 1
    quarter[:1] = 1
    assert iou_per_class(half, quarter, 2) == pytest.approx([8 / 12, 4 / 8])
    found = overlap_over_cases([half, empty], [quarter, empty], 2)
    assert found.dice == pytest.approx((2 * 4 / 12 + 1) / 2)
    assert found.iou == pytest.approx((0.5 + 1) / 2)
    assert found.iou_with_background == pytest.approx((8 / 12 + 0.5 + 1 + 1) / 4)
    assert (found.both_empty, found.cases) == (1, 2)
    assert found.dice_spread == pytest.approx((1 - 2 / 3) / 2)


def test_correction_counts_repairs_among_wrong_and_damage_among_right_pixels():
    before, truth = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 0]], np.uint8)
    found = correction([before], [np.array([[1, 0, 1, 1]], np.uint8)], [truth], 2)
    assert (found.damaged, found.repaired) == (pytest.approx(1 / 3), 0)
    assert found.dice_given == pytest.approx(2 / 3)
    best = correction([before], [truth], [truth], 2)
    assert (best.damaged, best.repaired, best.dice_proposed) == (0, 1, 1)
    assert np.isnan(correction([truth], [before], [truth], 2).repaired)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 0.5), (1.0, 2.0, 3.0)])
def test_surface_distances_are_in_the_unit_of_the_spacing(spacing):
    shape = (24,) * len(spacing)
    first, second = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    first[(slice(4, 14),) * len(spacing)] = 1
    second[(slice(7, 17), *(slice(4, 14),) * (len(spacing) - 1))] = 1
    found = surface_distance([first], [second], 2, spacing=spacing)
    assert found.hd95 == pytest.approx(3 * spacing[0])
    assert 0 < found.assd < found.hd95
    same = surface_distance([first], [first], 2, spacing=spacing)
    assert (same.hd95, same.assd, same.pairs) == (0, 0, 1)


def test_a_missing_object_is_counted_and_costs_the_diagonal():
    empty, full = np.zeros((30, 40), np.uint8), np.ones((30, 40), np.uint8)
    found = surface_distance([empty, empty, full], [full, empty, full], 2, spacing=(2.0, 2.0))
    assert (found.missing, found.both_empty, found.pairs) == (1, 1, 1)
    assert found.hd95 == 0
    assert found.hd95_with_penalty == pytest.approx(100 / 2)
    assert np.isnan(surface_distance([empty], [full], 2, spacing=(1.0, 1.0)).assd)


def test_the_operating_point_by_hand():
    found = operating_point(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False]))
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert operating_point(np.zeros(3), np.ones(3, bool)).f1 == 0


def test_errors_are_met_when_half_of_them_was_shown():
    wrong = np.zeros((40, 40), bool)
    wrong[2:12, 2:12] = wrong[20:30, 20:30] = wrong[35:37, 0:2] = True
    shown = np.zeros((40, 40), bool)
    shown[2:7, 2:12] = True
    shown[20:24, 20:30] = True
    assert component_recall([shown], [wrong]) == 0.5
    assert component_recall([shown, ~wrong], [wrong, wrong], cover=0.3) == 0.5
    assert np.isnan(component_recall([shown], [wrong & False]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_the_calibration_error_equals_the_slow_form(seed):
    rng = np.random.default_rng(seed)
    stated = rng.random(50).astype(np.float32)
    happened = rng.random(50) < 0.4
    slow = 0.0
    for low in np.arange(10) / 10:
        inside = (stated >= low) & (stated < low + 0.1)
        if inside.any():
            slow += inside.mean() * abs(stated[inside].mean() - happened[inside].mean())
    assert expected_calibration_error(stated, happened, bins=10) == pytest.approx(slow, abs=1e-5)
    assert expected_calibration_error(happened.astype(float), happened) == 0
