"""A training process that we started ourselves, connected by its three pipes."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from src_core.errors import WorkerError
from src_core.messages import Message
from src_core.worker.line import see_off

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

_STDERR_LINES = 40


class PipeLine:
    """Starts a process and talks to it through pipes; two threads read what it says.

    Parameters
    ----------
    command : sequence of str
    more : mapping, optional
        Added to our environment.

    Raises
    ------
    WorkerError
        If it could not be started.
    """

    def __init__(self, command: Sequence[str], more: dict[str, str] | None = None) -> None:
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**environment(), **(more or {})},
                start_new_session=True,  # Ctrl-C and a closed terminal are for the window, which then ends training
            )
        except OSError as error:
            raise WorkerError(f"The training process could not be started: {error}.") from error
        self.pid = self._process.pid
        self._heard = time.monotonic()
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stderr: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def send(self, message: Message) -> None:
        """Ask something; a process that is gone is noticed by :meth:`ended`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(message.to_line())
            self._process.stdin.flush()
        except (OSError, ValueError):
            logger.debug("The training process is gone; ended() will tell.")

    def receive(self) -> list[Message]:
        """What was said since the last call."""
        messages = []
        with contextlib.suppress(queue.Empty):
            while True:
                messages.append(self._inbox.get_nowait())
        return messages

    def silent_seconds(self) -> float:
        """Seconds since the last line."""
        return time.monotonic() - self._heard

    def ended(self) -> bool:
        """True once it is gone, both pipes are read to their end, and nothing waits to be received."""
        if self._process.poll() is None or any(reader.is_alive() for reader in self._readers):
            return False
        self._close_pipes()
        return True

    def exit_status(self) -> int | None:
        """As the operating system tells it."""
        return self._process.returncode

    def kill(self) -> None:
        """End it at once, also when it is stopped."""
        self._process.kill()

    def last_words(self) -> str:
        """Last lines of stderr."""
        return "\n".join(self._stderr)

    def let_go(self, *, keep: bool) -> None:
        """Close its input, which ends it unless it was told to be kept."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if keep:
            threading.Thread(target=self._outlive, daemon=True).start()
        else:
            see_off(self)

    def _outlive(self) -> None:
        """While we live, its end must be taken note of, or it stays as a zombie."""
        self._process.wait()
        for reader in self._readers:
            reader.join()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard = time.monotonic()
            try:
                self._inbox.put(Message.from_line(line))
            except WorkerError as error:
                logger.warning("The training process said something that was not understood. %s", error)

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._stderr.append(line.rstrip("\n"))


def environment() -> dict[str, str]:
    """The process must find the same packages as we do, and its output must not wait in a buffer."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
