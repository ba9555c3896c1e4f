"""The forward-mode weights against double backward, finite differences and their own identities."""

from __future__ import annotations

import pytest
import torch

from src_core.config import preset
from src_core.losses.pixel import pixel_cross_entropy
from src_core.meta.derivative import (
    Derivative,
    gradient,
    label_weights,
    logits_along,
    logits_along_by_differences,
)
from src_core.networks.registry import build_network
from src_core.networks.stateless import call_with, copied_buffers
from src_core.networks.unetplusplus import UNetPlusPlus


def make(classes: int, norm_name: str, seed: int = 0):
    torch.manual_seed(seed)
    network = UNetPlusPlus(
        1, classes, base_width=8, norm=(norm_name, {"num_groups": 8} if norm_name == "group" else {"affine": True})
    ).double()
    images = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    labels = torch.randint(0, classes, (2, 32, 32))
    meta_images = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    meta_labels = torch.randint(0, classes, (2, 32, 32))
    verified = torch.rand(2, 32, 32) < 0.3
    return network, images, labels, meta_images, meta_labels, verified


def meta_loss(network, images, labels, verified):
    losses = pixel_cross_entropy(network(images), labels)
    return (losses * verified).sum() / verified.sum()


def weights_by_double_backward(network, images, labels, meta):
    """The literal form: differentiate the verified loss after a virtual step with respect to each pixel's weight."""
    parameters = dict(network.named_parameters())
    eps = torch.zeros(labels.shape, dtype=torch.float64, requires_grad=True)
    losses = pixel_cross_entropy(call_with(network, {**parameters, **copied_buffers(network)}, images), labels)
    step = torch.autograd.grad((eps * losses).sum(), list(parameters.values()), create_graph=True, allow_unused=True)
    moved = {name: value if g is None else value - g for (name, value), g in zip(parameters.items(), step, strict=True)}
    meta_images, meta_labels, verified = meta
    after = pixel_cross_entropy(call_with(network, {**moved, **copied_buffers(network)}, meta_images), meta_labels)
    loss = (after * verified).sum() / verified.sum()
    return -torch.autograd.grad(loss, eps)[0]


@pytest.mark.parametrize("norm_name", ["group", "instance"])
@pytest.mark.parametrize("classes", [2, 4])
def test_equals_double_backward(classes, norm_name):
    network, images, labels, *meta = make(classes, norm_name)
    direction = gradient(network, meta_loss(network, *meta))
    weights = label_weights(*logits_along(network, direction, images))
    ours = weights.gather(1, labels.unsqueeze(1)).squeeze(1)
    literal = weights_by_double_backward(network, images, labels, meta)
    assert literal.abs().max() > 0
    assert (ours - literal).abs().max() / literal.abs().max() < 1e-6


def test_weights_of_all_labels_balance():
    network, images, _, *meta = make(4, "group")
    logits, derivative = logits_along(network, gradient(network, meta_loss(network, *meta)), images)
    weights = label_weights(logits, derivative)
    assert torch.allclose((logits.softmax(1) * weights).sum(1), torch.zeros(2, 32, 32, dtype=torch.float64), atol=1e-12)
    # the label that gains most is the one whose logit falls least along v, that is, rises most along -v
    assert torch.equal(weights.argmax(1), derivative.argmin(1))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("frozen", [False, True])
def test_batch_norm_equals_double_backward_and_keeps_its_statistics(dims, frozen):
    torch.manual_seed(0)
    settings = preset("quick", network="dynunet", norm="batch", base_width=8)
    network = build_network(1, 2, settings, spatial_dims=dims).double().train(not frozen)
    sides = (32,) * dims
    images, meta_images = (torch.randn(2, 1, *sides, dtype=torch.float64) for _ in range(2))
    labels, meta_labels = (torch.randint(0, 2, (2, *sides)) for _ in range(2))
    verified = torch.rand(2, *sides) < 0.3
    before = copied_buffers(network)
    buffers = copied_buffers(network)
    losses = pixel_cross_entropy(call_with(network, buffers, meta_images), meta_labels)
    direction = gradient(network, (losses * verified).sum() / verified.sum())
    weights = label_weights(*logits_along(network, direction, images)).gather(1, labels.unsqueeze(1)).squeeze(1)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    literal = weights_by_double_backward(network, images, labels, (meta_images, meta_labels, verified))
    assert (weights - literal).abs().max() / literal.abs().max() < 1e-6


@pytest.mark.parametrize("name", ["unet++", "dynunet"])
def test_finite_differences_agree(name):
    torch.manual_seed(0)
    network = build_network(1, 2, preset("quick", network=name, base_width=8))
    images = torch.randn(2, 1, 64, 64)
    loss = pixel_cross_entropy(network(images.flip(0)), torch.randint(0, 2, (2, 64, 64))).mean()
    direction = gradient(network, loss)
    exact = label_weights(*logits_along(network, direction, images))
    near = label_weights(*logits_along_by_differences(network, direction, images, relative_step=1e-5))
    assert torch.nn.functional.cosine_similarity(exact.flatten(), near.flatten(), dim=0) > 0.99


def test_steps_that_are_too_long_and_half_precision_are_refused():
    network = torch.nn.Conv2d(1, 2, 1)
    direction = {name: torch.ones_like(value) for name, value in network.named_parameters()}
    image = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match="relative_step"):
        logits_along_by_differences(network, direction, image, relative_step=1e-3)
    with pytest.raises(ValueError, match="float32"):
        logits_along_by_differences(network.half(), direction, image.half())


class Doubled(torch.autograd.Function):
    """An operation of somebody's network that knows no forward derivative."""

    @staticmethod
    def forward(context, values):
        return values * 2

    @staticmethod
    def backward(context, slope):
        return slope * 2


class Foreign(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, images):
        return Doubled.apply(self.layer(images)).tanh()


def test_a_layer_without_forward_derivative_is_served_by_differences(caplog):
    network = Foreign().double()
    direction = {name: torch.randn_like(value) for name, value in network.named_parameters()}
    images = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    derivative = Derivative(network)
    _, found = derivative(direction, images)
    _, again = derivative(direction, images)
    assert derivative.by_differences
    assert len(caplog.records) == 1
    logits = Doubled.apply(network.layer(images))
    moved = call_with(network.layer, {n.removeprefix("layer."): v for n, v in direction.items()}, images)
    exact = 2 * moved * (1 - logits.tanh() ** 2)
    assert torch.allclose(found, exact, rtol=1e-4, atol=1e-6)
    assert torch.equal(found, again)


def test_unverified_labels_and_order_have_no_influence():
    network, images, _, meta_images, meta_labels, verified = make(2, "group")

    def weights(*meta):
        return label_weights(*logits_along(network, gradient(network, meta_loss(network, *meta)), images))

    base = weights(meta_images, meta_labels, verified)
    other = torch.where(verified, meta_labels, 1 - meta_labels)
    assert torch.equal(base, weights(meta_images, other, verified))
    flipped = weights(meta_images.flip(0), meta_labels.flip(0), verified.flip(0))
    assert torch.allclose(base, flipped, rtol=1e-9, atol=1e-12)


def test_buffers_and_parameters_stay_as_they_are():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 1)
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    direction = {name: torch.randn_like(value) for name, value in network.named_parameters()}
    _, derivative = logits_along(network, direction, torch.randn(2, 1, 8, 8))
    assert torch.isfinite(derivative).all()
    assert not derivative.requires_grad
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
