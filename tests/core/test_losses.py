"""Losses by hand and against a slow reference."""

from __future__ import annotations

import math

import pytest
import torch

from src_core.data.case import IGNORE
from src_core.losses.dice import soft_dice_loss
from src_core.losses.pixel import one_hot, pixel_cross_entropy, weighted_mean
from src_core.losses.verified import MIN_CLASS_PIXELS, verified_loss


def test_cross_entropy_by_hand():
    logits = torch.tensor([[[[0.0, math.log(3)]], [[0.0, 0.0]]]])
    losses = pixel_cross_entropy(logits, torch.tensor([[[1, 0]]]))
    assert losses.flatten().tolist() == pytest.approx([math.log(2), math.log(4 / 3)])


def test_unlabelled_pixels_cost_nothing_and_give_no_gradient():
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    labels = torch.full((1, 2, 2), IGNORE)
    losses = pixel_cross_entropy(logits, labels)
    losses.sum().backward()
    assert (losses == 0).all()
    assert (logits.grad == 0).all()


def test_weighted_mean_of_nothing_is_zero():
    assert weighted_mean(torch.ones(3), torch.zeros(3)) == 0
    assert weighted_mean(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 1.0])) == 2


def slow_dice(p, t, w):
    per_image = []
    for b in range(p.shape[0]):
        terms = []
        for c in range(p.shape[1]):
            a, z = float((w[b] * p[b, c]).sum()), float((w[b] * t[b, c]).sum())
            if max(a, z) > 8:
                terms.append(1 - (2 * float((w[b] * p[b, c] * t[b, c]).sum()) + 1e-5) / (a + z + 1e-5))
        if terms:
            per_image.append(sum(terms) / len(terms))
    return sum(per_image) / len(per_image) if per_image else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_dice_equals_the_slow_form(seed):
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(3, 3, 8, 8, generator=generator).softmax(1)
    t = torch.nn.functional.one_hot(torch.randint(0, 2, (3, 8, 8), generator=generator), 3).permute(0, 3, 1, 2).float()
    w = torch.rand(3, 8, 8, generator=generator)
    assert float(soft_dice_loss(p, t, w)) == pytest.approx(slow_dice(p, t, w), rel=1e-5)


def test_dice_is_zero_for_a_perfect_match_and_when_nothing_counts():
    t = torch.zeros(1, 2, 8, 8)
    t[:, 0] = 1
    assert soft_dice_loss(t, t, torch.ones(1, 8, 8)) == pytest.approx(0, abs=1e-5)
    assert soft_dice_loss(t, t, torch.zeros(1, 8, 8)) == 0


def verified_case(foreground_rows: int):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 16, 16, generator=generator)
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[0, :foreground_rows] = 1
    weights = torch.ones(1, 16, 16)
    weights[0, :, 12:] = 0  # nobody has verified these
    return logits, labels, weights


def test_dice_on_verified_pixels_by_hand():
    logits, labels, weights = verified_case(8)
    plain, both = (verified_loss(logits, labels, weights, dice_weight=weight) for weight in (0.0, 2.0))
    assert plain == weighted_mean(pixel_cross_entropy(logits, labels), weights)
    seen = (slice(None), slice(None), slice(None), slice(0, 12))
    slow = slow_dice(logits.softmax(1)[seen], one_hot(labels, 2)[seen], torch.ones(1, 16, 12))
    assert float(both - plain) == pytest.approx(2 * slow, rel=1e-5)


def test_dice_needs_enough_verified_pixels_of_a_class_and_of_others():
    assert 12 * 5 < MIN_CLASS_PIXELS < 12 * 8
    for rows, counts in ((5, False), (8, True), (16, False)):
        logits, labels, weights = verified_case(rows)
        plain, both = (verified_loss(logits, labels, weights, dice_weight=weight) for weight in (0.0, 1.0))
        assert bool(both > plain) == counts


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
def test_what_is_not_verified_has_no_influence(dice_weight):
    logits, labels, weights = verified_case(8)
    found = []
    for fill in (0, 1):
        changed, moved = labels.clone(), logits.clone()
        changed[0, :, 12:] = fill
        moved[0, :, :, 12:] += 7 * fill
        found.append(verified_loss(moved, changed, weights, dice_weight=dice_weight))
    assert found[0] == found[1]
