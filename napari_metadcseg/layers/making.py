"""Makes levels of large images that have none yet, in a thread of its own and from a reader of its own.

The thread knows nothing of Qt, so that it can outlive a window that is torn down: a timer of the window asks how far
it is.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QTimer

from src_core.errors import MetaDCSegError, storage_errors
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import Box
    from src_core.store.levels import Levels

logger = logging.getLogger(__name__)

ASKED_EVERY = 100
"""ms between looks at whether all is made."""

TOLD_EVERY = 5
"""Looks after which what has been made so far is shown."""

PATIENCE = 5.0
"""Seconds to wait for the thread when it is told to stop; a step takes some milliseconds."""


class Job(NamedTuple):
    """Levels to make.

    Attributes
    ----------
    levels : Levels
    reading : callable
        Gets a project that is open for reading, and returns what reads a box of the array.
    """

    levels: Levels
    reading: Callable[[Project], Callable[[Box], NDArray[Any]]]


class _Task(threading.Thread):
    """Makes levels one after the other, until it is told to stop."""

    def __init__(self, path: Path, jobs: Sequence[Job]) -> None:
        super().__init__(name="levels", daemon=True)
        self._path, self._jobs = path, jobs
        self.stopping = threading.Event()
        self.problem = ""

    def run(self) -> None:
        try:
            self._make()
        except MetaDCSegError as error:
            self.problem = str(error)
        except Exception as error:
            logger.exception("Levels could not be made.")
            self.problem = f"This failed unexpectedly: {type(error).__name__}: {error}."

    def _make(self) -> None:
        with Project.open(self._path) as reader:
            for job in self._jobs:
                row = reader.version()[0]  # before anything is read: what comes later is followed
                with storage_errors(job.levels.folder, "Seen from afar, the image is not shown in full."):
                    for _ in job.levels.make(job.reading(reader), row):
                        if self.stopping.is_set():
                            return


class LevelMaker:
    """One thread at a time.

    Parameters
    ----------
    progress : callable
        Called while levels are made, and at the end, when :attr:`busy` is False.
    failed : callable
        Gets a sentence, before the end is told.
    """

    def __init__(self, progress: Callable[[], None], failed: Callable[[str], None]) -> None:
        self._progress, self._failed = progress, failed
        self._task: _Task | None = None
        self._looks = 0
        self._timer = QTimer()
        self._timer.setInterval(ASKED_EVERY)
        self._timer.timeout.connect(self._look)

    @property
    def busy(self) -> bool:
        """True while levels are made."""
        return self._task is not None

    def make(self, path: Path, jobs: Sequence[Job]) -> None:
        """Make levels of a project, in place of what is made now."""
        self.stop()
        if jobs:
            self._task, self._looks = _Task(path, jobs), 0
            self._task.start()
            self._timer.start()

    def stop(self) -> None:
        """Leave what is made, to be begun anew later; nothing of the project is in use afterwards."""
        self._timer.stop()
        if self._task is not None:
            self._task.stopping.set()
            self._task.join(PATIENCE)
            self._task = None

    def _look(self) -> None:
        task = self._task
        if task is None:
            return
        self._looks += 1
        if not task.is_alive():
            self._timer.stop()
            self._task = None
            if task.problem:
                self._failed(task.problem)
        if self._task is None or self._looks % TOLD_EVERY == 0:
            self._progress()
