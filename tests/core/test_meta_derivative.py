"""The forward-mode weights against double backward, finite differences and their own identities."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from src_core.losses.pixel import pixel_cross_entropy
from src_core.meta.derivative import gradient, label_weights, logits_along, norm
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
    losses = pixel_cross_entropy(functional_call(network, parameters, (images,)), labels)
    step = torch.autograd.grad((eps * losses).sum(), list(parameters.values()), create_graph=True, allow_unused=True)
    moved = {name: value if g is None else value - g for (name, value), g in zip(parameters.items(), step, strict=True)}
    meta_images, meta_labels, verified = meta
    after = pixel_cross_entropy(functional_call(network, moved, (meta_images,)), meta_labels)
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


def test_agrees_with_finite_differences():
    network, images, labels, *meta = make(2, "group")
    direction = gradient(network, meta_loss(network, *meta))
    weights = label_weights(*logits_along(network, direction, images)).gather(1, labels.unsqueeze(1)).squeeze(1)
    step = 1e-6 / norm(direction)
    moved = []
    for sign in (-1, 1):
        parameters = {n: p.detach() + sign * step * direction[n] for n, p in network.named_parameters()}
        moved.append(-pixel_cross_entropy(functional_call(network, parameters, (images,)), labels))
    numeric = (moved[0] - moved[1]).detach() / (2 * step)
    assert torch.nn.functional.cosine_similarity(weights.flatten(), numeric.flatten(), dim=0) > 0.999


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
