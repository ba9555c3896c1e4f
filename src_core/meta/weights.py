"""From prior and evidence to the two weights of a pixel, and to trust in its label.

alpha belongs to the label in question, beta to the teacher's own (pseudo) label::

    (alpha, beta) = softmax(s_A A(y) + g log p(y),  s_A A(yhat) + g log p(yhat))          (method.md, eq. 4)

p is the teacher's posterior (the prior of this decision), A the evidence memory (its likelihood ratio).

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

DirectNorm = Literal["l2b", "image", "class", "sign", "softmax"]

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


def direct_weights(
    weights_BCX: Tensor,
    candidates_BX: Tensor,
    pseudo_BX: Tensor,
    *,
    norm: DirectNorm,
    temperature: float = 1.0,
) -> tuple[PixelWeights, Tensor]:
    """Weights straight from the meta weights of this step, without a memory.

    ========== =====================================================================================
    ``l2b``    cut at 0, divided by the sum over both maps of the whole batch (the literal L2B form)
    ``image``  the same an image, so that one image cannot take all the weight
    ``class``  cut at 0, every target class gets the same mass
    ``sign``   1 where positive, 1/2 each where both labels are
    ``softmax`` softmax over the pixels of both maps of an image, at ``temperature``
    ========== =====================================================================================

    All but ``sign`` are multiplied by the number of labelled pixels, so that the loss stays a mean.

    Parameters
    ----------
    weights_BCX : Tensor, float
        Meta weight of every label.
    candidates_BX, pseudo_BX : Tensor, int64
        Label in question (``IGNORE`` where there is none) and the teacher's label.
    norm : str
    temperature : float

    Returns
    -------
    weights : PixelWeights
        Not bounded by 1, save for ``sign``. All 0 in an image where no label has a positive weight.
    empty_BX : Tensor, bool
        Labelled pixels at which both weights are 0.
    """
    labelled = candidates_BX != IGNORE
    given = weights_BCX.gather(1, torch.where(labelled, candidates_BX, 0).unsqueeze(1)).squeeze(1)
    own = weights_BCX.gather(1, pseudo_BX.unsqueeze(1)).squeeze(1)
    both = torch.stack([given, own]) * labelled
    if norm == "sign":
        positive = (both > 0).to(both.dtype)
        both = positive / positive.sum(0).clamp_min(1)
    elif norm == "softmax":
        both = _softmax_over_pixels(both / temperature, labelled)
    elif norm == "class":
        both = _equal_mass(both.relu(), torch.stack([candidates_BX, pseudo_BX]), labelled)
    else:
        both = both.relu()
        per_image = both.sum(0).flatten(1).sum(1)
        counts = labelled.flatten(1).sum(1).to(both.dtype)
        if norm == "l2b":
            per_image, counts = per_image.sum().expand_as(per_image), counts.sum().expand_as(counts)
        both = both * (counts / per_image.clamp_min(1e-10)).view(-1, *[1] * (labelled.ndim - 1))
    return PixelWeights(both[0], both[1], pseudo_BX), (both.sum(0) == 0) & labelled


def _softmax_over_pixels(both_2BX: Tensor, labelled_BX: Tensor) -> Tensor:
    masked = both_2BX.masked_fill(~labelled_BX, -torch.inf).transpose(0, 1)
    counts = labelled_BX.flatten(1).sum(1, keepdim=True)
    shares = masked.flatten(1).softmax(1).nan_to_num() * counts
    return shares.view_as(masked).transpose(0, 1)


def _equal_mass(both_2BX: Tensor, labels_2BX: Tensor, labelled_BX: Tensor) -> Tensor:
    present = torch.bincount(labels_2BX[:, labelled_BX].flatten()).nonzero().flatten().tolist()
    result = torch.zeros_like(both_2BX)
    for label in present:
        chosen = (labels_2BX == label) & labelled_BX
        mass = both_2BX[chosen].sum().clamp_min(1e-10)
        result[chosen] = both_2BX[chosen] * labelled_BX.sum() / (len(present) * mass)
    return result


def filled_from(weights: PixelWeights, prior: PixelWeights) -> PixelWeights:
    """Weights with every image in which no label has any replaced by those of the prior.

    The literal form divides 0 by a small number there, and so drops the image without a word.
    """
    total_B = (weights.alpha + weights.beta).flatten(1).sum(1)
    empty = (total_B == 0).view(-1, *[1] * (weights.alpha.ndim - 1))
    return PixelWeights(
        torch.where(empty, prior.alpha, weights.alpha), torch.where(empty, prior.beta, weights.beta), weights.pseudo
    )
