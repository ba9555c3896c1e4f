"""Offsets of given masks: by hand, against a slow minimiser, by property, and what they do to a gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from src_core.data.case import IGNORE
from src_core.losses.offset import LARGEST, fitted_offsets, with_offsets
from src_core.losses.pixel import pixel_cross_entropy, weighted_mean

EVERYWHERE = torch.ones(1, 4, 4)


def test_by_hand_flat_logits_take_the_share_of_the_mask():
    # a quarter of the pixels is foreground: log-odds of log(1/3), half of it on either class
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, 0] = 1
    offsets = fitted_offsets(torch.zeros(1, 2, 4, 4), labels, EVERYWHERE, ridge=1e-4)
    assert offsets[0].tolist() == pytest.approx([math.log(3) / 2, -math.log(3) / 2], abs=2e-3)
    assert with_offsets(torch.zeros(1, 2, 4, 4), offsets, EVERYWHERE)[0, :, 2, 2].tolist() == offsets[0].tolist()


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_equals_a_slow_minimiser(classes):
    generator = torch.Generator().manual_seed(classes)
    logits = 2 * torch.randn(2, classes, 6, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (2, 6, 6), generator=generator)
    weights = torch.rand(2, 6, 6, generator=generator, dtype=torch.float64)
    found = fitted_offsets(logits, labels, weights, ridge=0.05)
    for image in range(2):

        def cost(values, image=image):
            moved = logits[image : image + 1] + torch.from_numpy(values).view(1, -1, 1, 1)
            loss = weighted_mean(pixel_cross_entropy(moved, labels[image : image + 1]), weights[image : image + 1])
            return float(loss) + 0.025 * float((values**2).sum())

        slow = minimize(cost, [0.0] * classes, method="BFGS", options={"gtol": 1e-8})
        assert found[image].tolist() == pytest.approx(slow.x.tolist(), abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), classes=st.integers(2, 5), spread=st.floats(0.1, 40))
def test_never_worse_than_none_bounded_and_balanced(seed, classes, spread):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(1, classes, 5, 5, generator=generator)
    labels = torch.randint(0, classes, (1, 5, 5), generator=generator)
    weights = (torch.rand(1, 5, 5, generator=generator) < 0.6).float()
    offsets = fitted_offsets(logits, labels, weights, ridge=0.1)
    assert torch.isfinite(offsets).all()
    assert float(offsets.abs().max()) <= LARGEST
    if float(offsets.abs().max()) < LARGEST:
        assert float(offsets.sum()) == pytest.approx(0, abs=1e-3)
    moved = weighted_mean(pixel_cross_entropy(with_offsets(logits, offsets, weights > 0), labels), weights)
    assert float(moved) <= float(weighted_mean(pixel_cross_entropy(logits, labels), weights)) + 1e-4


def test_an_image_without_labels_and_one_without_an_object():
    labels = torch.full((2, 4, 4), IGNORE)
    labels[1] = 0
    weights = (labels != IGNORE).float()
    offsets = fitted_offsets(torch.zeros(2, 2, 4, 4), labels, weights, ridge=0.1)
    assert offsets[0].tolist() == [0, 0]
    assert 0 < float(offsets[1, 0]) < LARGEST


def test_a_mask_drawn_too_large_does_not_pull_the_boundary_outwards():
    """A network that draws a disc right meets a mask that is two pixels larger all around."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    inside = 8 - torch.hypot(y - 16, x - 16)
    logits = torch.stack([-inside / 2, inside / 2])[None].requires_grad_(True)
    labels = (inside >= -2).long()[None]
    where = torch.ones(1, 32, 32)

    def pull(offsets):
        moved = with_offsets(logits, offsets, where)
        (slope,) = torch.autograd.grad(pixel_cross_entropy(moved, labels).mean(), logits)
        return float(slope[0, 1].sum())

    none = pull(torch.zeros(1, 2))
    fitted = fitted_offsets(logits, labels, where, ridge=0.01)
    assert float(fitted[0, 1] - fitted[0, 0]) > 1
    assert none < 0
    assert abs(pull(fitted)) < 0.15 * abs(none)


def test_verified_pixels_get_no_offset():
    logits = torch.zeros(1, 2, 4, 4)
    where = torch.zeros(1, 4, 4, dtype=torch.bool)
    where[0, :2] = True
    moved = with_offsets(logits, torch.tensor([[-1.0, 1.0]]), where)
    assert (moved[0, 1, :2] == 1).all()
    assert (moved[0, :, 2:] == 0).all()
