"""Bringing files to the disk itself, so that they outlast a power cut.

A file that was written is in the memory of the operating system: it outlasts the process, and not the power. A file is
on the disk after an fsync of it and, when it is new or was renamed, of its folder.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

BATCH = 32
"""So many changes are brought to the disk together; it is also about what is repeated after a crash."""

PARTIAL = ".partial"
"""Ends the name of what is being written; what a crash leaves of it is written over, and copied nowhere."""

MANY = 500
"""From so many files on, the file system is asked for all at once."""

_THREADS = 8  # file systems write what several threads wait for in one go


def sync_file(path: Path) -> None:
    """Bring a file, or a folder's list of files, to the disk; one that was removed meanwhile is passed over."""
    folder = path.is_dir()
    if folder and os.name == "nt":  # Windows keeps folders itself, and does not let them be opened
        return
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        if sys.platform == "darwin":
            import fcntl

            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)  # fsync leaves them in the disk's own memory there
        else:
            os.fsync(handle)
    finally:
        os.close(handle)


def put(path: Path, text: str, *, to_disk: bool = True) -> None:
    """Write a small text file, whole or not at all: beside its place first, under a name of its own.

    Parameters
    ----------
    path : Path
    text : str
    to_disk : bool
        Bring it to the disk before it takes its place, and its folder after that, so that a power cut leaves the old
        or the new one. False for what a power cut makes void, as what tells of a process.

    Raises
    ------
    OSError
        If it cannot be written; what was there before stays, and nothing beside it.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        partial.write_text(text, encoding="utf-8")
        if to_disk:
            sync_file(partial)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    if to_disk:
        sync_file(path.parent)


def sync_files(paths: Iterable[Path]) -> None:
    """Bring files to the disk, and the folders that they are in.

    Raises
    ------
    OSError
        If the disk did not take one.
    """
    files = set(paths)
    files |= {path.parent for path in files}
    with ThreadPoolExecutor(_THREADS, "sync") as pool:
        for begun in [_begin(pool, sync_file, path) for path in files]:
            begun.result()


def _begin(pool: ThreadPoolExecutor, work: Callable[..., Value], *given: Any) -> Future[Value]:
    """Work in a thread of a pool; here and now once the interpreter ends, which starts no threads any more."""
    try:
        return pool.submit(work, *given)
    except RuntimeError:
        done: Future[Value] = Future()
        try:
            done.set_result(work(*given))
        except OSError as error:
            done.set_exception(error)
        return done


def sync_tree(folder: Path) -> None:
    """Bring a folder with all that is in it to the disk."""
    paths = [folder, *folder.rglob("*")]
    if len(paths) < MANY or not _sync_file_system(folder):
        sync_files(paths)


def _sync_file_system(folder: Path) -> bool:
    """Bring all of the folder's file system to the disk, where the operating system can; many times faster."""
    if sys.platform != "linux":
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        done: int = ctypes.CDLL(None, use_errno=True).syncfs(handle)
    finally:
        os.close(handle)
    return done == 0


class Syncer:
    """Brings files to the disk on a thread of its own, in batches, and knows how far it is.

    Parameters
    ----------
    row : int
        Everything up to this row of the journal is on the disk already.
    """

    def __init__(self, row: int) -> None:
        self._done = row
        self._waiting: set[Path] = set()
        self._latest = row
        self._rows = 0
        self._future: Future[int] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._failed = False

    def add(self, row: int, paths: Iterable[Path]) -> None:
        """Note that ``paths`` were written for a row; every so many rows they are brought to the disk."""
        self._waiting.update(paths)
        self._latest = row
        self._rows += 1
        self._collect(wait=False)
        if self._rows >= BATCH and self._future is None and not self._failed:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "sync-masks")
            self._future = _begin(self._pool, _sync, *self._take())

    def reached(self) -> int:
        """The row up to which all that was written is on the disk for sure."""
        self._collect(wait=False)
        return self._done

    def drain(self) -> int:
        """Bring the rest to the disk and wait for it; the row that was reached."""
        self._collect(wait=True)
        if not self._failed and self._latest > self._done:
            try:
                self._done = _sync(*self._take())
            except OSError:
                self._fail()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        return self._done

    def _take(self) -> tuple[int, set[Path]]:
        waiting, self._waiting, self._rows = self._waiting, set(), 0
        return self._latest, waiting

    def _collect(self, *, wait: bool) -> None:
        if self._future is None or not (wait or self._future.done()):
            return
        future, self._future = self._future, None
        try:
            self._done = future.result()
        except OSError:
            self._fail()

    def _fail(self) -> None:
        """A disk that failed once may say of the same files that they are there now: never trust it in this session."""
        self._failed = True
        logger.exception("The masks could not be brought to the disk; they are made anew at the next opening.")


def _sync(row: int, paths: set[Path]) -> int:
    sync_files(paths)
    return row
