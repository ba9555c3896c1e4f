"""A large volume as arrays that are read in blocks, and its label, which is edited in them."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_metadcseg.layers.blocks import EDGE, Blocks
from napari_metadcseg.maps import read_shown
from src_core.data.case import Box
from src_core.data.slices import slice_axis, sliced
from src_core.errors import MetaDCSegError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike, NDArray

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.layers.blocks import Read
    from src_core.data.case import CaseInfo
    from src_core.store.project import Project
    from src_core.store.runs import Run

    Reading = Callable[[Project], Read]
    """Gets a project that is open for reading, and returns what reads a box of an array."""

HELD_WHOLE = 2**25
"""Volumes of more voxels are read where somebody looks. Those of so many are read whole in half a second an array, and
take 34 MB of a mask and 134 MB of a map; a CT of 512 x 512 x 128 is just this large."""


def is_large_volume(shape: tuple[int, ...]) -> bool:
    """True for a volume that is not held in memory."""
    return len(shape) == 3 and prod(shape) > HELD_WHOLE


class VolumePixels:
    """A large volume; see :class:`~napari_metadcseg.layers.pixels.Pixels`.

    Parameters
    ----------
    controller : Controller
    project : Project
    case : CaseInfo
    solid : callable
        True while napari draws in 3-D: nothing is read for that.

    Attributes
    ----------
    shown : dict of str to (Blocks, callable)
        Arrays by name, and how each is read from another reader of the project.
    """

    large = False

    def __init__(self, controller: Controller, project: Project, case: CaseInfo, solid: Callable[[], bool]) -> None:
        self._controller, self._project, self._case = controller, project, case
        self.frame = Box.whole(case.shape)
        self.shown: dict[str, tuple[Blocks, Reading]] = {}
        self._solid, self._closed = solid, False
        self._new: set[str] = set()

    def arrived(self) -> list[str]:
        """The arrays that are new have their layers now: names of those that can be drawn."""
        new, self._new = sorted(self._new), set()
        return new

    def close(self) -> None:
        """The project is closed: read nothing any more, whatever napari still asks for."""
        self._closed = True

    # ---------------------------------------------------------------- what is shown

    def image(self) -> Blocks:
        """The image, in channels that can be shown."""
        pixel = self._project.read_image(self._case, Box((0, 0, 0), (1, 1, 1)))
        channels = pixel.shape[3:]
        shown = channels if channels and channels[0] in (3, 4) else ()
        reading = partial(_image, case=self._case, first=bool(channels) and not shown)
        return self._blocks("image", (*self._case.shape, *shown), pixel.dtype, reading)

    def contrast(self) -> tuple[float, float] | None:
        """Least and largest value of the slices in the middle; None where napari finds it without reading."""
        image = self.shown["image"][0]
        if image.dtype == np.uint8:
            return None
        axis = slice_axis(self._case)
        middle = self._case.shape[axis] // 2 // EDGE * EDGE
        end = min(middle + EDGE, self._case.shape[axis])
        values = image.read(sliced(Box.whole(self._case.shape), axis, middle, end))
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return (low, high) if low < high else (min(low, 0.0), max(high, 1.0))

    def label(self) -> Blocks:
        """The label, to be painted in."""
        return self._blocks("label", self._case.shape, np.uint8, partial(_label, case=self._case))

    def map(self, name: str) -> Blocks | None:
        """A map of the run; None when there is none. The band as uint8."""
        run = self._controller.run
        if run is None or read_shown(self._project, run, self._case, name, Box((0, 0, 0), (1, 1, 1))) is None:
            self.shown.pop(name, None)
            return None
        dtype = np.uint8 if name in ("band", "proposed") else np.float32
        return self._blocks(name, self._case.shape, dtype, partial(_map, case=self._case, run=run, name=name))

    def _blocks(self, name: str, shape: tuple[int, ...], dtype: DTypeLike, reading: Reading) -> Blocks:
        read = reading(self._project)

        def safely(box: Box) -> NDArray[Any]:
            try:
                if not self._closed:
                    return read(box)
            except MetaDCSegError as error:
                self._controller.say(str(error), "error")
            return np.zeros((*box.shape, *shape[3:]), dtype)

        self._new.add(name)
        blocks = Blocks(shape, dtype, safely, lambda: name not in self._new and not self._solid())
        self.shown[name] = blocks, reading
        return blocks


def _image(project: Project, *, case: CaseInfo, first: bool) -> Read:
    if first:
        return lambda box: project.read_image(case, box)[..., 0]
    return lambda box: project.read_image(case, box)


def _label(project: Project, *, case: CaseInfo) -> Read:
    return lambda box: project.read_label(case, box)


def _map(project: Project, *, case: CaseInfo, run: Run, name: str) -> Read:
    def read(box: Box) -> NDArray[Any]:
        values = read_shown(project, run, case, name, box)
        return np.zeros(box.shape) if values is None else values

    return read
