"""What is left and when to stop, in the window: worked out beside it at first, kept up after each decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_metadcseg.background import Background
from napari_metadcseg.widgets.stop_panel import StopPanel
from src_core.errors import MetaDCSegError
from src_core.review import audit
from src_core.review.stopping import LEVEL, StopEstimator
from src_core.store.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.state import UiState
    from src_core.review.advice import StopRule

PAUSE = 300
"""After so many milliseconds without another decision the figures are shown, while the section is in sight."""


class StopSection:
    """Keeps the panel in step with the record. It reads the project by a reader of its own.

    Parameters
    ----------
    controller : Controller
    rule : StopRule, optional
    background : Background, optional
        That of the window.

    Attributes
    ----------
    panel : StopPanel
    """

    def __init__(
        self, controller: Controller, rule: StopRule | None = None, *, background: Background | None = None
    ) -> None:
        self._controller = controller
        self._background = background or Background()
        self._estimator: StopEstimator | None = None
        self._reader: Project | None = None
        self._basis: tuple[Any, ...] = ()
        self._working = False
        self.panel = _Panel(self.refresh, rule)
        self.panel.audit_asked.connect(self._draw)
        self._pause = QTimer(self.panel)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE)
        self._pause.timeout.connect(self.refresh)

    def show_state(self, new: UiState, old: UiState) -> None:
        """Follow the controller."""
        if new.project is None:
            self.close()
            self.panel.show_estimate(())
        elif (new.project.path, new.review.version, new.review.run, new.review.arrival) != (
            old.project and old.project.path,
            old.review.version,
            old.review.run,
            old.review.arrival,
        ):
            self._pause.start()

    def refresh(self) -> None:
        """Show the figures of this moment, if the section is in sight."""
        project, run = self._controller.project, self._controller.run
        if project is None or run is None or self._working or not self.panel.isVisible():
            return
        basis = (project.path, run.name, run.generation)
        if self._estimator is not None and self._basis == basis:
            self._show()
            return
        self.close()
        self._working, self._basis = True, basis
        self._background.run(lambda: _made(project.path, run.name), self._take, self._failed)

    def _take(self, made: tuple[Project, StopEstimator]) -> None:
        self._working = False
        reader, estimator = made
        if self._controller.project is None or self._controller.project.path != reader.path:
            reader.close()
            return
        self._reader, self._estimator = reader, estimator
        self._show()

    def _failed(self, words: str) -> None:
        self._working = False
        self._controller.say(words, "error")

    def _show(self) -> None:
        assert self._estimator is not None
        assert self._reader is not None
        try:
            found = audit.current(self._reader, self._estimator, LEVEL)
            self.panel.show_estimate(self._estimator.curve(), found)
        except MetaDCSegError as error:
            self._controller.say(str(error), "error")

    def _draw(self, draws: int) -> None:
        """Draw regions at random, and show those only until they are decided."""
        project, estimator, reader = self._controller.project, self._estimator, self._reader
        if project is None or estimator is None or reader is None:
            return
        try:
            audit.draw(project, estimator, draws=draws, seed=project.version()[0])
            found = audit.current(reader, estimator, LEVEL)
        except MetaDCSegError as error:
            self._controller.say(str(error), "error")
            return
        if found is not None:
            self._controller.show_only(found.waiting)
        self._show()

    def close(self) -> None:
        """Let go of the project."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._estimator, self._basis = None, None, ()


class _Panel(StopPanel):
    """Says when it comes into sight."""

    def __init__(self, shown: Any, rule: StopRule | None) -> None:
        self._on_shown = shown
        super().__init__(rule)

    def showEvent(self, event: Any) -> None:
        """Catch up with what happened out of sight."""
        super().showEvent(event)
        self._on_shown()


def _made(path: Path, run: str) -> tuple[Project, StopEstimator]:
    """A reader and an estimator that has looked at every image once."""
    reader = Project.open(path)
    try:
        estimator = StopEstimator(reader, reader.run(run))
        estimator.curve()
    except BaseException:
        reader.close()
        raise
    return reader, estimator
