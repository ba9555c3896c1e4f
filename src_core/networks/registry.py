"""Networks by name. A network is a module with ``features(x)`` and ``head``; its output is ``head(features(x))``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from src_core.networks.unetplusplus import UNetPlusPlus

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from src_core.config import TrainingSettings


class FeatureNetwork(Protocol):
    """What training asks of a network, beside being a ``torch.nn.Module``."""

    head: nn.Module

    def features(self, images: Tensor) -> Tensor:
        """Feature map before the head, ``(B, D, H, W)``."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits, ``(B, C, H, W)``."""


def _unetplusplus(in_channels: int, classes: int, settings: TrainingSettings) -> UNetPlusPlus:
    return UNetPlusPlus(in_channels, classes, base_width=settings.base_width, norm=settings.norm)


NETWORKS: dict[str, Callable[[int, int, TrainingSettings], UNetPlusPlus]] = {"unet++": _unetplusplus}


def build_network(in_channels: int, classes: int, settings: TrainingSettings) -> UNetPlusPlus:
    """Make the network of the settings, with fresh weights from torch's global generator."""
    return NETWORKS["unet++"](in_channels, classes, settings)
