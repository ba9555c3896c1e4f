"""The project on disk, as one object."""

from __future__ import annotations

import logging
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from src_core.data.case import vouched
from src_core.errors import InputError, MetaDCSegError, ProjectError, ProjectReadOnlyError
from src_core.store import arrays, database, history, tables
from src_core.store.adding import sweep
from src_core.store.journal import Action, Change, Patch, Record
from src_core.store.ledger import Ledger
from src_core.store.lock import WriteLock
from src_core.store.masks import Masks
from src_core.store.names import SUFFIX, default_author, project_path
from src_core.store.recording import Prepared, Recorder, packed
from src_core.store.run_lookup import find_run, list_runs
from src_core.store.samples import SampleStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo, Verified
    from src_core.store.add import Addition
    from src_core.store.runs import Run

logger = logging.getLogger(__name__)


class Project:
    """A project folder that is open; made by :meth:`open`.

    Every change is first one committed row of the journal, which is on the disk when the change is confirmed; then it
    is applied to the arrays. What may not have come through to them when a session died is repeated at the next
    opening, and until then read from the record. A context manager.

    Attributes
    ----------
    path : Path
    name : str
    writable : bool
    author : str
        Written with every change.
    classes : tuple of ClassInfo
    cases : tuple of CaseInfo
        Ordered by name.
    """

    def __init__(self, path: Path, *, write: bool, author: str | None) -> None:
        self.path = path
        self.name = path.stem
        self.writable = write
        self.author = author or default_author()
        self._lock = WriteLock(path) if write else None
        self._open = True
        try:
            self._db = database.connect(path / database.NAME, write=write)
            try:
                self._read()
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def _read(self) -> None:
        self._place = database.file_in(self.path)
        self._arrays = arrays.ArrayStore(self.path / arrays.NAME, "r+" if self.writable else "r")
        self.classes, cases = tables.read(self._db, self.path)
        self._take(cases)
        if self.writable:
            sweep(self.path, self._by_id)
        self._ledger = Ledger(self._db)
        self._masks = Masks(self._db, self._arrays, self.case, writable=self.writable)
        self._recorder = Recorder(self._db, self._masks, self.case, lambda: self.author)
        if self.writable:
            self._masks.open_for_writing()

    def _take(self, cases: tuple[CaseInfo, ...]) -> None:
        self.cases = cases
        self._by_name, self._by_id = {case.name: case for case in cases}, {case.id: case for case in cases}

    @classmethod
    def open(cls, path: str | Path, *, write: bool = False, author: str | None = None) -> Project:
        """Open a project.

        Parameters
        ----------
        path : path
            With or without ``.metadcseg``.
        write : bool
            One session at a time may write; any number may read.
        author : str, optional
            Defaults to the login name.

        Raises
        ------
        ProjectError
            If there is no project; ProjectLockedError if it is open for writing elsewhere;
            ProjectDamagedError if it cannot be read.
        """
        folder = Path(path).expanduser()
        if not (folder / database.NAME).is_file():
            folder = project_path(path)
        if not (folder / database.NAME).is_file():
            raise ProjectError(
                f"There is no project at {path}; expected a folder NAME{SUFFIX} made by 'metadcseg create' or in the "
                "window."
            )
        return cls(folder, write=write, author=author)

    def close(self) -> None:
        """Close the files and release the lock; may be called twice. Nothing that was confirmed depends on it."""
        if not self._open:
            return
        self._open = False
        try:
            if self.writable:
                self._masks.settle()
        except MetaDCSegError as error:
            logger.warning("%s", error)
        finally:
            self._db.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---------------------------------------------------------------- reading

    def case(self, key: str | int) -> CaseInfo:
        """A case by name or id.

        Raises
        ------
        InputError
            If there is none.
        """
        found = self._by_name.get(key) if isinstance(key, str) else self._by_id.get(key)
        if found is None:
            raise InputError(f"Project {self.name} has no image {key!r}; 'metadcseg info' lists them.")
        return found

    def read_image(self, case: CaseInfo, box: Box | None = None) -> NDArray[Any]:
        """Image, ``(H, W)`` or ``(H, W, channels)``, dtype of the source; or a box of it."""
        return self._arrays.read(case.id, "image", box)

    def read_given(self, case: CaseInfo, box: Box | None = None) -> NDArray[np.uint8]:
        """Label of the source mask, uint8 class index, 255 where there is none."""
        return self._arrays.read(case.id, "given", box)

    def read_label(self, case: CaseInfo, box: Box | None = None) -> NDArray[np.uint8]:
        """Current label, uint8 class index, 255 where there is none."""
        return self._masks.read(case, box, "label")[0]

    def read_verified(self, case: CaseInfo, box: Box | None = None) -> NDArray[np.uint8]:
        """How each pixel was verified, uint8, values of :class:`~src_core.data.case.Verified`."""
        return self._masks.read(case, box, "verified")[0]

    def read_labels(self, case: CaseInfo, box: Box | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Label and verified mask that belong together, even while another process writes them."""
        label, verified = self._masks.read(case, box, "label", "verified")
        return label, verified

    def read_as_stored(self, case: CaseInfo, box: Box | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """As :meth:`read_labels`, but a damaged file is an error; else it is made anew from the record."""
        label, verified = self._masks.read_as_stored(case, box)
        return label, verified

    def version(self) -> tuple[int, int]:
        """Last committed row of the journal, which grows with every change, and the last one that the mask files hold.

        A session that only reads does not know of the second before it has reached the disk.
        """
        return self._masks.version()

    def added(self) -> frozenset[int]:
        """Ids of the images that were added after the project was made."""
        return self._ledger.added()

    def take_added(self) -> bool:
        """Take up images that another session has added since this one opened the project; True if there are any."""
        if self.added() <= set(self._by_id):
            return False
        self._take(tables.read(self._db, self.path)[1])
        return True

    def verified_counts(self) -> dict[int, Mapping[Verified, int]]:
        """Pixels of each case that somebody has looked at, by how they were verified; the unsure ones among them."""
        return self._ledger.counts()

    def verified_count(self, case: CaseInfo) -> Mapping[Verified, int]:
        """Pixels of one case that somebody has looked at, by how they were verified."""
        return self._ledger.count(case.id)

    def is_wholly_verified(self, case: CaseInfo) -> bool:
        """True when somebody vouches for every pixel of a case."""
        return vouched(self.verified_count(case)) >= prod(case.shape)

    def unconfirmed_strokes(self, case: CaseInfo) -> list[Box]:
        """Boxes of strokes on a case that were neither confirmed nor turned back."""
        return self._ledger.unconfirmed(case.id)

    def whole_cases(self) -> set[int]:
        """Cases whose whole mask somebody has vouched for, pixels without a label left out."""
        return self._ledger.whole()

    def decisions(self) -> dict[str, str]:
        """Region id to the action that settled it; what was undone is left out."""
        return self._ledger.decisions()

    def decision(self, region: str) -> str | None:
        """The action that settled a region; None while it is open."""
        return self._ledger.decision(region)

    def history(self, limit: int | None = None) -> list[Record]:
        """Rows of the journal, newest first."""
        return history.records(self._db, limit)

    def record(self, row: int) -> Record:
        """One row of the journal by its id."""
        return history.record(self._db, row)

    def changes(self, case: CaseInfo, within: Box | None = None) -> Iterator[tuple[int, Patch, Patch]]:
        """Row, pixels before and after of the changes of a case, oldest first; a large one comes box by box."""
        return history.patches(self._db, case.id, within=within)

    def changed_after(self, case: CaseInfo, row: int) -> bool:
        """True when a case was changed after a row of the journal."""
        return bool(history.rows_of(self._db, case.id, row))

    def standing_changes(self, case: CaseInfo, within: Box | None = None) -> Iterator[tuple[Record, Patch]]:
        """What was done to a case and not turned back, with the pixels after it, as in :meth:`changes`."""
        for row in history.rows_of(self._db, case.id):
            if self._ledger.stands(row):
                for after in history.pixels_after(self._db, row, within):
                    yield self.record(row), after

    def records(self, upto: int) -> Iterator[Record]:
        """Rows of the journal until ``upto``, oldest first, one at a time."""
        return history.stream(self._db, upto)

    def standing(self, upto: int | None = None) -> set[int]:
        """Rows of changes that hold, those that were turned back left out; as it was after row ``upto``."""
        return history.standing(self._db, self.version()[0] if upto is None else upto)

    def patches_after(self, row: int, within: Box | None = None) -> Iterator[Patch]:
        """Pixels after one row of the journal, box by box; none when it changed none."""
        return history.pixels_after(self._db, row, within)

    def database_faults(self) -> list[str]:
        """What the database finds wrong with itself; empty when it is whole."""
        return database.faults(self._db)

    def record_faults(self) -> list[str]:
        """Rows of the journal that were changed or are missing; empty when there are none."""
        with database.reading():
            return list(history.broken_seals(self._db))

    def digests(self, case: CaseInfo) -> dict[str, str]:
        """Digests of image and given mask from when the project was made; empty in older projects."""
        with database.reading():
            return tables.digests(self._db, case.id)

    def runs(self) -> list[Run]:
        """Training runs, newest first."""
        return list_runs(self.path)

    def run(self, name: str | None = None, *, scored: bool = True, trained: bool = False) -> Run:
        """A run by name, or the one that is reviewed; with ``scored=False`` the newest.

        Parameters
        ----------
        name : str, optional
        scored : bool
            Only runs that have scores.
        trained : bool
            Only runs that were trained here, not imported ones.

        Raises
        ------
        InputError
            If there is none.
        """
        return find_run(self.path, name, scored=scored, trained=trained)

    @property
    def samples(self) -> SampleStore:
        """Samples that were drawn, and the answers to them."""
        return SampleStore(self._db, write=self.writable)

    # ---------------------------------------------------------------- changing

    @property
    def can_undo(self) -> bool:
        """True when there is a change to turn back."""
        return self.writable and self._ledger.undoable() is not None

    @property
    def can_redo(self) -> bool:
        """True when there is a change to repeat."""
        return self.writable and self._ledger.redoable() is not None

    def undoable(self) -> tuple[int, ...]:
        """Rows of the journal that can be turned back; the next one is last."""
        return tuple(self._ledger.stacks()[0])

    def prepare(self, change: Change) -> Change | Prepared:
        """Read and pack a large change, which takes a while, so that committing it is quick; may be in a thread."""
        found = packed(change)
        return change if found is None else Prepared(change, self.version()[0], tuple(found))

    def commit(self, change: Change | Prepared, *, later: bool = False) -> Record:
        """Record a change for good, then apply it.

        Parameters
        ----------
        change : Change or Prepared
            What was prepared before another change came between is read anew.
        later : bool
            A large change is only recorded, and read from there, until :meth:`catch_up` applies it.

        Raises
        ------
        ProjectReadOnlyError
            If the project is open for reading.
        ProjectError
            If its folder was moved or deleted meanwhile; nothing has changed then.
        StorageError
            If the disk is full. When the record could not be written nothing has changed; when it could, the change
            is kept, is read from the record, and applied with the next one or at the next opening.
        """
        self.require_writable()
        return self._recorder.commit(change, later=later)

    def catch_up(self) -> None:
        """Apply what was left for later; may be called in a thread."""
        with self._masks.mutex:
            if self._open:
                self._masks.catch_up()

    def add(self, new: Addition) -> None:
        """Record images whose arrays are written (:mod:`src_core.store.add`), all or none; raises as :meth:`commit`."""
        self.require_writable()
        with self._masks.mutex:
            with database.transaction(self._db, "Nothing was added."):
                record = new.insert(self._db, self.author)
            self.take_added()
            self._masks.committed(record.id, self.case(record.case_id), None, None)

    def undo(self, *, later: bool = False) -> Record | None:
        """Turn back the last change that is not turned back yet; None when there is none."""
        self.require_writable()
        target = self._ledger.undoable()
        return None if target is None else self._recorder.turn(Action.UNDO, target, later=later)

    def redo(self, *, later: bool = False) -> Record | None:
        """Repeat the change that was turned back last; None when there is none."""
        self.require_writable()
        target = self._ledger.redoable()
        return None if target is None else self._recorder.turn(Action.REDO, target, later=later)

    def restore(self, case: CaseInfo) -> None:
        """Make label, verified mask and counts of a case anew, from the given mask and the record.

        Raises
        ------
        ProjectDamagedError
            If the given mask or the record of the case is damaged itself.
        """
        self.require_writable()
        counts = self._masks.restore(case)
        with database.transaction(self._db, "The record is as it was."):
            tables.set_counts(self._db, case.id, counts)
        self._ledger.reload()

    def require_writable(self) -> None:
        """Refuse a project that is open for reading, or is not where it was; errors as of :meth:`commit`."""
        if not self.writable:
            raise ProjectReadOnlyError(
                f"Project {self.name} is open read-only, so nothing can be changed; open it for writing first."
            )
        if database.file_in(self.path) != self._place:  # SQLite would go on writing into a file that nobody can find
            raise ProjectError(
                f"The folder of project {self.name}, {self.path}, was moved, replaced or deleted while it was open, so "
                "nothing was changed; put it back, or open the project where it is now."
            )
