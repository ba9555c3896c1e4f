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
from src_core.meta.derivative import label_weights
from src_core.meta.weights import direct_weights, filled_from, pixel_weights
from src_core.networks.stateless import call_with, copied_buffers
from src_core.train.views import teacher_prediction

if TYPE_CHECKING:
    from torch import Tensor, nn

    from src_core.train.learner import Learner, StepReport
    from src_core.train.sampler import Batch


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
    direction = _gradient_at(learner, look_ahead(learner.network, learner.optimizer), verified)
    weights_BCX = label_weights(*learner.weigher.derivative(direction, batch.images_BIX))
    teacher_BCX, _ = teacher_prediction(learner.teacher, batch.images_BIX)
    prior = pixel_weights(teacher_BCX, torch.zeros_like(teacher_BCX), batch.labels_BX, evidence_scale=0.0)
    weights, empty_BX = direct_weights(weights_BCX.nan_to_num(), batch.labels_BX, prior.pseudo, norm="l2b")
    alpha, beta, pseudo = filled_from(weights, prior)
    learner.optimizer.zero_grad(set_to_none=True)
    logits_BCX = learner.network(batch.images_BIX)
    labelled_BX = (batch.labels_BX != IGNORE).float()
    losses_BX = alpha * pixel_cross_entropy(logits_BCX, batch.labels_BX) + beta * pixel_cross_entropy(
        logits_BCX, pseudo
    )
    report = learner.finish(weighted_mean(losses_BX, labelled_BX))
    learner.optimizer.zero_grad(set_to_none=True)
    learner.finish(learner.verified_loss(verified), counts=False)
    report.counters["zero_weight_fraction"] = float(empty_BX.sum() / labelled_BX.sum().clamp_min(1))
    return report


def look_ahead(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Parameters after the virtual step with all weights at 0.

    With SGD that is ``theta - lr (momentum * buffer + weight_decay * theta)``; with AdamW, whose step divides by the
    size of the gradient, the parameters as they are.
    """
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    if not isinstance(optimizer, torch.optim.SGD):
        return parameters
    group = optimizer.param_groups[0]
    moved = {}
    for name, value in network.named_parameters():
        step = group["weight_decay"] * value.detach()
        buffer = optimizer.state.get(value, {}).get("momentum_buffer")
        if buffer is not None:
            step = step + group["momentum"] * buffer
        moved[name] = value.detach() - group["lr"] * step
    return moved


def _gradient_at(learner: Learner, parameters: dict[str, Tensor], verified: Batch) -> dict[str, Tensor]:
    free = {name: value.clone().requires_grad_(True) for name, value in parameters.items()}
    logits_BCX = call_with(learner.network, {**free, **copied_buffers(learner.network)}, verified.images_BIX)
    losses_BX = pixel_cross_entropy(logits_BCX, verified.labels_BX)
    loss = weighted_mean(losses_BX, learner.verified_weights(verified))
    found = torch.autograd.grad(loss, list(free.values()), allow_unused=True)
    return {
        name: torch.zeros_like(value) if slope is None else slope
        for (name, value), slope in zip(free.items(), found, strict=True)
    }
