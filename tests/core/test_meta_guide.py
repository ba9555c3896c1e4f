"""The verified gradient guides that of the given labels: by hand, by property, and over a run."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from src_core.meta.guide import FLOOR, RATE, guided, moved


def test_by_hand():
    verified = {"a": torch.tensor([2.0, 0.0])}
    along = guided({"a": torch.tensor([1.0, 1.0])}, verified, weight=0.5, verified_weight=1.0)
    assert along.gradient["a"].tolist() == [2.5, 0.5]
    assert along.cosine == pytest.approx(2**-0.5)
    against = guided({"a": torch.tensor([-3.0, 1.0])}, verified, weight=0.5, verified_weight=1.0)
    assert against.gradient["a"].tolist() == [2.0, 0.5]
    assert against.cosine == pytest.approx(-3 / 10**0.5)


@settings(max_examples=50, deadline=None)
@drawn(seed=st.integers(0, 2**31 - 1), weight=st.floats(0.1, 1), scale=st.floats(1e-6, 1e6))
def test_what_is_verified_is_never_undone(seed, weight, scale):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (4, 3), "b": (5,)}
    ours, theirs = (
        {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
        for _ in range(2)
    )
    ours = {name: scale * value for name, value in ours.items()}
    found = guided(ours, theirs, weight=weight, verified_weight=1.0)
    square = sum(float(value.square().sum()) for value in theirs.values())
    progress = sum(float((found.gradient[name] * theirs[name]).sum()) for name in theirs)
    assert progress >= square - 1e-9 * max(1.0, scale)
    assert -1 - 1e-9 <= found.cosine <= 1 + 1e-9


def test_gradients_that_vanish():
    zero, some = {"a": torch.zeros(3)}, {"a": torch.ones(3)}
    assert guided(zero, some, weight=1.0, verified_weight=2.0).gradient["a"].tolist() == [2, 2, 2]
    assert guided(some, zero, weight=0.5, verified_weight=1.0).gradient["a"].tolist() == [0.5, 0.5, 0.5]
    assert guided(some, zero, weight=1.0, verified_weight=1.0).cosine == 0


def test_the_weight_follows_the_cosine_within_bounds():
    assert moved(1.0, 0.5, 100) == 1
    assert moved(0.5, 0.5, 100) == pytest.approx(0.5 + RATE * 0.005)
    assert moved(FLOOR, -1.0, 100) == FLOOR
    assert moved(0.3, float("nan"), 100) == 0.3
    weight = 1.0
    for _ in range(100):
        weight = moved(weight, -0.1, 100)
    assert weight == pytest.approx(1 - 0.1 * RATE)
