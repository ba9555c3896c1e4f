"""A pass through a network with other parameters or buffers than its own.

``torch.func.functional_call`` does this, too, but leaves the replacements behind in a network that holds one layer
under two names, as DynUNet of MONAI does (seen with torch 2.13): the optimiser would then move parameters that nobody
uses. Here tensors are replaced by identity, each once, and always put back.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn


def call_with(network: nn.Module, tensors: Mapping[str, Tensor], images_BIX: Tensor) -> Tensor:
    """Output of the network with some parameters and buffers replaced.

    Parameters
    ----------
    network : Module
        Unchanged afterwards, also after an error.
    tensors : mapping of name to Tensor
        By the names of ``named_parameters`` and ``named_buffers``; what is missing stays. A tensor that the network
        uses in several places is replaced in all of them.
    images_BIX : Tensor

    Returns
    -------
    Tensor
    """
    with _replaced(network, tensors):
        output: Tensor = network(images_BIX)
    return output


@contextmanager
def _replaced(network: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    own = chain(network.named_parameters(), network.named_buffers())
    wanted = {id(value): tensors[name] for name, value in own if name in tensors}
    kept = []
    for module in network.modules():
        for store in (module._parameters, module._buffers):
            for name, value in store.items():
                if id(value) in wanted:
                    kept.append((store, name, value))
    try:
        for store, name, value in kept:
            store[name] = wanted[id(value)]  # type: ignore[assignment]
        yield
    finally:
        for store, name, value in kept:
            store[name] = value  # type: ignore[assignment]


def copied_buffers(network: nn.Module) -> dict[str, Tensor]:
    """Copies of the buffers by name, for a pass that must leave them as they are."""
    return {name: value.clone() for name, value in network.named_buffers()}
