"""Statistics of batch normalisation: estimated anew at the end of the warm-up, frozen in the passes aside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src_core.config import preset
from src_core.networks.registry import build_network
from src_core.networks.stateless import copied_buffers
from src_core.networks.statistics import estimate_statistics, frozen_statistics
from src_core.train.control import Control
from src_core.train.learner import Learner
from src_core.train.loop import Loop
from tests.core.test_networks import case_set


def test_estimates_by_hand():
    layer = nn.BatchNorm2d(1).train()
    layer.running_mean.fill_(100)
    batches = [torch.full((1, 1, 2, 2), 1.0), torch.full((1, 1, 2, 2), 3.0)]
    estimate_statistics(layer, batches)
    assert layer.running_mean.item() == pytest.approx(2)
    assert layer.running_var.item() == pytest.approx(0)
    assert layer.momentum == 0.1
    assert layer.training


def test_frozen_passes_do_not_depend_on_their_batch():
    torch.manual_seed(0)
    network = build_network(1, 2, preset("quick", network="dynunet", norm="batch", base_width=8)).train()
    both = torch.randn(2, 1, 32, 32)
    before = copied_buffers(network)
    with torch.no_grad(), frozen_statistics(network):
        alone, together = network(both[:1]), network(both)
    assert torch.allclose(alone[0], together[0], atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert all(layer.training for layer in network.modules())


@pytest.mark.parametrize("statistics", ["batch", "frozen"])
def test_they_are_estimated_once_when_the_warm_up_ends(monkeypatch, statistics):
    asked = []
    monkeypatch.setattr(
        "src_core.train.loop.estimate_statistics", lambda _network, batches: asked.append(len([*batches]))
    )
    settings = preset(
        "quick", network="dynunet", norm="batch", norm_statistics=statistics, base_width=8, patch_size=32, epochs=3,
        steps_per_epoch=2, batch_size=2, meta_batch_size=2, warmup_fraction=0.4, cross_fit=False, min_verified=10,
        low_verified=10,
    )  # fmt: skip
    data = case_set(2, 1, 32)
    learner = Learner(settings, data, torch.device("cpu"))
    loop = Loop(learner, data, settings, Control(), lambda *_, **__: None)
    rows = [loop.epoch(number) for number in range(3)]
    assert asked == ([50] if statistics == "frozen" else [])
    assert [row["stage"] for row in rows] == ["warm-up", "meta", "meta"]
    assert rows[-1]["direction"] > 0
