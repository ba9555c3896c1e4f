"""What the scene does for large images beyond others: levels made and kept in step, and the part that is edited."""

from __future__ import annotations

import logging
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_metadcseg.layers.frame import frame_around
from napari_metadcseg.layers.level_pixels import LevelPixels
from napari_metadcseg.layers.making import Job, LevelMaker
from src_core.data.case import Box
from src_core.store import display

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_metadcseg.controller import Controller
    from src_core.data.case import CaseInfo
    from src_core.store.project import Project

logger = logging.getLogger(__name__)

FOLLOW_AFTER = 150
"""ms after a change, when it has been drawn, at which smaller levels are brought up to it."""


class LargeImages:
    """Keeps the levels of the large image that is shown.

    Parameters
    ----------
    controller : Controller
    refresh : callable
        Draws again what is shown; gets the names of the arrays whose levels have changed.
    told : callable
        Called when what :attr:`making` says has changed.

    Attributes
    ----------
    making : bool
        Levels are being made.
    """

    def __init__(self, controller: Controller, refresh: Callable[[list[str]], None], told: Callable[[], None]) -> None:
        self._controller, self._refresh, self._told = controller, refresh, told
        self._pixels: LevelPixels | None = None
        self._where: tuple[Project, CaseInfo] | None = None
        self._temporary: TemporaryDirectory[str] | None = None
        self._maker = LevelMaker(self._on_progress, self._on_failed)
        self._gave_up = False
        self._follow_timer = QTimer()
        self._follow_timer.setSingleShot(True)
        self._follow_timer.setInterval(FOLLOW_AFTER)
        self._follow_timer.timeout.connect(self.follow)
        self.making = False

    def pixels(self, project: Project, case: CaseInfo, region: Box | None) -> LevelPixels:
        """What is shown of an image, with the frame around a region, or in the middle."""
        self.leave()
        middle = tuple(side // 2 for side in case.shape)
        frame = frame_around(region or Box(middle, middle), case.shape)
        self._pixels = LevelPixels(self._controller, project, case, self._roots(project, case), frame)
        self._where = project, case
        return self._pixels

    def _roots(self, project: Project, case: CaseInfo) -> tuple[Path, Path]:
        """Where the levels of the image and of maps are; in a folder of this session if the project is only read."""
        root = project.path / display.NAME
        if project.writable:
            return root, root
        if self._temporary is None:
            self._temporary = TemporaryDirectory(prefix="metadcseg-", ignore_cleanup_errors=True)
        own = type(root)(self._temporary.name) / project.name
        return (root if display.is_complete(root, case) else own), own

    def leave(self) -> None:
        """Let go of the image that is shown."""
        self._follow_timer.stop()
        self._maker.stop()
        self._pixels, self._where, self._gave_up = None, None, False
        self._tell(False)

    def close(self) -> None:
        """Let go, and remove what was made for this session only."""
        self.leave()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    # ---------------------------------------------------------------- levels

    def make_missing(self) -> None:
        """Make the levels that are not there yet, in the background; those of what is shown.

        While some are being made, others wait for that.
        """
        if self._pixels is None or self._where is None or self._maker.busy or self._gave_up:
            return
        (project, case), pixels = self._where, self._pixels
        jobs = []
        if pixels.image_levels.row is None:
            jobs.append(Job(pixels.image_levels, partial(_image, case=case)))
        if not self._follows():
            jobs += [Job(levels, partial(_mask, case=case, name=name)) for name, levels in pixels.masks.items()]
        run = self._controller.run
        if run is not None:
            if project.writable:
                display.forget_runs(project.path / display.NAME, run.name, run.generation)
            missing = {name: levels for name, levels in pixels.maps.items() if levels.row is None}
            jobs += [Job(each, partial(_map, case=case, run=run.name, name=name)) for name, each in missing.items()]
        self._maker.make(project.path, jobs)
        self._tell(self._maker.busy)

    def _follows(self) -> bool:
        """Bring the masks' levels up to the record; False when they have to be made anew."""
        if self._pixels is None or self._where is None:
            return True
        project, case = self._where
        levels = self._pixels.masks["label"]
        if not project.writable and levels.row is not None and levels.folder.is_relative_to(project.path):
            return True  # another session follows them
        try:
            return self._pixels.follow()
        except (OSError, ValueError) as error:
            logger.warning("Levels of %s are made anew: %s", case.name, error)
            return False

    def forget_opinion(self) -> None:
        """There is another second opinion on the same scores."""
        if self._pixels is not None and "cleanlab" in self._pixels.maps:
            self._pixels.maps["cleanlab"].forget()

    def soon(self) -> None:
        """Follow a change, once it has been drawn."""
        if self._pixels is not None:
            self._follow_timer.start()

    def follow(self) -> None:
        """Bring the smaller levels of the masks up to what is recorded."""
        if self._pixels is None or self.making:  # what is being made is followed at its end
            return
        if not self._follows():
            self.make_missing()
        self._fill(["overview", "trust"])

    def _on_failed(self, words: str) -> None:
        self._gave_up = True
        self._controller.say(words, "error")

    def _on_progress(self) -> None:
        if self._pixels is None:
            return
        self._fill(["image", "overview", "proposed", "band", *self._pixels.maps])
        if not self._maker.busy:
            self._tell(False)
            self.make_missing()
            self._fill(["overview", "trust"])

    def _fill(self, names: list[str]) -> None:
        """Draw arrays again whose smaller levels have changed."""
        for name in names if self._pixels is not None else ():
            self._pixels.refill(name)  # type: ignore[union-attr]
        self._refresh(names)

    def _tell(self, making: bool) -> None:
        if making != self.making:
            self.making = making
            self._told()


def _image(reader: Project, *, case: CaseInfo) -> Callable[[Box], NDArray[Any]]:
    return lambda box: reader.read_image(case, box)


def _mask(reader: Project, *, case: CaseInfo, name: str) -> Callable[[Box], NDArray[Any]]:
    return lambda box: reader.read_label(case, box) if name == "label" else reader.read_verified(case, box)


def _map(reader: Project, *, case: CaseInfo, run: str, name: str) -> Callable[[Box], NDArray[Any]]:
    found = reader.run(run)
    return lambda box: found.read_map(case.id, name, box)
