"""The forms of a training step that are compared, on random images, and their peak memory.

The forms share network, batch sizes, losses and optimiser: ``plain`` learns from the given labels; ``clean`` adds the
verified term, the least that any method with verified pixels pays; ``ours`` is the default step, with offsets of the
masks, the guided gradient, and the meta weights observed when they are due; ``weights`` puts them and the emphasis of
DCD into the loss; ``double`` takes weights as L2B's public code does, by a backward pass through a backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from src_core.config import TrainingSettings, preset
from src_core.data.case import Verified
from src_core.losses.pixel import pixel_cross_entropy
from src_core.train.cases import CaseSet, WorkCase
from src_core.train.learner import Learner
from src_core.train.sampler import Batch, Sampler
from src_core.train.steps import Judgement
from src_core.train.views import teacher_prediction

FORMS = ("plain", "clean", "ours", "weights", "double")
NOBODY: frozenset[int] = frozenset()

Step = Callable[[], object]


def settings_of(dims: int, side: int, **changes: Any) -> TrainingSettings:
    """The defaults of the preset *standard* in 2-D; in 3-D a DynUNet, for which there is room on a laptop."""
    network = {"network": "dynunet", "base_width": 16, "batch_size": 2, "meta_batch_size": 2} if dims == 3 else {}
    return preset("standard", max_side=max(side, 32), patch_size=side, **{**network, **changes})


def steps_of(dims: int, side: int, **changes: Any) -> dict[str, Step]:
    """A function for each form that takes one step; each has a network of its own.

    Parameters
    ----------
    dims : int
        2 or 3.
    side : int
        Edge of a crop, px.
    """
    settings = settings_of(dims, side, **changes)
    data = _data(dims, side, settings.batch_size + settings.meta_batch_size)
    return {form: _step(form, Learner(settings, data, torch.device("cpu")), data) for form in FORMS}


def _data(dims: int, side: int, count: int) -> CaseSet:
    rng = np.random.default_rng(0)
    cases = []
    for number in range(count):
        image = torch.from_numpy(rng.normal(size=(1, *[side] * dims)).astype(np.float32))
        label = (image[0] > 0).to(torch.uint8)
        kinds = torch.full_like(label, int(Verified.CONFIRMED) if number % 2 else int(Verified.NO))
        cases.append(WorkCase(None, image, label, label.clone(), kinds))
    return CaseSet(cases, 2)


def _step(form: str, learner: Learner, data: CaseSet) -> Step:
    settings, rng = learner.settings, np.random.default_rng(0)
    sampler = Sampler(data.cases, settings.patch_size)
    batch = sampler.training(rng, settings.batch_size)
    verified = sampler.verified(rng, tuple(range(1, len(data.cases), 2)), settings.meta_batch_size)
    assert verified is not None
    both = Judgement(verified, verified)
    if form == "plain":
        return lambda: learner.plain_step(batch, Judgement(), excluded=NOBODY, given_only=False)
    if form == "clean":
        return lambda: learner.plain_step(batch, both, excluded=NOBODY, given_only=False)
    if form == "ours":
        return lambda: learner.plain_step(
            batch,
            both,
            excluded=NOBODY,
            given_only=False,
            offsets=settings.mask_offsets,
            guided=settings.guided,
            observe_at=settings.evidence_rate,
        )
    if form == "weights":
        return lambda: learner.weighted_step(
            batch, both, excluded=NOBODY, emphasis_floor=settings.dcd_floor, use_meta=True, rate=settings.evidence_rate
        )
    return lambda: double_backward_step(learner, batch, verified)


def double_backward_step(learner: Learner, batch: Batch, verified: Batch) -> None:
    """Look-ahead from zero weights, gradient with respect to them, then the weighted and the verified term.

    As the public code of L2B has it, but with both terms in one optimiser step, which is the cheaper way.
    """
    network = learner.network
    parameters = dict(network.named_parameters())
    pseudo_BX = teacher_prediction(learner.teacher, batch.images_BIX, mirror=False)[0].argmax(1)
    labels_2BX = torch.stack([batch.labels_BX, pseudo_BX])
    eps_2BX = torch.zeros(labels_2BX.shape, requires_grad=True)
    losses_2BX = _losses(network(batch.images_BIX), labels_2BX)
    slopes = torch.autograd.grad((eps_2BX * losses_2BX).mean(), list(parameters.values()), create_graph=True)
    moved = {name: value - slope for (name, value), slope in zip(parameters.items(), slopes, strict=True)}
    (meta_2BX,) = torch.autograd.grad(learner.verified_loss(verified, moved), eps_2BX)
    weights_2BX = (-meta_2BX).relu()
    weights_2BX = weights_2BX / weights_2BX.sum().clamp_min(1e-10)
    del slopes, moved, losses_2BX
    learner.optimizer.zero_grad(set_to_none=True)
    loss = (weights_2BX * _losses(network(batch.images_BIX), labels_2BX)).sum()
    learner.finish(loss + learner.verified_loss(verified))


def _losses(logits_BCX: torch.Tensor, labels_2BX: torch.Tensor) -> torch.Tensor:
    return torch.stack([pixel_cross_entropy(logits_BCX, labels) for labels in labels_2BX])


def peak_memory(step: Step) -> int:
    """Largest sum of what torch holds during a step beyond what it held before, bytes; gradients count."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return int(held.max(initial=0))
