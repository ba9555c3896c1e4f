"""How a window is connected with a training process: by pipes, or by the files of a run that goes on without one."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from src_core.messages import Message

GRACE = 10.0
"""Seconds that a process has to end after it was asked to; then it is killed."""

_LOOK_EVERY = 0.05


class Line(Protocol):
    """One process, as the window is connected with it; nothing here waits for it."""

    pid: int

    def send(self, message: Message) -> None:
        """Ask something; nobody may be there any more."""

    def receive(self) -> list[Message]:
        """What was said since the last call."""

    def silent_seconds(self) -> float:
        """Seconds since anything was heard, s."""

    def ended(self) -> bool:
        """True once the process is gone and all it said was received."""

    def exit_status(self) -> int | None:
        """How it ended, negative for a signal; None when nobody can know."""

    def kill(self) -> None:
        """End it at once."""

    def last_words(self) -> str:
        """Last lines that it wrote to stderr."""

    def let_go(self, *, keep: bool) -> None:
        """Hang up; unless it is kept, see that the process ends."""


def see_off(line: Line) -> threading.Thread:
    """Wait in a thread for a process that was asked to end, and kill it when it does not.

    The interpreter ends only after this thread, so that no process is left; the window is gone by then.
    """

    def wait() -> None:
        deadline = time.monotonic() + GRACE
        idle = threading.Event()
        while not line.ended():
            if time.monotonic() > deadline:
                line.kill()
            idle.wait(_LOOK_EVERY)

    thread = threading.Thread(target=wait, name=f"metadcseg-end-{line.pid}")
    thread.start()
    return thread
