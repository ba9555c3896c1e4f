"""Distances between the boundaries of label images, in physical units."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class SurfaceDistance:
    """Boundary distances over cases and foreground classes.

    Attributes
    ----------
    hd95, assd : float
        95th percentile of the Hausdorff distance and average symmetric surface distance: means over the pairs in which
        both are present, in the unit of the spacing; NaN when there is none.
    hd95_with_penalty, assd_with_penalty : float
        The same, where a pair of which one is empty counts with the diagonal of the image.
    missing : int
        Pairs of which one is empty.
    both_empty : int
        Pairs of which both are empty; they count nowhere.
    pairs : int
        Pairs with both present.
    """

    hd95: float
    assd: float
    hd95_with_penalty: float
    assd_with_penalty: float
    missing: int
    both_empty: int
    pairs: int

    def to_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def surface_distance(
    predicted: Sequence[NDArray[np.uint8]],
    truth: Sequence[NDArray[np.uint8]],
    classes: int,
    *,
    spacing: Sequence[float] | NDArray[np.floating],
) -> SurfaceDistance:
    """Boundary distances of label images, or volumes, by MONAI.

    Parameters
    ----------
    predicted, truth : sequence of array, uint8
        Class indices, of the same shape in pairs.
    classes : int
        Background included; it has no distances.
    spacing : sequence of float, or array, (cases, axes)
        Size of a pixel along each axis; mm where it is known.
    """
    axes = truth[0].ndim if truth else 0
    sides = np.broadcast_to(np.asarray(spacing, dtype=float), (len(truth), axes)).tolist()
    found: list[tuple[float, float]] = []
    penalties: list[float] = []
    both_empty = 0
    for number, (ours, theirs) in enumerate(zip(predicted, truth, strict=True)):
        size = sides[number]
        for index in range(1, classes):
            a, b = ours == index, theirs == index
            if not a.any() and not b.any():
                both_empty += 1
            elif not a.any() or not b.any():
                penalties.append(float(np.linalg.norm(np.multiply(a.shape, size))))
            else:
                found.append(_distances(a, b, size))
    hd95, assd = np.array(found).reshape(-1, 2).T
    return SurfaceDistance(
        hd95=_mean(hd95),
        assd=_mean(assd),
        hd95_with_penalty=_mean(np.append(hd95, penalties)),
        assd_with_penalty=_mean(np.append(assd, penalties)),
        missing=len(penalties),
        both_empty=both_empty,
        pairs=len(found),
    )


def _distances(a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: list[float]) -> tuple[float, float]:
    first, second = (torch.from_numpy(mask.astype(np.float32))[None, None] for mask in (a, b))
    hausdorff = compute_hausdorff_distance(first, second, include_background=True, percentile=95, spacing=spacing)
    average = compute_average_surface_distance(first, second, include_background=True, symmetric=True, spacing=spacing)
    return float(hausdorff), float(average)


def _mean(values: NDArray[np.floating]) -> float:
    return float(values.mean()) if values.size else float("nan")
