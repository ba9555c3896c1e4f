"""Losses by hand and against a slow reference."""

from __future__ import annotations

import math

import pytest
import torch

from src_core.data.case import IGNORE
from src_core.losses.dice import soft_dice_loss
from src_core.losses.pixel import pixel_cross_entropy, weighted_mean


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
