"""The project on disk, as one object."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from src_core.data.case import KINDS, Box, CaseInfo, Verified
from src_core.errors import (
    InputError,
    ProjectError,
    ProjectReadOnlyError,
    storage_errors,
)
from src_core.store import arrays, database, history, tables
from src_core.store.journal import Action, Change, Patch, Record, pack, unpack
from src_core.store.lock import WriteLock
from src_core.store.runs import Run, list_runs, not_trained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SUFFIX = ".metadcseg"
_READ_ATTEMPTS = 50


def project_path(path: str | Path) -> Path:
    """The path with the suffix of project folders."""
    path = Path(path).expanduser()
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def default_author() -> str:
    """Login name of the person at this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


class Project:
    """A project folder that is open; made by :meth:`open`.

    Every change is first one committed row of the journal, then it is applied to the arrays; what was committed
    but not applied when a session died is applied at the next opening. A context manager.

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
        try:
            self._db = database.connect(path / database.NAME, write=write)
            self._arrays = arrays.ArrayStore(path / arrays.NAME, "r+" if write else "r")
            self.classes, self.cases = tables.read(self._db, path)
            self._by_name = {case.name: case for case in self.cases}
            self._by_id = {case.id: case for case in self.cases}
            if write:
                self._replay()
            self._undo, self._redo = history.stacks(self._db)
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

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
        """Close the files and release the lock; may be called twice."""
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
        return self._arrays.read(case.id, "label", box)

    def read_verified(self, case: CaseInfo, box: Box | None = None) -> NDArray[np.uint8]:
        """How each pixel was verified, uint8, values of :class:`~src_core.data.case.Verified`."""
        return self._arrays.read(case.id, "verified", box)

    def read_labels(self, case: CaseInfo) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Label and verified mask that belong together, even while another process writes them."""
        for _ in range(_READ_ATTEMPTS):
            before = self.version()
            label, verified = self.read_label(case), self.read_verified(case)
            if before == self.version() and before[0] == before[1]:
                break
        return label, verified

    def version(self) -> tuple[int, int]:
        """Last committed and last applied row of the journal; grows with every change."""
        row = self._db.execute(
            "SELECT (SELECT coalesce(max(id), 0) FROM journal), (SELECT value FROM state WHERE key = 'applied')"
        ).fetchone()
        return int(row[0]), int(row[1])

    def verified_counts(self) -> dict[int, dict[Verified, int]]:
        """Pixels of each case that somebody has looked at, by how they were verified; the unsure ones among them."""
        counts: dict[int, dict[Verified, int]] = {}
        for case_id, kind, pixels in self._db.execute("SELECT case_id, kind, pixels FROM verified WHERE pixels > 0"):
            counts.setdefault(case_id, {})[Verified(kind)] = pixels
        return counts

    def decisions(self) -> dict[str, str]:
        """Region id to the action that settled it; what was undone is left out."""
        return history.decisions(self._db)

    def history(self, limit: int | None = None) -> list[Record]:
        """Rows of the journal, newest first."""
        return history.records(self._db, limit)

    def record(self, row: int) -> Record:
        """One row of the journal by its id."""
        return history.records(self._db, row=row)[0]

    def changes(self, case: CaseInfo) -> Iterator[tuple[int, Patch, Patch]]:
        """Row, pixels before and pixels after of every change of a case, oldest first."""
        for row, box, before, after in history.patches(self._db, case.id):
            yield row, unpack(before, box), unpack(after, box)

    def standing_changes(self, case: CaseInfo) -> Iterator[tuple[Record, Patch]]:
        """What was done to a case and not turned back, with the pixels after it, oldest first."""
        standing = history.standing(self._db)
        for row, box, _, after in history.patches(self._db, case.id):
            if row in standing:
                yield self.record(row), unpack(after, box)

    def records(self, upto: int) -> Iterator[Record]:
        """Rows of the journal until ``upto``, oldest first, one at a time."""
        return history.stream(self._db, upto)

    def standing(self, upto: int | None = None) -> set[int]:
        """Rows of changes that hold, those that were turned back left out; as it was after row ``upto``."""
        return history.standing(self._db, upto)

    def patch_after(self, row: int) -> Patch | None:
        """Pixels after one row of the journal; None when it changed none."""
        _, box, _, after = history.row_patch(self._db, row)
        return _patch(after, box)

    def database_faults(self) -> list[str]:
        """What the database finds wrong with itself; empty when it is whole."""
        return database.faults(self._db)

    def runs(self) -> list[Run]:
        """Training runs, newest first."""
        return list_runs(self.path)

    def run(self, name: str | None = None, *, scored: bool = True, trained: bool = False) -> Run:
        """A run by name, or the newest.

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
        runs = self.runs()
        fitting = [run for run in runs if name in (None, run.name)]
        if not fitting:
            wanted = "no run yet" if name is None else f"no run {name!r}"
            there = ", ".join(run.name for run in runs)
            hint = f"there are: {there}" if there else "train one with 'metadcseg train' or in the window"
            raise InputError(f"Project {self.name} has {wanted}; {hint}.")
        if trained:
            imported = [run for run in fitting if run.imported]
            fitting = [run for run in fitting if not run.imported]
            if not fitting:
                raise not_trained(imported[0].name, imported[0].source)
        for run in fitting:
            if run.has_scores or not scored:
                return run
        raise InputError(f"Run {fitting[0].name} has no scores yet; make them with 'metadcseg score {self.path}'.")

    # ---------------------------------------------------------------- changing

    @property
    def can_undo(self) -> bool:
        """True when there is a change to turn back."""
        return self.writable and bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """True when there is a change to repeat."""
        return self.writable and bool(self._redo)

    def undoable(self) -> tuple[int, ...]:
        """Rows of the journal that can be turned back; the next one is last."""
        return tuple(self._undo)

    def commit(self, change: Change) -> Record:
        """Record a change for good, then apply it.

        Raises
        ------
        ProjectReadOnlyError
            If the project is open for reading.
        StorageError
            If the disk is full. When the record could not be written nothing has changed; when it could, the change
            is kept and applied at the next opening.
        """
        record = self._record(change)
        self._undo.append(record.id)
        self._redo.clear()
        return record

    def undo(self) -> Record | None:
        """Turn back the last change that is not turned back yet; None when there is none."""
        self._require_writable()
        if not self._undo:
            return None
        target = self._undo[-1]
        case_id, box, before, _ = history.row_patch(self._db, target)
        record = self._record(Change(case_id, Action.UNDO, _patch(before, box)), target=target)
        self._redo.append(self._undo.pop())
        return record

    def redo(self) -> Record | None:
        """Repeat the change that was turned back last; None when there is none."""
        self._require_writable()
        if not self._redo:
            return None
        target = self._redo[-1]
        case_id, box, _, after = history.row_patch(self._db, target)
        record = self._record(Change(case_id, Action.REDO, _patch(after, box)), target=target)
        self._undo.append(self._redo.pop())
        return record

    def _require_writable(self) -> None:
        if not self.writable:
            raise ProjectReadOnlyError(
                f"Project {self.name} is open read-only, so nothing can be changed; open it for writing first."
            )

    def _record(self, change: Change, target: int | None = None) -> Record:
        self._require_writable()
        case = self.case(change.case_id)
        before = after = None
        pixels = 0
        deltas: dict[int, int] = {}
        if change.patch is not None:
            old = self._read_patch(case, change.patch.box)
            _check_patch(case, change.patch)
            before, after = pack(old.label, old.verified), pack(change.patch.label, change.patch.verified)
            pixels = int(np.count_nonzero(old.label != change.patch.label))
            deltas = _kind_deltas(old.verified, change.patch.verified)
        with database.transaction(self._db, "Nothing was changed."):
            record = history.insert(self._db, change, self.author, before, after, target, pixels)
            for kind, delta in deltas.items():
                self._db.execute(
                    "INSERT INTO verified VALUES (?, ?, ?) "
                    "ON CONFLICT (case_id, kind) DO UPDATE SET pixels = pixels + excluded.pixels",
                    (case.id, kind, delta),
                )
        self._apply(record.id, case, change.patch)
        return record

    def _read_patch(self, case: CaseInfo, box: Box) -> Patch:
        return Patch(box, self.read_label(case, box), self.read_verified(case, box))

    def _apply(self, row: int, case: CaseInfo, patch: Patch | None) -> None:
        where = self.path / arrays.NAME
        with storage_errors(where, "The change is recorded and will be applied when the project is opened again."):
            if patch is not None:
                self._arrays.write(case.id, "label", patch.box, patch.label)
                self._arrays.write(case.id, "verified", patch.box, patch.verified)
        with database.transaction(self._db, "The change is recorded."):
            self._db.execute("UPDATE state SET value = ? WHERE key = 'applied'", (row,))

    def _replay(self) -> None:
        """Apply what was committed and not applied, in order."""
        committed, applied = self.version()
        for row in range(applied + 1, committed + 1):
            case_id, box, _, after = history.row_patch(self._db, row)
            self._apply(row, self.case(case_id), _patch(after, box))


def _patch(blob: bytes | None, box: Box | None) -> Patch | None:
    return None if blob is None or box is None else unpack(blob, box)


def _check_patch(case: CaseInfo, patch: Patch) -> None:
    inside = all(0 <= a < b <= edge for a, b, edge in zip(patch.box.start, patch.box.stop, case.shape, strict=True))
    if not inside or patch.label.shape != patch.box.shape or patch.verified.shape != patch.box.shape:
        raise InputError(
            f"A change of image {case.name} covers {patch.box.start}-{patch.box.stop} with arrays of "
            f"{patch.label.shape} and {patch.verified.shape}; expected a box inside of {case.shape}."
        )


def _kind_deltas(old: NDArray[np.uint8], new: NDArray[np.uint8]) -> dict[int, int]:
    """How many pixels more or fewer there are of each kind of verification."""
    change = np.bincount(new.ravel(), minlength=KINDS) - np.bincount(old.ravel(), minlength=KINDS)
    return {int(kind): int(change[kind]) for kind in Verified if kind and change[kind]}
