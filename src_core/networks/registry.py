"""Networks by name. A network is a module with ``features(x)`` and ``head``; its output is ``head(features(x))``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_core.networks.unetplusplus import UNetPlusPlus

if TYPE_CHECKING:
    from collections.abc import Callable

    from src_core.config import TrainingSettings


def _unetplusplus(in_channels: int, classes: int, settings: TrainingSettings) -> UNetPlusPlus:
    return UNetPlusPlus(in_channels, classes, base_width=settings.base_width, norm=settings.norm)


NETWORKS: dict[str, Callable[[int, int, TrainingSettings], UNetPlusPlus]] = {"unet++": _unetplusplus}


def build_network(in_channels: int, classes: int, settings: TrainingSettings) -> UNetPlusPlus:
    """Make the network of the settings, with fresh weights from torch's global generator."""
    return NETWORKS["unet++"](in_channels, classes, settings)
