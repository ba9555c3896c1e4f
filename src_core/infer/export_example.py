"""An image of the project as an exported network sees it, and what the network says of it.

Shape suffixes: C classes, I input channels, X the space axes.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from src_core.train.intensities import Intensities
from src_core.train.views import padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.networks.segmenter import Segmenter
    from src_core.train.working import Working

AS_IT_IS = Intensities(low=-inf, high=inf, mean=0.0, spread=1.0)
"""Leaves intensities alone."""


class Probabilities(nn.Module):
    """What is exported: normalised images to the probability of every class.

    Parameters
    ----------
    network : Segmenter
    """

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.body = network.body
        self.stride = network.stride

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Probabilities ``(B, C, X)``, of images ``(B, I, X)`` whose sides are multiples of the stride."""
        logits = self.body(image)
        first: torch.Tensor = logits[0] if isinstance(logits, (list, tuple)) else logits
        return first.softmax(1)


def typical_case(cases: Sequence[CaseInfo]) -> CaseInfo:
    """What a model is tried on: the first volume, as more is to be said of volumes; without any the first image."""
    return next((case for case in cases if len(case.shape) == 3), cases[0])


def part_shown(case: CaseInfo, working: Working) -> tuple[CaseInfo, Box | None]:
    """What the network is shown of an image: all of it; of one that is worked on in tiles, one in its middle."""
    tiling = working.tiling
    if tiling is None or not tiling.cuts(case):
        return case, None
    box = tiling.box(case, tiling.count(case) // 2)
    return replace(case, shape=box.shape), box


class Example:
    """An image, of a volume a slice or a box in the middle, at working resolution, padded.

    Parameters
    ----------
    teacher : Segmenter
    case : CaseInfo
    image : array
        Of its shape.
    working : Working
    window : list of int or None
        Sides of what the network is shown of a volume.

    Attributes
    ----------
    input_1IX, output_1CX : Tensor
        As the network sees it, and what it says.
    raw_1IX : Tensor
        The same before intensities are scaled.
    """

    def __init__(
        self, teacher: Segmenter, case: CaseInfo, image: NDArray[Any], working: Working, window: list[int] | None
    ) -> None:
        self.network = Probabilities(teacher).eval()
        self.working = working
        self.input_1IX = self._shown(teacher, case, image, working, window)
        self.raw_1IX = self._shown(teacher, case, image, replace(working, intensities=AS_IT_IS), window)
        self.output_1CX = self.said_of(self.input_1IX)

    @staticmethod
    def _shown(
        teacher: Segmenter, case: CaseInfo, image: NDArray[Any], working: Working, window: list[int] | None
    ) -> torch.Tensor:
        parts = working.images(case, image)
        shown_IX = parts[len(parts) // 2]
        for axis, side in enumerate(window or (), start=1):
            size = shown_IX.shape[axis]
            shown_IX = shown_IX.narrow(axis, (size - min(side, size)) // 2, min(side, size))
        return padded(teacher, shown_IX[None]).contiguous()

    @torch.no_grad()
    def said_of(self, values_1IX: torch.Tensor) -> torch.Tensor:
        """Probabilities of an input."""
        said: torch.Tensor = self.network(values_1IX)
        return said

    def scaled(self) -> torch.Tensor:
        """The raw input as the description of bioimage.io scales it: over what it is given, or all images alike."""
        values = self.raw_1IX.numpy()
        if self.working.intensities is not None:
            return torch.from_numpy(self.working.intensities.applied(values))
        values = np.clip(values, *np.percentile(values, (0.5, 99.5)))
        return torch.from_numpy(((values - values.mean()) / (values.std() + 1e-6)).astype(np.float32))
