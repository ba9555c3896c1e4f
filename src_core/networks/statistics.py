"""Running statistics of batch normalisation: estimated anew, and used as they are.

A pass in training mode normalises by the statistics of its own batch, so that a derivative includes them. With
statistics that are not converged, the derivative of a pass that uses them as they are has been seen to give weights of
the wrong sign; hence they are first estimated anew.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor, nn


def _batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch normalisation use its running statistics meanwhile, and not change them."""
    layers = [layer for layer in _batch_norms(network) if layer.training]
    try:
        for layer in layers:
            layer.eval()
        yield
    finally:
        for layer in layers:
            layer.train()


@torch.no_grad()
def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics by the mean of those of some batches.

    Parameters
    ----------
    network : Module
        In training mode.
    batches : iterable of Tensor, (B, I, X)
    """
    layers = _batch_norms(network)
    momenta = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all batches, in torch's words
        for images_BIX in batches:
            network(images_BIX)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
