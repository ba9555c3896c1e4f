"""A copy of a project, without its runs, to be tried things on."""

from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING

from src_core.errors import ProjectError, storage_errors
from src_core.store import arrays, database

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.store.project import Project

ATTEMPTS = 5


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
    ProjectError
        If the project changes faster than it can be copied.
    StorageError
        If the disk is full.
    """
    with storage_errors(target, "Nothing of the project was changed."):
        for _ in range(ATTEMPTS):
            before = project.version()
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            shutil.copytree(project.path / arrays.NAME, target / arrays.NAME)
            _copy_database(project.path / database.NAME, target / database.NAME)
            if before == project.version() and before[0] == before[1]:
                return target
    shutil.rmtree(target, ignore_errors=True)
    raise ProjectError(
        f"Project {project.name} is being changed while it is copied; try again when nobody is working on it."
    )


def _copy_database(source: Path, target: Path) -> None:
    """By SQLite itself, so that what is still in its write-ahead log comes along."""
    old, new = database.connect(source, write=False), sqlite3.connect(target)
    try:
        old.backup(new)
    finally:
        new.close()
        old.close()
