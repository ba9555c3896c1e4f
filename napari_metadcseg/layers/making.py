"""Makes levels of large images that have none yet, in a thread of its own and from a reader of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QTimer

from napari_metadcseg.background import run_in_background
from src_core.errors import storage_errors
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import Box
    from src_core.store.levels import Levels

TOLD_EVERY = 500
"""ms between looks at what has been made so far."""

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


class LevelMaker:
    """One thread at a time.

    Parameters
    ----------
    progress : callable
        Called in the window's thread while levels are made, and at the end.
    failed : callable
        Gets a sentence.
    """

    def __init__(self, progress: Callable[[], None], failed: Callable[[str], None]) -> None:
        self._progress, self._failed = progress, failed
        self._stopping, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._timer = QTimer()
        self._timer.setInterval(TOLD_EVERY)
        self._timer.timeout.connect(progress)

    @property
    def busy(self) -> bool:
        """True while levels are made."""
        return not self._idle.is_set()

    def make(self, path: Path, jobs: Sequence[Job]) -> None:
        """Make levels of a project, one after the other, in place of what is made now."""
        self.stop()
        if not jobs:
            return
        stopping, idle = self._stopping, self._idle = threading.Event(), threading.Event()

        def work() -> None:
            try:
                _make(path, jobs, stopping)
            finally:
                idle.set()

        def done(_result: object) -> None:
            if self._idle is idle:
                self._timer.stop()
                self._progress()

        def failed(words: str) -> None:
            if not stopping.is_set():
                self._failed(words)
            done(None)

        self._timer.start()
        run_in_background(work, done, failed)

    def stop(self) -> None:
        """Leave what is made, to be begun anew later; nothing of the project is in use afterwards."""
        self._stopping.set()
        self._timer.stop()
        self._idle.wait(PATIENCE)


def _make(path: Path, jobs: Sequence[Job], stopping: threading.Event) -> None:
    if stopping.is_set():
        return
    with Project.open(path) as reader:
        for job in jobs:
            row = reader.version()[0]  # before anything is read: what comes later is followed
            with storage_errors(job.levels.folder, "Seen from afar, the image is not shown in full."):
                for _ in job.levels.make(job.reading(reader), row):
                    if stopping.is_set():
                        return
