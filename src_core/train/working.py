"""From an image or a volume to what is worked on, and back to its own size.

Shape suffixes: I input channels, K maps, X space axes; Z slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from skimage.transform import resize
from torch.nn import functional

from src_core.data.case import Box
from src_core.data.slices import slice_axis
from src_core.train.augment import sample
from src_core.train.dimensions import NEIGHBOURS, volume_shape
from src_core.train.intensities import Intensities

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from src_core.data.slices import OnGrid
    from src_core.train.dimensions import Dimensions
    from src_core.train.tiles import Tiling

SLAB_VOXELS = 2**22
"""So many voxels of a volume are brought to full size at a time."""


def work_shape(shape: tuple[int, ...], max_side: int) -> tuple[int, int]:
    """Height and width after shrinking so that the longer side is at most ``max_side``; never enlarged."""
    scale = min(1.0, max_side / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def normalise(
    image: NDArray[np.generic], channels: int, axes: int = 2, intensities: Intensities | None = None
) -> NDArray[np.float32]:
    """Image as ``(channels, X)``, clipped at the 0.5 and 99.5 percentiles, zero mean, unit spread.

    A volume is normalised as one. A grey image is repeated over the channels when others of the project have colour.

    Parameters
    ----------
    image : array, (X) or (X, channels)
    channels : int
    axes : int
        Space axes.
    intensities : Intensities, optional
        Of all images of a project, instead of those of this one.
    """
    values = np.asarray(image, dtype=np.float32)
    values = values[..., None] if values.ndim == axes else values
    values = (intensities or Intensities.of(values)).applied(values)
    if values.shape[-1] < channels:
        values = np.repeat(values[..., :1], channels, axis=-1)
    return np.ascontiguousarray(np.moveaxis(values, -1, 0), dtype=np.float32)


def resize_image(image_IX: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Resample linearly, smoothing first when shrinking."""
    if image_IX.shape[1:] == shape:
        return image_IX
    full = (image_IX.shape[0], *shape)
    return np.asarray(resize(image_IX, full, order=1, anti_aliasing=True, preserve_range=True), dtype=np.float32)


def resize_labels(labels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Resample by the nearest pixel centre."""
    if labels.shape == shape:
        return np.array(labels)
    places = (nearest(old, n) for n, old in zip(shape, labels.shape, strict=True))
    return np.ascontiguousarray(labels[np.ix_(*places)])


def nearest(old: int, n: int) -> NDArray[np.intp]:
    """Where along a side of ``old`` px the centres of ``n`` px lie that take its place."""
    return np.minimum(((np.arange(n) + 0.5) * old / n).astype(np.intp), old - 1)


def neighbourhoods(volume_ZIX: NDArray[np.float32], reach: int) -> list[torch.Tensor]:
    """Each slice with ``reach`` slices on either side as more channels, ``((2 reach + 1) I, X)``; edges repeat.

    They share the memory of one volume.
    """
    padded = np.pad(volume_ZIX, ((reach, reach), *((0, 0),) * (volume_ZIX.ndim - 1)), mode="edge")
    return overlapping(np.ascontiguousarray(padded), reach)


def overlapping(padded: NDArray[np.float32], reach: int) -> list[torch.Tensor]:
    """The same of a volume that has ``reach`` slices more at both ends."""
    padded_ZIX = torch.from_numpy(padded)
    return [padded_ZIX[at : at + 2 * reach + 1].flatten(0, 1) for at in range(len(padded) - 2 * reach)]


@dataclass(frozen=True, kw_only=True)
class Working:
    """How images and volumes of a project are brought to working resolution.

    Attributes
    ----------
    channels : int
        Of the image that has most.
    max_side : int
        Longest side, px.
    dimensions : str
        ``2d`` and ``2.5d`` cut volumes into slices; ``3d`` leaves them whole.
    spacing : float
        Edge of a voxel of a volume that is left whole.
    tiling : Tiling or None
        What large images are cut by; their working resolution is that of the tiles.
    intensities : Intensities or None
        Scale of all images; None where each has its own.
    """

    channels: int
    max_side: int
    dimensions: Dimensions = "2d"
    spacing: float = 1.0
    tiling: Tiling | None = None
    intensities: Intensities | None = None

    @property
    def input_channels(self) -> int:
        """Channels of what the network sees."""
        return self.channels * (2 * NEIGHBOURS + 1 if self.dimensions == "2.5d" else 1)

    def cuts(self, grid: OnGrid) -> bool:
        """True for a volume that is cut into slices."""
        return len(grid.shape) == 3 and self.dimensions != "3d"

    def shape(self, grid: OnGrid) -> tuple[int, ...]:
        """Sides at working resolution; of a volume that is cut, slices first and in full number."""
        if self.tiling is not None and self.tiling.cuts(grid):
            return self.tiling.shape(Box.whole(tuple(grid.shape)))
        if len(grid.shape) == 2:
            return work_shape(grid.shape, self.max_side)
        if self.dimensions == "3d":
            return volume_shape(grid, self.spacing)
        across = slice_axis(grid)
        sides = tuple(edge for axis, edge in enumerate(grid.shape) if axis != across)
        return grid.shape[across], *work_shape(sides, self.max_side)

    def images(self, grid: OnGrid, image: NDArray[np.generic]) -> list[Tensor]:
        """What the network sees of an image: all of it, or its slices one by one; ``(I, X)`` each."""
        values = normalise(image, self.channels, len(grid.shape), self.intensities)
        shape = self.shape(grid)
        if not self.cuts(grid):
            return [torch.from_numpy(resize_image(values, shape))]
        slices_ZIX = np.moveaxis(values, slice_axis(grid) + 1, 0)
        slices_ZIX = np.stack([resize_image(np.ascontiguousarray(each), shape[1:]) for each in slices_ZIX])
        return neighbourhoods(slices_ZIX, NEIGHBOURS if self.dimensions == "2.5d" else 0)

    def labels(self, grid: OnGrid, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels at working resolution, uint8, of :meth:`shape`."""
        if self.cuts(grid):
            labels = np.moveaxis(labels, slice_axis(grid), 0)
        return resize_labels(labels, self.shape(grid))


# ---------------------------------------------------------------- and back


def slabs(size: tuple[int, ...], within: slice | None = None) -> list[slice]:
    """Rows, or slices of a volume, or some of them, that are brought to full size together: of an image all."""
    rows = size[0] if len(size) == 2 else max(1, SLAB_VOXELS // (size[1] * size[2]))
    first, last = (0, size[0]) if within is None else (within.start, within.stop)
    return [slice(start, min(start + rows, last)) for start in range(first, last, rows)]


def enlarged(values_1KX: Tensor, size: tuple[int, ...], rows: slice) -> Tensor:
    """Maps at full size, ``(1, K, X)``, some rows of them; linearly resampled."""
    if tuple(values_1KX.shape[2:]) == size:
        return values_1KX[:, :, rows]
    if len(size) == 2:
        return functional.interpolate(values_1KX, size=size, mode="bilinear", align_corners=False)[:, :, rows]
    steps = np.array([old / new for old, new in zip(values_1KX.shape[2:], size, strict=True)])
    matrix = np.column_stack([np.diag(steps), (steps - 1) / 2])
    shape, start = (rows.stop - rows.start, *size[1:]), (rows.start, 0, 0)
    return sample(values_1KX[0].cpu(), matrix, shape, nearest=False, border=True, start=start)[None]
