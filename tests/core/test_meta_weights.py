"""Weights, memory and the scale of the evidence, by hand and by their invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.data.case import IGNORE
from src_core.meta.calibration import Examples, earned_scale, earned_trust_scale
from src_core.meta.memory import EvidenceMemory, common_mode_removed, normalised
from src_core.meta.weights import direct_weights, filled_from, pixel_weights, trust
from src_core.metrics.calibration import expected_calibration_error


def teacher(*foreground: float) -> torch.Tensor:
    p = torch.tensor(foreground)
    return torch.stack([1 - p, p])[None, :, None, :]


def row(*values: int) -> torch.Tensor:
    return torch.tensor(values)[None, None, :]


def test_prior_alone_by_hand():
    # given foreground; the teacher says .9, .2, .8 for it
    weights = pixel_weights(teacher(0.9, 0.2, 0.8), torch.zeros(1, 2, 1, 3), row(1, 1, 0), evidence_scale=1.0)
    assert weights.pseudo.flatten().tolist() == [1, 0, 1]
    # same label: counted once, half each; other label: the teacher's odds
    assert weights.alpha.flatten().tolist() == pytest.approx([0.5, 0.2, 0.2])
    assert weights.beta.flatten().tolist() == pytest.approx([0.5, 0.8, 0.8])


def test_evidence_moves_the_odds_by_hand():
    evidence = torch.zeros(1, 2, 1, 1)
    evidence[0, 1] = 2.0  # speaks for foreground
    weights = pixel_weights(teacher(0.2), evidence, row(1), evidence_scale=0.5)
    odds = 0.2 / 0.8 * math.exp(0.5 * 2.0)
    assert weights.alpha.item() == pytest.approx(odds / (1 + odds))


def test_unsure_teacher_puts_no_label_forward_and_unlabelled_pixels_have_no_alpha():
    weights = pixel_weights(
        teacher(0.45, 0.55, 0.9), torch.zeros(1, 2, 1, 3), row(1, IGNORE, IGNORE), evidence_scale=1.0
    )
    assert weights.alpha.flatten().tolist() == [1.0, 0.0, 0.0]
    assert weights.beta.flatten().tolist() == [0.0, 0.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0, 2), st.floats(0, 2))
def test_weights_and_trust_stay_in_their_range(seed, classes, scale, prior):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(2, classes, 4, 5, generator=generator).mul(4).softmax(1)
    evidence = torch.randn(2, classes, 4, 5, generator=generator) * 8
    labels = torch.randint(0, classes, (2, 4, 5), generator=generator)
    labels[0, 0, 0] = IGNORE
    weights = pixel_weights(probabilities, evidence, labels, evidence_scale=scale, prior_scale=prior)
    for values in (weights.alpha, weights.beta, weights.alpha + weights.beta):
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6
    both = (weights.pseudo == labels) & (probabilities.max(1).values >= 0.6)
    assert torch.allclose(weights.alpha[both], torch.full_like(weights.alpha[both], 0.5))
    believed = trust(probabilities, evidence, labels, evidence_scale=scale, prior_scale=prior)
    assert believed.min() >= 0
    assert believed.max() <= 1 + 1e-6
    assert believed[0, 0, 0] == 0


def test_trust_without_evidence_is_the_probability_of_the_label():
    probabilities = torch.randn(1, 3, 4, 4).softmax(1)
    labels = torch.randint(0, 3, (1, 4, 4))
    believed = trust(probabilities, torch.zeros(1, 3, 4, 4), labels, evidence_scale=1.0)
    assert torch.allclose(believed, probabilities.gather(1, labels[:, None])[:, 0], atol=1e-6)


RAW = torch.tensor([[[[1.0, -1.0, 0.5]], [[-2.0, 3.0, -0.5]]]])
"""Weights of two labels at three pixels."""


def test_the_literal_form_sums_to_the_number_of_labelled_pixels():
    labels, pseudo = row(0, 0, IGNORE), row(0, 1, 0)
    result, empty = direct_weights(RAW, labels, pseudo, norm="l2b")
    # raw alpha = 1, 0, 0 ; raw beta = 1, 3, 0 (no label, no weight) ; 2 labelled pixels over a sum of 5
    assert result.alpha.flatten().tolist() == pytest.approx([0.4, 0, 0])
    assert result.beta.flatten().tolist() == pytest.approx([0.4, 1.2, 0])
    assert not empty.any()


def test_an_image_without_positive_weights_takes_the_prior():
    labels, pseudo = row(0, 0, IGNORE), row(0, 1, 0)
    nothing, empty = direct_weights(-RAW.abs(), labels, pseudo, norm="l2b")
    assert empty.flatten().tolist() == [True, True, False]
    prior = pixel_weights(RAW.softmax(1), torch.zeros_like(RAW), labels, evidence_scale=0)
    filled = filled_from(nothing, prior)
    assert torch.equal(filled.alpha, prior.alpha)
    assert torch.equal(filled.beta, prior.beta)


def test_each_image_or_each_class_or_each_pixel_gets_its_share():
    weights = torch.cat([RAW, 100 * RAW])
    labels, pseudo = row(0, 0, 1).repeat(2, 1, 1), row(0, 1, 0).repeat(2, 1, 1)
    image, _ = direct_weights(weights, labels, pseudo, norm="image")
    assert torch.allclose(image.alpha[0] + image.beta[0], image.alpha[1] + image.beta[1])
    assert float((image.alpha + image.beta).sum()) == pytest.approx(6)
    shares, _ = direct_weights(weights, labels, pseudo, norm="class")
    mass = [sum(float(w[y == c].sum()) for w, y in ((shares.alpha, labels), (shares.beta, pseudo))) for c in (0, 1)]
    assert mass == pytest.approx([3, 3])
    sign, _ = direct_weights(RAW, row(0, 0, 1), row(0, 1, 0), norm="sign")
    # pixel 0: both labels are positive and share; pixel 1: only the teacher's; pixel 2: only the teacher's
    assert sign.alpha.flatten().tolist() == [0.5, 0, 0]
    assert sign.beta.flatten().tolist() == [0.5, 1, 1]


def test_softmax_over_pixels_by_hand():
    labels, pseudo = row(0, IGNORE, 1), row(0, 1, 0)
    result, _ = direct_weights(RAW, labels, pseudo, norm="softmax", temperature=2.0)
    raw = np.exp(np.array([1.0, -0.5, 1.0, 0.5]) / 2)  # alpha of pixels 0 and 2, then beta
    expected = 2 * raw / raw.sum()
    found = [*result.alpha.flatten().tolist()[::2], *result.beta.flatten().tolist()[::2]]
    assert found == pytest.approx(expected.tolist())
    assert result.alpha[0, 0, 1] == result.beta[0, 0, 1] == 0


def test_common_mode_is_removed_class_by_class():
    weights = torch.tensor([[[[1.0, 3.0, 9.0]], [[2.0, 4.0, 10.0]]]])
    centered = common_mode_removed(weights, row(0, 0, 1), row(0, 0, 1))
    assert centered[0, 0, 0, :2].tolist() == [-1.0, 1.0]
    assert centered[0, 1, 0, 2] == 0.0


def test_normalising_is_free_of_scale_and_safe_at_zero():
    weights = torch.randn(1, 2, 1, 3)
    args = (row(0, 1, IGNORE), row(1, 1, 0))
    assert torch.allclose(normalised(weights, *args), normalised(1e-6 * weights, *args), atol=1e-5)
    assert (normalised(torch.zeros(1, 2, 1, 3), *args) == 0).all()
    assert normalised(weights * torch.tensor([1e6, 1.0, 1.0]), *args).abs().max() <= 8


def test_memory_moves_by_its_rate_where_covered_and_finite():
    memory = EvidenceMemory([(1, 3)], 2)
    covered = torch.tensor([[True, False, True]])
    new = torch.ones(2, 1, 3)
    new[1, 0, 2] = torch.nan
    memory.update(0, new, covered, 0.25)
    assert memory.read(0)[0].flatten().tolist() == [0.25, 0.0, 0.0]
    memory.update(0, torch.ones(2, 1, 3), covered, 0.25)
    assert memory.read(0)[0].flatten().tolist() == [0.4375, 0.0, 0.25]


def examples(rng: np.random.Generator, informative: bool) -> Examples:
    n = 6000
    odds, evidence = rng.normal(1, 2, n), rng.normal(0, 1, n)
    logit = odds + (0.8 * evidence if informative else 0)
    return Examples(odds, evidence, rng.random(n) < 1 / (1 + np.exp(-logit)), np.arange(n) % 6)


def test_evidence_earns_its_scale():
    rng = np.random.default_rng(0)
    assert earned_scale(examples(rng, informative=True)) == pytest.approx(0.8, abs=0.15)
    useless = [earned_scale(examples(np.random.default_rng(seed), informative=False)) for seed in range(5)]
    assert all(scale is not None and scale < 0.1 for scale in useless)
    assert 0.0 in useless


def test_too_few_examples_tell_nothing():
    full = examples(np.random.default_rng(0), informative=True)
    few = Examples(full.log_odds[:500], full.evidence[:500], full.right[:500], full.image[:500])
    assert earned_scale(few) is None
    all_right = Examples(full.log_odds, full.evidence, np.ones(6000, bool), full.image)
    assert earned_scale(all_right) is None
    one_image = Examples(full.log_odds, full.evidence, full.right, np.zeros(6000, int))
    assert earned_scale(one_image) is None


def overconfident(rng: np.random.Generator, count: int = 6000):
    """Trust whose log-odds are twice as far from 0 as they should be, and half a unit too high."""
    honest = rng.normal(1, 1.5, count)
    right = rng.random(count) < 1 / (1 + np.exp(-honest))
    return 1 / (1 + np.exp(-(2 * honest + 0.5))), right, np.arange(count) % 6


def test_trust_becomes_the_share_of_right_labels():
    trust, right, image = overconfident(np.random.default_rng(0))
    scale = earned_trust_scale(trust, right, image)
    assert scale is not None
    assert (scale.slope, scale.intercept) == pytest.approx((0.5, -0.25), abs=0.1)
    other, truth, _ = overconfident(np.random.default_rng(1))
    calibrated = scale(other)
    assert calibrated.dtype == np.float32
    assert expected_calibration_error(calibrated, truth) < 0.5 * expected_calibration_error(other, truth)
    order = np.argsort(other)
    assert (np.diff(calibrated[order]) >= 0).all()
    assert scale(np.array([0.0, 1.0])).tolist() == pytest.approx([0, 1], abs=0.02)


def test_trust_that_is_right_or_rarely_wrong_stays_as_it_is():
    trust, right, image = overconfident(np.random.default_rng(0))
    assert earned_trust_scale(trust, np.ones_like(right), image) is None
    assert earned_trust_scale(trust[:500], right[:500], image[:500]) is None
    assert earned_trust_scale(trust, right, np.zeros_like(image)) is None
    upside_down = earned_trust_scale(1 - trust, right, image)
    assert upside_down is None or upside_down.slope > 0
