"""Tiles of a large image, read from the project when they are asked for; no more than a tile is in memory.

Shape suffixes: I input channels, X space axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import keep_what_teaches
from src_core.train.intensities import Intensities
from src_core.train.tiles import windows_of
from src_core.train.working import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.store.project import Project
    from src_core.train.tiles import Tiling

OVERVIEW = 512
OVERVIEWS = 36
"""So many windows of an image, with sides of so many px, tell how its intensities are spread."""


class TiledImage:
    """Reads tiles of one image at working resolution.

    Intensities are normalised as those of smaller images are, by clipping, mean and spread of the image; these are
    found in windows that are spread over it.

    Parameters
    ----------
    read : callable
        Gives the pixels of a box, with or without channels last.
    shape : tuple of int
        Of the image, px.
    tiling : Tiling
    channels : int
        Of the image of the project that has most.
    intensities : Intensities, optional
        Of all images of the project, instead of those of this one.
    """

    def __init__(
        self,
        read: Callable[[Box], NDArray[Any]],
        shape: tuple[int, ...],
        tiling: Tiling,
        channels: int,
        intensities: Intensities | None = None,
    ) -> None:
        self._read, self._tiling, self._channels = read, tiling, channels
        self._intensities = intensities or self._of_windows(shape)

    def _of_windows(self, shape: tuple[int, ...]) -> Intensities:
        seen = [np.ravel(self._read(box)) for box in windows_of(shape, OVERVIEW, OVERVIEWS)]
        return Intensities.of(np.concatenate(seen).astype(np.float32))

    def image(self, box: Box) -> NDArray[np.float32]:
        """A box of the image, ``(I, X)``, normalised; px of the image, starting at a multiple of the step."""
        values = normalise(self._read(box), self._channels, len(box.start), self._intensities)
        return block_means(values, self._tiling.step)


class TileReader(TiledImage):
    """Reads tiles of one image of a project, with its labels.

    Parameters
    ----------
    project : Project
    case : CaseInfo
        An image.
    tiling : Tiling
    channels : int
        Of the image of the project that has most.
    intensities : Intensities, optional
        Of all images of the project, instead of those of this one.
    """

    def __init__(
        self,
        project: Project,
        case: CaseInfo,
        tiling: Tiling,
        channels: int,
        intensities: Intensities | None = None,
    ) -> None:
        super().__init__(lambda box: project.read_image(case, box), case.shape, tiling, channels, intensities)
        self._project, self.case = project, case

    def given(self, box: Box) -> NDArray[np.uint8]:
        """Labels of the source mask, uint8, ``(X)``."""
        return centres(self._project.read_given(self.case, box), self._tiling.step)

    def labels(self, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Current label and how it was verified, uint8, ``(X)``; what teaches nothing counts as not verified."""
        label, verified = (centres(values, self._tiling.step) for values in self._project.read_labels(self.case, box))
        keep_what_teaches(self.case, label, verified)
        return label, verified


def block_means(values_IX: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Means of blocks of ``step`` x ``step`` px; the last ones of a side may be smaller."""
    if step == 1:
        return values_IX
    channels, rows, columns = values_IX.shape
    padded = np.pad(values_IX, ((0, 0), (0, -rows % step), (0, -columns % step)), mode="edge")
    blocks = padded.reshape(channels, padded.shape[1] // step, step, padded.shape[2] // step, step)
    return np.ascontiguousarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def centres(labels: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """The label in the middle of each block of ``step`` x ``step`` px."""
    places = (np.minimum(np.arange(0, edge, step) + step // 2, edge - 1) for edge in labels.shape)
    return np.ascontiguousarray(labels[np.ix_(*places)])
