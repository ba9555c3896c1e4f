"""The view in 3-D of a large volume: coarser copies of image and label, read in a thread.

napari draws in 3-D what it holds of a volume as a whole. So the layers that are read in blocks are put away meanwhile,
and copies of every second voxel or so along each axis stand for them.
"""

from __future__ import annotations

from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_metadcseg.background import Background, check
from napari_metadcseg.layers import looks, volumes
from napari_metadcseg.layers.frame import at_level
from napari_metadcseg.layers.volume_pixels import HELD_WHOLE
from src_core.store.chunks import strip_boxes
from src_core.store.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.layers.volume_pixels import Reading, VolumePixels
    from src_core.data.case import Box, CaseInfo

NAMES = {"image": "image, coarser", "label": "label, coarser"}
READING = "A coarser copy of this volume is being read for the 3-D view…"
COARSER = "The 3-D view shows a coarser copy: one voxel in {step} along each axis. Slices show all of them."
SLICES_ONLY = "Maps of a volume this large are shown in slices only."


def step_of(shape: tuple[int, ...]) -> int:
    """One voxel in so many along each axis is as many as are held of other volumes."""
    return ceil((prod(shape) / HELD_WHOLE) ** (1 / 3))


def coarser(path: Path, shape: tuple[int, ...], readings: dict[str, Reading], step: int) -> dict[str, NDArray[Any]]:
    """Every ``step``-th voxel of some arrays along each axis; may be in a thread of the window."""
    found = {}
    with Project.open(path) as reader:
        for name, reading in readings.items():
            read, parts = reading(reader), []
            for box in strip_boxes(shape):
                check()
                parts.append(read(box)[-box.start[0] % step :: step, ::step, ::step].copy())
            found[name] = np.concatenate(parts)
    return found


class Bodies:
    """Image and label of the volume that is shown, as bodies.

    Parameters
    ----------
    viewer : napari.Viewer
    controller : Controller

    Attributes
    ----------
    layers : dict of str to layer
        What is drawn; empty while it is read.
    """

    def __init__(self, viewer: napari.Viewer, controller: Controller) -> None:
        self._viewer, self._controller = viewer, controller
        self._background: Background | None = None
        self._case: CaseInfo | None = None
        self._said = ""
        self.layers: dict[str, Any] = {}

    def begin(self, path: Path, case: CaseInfo, pixels: VolumePixels, image: Image) -> None:
        """Read the copies, and draw them when they are there; ``image`` is the layer of the slices."""
        self.end()
        self._background, self._case = Background(), case
        readings = {name: pixels.shown[name][1] for name in NAMES}
        step = step_of(case.shape)
        self._say(READING)
        self._background.run(
            lambda: coarser(path, case.shape, readings, step),
            lambda found: self._show(found, image, step),
            lambda words: self._controller.say(words, "error"),
        )

    def _show(self, found: dict[str, NDArray[Any]], image: Image, step: int) -> None:
        case, state = self._case, self._controller.state.project
        if case is None or state is None:
            return
        active = self._viewer.layers.selection.active
        grid = {**volumes.grid_of(case), "scale": [size * step for size in case.spacing]}
        look = {} if image.rgb else {"contrast_limits": image.contrast_limits, "colormap": image.colormap}
        self.layers = {
            "image": self._viewer.add_image(found["image"], name=NAMES["image"], rgb=image.rgb, **look, **grid),
            "label": looks.add_label(self._viewer, found["label"], state.classes, NAMES["label"], **grid),
        }
        self.layers["label"].editable = False
        for place, layer in enumerate(self.layers.values()):
            self._viewer.layers.move(self._viewer.layers.index(layer), place)
        self._viewer.layers.selection.active = active
        self._say(COARSER.format(step=step))

    def _say(self, words: str) -> None:
        self._said = words
        self._controller.say(words)

    def changed(self, box: Box) -> None:
        """Show the label as it is recorded now in a box."""
        project, case, layer = self._controller.project, self._case, self.layers.get("label")
        if project is None or case is None or layer is None or layer not in self._viewer.layers:
            return
        step = step_of(case.shape)
        first = tuple(slice(-a % step, None, step) for a in box.start)
        layer.data[at_level(box, step).slices] = project.read_label(case, box)[first]
        layer.refresh()

    @property
    def reading(self) -> bool:
        """True until the copies are drawn."""
        return self._background is not None and not self.layers

    def end(self) -> None:
        """Draw slices again; nothing of the project is in use afterwards."""
        if self._background is not None:
            self._background.close()
        for layer in self.layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        if self._said and self._controller.state.message.text == self._said:
            self._controller.say("")
        self._background, self._case, self._said, self.layers = None, None, "", {}
