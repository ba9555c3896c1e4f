"""Dynamic Center Distance by hand, its range, and its behaviour while centers are missing."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.config import preset
from src_core.dcd.centers import Centers, entropy, pixel_emphasis

SETTINGS = preset("quick")


def known(classes: int = 2, channels: int = 3) -> Centers:
    centers = Centers(classes, channels, SETTINGS)
    channels = max(channels, len(centers.counts_R))
    centers.values_RD = torch.eye(channels)[: len(centers.counts_R)].clone()
    centers.counts_R[:] = 1
    return centers


def pixels(*vectors: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(vectors, dtype=torch.float32).T[None, :, None, :]


def test_uncertainty_by_hand():
    even = torch.full((1, 2, 1, 4), 0.5)
    features = pixels((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0))
    u = known().uncertainty(features, even).flatten().tolist()
    assert u[:2] == pytest.approx([0, 0], abs=1e-3)  # at the center of a class
    assert u[2] == pytest.approx(1, abs=1e-3)  # at the boundary center
    assert u[3] == pytest.approx(1, abs=1e-3)  # midway between the classes


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_ranges_and_the_two_class_form(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    centers = known(classes)
    features = torch.randn(2, centers.values_RD.shape[1], 3, 4, generator=generator)
    probabilities = torch.randn(2, classes, 3, 4, generator=generator).softmax(1)
    q = centers.memberships(features)
    assert torch.allclose(q.sum(1), torch.ones(2, 3, 4), atol=1e-5)
    u = centers.uncertainty(features, probabilities)
    assert u.min() >= 0
    assert u.max() <= 1
    if classes == 2:
        assert torch.allclose(u, 1 - (q[:, 1] - q[:, 0]).abs(), atol=1e-5)
    assert torch.allclose(centers.fragments(probabilities).sum(1), torch.ones(2, 3, 4), atol=1e-5)


def test_entropy_stands_in_until_two_classes_are_known():
    centers = Centers(2, 3, SETTINGS)
    probabilities = torch.tensor([0.5, 1.0])[None, None, None, :]
    probabilities = torch.cat([probabilities, 1 - probabilities], dim=1)
    u = centers.uncertainty(torch.randn(1, 3, 1, 2), probabilities)
    assert u.flatten().tolist() == pytest.approx([1, 0], abs=1e-5)
    assert torch.equal(u, entropy(probabilities))


def test_a_region_without_pixels_keeps_its_center():
    centers = Centers(2, 3, SETTINGS)
    features = torch.zeros(1, 3, 8, 8)
    features[:, 0] = 1
    background = torch.zeros(1, 2, 8, 8)
    background[:, 0] = 1
    centers.update(features, background, torch.ones(1, 8, 8))
    assert centers.known_R.tolist() == [True, False, False]
    assert torch.allclose(centers.values_RD[0], torch.tensor([1.0, 0, 0]))
    centers.update(-features, background, torch.zeros(1, 8, 8))  # nobody trusts these pixels
    assert torch.allclose(centers.values_RD[0], torch.tensor([1.0, 0, 0]))


def test_without_boundary_center_uncertainty_is_the_gap_of_the_classes():
    centers = known()
    centers.counts_R[2] = 0
    q = centers.memberships(pixels((0, 0, 1)))
    assert q.flatten().tolist() == pytest.approx([0.5, 0.5, 0])


def test_the_first_means_count_evenly():
    centers = Centers(2, 2, SETTINGS)
    background = torch.zeros(1, 2, 8, 8)
    background[:, 0] = 1
    for angle in (0.0, 0.5):
        features = torch.tensor([math.cos(angle), math.sin(angle)]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
        centers.update(features, background, torch.ones(1, 8, 8))
    assert torch.allclose(centers.values_RD[0], torch.tensor([math.cos(0.25), math.sin(0.25)]), atol=1e-5)
    centers.forget()
    assert not centers.known_R.any()


def test_emphasis_has_mean_one():
    u = torch.rand(3, 8, 8)
    emphasis = pixel_emphasis(u, 0.5)
    assert torch.allclose(emphasis.mean((1, 2)), torch.ones(3), atol=1e-5)
    assert (pixel_emphasis(u, 1.0) == 1).all()


def test_every_pair_of_classes_has_a_boundary_of_its_own():
    centers = Centers(3, 3, SETTINGS)
    assert centers.pairs == ((0, 1), (0, 2), (1, 2))
    unsure = torch.tensor([[0.5, 0.5, 0.0], [0.02, 0.5, 0.48], [0.49, 0.02, 0.49], [1.0, 0.0, 0.0]]).T[None, :, None, :]
    members = centers.fragments(unsure)[0, :, 0]
    assert torch.allclose(members.sum(0), torch.ones(4))
    assert members[3:, :3].argmax(0).tolist() == [0, 2, 1]  # between 0 and 1, 1 and 2, 0 and 2
    assert members[:, 3].argmax() == 0


def test_only_the_most_frequent_boundaries_count_and_many_classes_share_one():
    six = Centers(6, 4, SETTINGS)
    six.counts_R[:] = torch.arange(6 + 15) + 1
    assert six.known_R.sum() == 6 + 12
    assert not six.known_R[6:9].any()
    seven = Centers(7, 4, SETTINGS)
    assert seven.values_RD.shape == (8, 4)
    probabilities = torch.randn(1, 7, 2, 2, 2).softmax(1)
    assert torch.allclose(seven.fragments(probabilities).sum(1), torch.ones(1, 2, 2, 2), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_uncertainty_in_three_dimensions_is_that_of_the_same_pixels_in_two(classes):
    centers = known(classes)
    features = torch.randn(2, centers.values_RD.shape[1], 2, 3, 4)
    probabilities = torch.randn(2, classes, 2, 3, 4).softmax(1)
    flat = centers.uncertainty(features.flatten(2, 3), probabilities.flatten(2, 3))
    assert torch.allclose(centers.uncertainty(features, probabilities).flatten(1, 2), flat)
    centers.update(features, probabilities, torch.ones(2, 2, 3, 4))
    assert torch.isfinite(centers.values_RD).all()
