"""A large image as levels that napari reads in parts, and the part of its label that is edited."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_metadcseg.layers.frame import at_level, common
from src_core.data.case import IGNORE, Box, is_verified
from src_core.errors import MetaDCSegError
from src_core.store import display
from src_core.store.levels import level_shapes
from src_core.store.runs import BAND_ABOVE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_metadcseg.controller import Controller
    from src_core.data.case import CaseInfo
    from src_core.store.levels import Levels
    from src_core.store.project import Project

    Read = Callable[[int, Box], NDArray[Any]]
    """Reads a box of a level, 0 for the image itself."""

logger = logging.getLogger(__name__)

STEP = 256
"""napari asks for multiples of this, px, so that not every move of the mouse makes it ask."""

MOST_ROWS = 20
"""Of the record; when there are more that the levels of the masks lack, they are made anew."""

MOST_PIXELS = 2**24
"""The same of a single change, px."""


class Level:
    """One level, as napari wants arrays."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, read: Callable[[Box], NDArray[Any]]) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.chunks = (STEP, STEP, *shape[2:])
        self._read = read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __getitem__(self, place: Any) -> NDArray[Any]:
        """A box; axes that are left out are taken whole."""
        parts = place if isinstance(place, tuple) else (place,)
        full = [*parts, *(slice(None),) * (2 - len(parts))]
        spans = [one.indices(edge)[:2] for one, edge in zip(full[:2], self.shape[:2], strict=True)]
        box = Box(tuple(a for a, _ in spans), tuple(max(a, b) for a, b in spans))
        if 0 in box.shape:
            return np.zeros((*box.shape, *self.shape[2:]), self.dtype)
        return self._read(box)


class Shown(NamedTuple):
    """What of an array is in memory: its smallest level, and how it is read."""

    smallest: NDArray[Any]
    read: Read


class LevelPixels:
    """A large image; see :class:`~napari_metadcseg.layers.pixels.Pixels`.

    Parameters
    ----------
    controller : Controller
    project : Project
    case : CaseInfo
    roots : tuple of Path
        Folders of the levels of image and masks, and of maps.
    frame : Box
        Set it to edit another part.
    """

    large = True

    def __init__(
        self, controller: Controller, project: Project, case: CaseInfo, roots: tuple[Path, Path], frame: Box
    ) -> None:
        self._controller, self._project, self._case = controller, project, case
        root, self._maps_root = roots
        self.frame = frame
        pixel = project.read_image(case, Box((0, 0), (1, 1)))
        self._channels = pixel.shape[2:]
        self.image_levels = display.image_levels(root, case, pixel.dtype, self._channels)
        self.masks = display.mask_levels(root, case)
        self.maps: dict[str, Levels] = {}
        self._shown: dict[str, Shown] = {}

    # ---------------------------------------------------------------- what is shown

    def image(self) -> list[Any]:
        """The image, in channels that can be shown."""
        channels = self._channels if self._channels and self._channels[0] in (3, 4) else ()

        def read(level: int, box: Box) -> NDArray[Any]:
            values = self.image_levels.read(level, box) if level else self._project.read_image(self._case, box)
            return values[..., 0] if self._channels and not channels else values

        return self._levels("image", (*self._case.shape, *channels), self.image_levels.dtype, read)

    def label(self) -> NDArray[np.uint8]:
        """The label in the frame."""
        return self._project.read_label(self._case, self.frame).copy()

    def overview(self) -> list[Any]:
        """The label around the frame."""

        def read(level: int, box: Box) -> NDArray[Any]:
            label = self.masks["label"].read(level, box) if level else self._project.read_label(self._case, box)
            hidden = common(at_level(self.frame, 2**level), box)
            if hidden is not None:
                label = label.copy()
                label[hidden.within(box)] = 0
            return label

        return self._levels("overview", self._case.shape, np.uint8, read)

    def map(self, name: str) -> list[Any] | None:
        """A map of the run; None when there is none."""
        run = self._controller.run
        if run is None or self._controller.read_map(name, Box((0, 0), (1, 1))) is None:
            return None
        of = "uncertainty" if name == "band" else name
        maps, generation = run.case_folder(self._case.id), run.generation
        levels = self.maps[of] = display.map_levels(self._maps_root, maps, run.name, generation, self._case, of)
        dtype = np.uint8 if name in ("band", "proposed") else np.float32

        def read(level: int, box: Box) -> NDArray[Any]:
            values = levels.read(level, box) if level else self._controller.read_map(name, box)
            if values is None:
                return np.zeros(box.shape, dtype)
            if level and name == "trust":  # as the whole map is read
                sure = is_verified(self.masks["verified"].read(level, box))
                if self._case.without_mask:
                    sure = sure | (self.masks["label"].read(level, box) == IGNORE)
                values = np.where(sure, np.float32(1), values)
            if level and name == "band":
                values = values > BAND_ABOVE
            return values.astype(dtype, copy=False)

        return self._levels(name, self._case.shape, dtype, read)

    def contrast(self) -> None:
        """Left to napari, which looks at the smallest level."""

    def _levels(self, name: str, shape: tuple[int, ...], dtype: Any, read: Read) -> list[Any]:
        """All levels of an array. The smallest is held in memory, since napari keeps it and would not ask again."""

        def safely(level: int, box: Box) -> NDArray[Any]:
            try:
                return read(level, box)
            except MetaDCSegError as error:
                self._controller.say(str(error), "error")
                return np.zeros((*box.shape, *shape[2:]), dtype)

        shapes = [shape, *level_shapes(shape)]
        larger = [Level(each, dtype, partial(safely, level)) for level, each in enumerate(shapes[:-1])]
        self._shown[name] = Shown(np.zeros(shapes[-1], dtype), partial(safely, len(shapes) - 1))
        self.refill(name)
        return [*larger, self._shown[name].smallest]

    def refill(self, name: str) -> None:
        """Read the smallest level of something that is shown anew, into the array that napari has of it."""
        shown = self._shown.get(name)
        if shown is not None:
            shown.smallest[...] = shown.read(Box.whole(shown.smallest.shape[:2]))

    # ---------------------------------------------------------------- following what is recorded

    def follow(self) -> bool:
        """Bring the levels of the masks up to the record; False when they have to be made anew.

        Raises
        ------
        OSError, ValueError
            If they cannot be written or read; they are made anew then.
        """
        rows, version = [levels.row for levels in self.masks.values()], self._project.version()[0]
        if None in rows or max(rows) > version:  # type: ignore[type-var, operator]
            return False
        row = min(rows)  # type: ignore[type-var]
        if row == version:
            return True
        records = self._project.history(version - row)
        boxes = [record.box for record in records if record.case_id == self._case.id and record.box is not None]
        if len(boxes) > MOST_ROWS or any(np.prod(box.shape) > MOST_PIXELS for box in boxes):
            return False
        for box in boxes:
            for name, values in zip(display.MASKS, self._project.read_labels(self._case, box), strict=True):
                self.masks[name].follow(box, values)
        for levels in self.masks.values():
            levels.note(version)
        return True
