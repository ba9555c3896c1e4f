"""One iteration of L2B (Learning to Bootstrap) as its public code does it, for comparison.

Three things set it apart from the method's own step: weights of this step only, normalised over the whole batch; the
verified gradient taken where momentum would carry the parameters (the virtual step starts from the optimiser's state);
and a second full optimiser step on the verified crops instead of a term in the same one. The derivative of the virtual
step is taken forwards here, which gives the same numbers as the double backward pass of the original.

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from src_core.data.case import IGNORE
from src_core.losses.pixel import pixel_cross_entropy, weighted_mean
from src_core.meta.derivative import gradient, label_weights
from src_core.meta.weights import pixel_weights
from src_core.train.weighting import weighed_directly

if TYPE_CHECKING:
    from torch import Tensor

    from src_core.train.learner import Learner
    from src_core.train.sampler import Batch
    from src_core.train.steps import StepReport


def l2b_step(learner: Learner, batch: Batch, verified: Batch) -> StepReport:
    """A weighted step on the training batch, then a step on the verified crops.

    Parameters
    ----------
    learner : Learner
    batch : Batch
        Training crops.
    verified : Batch
        Verified crops that judge and are then learned from.

    Returns
    -------
    StepReport
        Loss of the weighted step.
    """
    ahead = {name: value.clone().requires_grad_(True) for name, value in look_ahead(learner).items()}
    direction = learner.passes.ranks.summed(gradient(ahead, learner.verified_loss(verified, ahead)))
    with learner.statistics():
        weights_BCX = label_weights(*learner.weigher.derivative_of(batch.images_BIX, direction))
    teacher_BCX, _ = learner.teacher_says(batch.images_BIX)
    prior = pixel_weights(teacher_BCX, torch.zeros_like(teacher_BCX), batch.labels_BX, evidence_scale=0.0)
    counters: dict[str, float] = {}
    alpha, beta, pseudo = weighed_directly(batch, weights_BCX, prior, norm="l2b", counters=counters)
    learner.optimizer.zero_grad(set_to_none=True)
    logits_BCX = learner.passes(learner.network, batch.images_BIX)
    labelled_BX = (batch.labels_BX != IGNORE).float()
    losses_BX = alpha * pixel_cross_entropy(logits_BCX, batch.labels_BX) + beta * pixel_cross_entropy(
        logits_BCX, pseudo
    )
    report = learner.finish(weighted_mean(losses_BX, labelled_BX))
    learner.optimizer.zero_grad(set_to_none=True)
    learner.finish(learner.verified_loss(verified), counts=False)
    report.counters.update(counters)
    return report


def look_ahead(learner: Learner) -> dict[str, Tensor]:
    """Parameters after the virtual step with all weights at 0.

    With SGD that is ``theta - lr (momentum * buffer + weight_decay * theta)``; with AdamW, whose step divides by the
    size of the gradient, the parameters as they are.
    """
    parameters, optimizer = dict(learner.network.named_parameters()), learner.optimizer
    if not isinstance(optimizer, torch.optim.SGD):
        return {name: value.detach() for name, value in parameters.items()}
    group = optimizer.param_groups[0]
    moved = {}
    for name, value in parameters.items():
        step = group["weight_decay"] * value.detach()
        buffer = optimizer.state.get(value, {}).get("momentum_buffer")
        if buffer is not None:
            step = step + group["momentum"] * buffer
        moved[name] = value.detach() - group["lr"] * step
    return moved
