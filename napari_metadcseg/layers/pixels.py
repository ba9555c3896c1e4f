"""What the layers are given of the image that is shown: all of it, or of a large one what is read in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_metadcseg.layers import volumes
from src_core.data.case import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_metadcseg.controller import Controller
    from src_core.data.case import CaseInfo
    from src_core.store.project import Project


class Pixels(Protocol):
    """What is shown.

    Attributes
    ----------
    large : bool
        Image and maps are lists of levels; what can be edited is a part.
    frame : Box
        What the layer that is edited holds.
    """

    large: bool
    frame: Box

    def image(self) -> Any:
        """The image, in channels that can be shown."""

    def label(self) -> Any:
        """The label in the frame, to be edited in place."""

    def map(self, name: str) -> Any | None:
        """A map of the run; None when there is none. The band as uint8."""

    def contrast(self) -> tuple[float, float] | None:
        """Values of the image that are drawn black and white; None where napari finds them."""


class WholePixels:
    """An image that is shown whole; see :class:`Pixels`."""

    large = False

    def __init__(self, controller: Controller, project: Project, case: CaseInfo) -> None:
        self._controller, self._project, self._case = controller, project, case
        self.frame = Box.whole(case.shape)

    def image(self) -> NDArray[Any]:
        """The image."""
        return volumes.shown_channels(self._project.read_image(self._case), len(self._case.shape))

    def label(self) -> NDArray[np.uint8]:
        """The label."""
        return self._project.read_label(self._case).copy()

    def map(self, name: str) -> NDArray[Any] | None:
        """A map of the run; None when there is none."""
        values = self._controller.read_map(name)
        return values.astype(np.uint8) if values is not None and values.dtype == bool else values

    def contrast(self) -> None:
        """Left to napari."""


def give(layer: Any, data: Any) -> None:
    """Let a layer show other data; of levels the smallest first, until the window is drawn."""
    if layer.multiscale:
        corners = np.zeros_like(layer.corner_pixels)
        corners[1] = np.array(data[-1].shape[: layer.ndim]) - 1
        layer.corner_pixels = corners  # else napari would ask the new level for the place of the old one
    layer.data = data
