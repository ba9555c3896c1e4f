"""Work that takes longer than the window may wait, in threads that do not outlive the window.

The threads know nothing of Qt, whose objects may be gone before a thread is: the window asks whether they are done.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from src_core.errors import MetaDCSegError

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[Callable[[], Any], Callable[[Any], None], Callable[[str], None]], None]
    """As :meth:`Background.run`."""

logger = logging.getLogger(__name__)

ASKED_EVERY = 20
"""ms between looks at whether work is done."""


class CutOffError(Exception):
    """The window that work was done for is being closed."""


def check(*_progress: object) -> None:
    """End the work that this is called from if its window is being closed; fits wherever progress is told.

    Raises
    ------
    CutOffError
        To be let through.
    """
    task = threading.current_thread()
    if isinstance(task, _Task) and task.cut.is_set():
        raise CutOffError


class _Task(threading.Thread):
    """Work, and what came of it."""

    def __init__(
        self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[str], None], at_close: bool
    ) -> None:
        super().__init__(name="background", daemon=True)
        self._work, self._done, self._failed = work, done, failed
        self.at_close = at_close
        self.cut = threading.Event()
        self.value: Any = None
        self.problem = ""

    def run(self) -> None:
        try:
            self.value = self._work()
        except CutOffError:
            self.problem = "The window was closed."
        except MetaDCSegError as error:
            self.problem = str(error)
        except Exception as error:
            level = logging.DEBUG if self.cut.is_set() else logging.ERROR  # nobody waits for it any more
            logger.log(level, "Background work failed.", exc_info=True)
            self.problem = f"This failed unexpectedly: {type(error).__name__}: {error}."

    def tell(self) -> None:
        """Hand over what came of it, in the window's thread."""
        if self.problem:
            self._failed(self.problem)
        else:
            self._done(self.value)


class Background:
    """The work of one window."""

    def __init__(self) -> None:
        self._running: list[_Task] = []
        self._closed = False

    def run(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[str], None],
        *,
        at_close: bool = False,
    ) -> None:
        """Run ``work`` in a thread; call ``done`` with its result or ``failed`` with a sentence in the window's thread.

        Parameters
        ----------
        work, done, failed : callable
        at_close : bool
            Finish it even when the window is closed meanwhile, for a person's decision must not be lost. Other work is
            cut off at its next :func:`check`, and nobody hears of it.
        """
        if self._closed:
            return
        task = _Task(work, done, failed, at_close)
        self._running.append(task)
        task.start()
        self._look_soon(task)

    def _look_soon(self, task: _Task) -> None:
        QTimer.singleShot(ASKED_EVERY, lambda: self._look(task))

    def _look(self, task: _Task) -> None:
        if task not in self._running:
            return
        if task.is_alive():
            self._look_soon(task)
            return
        self._running.remove(task)
        task.tell()

    def close(self) -> None:
        """End all work and wait for it; the project that it reads can be closed then. May be called twice."""
        self._closed = True
        tasks, self._running = self._running, []
        for task in tasks:
            if not task.at_close:
                task.cut.set()
        for task in tasks:
            task.join()
            if task.at_close:
                task.tell()
            else:
                _close(task.value)


def _close(value: Any) -> None:
    """Close a project that nobody will take."""
    for part in value if isinstance(value, tuple) else (value,):
        if hasattr(part, "close"):
            part.close()


run_in_background = Background().run
"""For widgets that stand alone; a window has a :class:`Background` of its own."""
