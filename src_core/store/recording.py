"""From a change to a row of the record, with what it found and what it leaves, box by box where it is large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from src_core.store import database, history, pieces, tables
from src_core.store.journal import Action, Change, Patch, check_patch, pack, unpacked
from src_core.store.pieces import Piece

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from src_core.data.case import CaseInfo
    from src_core.store.journal import Record
    from src_core.store.masks import Masks


@dataclass(frozen=True)
class Prepared:
    """A large change that is read and packed already, so that recording it is quick.

    Attributes
    ----------
    change : Change
    row : int
        The last row of the record when it was read; it holds as long as there is no other.
    pieces : tuple of Piece
    """

    change: Change
    row: int
    pieces: tuple[Piece, ...]


def packed(change: Change) -> Iterable[Piece] | None:
    """The pieces of a change, made one at a time; None for one that goes into its row."""
    return None if change.parts is None else (Piece.of(old, new) for old, new in change.parts())


class Recorder:
    """Writes rows of the record, and brings what they change into the masks.

    Parameters
    ----------
    db : connection
    masks : Masks
    case : callable
        A case by its id.
    author : callable
        Who is at work.
    """

    def __init__(
        self, db: sqlite3.Connection, masks: Masks, case: Callable[[int], CaseInfo], author: Callable[[], str]
    ) -> None:
        self._db = db
        self._masks = masks
        self._case = case
        self._author = author

    def commit(self, change: Change | Prepared, *, later: bool = False) -> Record:
        """Record a change; with ``later`` what is in pieces is left to :meth:`Masks.catch_up`."""
        if isinstance(change, Change):
            return self._record(change, packed(change), later=later)
        with self._masks.mutex:
            fresh = change.row == self._masks.version()[0]
            return self._record(change.change, change.pieces if fresh else packed(change.change), later=later)

    def turn(self, action: Action, row: int, *, later: bool = False) -> Record:
        """Turn a row back, or repeat it. It was the last to change its pixels, so what it found is what is left."""
        undo = action == Action.UNDO
        case_id, box, before, after = history.row_patch(self._db, row)
        blob = before if undo else after
        if box is None or blob is not None:
            return self._record(Change(case_id, action, unpacked(blob, box)), None, target=row)
        found = (piece.turned() if undo else piece for piece in pieces.read(self._db, row))
        return self._record(Change(case_id, action), found, target=row, later=later)

    def _record(
        self, change: Change, found: Iterable[Piece] | None, *, target: int | None = None, later: bool = False
    ) -> Record:
        case = self._case(change.case_id)
        if found is not None:
            return self._record_pieces(case, change, found, target, later=later)
        with self._masks.mutex:
            old, before, after, pixels, deltas = None, None, None, 0, dict[int, int]()
            if change.patch is not None:
                check_patch(case, change.patch)
                label, verified = self._masks.read(case, change.patch.box, "label", "verified")
                old = Patch(change.patch.box, label, verified)
                before, after = pack(old.label, old.verified), pack(change.patch.label, change.patch.verified)
                pixels = int(np.count_nonzero(old.label != change.patch.label))
                deltas = tables.kind_deltas(old.verified, change.patch.verified)
            with database.transaction(self._db, "Nothing was changed."):
                record = history.insert(self._db, change, self._author(), before, after, target, pixels)
                tables.add_counts(self._db, case.id, deltas)
                self._masks.note_applied()
            self._masks.committed(record.id, case, change.patch, old)
        return record

    def _record_pieces(
        self, case: CaseInfo, change: Change, found: Iterable[Piece], target: int | None, *, later: bool
    ) -> Record:
        with self._masks.mutex:
            with database.transaction(self._db, "Nothing was changed."):
                total = pieces.insert(self._db, history.next_row(self._db), found)
                record = history.insert(self._db, change, self._author(), None, None, target, total.pixels, total)
                tables.add_counts(self._db, case.id, total.kinds)
                self._masks.note_applied()
            self._masks.committed_in_pieces(record.id, later=later)
        return record
