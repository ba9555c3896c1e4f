"""The files in ``runs/RUN/`` by which a training process can be followed and asked when no pipe leads to it.

=================== ==========================================================================================
worker.json         process id and host, while there is a process
worker.lock         held (OS file lock) as long as the process lives, however it ends
messages.jsonl      what it says, a message a line; touched every 2 s, which is its heartbeat
commands.jsonl      what it is asked, appended by a window
worker.log          what it writes to stderr once its window is gone
=================== ==========================================================================================
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import signal
import time
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from src_core.errors import WorkerError
from src_core.messages import Message
from src_core.store.durable import put
from src_core.worker.line import see_off

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

logger = logging.getLogger(__name__)

RECORD, LOCK, SAID, ASKED, OUTPUT = "worker.json", "worker.lock", "messages.jsonl", "commands.jsonl", "worker.log"
LOOK_EVERY = 0.5
_TAIL = 4000


class _Follower:
    """Reads the lines that are added to a file; a line that is not finished yet waits for its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Message]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                whole = file.read().rpartition(b"\n")[0]
        except OSError:
            return []
        if not whole:
            return []
        self._offset += len(whole) + 1
        messages = []
        for line in whole.decode("utf-8", errors="replace").splitlines():
            try:
                messages.append(Message.from_line(line))
            except WorkerError as error:
                logger.warning("A line of %s was not understood. %s", self._path, error)
        return messages


class Post:
    """The end of the training process.

    Parameters
    ----------
    folder : Path
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK, timeout=2 * LOOK_EVERY, thread_local=False)
        self._lock.acquire()
        (folder / ASKED).unlink(missing_ok=True)
        self._orders = _Follower(folder / ASKED)
        self._file = (folder / SAID).open("w", encoding="utf-8", buffering=1)
        put(folder / RECORD, json.dumps({"pid": os.getpid(), "host": platform.node()}), to_disk=False)

    def write(self, message: Message) -> None:
        """Add a message; a disk that is full must not end training for the sake of its log."""
        with contextlib.suppress(OSError, ValueError):
            self._file.write(message.to_line())

    def beat(self) -> None:
        """Show that the process lives."""
        with contextlib.suppress(OSError):
            os.utime(self._folder / SAID)

    def orders(self) -> list[Message]:
        """What was asked since the last call."""
        return self._orders.read()

    def output(self) -> int:
        """Descriptor of a file for what would go to stderr."""
        return os.open(self._folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def close(self) -> None:
        """Say that there is no process any more."""
        with contextlib.suppress(OSError):
            self._file.close()
        (self._folder / RECORD).unlink(missing_ok=True)
        self._lock.release()


def is_alive(folder: Path) -> bool:
    """True while a process works on a run."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def find_kept(runs: Iterable[Path]) -> Path | None:
    """The first of some run folders at which a process of this computer works."""
    for folder in runs:
        record = _record(folder)
        if record is not None and record[1] == platform.node() and is_alive(folder):
            return folder
    return None


def _record(folder: Path) -> tuple[int, str] | None:
    try:
        values = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return int(values["pid"]), str(values["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class FileLine:
    """A window's connection by files with a process that went on alone.

    Parameters
    ----------
    folder : Path
        Of the run.

    Raises
    ------
    WorkerError
        If there is no process.
    """

    def __init__(self, folder: Path) -> None:
        record = _record(folder)
        if record is None or not is_alive(folder):
            raise WorkerError(f"Nothing trains run {folder.name} any more; press Continue to go on from it.")
        self.pid = record[0]
        self._folder = folder
        self._said = _Follower(folder / SAID)
        self._looked = -1.0
        self._gone = False

    def send(self, message: Message) -> None:
        """Ask something."""
        with contextlib.suppress(OSError), (self._folder / ASKED).open("a", encoding="utf-8") as file:
            file.write(message.to_line())

    def receive(self) -> list[Message]:
        """What was said since the last call; at first, all since it began."""
        return self._said.read()

    def silent_seconds(self) -> float:
        """Seconds since the log was touched."""
        try:
            return max(0.0, time.time() - (self._folder / SAID).stat().st_mtime)
        except OSError:
            return 0.0

    def ended(self) -> bool:
        """True once its lock is free; looked at twice a second."""
        if not self._gone and time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            self._gone = not is_alive(self._folder)
        return self._gone

    def exit_status(self) -> int | None:
        """Nobody can know: it is no child of ours."""
        return None

    def kill(self) -> None:
        """End it at once; never another process that has its number now."""
        if is_alive(self._folder):
            with contextlib.suppress(OSError):
                os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def last_words(self) -> str:
        """End of what it wrote to stderr."""
        try:
            return (self._folder / OUTPUT).read_text(encoding="utf-8", errors="replace")[-_TAIL:]
        except OSError:
            return ""

    def let_go(self, *, keep: bool) -> None:
        """Leave it alone, or see that it ends."""
        if not keep:
            self.send(Message("stop"))
            see_off(self)
