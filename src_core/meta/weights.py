"""From prior and evidence to the two weights of a pixel, and to trust in its label.

alpha belongs to the label in question, beta to the teacher's own (pseudo) label::

    (alpha, beta) = softmax(s_A A(y) + g log p(y),  s_A A(yhat) + g log p(yhat))          (method.md, eq. 4)

p is the teacher's posterior (the prior of this decision), A the evidence memory (its likelihood ratio).

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

MIN_CONFIDENCE = 0.6
"""A teacher less sure than this puts no label of its own forward."""


class PixelWeights(NamedTuple):
    """Weights of a batch of pixels.

    Attributes
    ----------
    alpha, beta : Tensor, float, (B, X), in [0, 1]
        ``alpha + beta`` is at most 1.
    pseudo : Tensor, int64, (B, X)
        The teacher's label.
    """

    alpha: Tensor
    beta: Tensor
    pseudo: Tensor


def log_posterior(teacher_BCX: Tensor, evidence_BCX: Tensor, *, evidence_scale: float, prior_scale: float) -> Tensor:
    """Unnormalised log posterior of every label: ``g log p + s_A A``."""
    return prior_scale * teacher_BCX.clamp_min(1e-6).log() + evidence_scale * evidence_BCX


def pixel_weights(
    teacher_BCX: Tensor,
    evidence_BCX: Tensor,
    candidates_BX: Tensor,
    *,
    evidence_scale: float,
    prior_scale: float = 1.0,
    min_confidence: float = MIN_CONFIDENCE,
) -> PixelWeights:
    """Weights of the label in question and of the teacher's label (eq. 4).

    Where both are the same label each gets 1/2, so that it counts once. A teacher that is not sure
    (``< min_confidence``) puts no label forward: alpha is 1 there. Without a label only beta may be positive.

    Parameters
    ----------
    teacher_BCX : Tensor, float, in [0, 1]
        The teacher's probabilities.
    evidence_BCX : Tensor, float
        Evidence memory; 0 is no evidence.
    candidates_BX : Tensor, int64
        Class index or ``IGNORE``.
    evidence_scale, prior_scale : float
        s_A and g.
    """
    scores = log_posterior(teacher_BCX, evidence_BCX, evidence_scale=evidence_scale, prior_scale=prior_scale)
    confidence, pseudo = teacher_BCX.max(1)
    labelled = candidates_BX != IGNORE
    candidates = torch.where(labelled, candidates_BX, 0)
    score_given = scores.gather(1, candidates.unsqueeze(1)).squeeze(1)
    score_pseudo = scores.gather(1, pseudo.unsqueeze(1)).squeeze(1)
    sure = confidence >= min_confidence
    share = torch.sigmoid(score_given - score_pseudo)
    alpha = torch.where(sure, share, torch.ones_like(share))
    beta = torch.where(sure, 1 - share, torch.zeros_like(share))
    alpha = torch.where(labelled, alpha, torch.zeros_like(alpha))
    beta = torch.where(labelled, beta, sure.to(beta.dtype))
    return PixelWeights(alpha, beta, pseudo)


def trust(
    teacher_BCX: Tensor,
    evidence_BCX: Tensor,
    candidates_BX: Tensor,
    *,
    evidence_scale: float,
    prior_scale: float = 1.0,
) -> Tensor:
    """Probability that the label in question is right, ``(B, X)`` in [0, 1]; 0 where there is no label.

    The posterior over all labels, ``softmax(g log p + s_A A)``, at the label. With two classes this is alpha of
    eq. 4 for labels that differ from the teacher's; for equal labels it is the teacher's own probability, moved
    by the evidence.
    """
    posterior = log_posterior(
        teacher_BCX, evidence_BCX, evidence_scale=evidence_scale, prior_scale=prior_scale
    ).softmax(1)
    return probability_of(posterior, candidates_BX)


def probability_of(posterior_BCX: Tensor, labels_BX: Tensor) -> Tensor:
    """Probability of a label at every pixel, ``(B, X)``; 0 where there is no label."""
    labelled = labels_BX != IGNORE
    at_label = posterior_BCX.gather(1, torch.where(labelled, labels_BX, 0).unsqueeze(1)).squeeze(1)
    return torch.where(labelled, at_label, torch.zeros_like(at_label))


def relu_weights(weights_BCX: Tensor, candidates_BX: Tensor, pseudo_BX: Tensor) -> tuple[PixelWeights, float]:
    """Weights of the literal L2B form: cut at 0 and divided by their sum over both maps of the whole batch.

    They are multiplied by the number of labelled pixels, so that the loss stays a mean.

    Returns
    -------
    weights : PixelWeights
        Not bounded by 1. All 0 when no label has a positive weight.
    zero_fraction : float
        Share of labelled pixels at which both weights are 0.
    """
    labelled = candidates_BX != IGNORE
    given = weights_BCX.gather(1, torch.where(labelled, candidates_BX, 0).unsqueeze(1)).squeeze(1)
    alpha = torch.where(labelled, given.relu(), torch.zeros_like(given))
    beta = torch.where(labelled, weights_BCX.gather(1, pseudo_BX.unsqueeze(1)).squeeze(1).relu(), alpha * 0)
    scale = labelled.sum() / (alpha.sum() + beta.sum()).clamp_min(1e-10)
    zero = float(((alpha + beta == 0) & labelled).sum() / labelled.sum().clamp_min(1))
    return PixelWeights(alpha * scale, beta * scale, pseudo_BX), zero
