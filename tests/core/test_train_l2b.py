"""One iteration of the literal L2B form against its double-backward original, written with torch alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from src_core.data.case import IGNORE
from src_core.networks.stateless import call_with
from src_core.train.cases import CaseSet, WorkCase
from src_core.train.l2b import l2b_step
from src_core.train.learner import Learner
from src_core.train.sampler import Sampler
from src_core.train.views import teacher_prediction


def case_set(dims: int = 2) -> CaseSet:
    rng = np.random.default_rng(0)
    cases = []
    for index in range(4):
        image = torch.from_numpy(rng.normal(size=(1, *[32] * dims)).astype(np.float32))
        label = (image[0] > 0).to(torch.uint8)
        cases.append(WorkCase(None, image, label, label.clone(), torch.full_like(label, int(index < 2))))
    return CaseSet(cases, 2)


def literal_iteration(network, teacher, optimizer, batch, verified, clip):
    """Virtual step from zero weights, gradient of the verified loss with respect to them, two optimiser steps."""
    names = [name for name, _ in network.named_parameters()]
    eps = torch.zeros(2, *batch.labels_BX.shape, dtype=torch.float64, requires_grad=True)
    pseudo = teacher_prediction(teacher, batch.images_BIX)[0].argmax(1)
    labelled = batch.labels_BX != IGNORE

    def costs():
        logits = network(batch.images_BIX)
        given = functional.cross_entropy(logits, batch.labels_BX, reduction="none", ignore_index=IGNORE)
        return torch.stack([given, functional.cross_entropy(logits, pseudo, reduction="none") * labelled])

    slopes = torch.autograd.grad((eps * costs()).sum(), list(network.parameters()), create_graph=True)
    group, moved = optimizer.param_groups[0], {}
    for name, value, slope in zip(names, network.parameters(), slopes, strict=True):
        step = slope + group["weight_decay"] * value
        buffer = optimizer.state.get(value, {}).get("momentum_buffer")
        moved[name] = value - group["lr"] * (step if buffer is None else step + group["momentum"] * buffer)
    after = functional.cross_entropy(call_with(network, moved, verified.images_BIX), verified.labels_BX)
    weights = (-torch.autograd.grad(after, eps)[0]).clamp(min=0)
    weights = weights / (weights.sum() + 1e-10)
    second = lambda: functional.cross_entropy(network(verified.images_BIX), verified.labels_BX)  # noqa: E731
    for loss in (lambda: (costs() * weights).sum(), second):
        optimizer.zero_grad()
        loss().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()


@pytest.mark.parametrize("dims", [2, 3])
def test_iterations_equal_the_literal_form(tiny, dims):
    data = case_set(dims)
    settings = tiny(
        method="l2b", network="dynunet", optimizer="sgd", learning_rate=0.005, weight_decay=5e-4, grad_clip=0.2
    )
    learner = Learner(settings, data, torch.device("cpu"))
    for module in (learner.network, learner.teacher):
        module.double()
    network = copy.deepcopy(learner.network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.005, momentum=0.9, weight_decay=5e-4)
    start = copy.deepcopy(network.state_dict())
    sampler, rng = Sampler(data.cases, 32), np.random.default_rng(1)
    for _ in range(3):
        batch, verified = sampler.training(rng, 2), sampler.verified(rng, (0, 1), 2)
        # the original knows no pixels outside of an image, and its verified crops are verified everywhere
        batch = replace(batch, images_BIX=batch.images_BIX.double())
        label = verified.labels_BX.where(verified.labels_BX != IGNORE, 0)
        kinds = torch.ones_like(label)
        images = verified.images_BIX.double()
        verified = replace(verified, images_BIX=images, labels_BX=label, candidates_BX=label, kinds_BX=kinds)
        literal_iteration(network, learner.teacher, optimizer, batch, verified, clip=0.2)
        report = l2b_step(learner, batch, verified)
        assert np.isfinite(report.loss)
    ours = learner.network.state_dict()
    for name, value in network.state_dict().items():
        change = (value - start[name]).abs().max()
        assert (ours[name] - value).abs().max() <= 1e-5 * change + 1e-12, name
