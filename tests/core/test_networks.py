"""Every network trains with the meta weights, in 2-D and 3-D, with any number of channels; so does one's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from src_core.config import preset
from src_core.errors import SettingsError
from src_core.networks.registry import NETWORKS, build_network, register
from src_core.networks.segmenter import Segmenter
from src_core.networks.stateless import call_with
from src_core.train.cases import CaseSet, WorkCase
from src_core.train.learner import Learner
from src_core.train.sampler import Sampler
from src_core.train.steps import Judgement
from src_core.train.views import teacher_prediction


def case_set(dims: int, channels: int, side: int, classes: int = 3) -> CaseSet:
    rng = np.random.default_rng(0)
    cases = []
    for index in range(3):
        image = torch.from_numpy(rng.normal(size=(channels, *[side] * dims)).astype(np.float32))
        label = (image[0] > 0).to(torch.uint8) + (image[0] > 1).to(torch.uint8)
        given = label.roll(2, -1)
        cases.append(WorkCase(None, image, label, given, torch.full_like(label, int(index < 2))))
    return CaseSet(cases, classes)


def one_step(learner: Learner, sampler: Sampler, rng: np.random.Generator, floor: float):
    verified = sampler.verified(rng, (0, 1), 2)
    return learner.weighted_step(
        sampler.training(rng, 2),
        Judgement(verified, verified),
        excluded=frozenset(),
        emphasis_floor=floor,
        use_meta=True,
        rate=0.5,
    )


def few_steps(data: CaseSet, settings, steps: int = 3) -> Learner:
    learner = Learner(settings, data, torch.device("cpu"))
    sampler, rng = Sampler(data.cases, settings.patch_size), np.random.default_rng(0)
    before = {name: value.detach().clone() for name, value in learner.network.named_parameters()}
    for _ in range(steps):
        report = one_step(learner, sampler, rng, 0.5)
        assert np.isfinite(report.loss)
        assert report.counters["direction"] > 0
        assert report.counters["non_finite"] == 0
    moved = [name for name, value in learner.network.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) > 0.8 * len(before)
    assert any(values.any() for values in learner.weigher.memory.maps)
    return learner


@pytest.mark.parametrize("name", ["unet++", "unet", "dynunet", "segresnet", "swinunetr"])
@pytest.mark.parametrize(("dims", "channels"), [(2, 3), (3, 1)])
def test_each_network_trains_with_the_meta_weights(name, dims, channels):
    side = 64 if name == "swinunetr" else 32
    settings = preset("quick", network=name, base_width=8, patch_size=side, refresh_every=1)
    learner = few_steps(case_set(dims, channels, side), settings, steps=2 if dims == 3 else 3)
    odd = torch.randn(1, channels, *[side + 3] * dims)
    probabilities, features = teacher_prediction(learner.teacher, odd)
    assert probabilities.shape == (1, 3, *[side + 3] * dims)
    assert torch.allclose(probabilities.sum(1), torch.ones(1, *[side + 3] * dims), atol=1e-5)
    assert features.shape == (1, learner.network.feature_channels, *[side + 3] * dims)
    assert learner.network.feature_channels > learner.classes  # logits make no features


@pytest.mark.parametrize("norm", ["group", "instance", "batch"])
@pytest.mark.parametrize("weighting", ["memory", "l2b", "image", "class", "sign", "softmax"])
def test_every_weighting_trains_with_every_norm(norm, weighting):
    settings = preset(
        "quick", network="dynunet", base_width=8, patch_size=32, norm=norm, weighting=weighting, consistency_weight=0.1
    )
    data = case_set(2, 1, 32)
    learner = Learner(settings, data, torch.device("cpu"))
    report = one_step(learner, Sampler(data.cases, 32), np.random.default_rng(0), 1.0)
    assert np.isfinite(report.loss)
    assert any(values.any() for values in learner.weigher.memory.maps) == (weighting == "memory")


class Mine(torch.nn.Module):
    """A person's own network, with a layer of its own making."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(in_channels, 6, 3, padding=1)
        self.last = torch.nn.Conv2d(6, classes, 1)

    def forward(self, images):
        return self.last(torch.nn.functional.softplus(self.first(images)))


def mine(in_channels, classes, _dims, _settings):
    return Mine(in_channels, classes)


def test_a_network_of_ones_own_trains_by_its_name():
    register("mine", mine, stride=4)
    try:
        learner = few_steps(case_set(2, 2, 32), preset("quick", network="mine", patch_size=32, refresh_every=1))
        assert learner.network.feature_channels == 6
        with pytest.raises(SettingsError, match="taken"):
            register("mine", lambda *_: Mine(1, 2), stride=4)
    finally:
        del NETWORKS["mine"]


def test_networks_that_do_not_fit_are_said():
    with pytest.raises(SettingsError, match=r"'nothing', expected one of unet\+\+, unet"):
        build_network(1, 2, preset("quick", network="nothing"))
    options = {"in_channels": 1, "spatial_dims": 2, "stride": 4}
    with pytest.raises(SettingsError, match="one map a class"):
        Segmenter(Mine(1, 3), classes=2, **options)
    with pytest.raises(SettingsError, match="cannot take an image of 1 channels"):
        Segmenter(Mine(4, 2), classes=2, **options)
    with pytest.raises(SettingsError, match="no layer with weights"):
        Segmenter(torch.nn.Identity(), classes=1, **options)


def test_parameters_come_back_after_a_pass_with_others():
    """Also in a network that holds one layer under two names, and after an error."""
    network = build_network(1, 2, preset("quick", network="dynunet", base_width=8, norm="batch"))
    own = {name: id(value) for name, value in [*network.named_parameters(), *network.named_buffers()]}
    state = {name: value.clone() for name, value in network.state_dict().items()}
    other = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    assert not call_with(network, other, torch.randn(2, 1, 32, 32)).any()
    with pytest.raises(RuntimeError):
        call_with(network, other, torch.randn(2, 5, 32, 32))
    assert own == {name: id(value) for name, value in [*network.named_parameters(), *network.named_buffers()]}
    kept = {name: value for name, value in network.state_dict().items() if "running" not in name and "num_" not in name}
    assert all(torch.equal(value, state[name]) for name, value in kept.items())


def test_a_layer_used_twice_is_replaced_everywhere():
    layer = torch.nn.Conv2d(1, 1, 1)
    network = torch.nn.Sequential(layer, layer)
    tensors = {name: torch.full_like(value, 2.0) for name, value in network.named_parameters()}
    assert call_with(network, tensors, torch.ones(1, 1, 1, 1)).item() == 2 * (2 * 1 + 2) + 2


@pytest.mark.parametrize("name", ["unet++", "dynunet", "segresnet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_beside_each_other_change_nothing_but_rounding(name, channels):
    network = build_network(channels, 2, preset("quick", network=name, base_width=8)).eval()
    images_BIX = torch.randn(2, channels, 64, 96)
    laid_out = network.laid_out(images_BIX)
    assert laid_out.stride()[1] == 1
    with torch.no_grad():
        before, after = network(images_BIX), network(laid_out)
    assert after.stride()[1] == 1  # the layers kept it so
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_images_of_other_networks_and_volumes_lie_as_they_did():
    plane, volume = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 32, 32, 32)
    register("mine", mine, stride=2)
    try:
        assert build_network(3, 2, preset("quick", network="mine")).laid_out(plane) is plane
    finally:
        del NETWORKS["mine"]
    settings = preset("quick", network="dynunet", base_width=8)
    assert build_network(3, 2, settings, spatial_dims=3).laid_out(volume) is volume
