"""Adding images to a project: all of them at once, or none.

First the arrays are written, which nobody sees (:mod:`src_core.store.adding`), and brought to the disk; then one
transaction of the record names all images. A project that is killed in between is as it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from src_core.data.classes import ClassTable
from src_core.errors import InputError, storage_errors
from src_core.io.additions import Expected, check_addition
from src_core.io.sources import GRID, load
from src_core.store import arrays, database, history, tables
from src_core.store.adding import announce, sweep
from src_core.store.create import NewCase, write_case
from src_core.store.durable import sync_file, sync_tree
from src_core.store.journal import Action, Change, unpacked

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from src_core.data.case import CaseInfo
    from src_core.store.journal import Record
    from src_core.store.project import Project

MEMORY = Path(":memory:")
"""Where SQLite keeps a database that is no file."""


def expected_of(project: Project) -> Expected:
    """What images have to be like to be added to a project."""
    encodings = [case.encoding for case in project.cases]
    return Expected(
        project=project.name,
        names=frozenset(case.name for case in project.cases),
        table=ClassTable(
            classes=project.classes,
            ignore_value=next((each.ignore_value for each in encodings if each.ignore_value is not None), None),
            instances=any(each.extra.get(GRID, {}).get("instances", False) for each in encodings),
            rule=f"values as in project {project.name}",
        ),
        channels=max((case.channels for case in project.cases), default=1),
        axes=frozenset(len(case.shape) for case in project.cases),
    )


def add_from_folders(
    project: Project,
    images: str | Path,
    masks: str | Path | None = None,
    *,
    clean_masks: str | Path | None = None,
    unlabelled: bool = False,
    skip_existing: bool = False,
    progress: Callable[[str], None] | None = None,
) -> tuple[tuple[CaseInfo, ...], tuple[str, ...]]:
    """Add images with the masks that belong to them. Sources are read and never written to.

    Parameters
    ----------
    project : Project
        Open for writing.
    images, masks, clean_masks, unlabelled
        As of :func:`~src_core.store.create.create_from_folders`; classes and values are those of the project.
    skip_existing : bool
        Leave out what the project has by name.
    progress : callable, optional
        Called with each name when its arrays are written.

    Returns
    -------
    added : tuple of CaseInfo
    existing : tuple of str
        Names that were left out.

    Raises
    ------
    InputError
        One message with everything that is wrong; nothing was added then.
    ProjectReadOnlyError, ProjectError, StorageError
        As from :meth:`Project.commit`; nothing was added then, either.
    """
    addition = Addition(project)
    existing = addition.write_from(images, masks, clean_masks, unlabelled, skip_existing, progress)
    return addition.commit(), existing


def add_cases(
    project: Project, cases: Iterable[NewCase], progress: Callable[[str], None] | None = None
) -> tuple[CaseInfo, ...]:
    """Add images that were read already; parameters and errors as of :func:`add_from_folders`."""
    addition = Addition(project)
    addition.write(cases, progress)
    return addition.commit()


class Addition:
    """Images on their way into a project. Writing may take place in another thread than the rest.

    Parameters
    ----------
    project : Project
        Open for writing; it is not touched before :meth:`commit`.
    """

    def __init__(self, project: Project) -> None:
        project.require_writable()
        self.project = project
        self._expected = expected_of(project)
        self._author = project.author
        self._first = max((case.id for case in project.cases), default=-1) + 1
        self._cases: list[dict[str, Any]] = []
        self._counts: list[tuple[int, int, int]] = []
        self._imports: list[tuple[Any, ...]] = []

    def write_from(
        self,
        images: str | Path,
        masks: str | Path | None,
        clean_masks: str | Path | None,
        unlabelled: bool,
        skip_existing: bool,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[str, ...]:
        """Find images and write their arrays; the names that the project has already, as of :func:`check_addition`."""
        how = {"unlabelled": unlabelled, "skip_existing": skip_existing}
        source, existing = check_addition(self._expected, images, masks, clean_masks, **how)
        self.write((NewCase(**load(pair, source.table)) for pair in source.pairs), progress)
        return existing

    def write(self, cases: Iterable[NewCase], progress: Callable[[str], None] | None = None) -> None:
        """Write the arrays of images, and bring them to the disk; what goes wrong leaves nothing behind."""
        announce(self.project.path, self._first)
        try:
            with storage_errors(self.project.path, "Nothing was added."):
                self._write(cases, progress)
        except BaseException:
            self.abandon()
            raise

    def _write(self, cases: Iterable[NewCase], progress: Callable[[str], None] | None) -> None:
        names = set(self._expected.names)
        store = arrays.ArrayStore(self.project.path / arrays.NAME, "r+")
        rows = database.create(MEMORY)  # as when a project is made; its rows go into the record by commit
        try:
            for case_id, case in enumerate(cases, start=self._first):
                if case.name in names:
                    raise InputError(f"Project {self.project.name} has an image {case.name} already; rename it.")
                names.add(case.name)
                write_case(rows, store, case_id, case, self._author)
                sync_tree(store.path / "cases" / f"{case_id:06d}")
                if progress is not None:
                    progress(case.name)
            sync_file(store.path / "cases")
            self._take(rows)
        finally:
            rows.close()

    def _take(self, rows: sqlite3.Connection) -> None:
        found = rows.execute('SELECT * FROM "case" ORDER BY id')
        names = [column[0] for column in found.description]
        self._cases = [dict(zip(names, row, strict=True)) for row in found]
        self._counts = rows.execute("SELECT case_id, kind, pixels FROM verified").fetchall()
        columns = "case_id, action, note, box, before, after, pixels"
        self._imports = rows.execute(f"SELECT {columns} FROM journal ORDER BY id").fetchall()

    def commit(self) -> tuple[CaseInfo, ...]:
        """Let the project have the images; those that it has now more."""
        try:
            if self._cases:
                self.project.add(self)
        except BaseException:
            self.abandon()
            raise
        self.abandon()  # of what is recorded only the marker goes
        return tuple(case for case in self.project.cases if case.id >= self._first)

    def abandon(self) -> None:
        """Remove what was written and is not in the record."""
        sweep(self.project.path, {case.id for case in self.project.cases} | self.project.added())

    def insert(self, db: sqlite3.Connection, author: str) -> Record:
        """Write the rows of all images; the caller has opened the transaction. The last row of the journal."""
        for row in self._cases:
            marks = ", ".join("?" * len(row))
            db.execute(f'INSERT INTO "case" ({", ".join(row)}) VALUES ({marks})', (*row.values(),))
            record = history.insert(db, Change(row["id"], Action.ADD), author, None, None, None, 0)
        for case_id, action, note, box, before, after, pixels in self._imports:
            change = Change(case_id, Action(action), unpacked(after, history.box_from_json(box)), note=note)
            record = history.insert(db, change, author, before, after, None, pixels)
        for case_id, kind, pixels in self._counts:
            tables.add_counts(db, case_id, {kind: pixels})
        return record
