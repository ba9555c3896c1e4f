"""A thread of the training process that shows that it lives, reads what is asked by file, and misses its window."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from src_core.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from src_core.train.control import Control
    from src_core.worker.mailbox import Post

BEAT = 2.0
_TICK = 0.5
_LAST_STEP = 30.0
"""Seconds that the step in hand may take after the window is gone; the checkpoint is written whole or not at all."""

_ORPHANED = 3


class Heart:
    """Beats every 2 s.

    Parameters
    ----------
    say : callable
        Takes a message.
    idle_seconds : callable
        Seconds since the process last did anything.
    obey : callable
        Takes a command that came by file.
    control : Control
    """

    def __init__(
        self,
        say: Callable[[Message], None],
        idle_seconds: Callable[[], float],
        obey: Callable[[Message], None],
        control: Control,
    ) -> None:
        self.post: Post | None = None
        self.kept = False
        self._say, self._idle_seconds, self._obey, self._control = say, idle_seconds, obey, control
        self._parent = os.getppid()
        self._alone = threading.Event()
        wake_when_orphaned()

    def start(self) -> None:
        """Beat from now on."""
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        ticks = 0
        while True:
            if ticks % round(BEAT / _TICK) == 0:
                idle = max(0.0, min(self._idle_seconds(), self._control.free_seconds))
                self._say(Message("alive", {"idle_seconds": idle, "paused": self._control.paused}))
                if self.post is not None:
                    self.post.beat()
            for order in [] if self.post is None else self.post.orders():
                self._obey(order)
            if os.getppid() != self._parent:
                self.window_gone()
            ticks += 1
            time.sleep(_TICK)

    def window_gone(self) -> None:
        """End, unless asked to go on alone; called when the pipe closes or the parent is another one."""
        if self._alone.is_set():
            return
        self._alone.set()
        if self.kept:
            self._write_elsewhere()
            return
        self._control.stop()
        exit_later = threading.Timer(_LAST_STEP, os._exit, (_ORPHANED,))
        exit_later.daemon = True
        exit_later.start()

    def _write_elsewhere(self) -> None:
        """What goes to stderr goes to a file of the run, since nobody reads the pipe."""
        if self.post is not None:
            with contextlib.suppress(OSError):
                target = self.post.output()
                os.dup2(target, 1)
                os.dup2(target, 2)
                os.close(target)


def wake_when_orphaned() -> None:
    """Ask the system to let this process go on when its parent dies while it is stopped, so that it can end; Linux."""
    if sys.platform == "linux":
        set_death_signal = 1
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(set_death_signal, signal.SIGCONT, 0, 0, 0)
