"""One session may write a project; the operating system frees the lock when that session dies."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from src_core.errors import ProjectLockedError, storage_errors
from src_core.store.reading import read_object

if TYPE_CHECKING:
    from pathlib import Path


class WriteLock:
    """The lock of a project folder, held from construction to :meth:`release`.

    Parameters
    ----------
    project : Path
    where : Path, optional
        What to name in a message, if it is not the folder.
    consequence : str
        Of not getting it because of the disk.

    Raises
    ------
    ProjectLockedError
        If another session has it; the message says which.
    StorageError
        If the folder may not be written to.
    """

    def __init__(
        self, project: Path, where: Path | None = None, consequence: str = "The project was not opened for writing."
    ) -> None:
        self._holder = project / "lock.json"
        self._lock = FileLock(project / "lock", thread_local=False)  # opened in a thread, closed in the window's
        with storage_errors(where or project, consequence):
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise ProjectLockedError(
                    f"Project {project.name} is open in another window or command{self._who()}; close it there, or "
                    "open the project read-only."
                ) from error
            holder = {
                "pid": os.getpid(),
                "host": platform.node(),
                "since": datetime.now(UTC).isoformat("T", "seconds"),
            }
            try:
                self._holder.write_text(json.dumps(holder), encoding="utf-8")
            except OSError:
                self._lock.release()
                raise

    def _who(self) -> str:
        try:
            holder = read_object(self._holder)
            return f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def release(self) -> None:
        """Let others write; may be called twice."""
        self._lock.release()
