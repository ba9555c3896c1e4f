"""Random crops: one affine map cuts, turns, scales and flips at once, and can be undone for the evidence memory.

Shape suffixes: I input channels, C classes, H height, W width of a case; P edge of the crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.train.cases import WorkCase


@dataclass(frozen=True)
class Crop:
    """A square crop of a case, and the map it was cut with.

    Attributes
    ----------
    case : int
        Position of the case in the working set.
    matrix : array, float64, (2, 3)
        Takes a point (row, column) of the crop to one of the case, px.
    image_IPP : Tensor, float32
    label_PP, candidate_PP : Tensor, int64
        Current label; label whose truth is in question. ``IGNORE`` outside of the case.
    kinds_PP : Tensor, int64
        How a pixel was verified, 0 where it was not.
    """

    case: int
    matrix: NDArray[np.float64]
    image_IPP: torch.Tensor
    label_PP: torch.Tensor
    candidate_PP: torch.Tensor
    kinds_PP: torch.Tensor


def random_matrix(rng: np.random.Generator, center: tuple[float, float], size: int) -> NDArray[np.float64]:
    """Map of a crop with its middle at ``center``: turned by up to 15 degrees, scaled by 0.85 to 1.18, mirrored."""
    angle = np.deg2rad(rng.uniform(-15, 15))
    scale = np.exp(rng.uniform(-0.16, 0.16))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear[:, 1] *= mirror
    middle = np.full(2, (size - 1) / 2)
    return np.column_stack([linear, np.asarray(center) - linear @ middle])


def sample(
    source_KHW: torch.Tensor,
    matrix: NDArray[np.float64],
    shape: tuple[int, int],
    *,
    nearest: bool,
    border: bool,
) -> torch.Tensor:
    """Resample ``source`` so that output pixel p takes the value at ``matrix @ (p, 1)``.

    Parameters
    ----------
    source_KHW : Tensor, float32
    matrix : array, (2, 3)
        From output (row, column) to source (row, column), px.
    shape : tuple of int
        Of the output.
    nearest : bool
        Nearest pixel, else linear.
    border : bool
        Mirror the source beyond its edge, else 0 there.
    """
    height, width = source_KHW.shape[-2:]
    rows = torch.arange(shape[0], dtype=torch.float64)[:, None]
    columns = torch.arange(shape[1], dtype=torch.float64)[None, :]
    y = matrix[0, 0] * rows + matrix[0, 1] * columns + matrix[0, 2]
    x = matrix[1, 0] * rows + matrix[1, 1] * columns + matrix[1, 2]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1).to(source_KHW.dtype)
    return functional.grid_sample(
        source_KHW.unsqueeze(0),
        grid.unsqueeze(0),
        mode="nearest" if nearest else "bilinear",
        padding_mode="reflection" if border else "zeros",
        align_corners=False,
    ).squeeze(0)


def cut(case: WorkCase, index: int, matrix: NDArray[np.float64], size: int) -> Crop:
    """Cut a crop of ``size`` x ``size`` px from a case."""
    image_IPP = sample(case.image_IHW, matrix, (size, size), nearest=False, border=True)
    # labels travel shifted by one, so that the zeros outside of the case become IGNORE
    stack = torch.stack([_shifted(case.label_HW), _shifted(case.candidate_HW), case.verified_HW.float()])
    label, candidate, kinds = sample(stack, matrix, (size, size), nearest=True, border=False)
    return Crop(index, matrix, image_IPP, _unshifted(label), _unshifted(candidate), kinds.round().to(torch.int64))


def _shifted(labels: torch.Tensor) -> torch.Tensor:
    return torch.where(labels == IGNORE, 0, labels.to(torch.int64) + 1).float()


def _unshifted(values: torch.Tensor) -> torch.Tensor:
    labels = values.round().to(torch.int64) - 1
    return torch.where(labels < 0, IGNORE, labels)


def back_to_case(
    values_KPP: torch.Tensor, matrix: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay a map of a crop back over its case.

    Returns
    -------
    values_KHW : Tensor, float32
        Linearly resampled; meaningless where not covered.
    covered_HW : Tensor, bool
        Where the crop has a value.
    """
    inverse_linear = np.linalg.inv(matrix[:, :2])
    inverse = np.column_stack([inverse_linear, -inverse_linear @ matrix[:, 2]])
    ones = torch.ones_like(values_KPP[:1])
    sampled = sample(torch.cat([values_KPP, ones]), inverse, shape, nearest=False, border=False)
    covered_HW = sampled[-1] > 0.999
    return sampled[:-1], covered_HW


def jitter(image_IPP: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Change brightness, contrast and gamma a little and add noise; the geometry stays."""
    contrast, shift = rng.uniform(0.8, 1.25), rng.uniform(-0.2, 0.2)
    changed = image_IPP * contrast + shift
    if rng.random() < 0.5:
        low, high = changed.min(), changed.max()
        unit = (changed - low) / (high - low).clamp_min(1e-6)
        changed = unit.pow(float(np.exp(rng.uniform(-0.3, 0.3)))) * (high - low) + low
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(0, 0.15), size=tuple(image_IPP.shape)).astype(np.float32)
        changed = changed + torch.from_numpy(noise)
    return changed
