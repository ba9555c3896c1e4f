"""What follows from the journal: what can be undone and redone, decisions, counts. Read once, then kept up."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from src_core.data.case import Verified
from src_core.errors import ProjectDamagedError
from src_core.store import database, history
from src_core.store.journal import BEGINNINGS, DECISIONS, Action

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from src_core.data.case import Box

Row = tuple[int, int, str, str]
"""Number, case, action and region of a row."""

_SETTLES_STROKES = frozenset({Action.CONFIRM, Action.VERIFY_IMAGE})
_STROKES = _SETTLES_STROKES | {Action.EDIT}
_WHOLE = frozenset({Action.IMPORT, Action.VERIFY_IMAGE})
_COUNTS = "SELECT case_id, kind, pixels FROM verified WHERE pixels > 0"


class Ledger:
    """Follows a journal that only grows; what is new costs time, what was there before does not.

    Every question first takes up the rows that are new, whoever wrote them, so that a session which only reads is as
    fresh as the one that writes. May be asked from any thread.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._mutex = threading.RLock()
        self._clear()
        self.refresh()

    def _clear(self) -> None:
        self._last = 0
        self._rows: dict[int, Row] = {}
        self._undo: list[int] = []
        self._redo: list[int] = []
        self._standing: set[int] = set()
        self._by_region: dict[str, list[int]] = {}
        self._settled: dict[str, str] = {}
        self._strokes: dict[int, list[int]] = {}
        self._counts: dict[int, Mapping[Verified, int]] = {}
        self._whole: Counter[int] = Counter()
        self._added: set[int] = set()

    # ---------------------------------------------------------------- questions

    def undoable(self) -> int | None:
        """The row that an undo turns back; imported masks are where a project starts and stay."""
        with self._mutex:
            self.refresh()
            return self._undo[-1] if self._undo else None

    def redoable(self) -> int | None:
        """The row that a redo repeats."""
        with self._mutex:
            self.refresh()
            return self._redo[-1] if self._redo else None

    def stacks(self) -> tuple[list[int], list[int]]:
        """Rows that can be turned back, and rows that can be repeated; the next one is last."""
        with self._mutex:
            self.refresh()
            return list(self._undo), list(self._redo)

    def stands(self, row: int) -> bool:
        """True for imported masks, and for what was done and not turned back."""
        with self._mutex:
            self.refresh()
            return row in self._standing

    def decisions(self) -> dict[str, str]:
        """Region id to the action that settled it last, without what was turned back."""
        with self._mutex:
            self.refresh()
            return self._settled.copy()  # faster than dict() where entries were removed

    def decision(self, region: str) -> str | None:
        """The action that settled a region last; None while it is open."""
        with self._mutex:
            self.refresh()
            return self._settled.get(region)

    def counts(self) -> dict[int, Mapping[Verified, int]]:
        """Pixels by how they were looked at, of each case where any were."""
        with self._mutex:
            self.refresh()
            return self._counts.copy()

    def count(self, case_id: int) -> Mapping[Verified, int]:
        """Pixels of a case by how they were looked at."""
        with self._mutex:
            self.refresh()
            return self._counts.get(case_id, {})

    def whole(self) -> set[int]:
        """Cases whose whole mask somebody has vouched for, pixels without a label left out."""
        with self._mutex:
            self.refresh()
            return {case_id for case_id, times in self._whole.items() if times}

    def added(self) -> frozenset[int]:
        """Cases that were added after the project was made."""
        with self._mutex:
            self.refresh()
            return frozenset(self._added)

    def unconfirmed(self, case_id: int) -> list[Box]:
        """Boxes of strokes that stand and that nobody has confirmed; what was painted lies in them."""
        with self._mutex:
            self.refresh()
            strokes = self._strokes.get(case_id, [])
            since = next(
                (place for place in range(len(strokes), 0, -1) if self._action(strokes[place - 1]) in _SETTLES_STROKES),
                0,
            )
            boxes = (history.box_of(self._db, row) for row in strokes[since:])
            return [box for box in boxes if box is not None]

    def _action(self, row: int) -> str:
        return self._rows[row][2]

    # ---------------------------------------------------------------- keeping up

    def refresh(self) -> None:
        """Take up rows that were added since."""
        with self._mutex, database.reading():
            if not self._last:
                self.reload()
                return
            found = self._db.execute(
                "SELECT id, case_id, action, region FROM journal WHERE id > ? ORDER BY id", (self._last,)
            ).fetchall()
            for case_id in {row[1] for row in found}:
                self._counts.pop(case_id, None)
                self._count(self._db.execute(f"{_COUNTS} AND case_id = ?", (case_id,)))
            for row in found:
                self._take(row)

    def reload(self) -> None:
        """Read everything anew."""
        with self._mutex, database.reading():
            self._clear()
            self._count(self._db.execute(_COUNTS))
            # without an order, so that it is read from the index alone
            for row in sorted(self._db.execute("SELECT id, case_id, action, region FROM journal")):
                self._take(row)

    def _count(self, rows: Iterable[tuple[int, int, int]]) -> None:
        counts: dict[int, dict[Verified, int]] = {}
        for case_id, kind, pixels in rows:
            counts.setdefault(case_id, {})[_kind(kind)] = pixels
        self._counts.update(counts)

    def _take(self, row: Row) -> None:
        number, _, action, _ = row
        try:
            if action == Action.UNDO:
                self._redo.append(self._undo.pop())
                self._turn_back(self._redo[-1])
            elif action == Action.REDO:
                self._undo.append(self._redo.pop())
                self._stand(self._undo[-1])
            else:
                self._rows[number] = row
                self._stand(number)
                if action not in BEGINNINGS:
                    self._undo.append(number)
                    self._redo.clear()
        except IndexError as error:
            raise ProjectDamagedError(
                f"Row {number} of the project's record turns back or repeats something that is not there; restore "
                f"{database.NAME} from a backup."
            ) from error
        self._last = number

    def _stand(self, number: int) -> None:
        _, case_id, action, region = self._rows[number]
        self._standing.add(number)
        if action == Action.ADD:
            self._added.add(case_id)
        if action in _WHOLE:
            self._whole[case_id] += 1
        if action in _STROKES:
            self._strokes.setdefault(case_id, []).append(number)
        if region and action in DECISIONS:
            self._by_region.setdefault(region, []).append(number)
            self._settled[region] = action

    def _turn_back(self, number: int) -> None:
        _, case_id, action, region = self._rows[number]
        self._standing.discard(number)
        if action in _WHOLE:
            self._whole[case_id] -= 1
        if action in _STROKES:
            self._strokes[case_id].pop()
        if region and action in DECISIONS:
            earlier = self._by_region[region]
            earlier.pop()
            if earlier:
                self._settled[region] = self._action(earlier[-1])
            else:
                del self._settled[region]


def _kind(value: int) -> Verified:
    try:
        return Verified(value)
    except ValueError as error:
        raise ProjectDamagedError(
            f"The project's record counts pixels of a kind {value!r} that does not exist; restore {database.NAME} from "
            "a backup."
        ) from error
