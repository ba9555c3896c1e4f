"""A copy of a project, without its runs, to be tried things on."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from src_core.errors import storage_errors
from src_core.store import arrays, database, history

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.store.project import Project


def copy_project(project: Project, target: Path) -> Path:
    """Copy images, masks and record of a project, also while another session writes to it.

    Parameters
    ----------
    project : Project
    target : Path
        Folder to make.

    Returns
    -------
    Path
        ``target``, a project that may be opened for writing.

    Raises
    ------
    StorageError
        If the disk is full.
    """
    with storage_errors(target, "Nothing of the project was changed."):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        applied = _applied(project)  # before the files, and the record after them: what changes meanwhile is repeated
        shutil.copytree(
            project.path / arrays.NAME,
            target / arrays.NAME,
            ignore=shutil.ignore_patterns("*.partial"),
            copy_function=_copy_file,
        )
        _copy_database(project.path / database.NAME, target / database.NAME, applied)
    return target


def _applied(project: Project) -> int:
    with closing(database.connect(project.path / database.NAME, write=False)) as db:
        return history.numbers(db)[1]


def _copy_file(source: str, target: str) -> str:
    """One that is removed at this moment, as a chunk of zeros is in older projects, is left out."""
    with suppress(FileNotFoundError):
        shutil.copyfile(source, target)
    return target


def _copy_database(source: Path, target: Path, applied: int) -> None:
    """By SQLite itself, so that what is still in its write-ahead log comes along."""
    with (
        closing(database.connect(source, write=False)) as old,
        closing(sqlite3.connect(target, isolation_level=None)) as new,
    ):
        old.backup(new)
        history.set_applied(new, applied)
