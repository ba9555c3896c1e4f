"""Random crops: one affine map cuts, turns, scales and flips at once, and can be undone for the evidence memory.

Shape suffixes: I input channels, C classes, X space axes (2 or 3) of a case or of a crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
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
    """A crop of a case, and the map it was cut with.

    Attributes
    ----------
    case : int
        Position of the case in the working set.
    matrix : array, float64, (n, n + 1)
        Takes a point of the crop to one of the case, px; n is the number of space axes.
    image_IX : Tensor, float32
    label_X, candidate_X : Tensor, int64
        Current label; label whose truth is in question. ``IGNORE`` outside of the case.
    kinds_X : Tensor, int64
        How a pixel was verified, 0 where it was not.
    """

    case: int
    matrix: NDArray[np.float64]
    image_IX: torch.Tensor
    label_X: torch.Tensor
    candidate_X: torch.Tensor
    kinds_X: torch.Tensor


def random_matrix(
    rng: np.random.Generator, center: tuple[float, ...], size: int | tuple[int, ...]
) -> NDArray[np.float64]:
    """Map of a crop with its middle at ``center``: turned by up to 15 degrees, scaled by 0.85 to 1.18, mirrored.

    A volume is turned and mirrored in the plane of its last two axes. ``size`` is one edge of the crop, or all.
    """
    angle = np.deg2rad(rng.uniform(-15, 15))
    scale = np.exp(rng.uniform(-0.16, 0.16))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    linear = scale * np.eye(len(center))
    linear[-2:, -2:] = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear[:, -1] *= mirror
    middle = (np.broadcast_to(size, len(center)) - 1) / 2
    return np.column_stack([linear, np.asarray(center) - linear @ middle])


def sample(
    source_KX: torch.Tensor,
    matrix: NDArray[np.float64],
    shape: tuple[int, ...],
    *,
    nearest: bool,
    border: bool,
    start: tuple[int, ...] = (),
) -> torch.Tensor:
    """Resample ``source`` so that output pixel p takes the value at ``matrix @ (p, 1)``.

    Parameters
    ----------
    source_KX : Tensor, float32
    matrix : array, (n, n + 1)
        From a point of the output to one of the source, px.
    shape : tuple of int
        Of the output.
    nearest : bool
        Nearest pixel, else linear.
    border : bool
        Mirror the source beyond its edge, else 0 there.
    start : tuple of int, optional
        The first pixel of the output, of a larger one; 0 by default.
    """
    spans = zip(start or (0,) * len(shape), shape, strict=True)
    axes = torch.meshgrid(
        *(torch.arange(first, first + edge, dtype=torch.float64) for first, edge in spans), indexing="ij"
    )
    points = [
        sum((step * axis for step, axis in zip(row[:-1], axes, strict=True)), torch.tensor(row[-1])) for row in matrix
    ]
    # torch wants the last axis first, and -1 and 1 at the outer edges
    scaled = [(2 * point + 1) / edge - 1 for point, edge in zip(points, source_KX.shape[1:], strict=True)]
    grid = torch.stack(scaled[::-1], dim=-1).to(source_KX.dtype)
    return functional.grid_sample(
        source_KX.unsqueeze(0),
        grid.unsqueeze(0),
        mode="nearest" if nearest else "bilinear",
        padding_mode="reflection" if border else "zeros",
        align_corners=False,
    ).squeeze(0)


def cut(case: WorkCase, index: int, matrix: NDArray[np.float64], shape: tuple[int, ...]) -> Crop:
    """Cut a crop of a shape from a case."""
    image_IX = sample(case.image_IX, matrix, shape, nearest=False, border=True)
    # labels travel shifted by one, so that the zeros outside of the case become IGNORE
    stack = torch.stack([_shifted(case.label_X), _shifted(case.candidate_X), case.verified_X.float()])
    label, candidate, kinds = sample(stack, matrix, shape, nearest=True, border=False)
    return Crop(index, matrix, image_IX, _unshifted(label), _unshifted(candidate), kinds.round().to(torch.int64))


def _shifted(labels: torch.Tensor) -> torch.Tensor:
    return torch.where(labels == IGNORE, 0, labels.to(torch.int64) + 1).float()


def _unshifted(values: torch.Tensor) -> torch.Tensor:
    labels = values.round().to(torch.int64) - 1
    return torch.where(labels < 0, IGNORE, labels)


def back_to_case(
    values_KX: torch.Tensor, matrix: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor, tuple[slice, ...]]:
    """Lay a map of a crop back over its case.

    Returns
    -------
    values_KX : Tensor, float32
        Linearly resampled, in a window of the case that holds all of the crop; meaningless where not covered.
    covered_X : Tensor, bool
        Where in the window the crop has a value.
    window : tuple of slice
    """
    inverse_linear = np.linalg.inv(matrix[:, :-1])
    inverse = np.column_stack([inverse_linear, -inverse_linear @ matrix[:, -1]])
    window = _reached(matrix, tuple(values_KX.shape[1:]), shape)
    start = tuple(edge.start for edge in window)
    sides = tuple(edge.stop - edge.start for edge in window)
    ones = torch.ones_like(values_KX[:1])
    sampled = sample(torch.cat([values_KX, ones]), inverse, sides, nearest=False, border=False, start=start)
    covered_X = sampled[-1] > 0.999
    return sampled[:-1], covered_X, window


def _reached(matrix: NDArray[np.float64], crop: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Smallest window of a case, one pixel wide at least, around all that a crop shows of it."""
    corners = np.array(list(product(*((0, edge - 1) for edge in crop)))) @ matrix[:, :-1].T + matrix[:, -1]
    lows, highs = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    starts = [int(np.clip(low, 0, edge - 1)) for low, edge in zip(lows, shape, strict=True)]
    stops = [int(np.clip(high + 1, start + 1, edge)) for high, start, edge in zip(highs, starts, shape, strict=True)]
    return tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))


def jitter(image_IX: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Change brightness, contrast and gamma a little and add noise; the geometry stays."""
    contrast, shift = rng.uniform(0.8, 1.25), rng.uniform(-0.2, 0.2)
    changed = image_IX * contrast + shift
    if rng.random() < 0.5:
        low, high = changed.min(), changed.max()
        unit = (changed - low) / (high - low).clamp_min(1e-6)
        changed = unit.pow(float(np.exp(rng.uniform(-0.3, 0.3)))) * (high - low) + low
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(0, 0.15), size=tuple(image_IX.shape)).astype(np.float32)
        changed = changed + torch.from_numpy(noise)
    return changed
