"""Reading and writing rows of the journal, and what follows from them: undo, redo, decisions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from src_core.data.case import Box
from src_core.store.journal import DECISIONS, Action, Change, Record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_COLUMNS = "id, time, author, case_id, action, region, run, note, box, target, pixels, scores"


def insert(
    db: sqlite3.Connection,
    change: Change,
    author: str,
    before: bytes | None,
    after: bytes | None,
    target: int | None,
    pixels: int,
) -> Record:
    """Add a row; the caller has opened the transaction."""
    box = None if change.patch is None else change.patch.box
    row = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "author": author,
        "case_id": change.case_id,
        "action": change.action,
        "region": change.region,
        "run": change.run,
        "note": change.note,
        "target": target,
        "pixels": pixels,
    }
    stored: dict[str, Any] = {
        **row,
        "action": str(change.action),
        "box": _box_json(box),
        "before": before,
        "after": after,
        "scores": json.dumps(dict(change.scores)) if change.scores else None,
    }
    names = ", ".join(stored)
    marks = ", ".join("?" * len(stored))
    cursor = db.execute(f"INSERT INTO journal ({names}) VALUES ({marks})", tuple(stored.values()))
    assert cursor.lastrowid is not None
    return Record(id=cursor.lastrowid, box=box, scores=change.scores, **row)  # type: ignore[arg-type]


def _box_json(box: Box | None) -> str | None:
    return None if box is None else json.dumps([box.start, box.stop])


def _box(text: str | None) -> Box | None:
    if text is None:
        return None
    start, stop = json.loads(text)
    return Box(tuple(start), tuple(stop))


def records(db: sqlite3.Connection, limit: int | None = None, row: int | None = None) -> list[Record]:
    """Rows without their pixels, newest first; with ``row`` that one only."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM journal WHERE ?1 IS NULL OR id = ?1 ORDER BY id DESC LIMIT ?2",
        (row, -1 if limit is None else limit),
    )
    return [_record(values) for values in rows]


def stream(db: sqlite3.Connection, upto: int) -> Iterator[Record]:
    """Rows without their pixels, oldest first, one at a time, none after ``upto``."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM journal WHERE id <= ? ORDER BY id", (upto,))
    return (_record(values) for values in rows)


def _record(values: tuple[Any, ...]) -> Record:
    return Record(
        id=values[0],
        time=values[1],
        author=values[2],
        case_id=values[3],
        action=Action(values[4]),
        region=values[5],
        run=values[6],
        note=values[7],
        box=_box(values[8]),
        target=values[9],
        pixels=values[10],
        scores=json.loads(values[11] or "{}"),
    )


def row_patch(db: sqlite3.Connection, row: int) -> tuple[int, Box | None, bytes | None, bytes | None]:
    """Case, box, and packed pixels before and after of one row."""
    case_id, box, before, after = db.execute(
        "SELECT case_id, box, before, after FROM journal WHERE id = ?", (row,)
    ).fetchone()
    return case_id, _box(box), before, after


def patches(db: sqlite3.Connection, case_id: int) -> Iterator[tuple[int, Box, bytes, bytes]]:
    """Row, box, and packed pixels before and after, of every change of a case, oldest first."""
    rows = db.execute(
        "SELECT id, box, before, after FROM journal WHERE case_id = ? AND box IS NOT NULL ORDER BY id", (case_id,)
    )
    for row, text, before, after in rows:
        box = _box(text)
        assert box is not None
        yield row, box, before, after


def stacks(db: sqlite3.Connection, upto: int | None = None) -> tuple[list[int], list[int]]:
    """Rows that can be turned back, and rows that can be repeated; the next one is last.

    Imported masks are where a project starts, so they cannot be turned back. With ``upto``, as it was after that row.
    """
    undo: list[int] = []
    redo: list[int] = []
    for row, action in db.execute("SELECT id, action FROM journal WHERE ?1 IS NULL OR id <= ?1 ORDER BY id", (upto,)):
        if action == Action.UNDO:
            redo.append(undo.pop())
        elif action == Action.REDO:
            undo.append(redo.pop())
        elif action != Action.IMPORT:
            undo.append(row)
            redo.clear()
    return undo, redo


def standing(db: sqlite3.Connection, upto: int | None = None) -> set[int]:
    """Rows of changes that hold: imported masks, and what was done and not turned back (until row ``upto``)."""
    imported = (row for (row,) in db.execute("SELECT id FROM journal WHERE action = ?", (Action.IMPORT,)))
    return {*imported, *stacks(db, upto)[0]}


def decisions(db: sqlite3.Connection) -> dict[str, str]:
    """Region id to the action that settled it last, without what was turned back."""
    standing = set(stacks(db)[0])
    settled: dict[str, str] = {}
    for row, region, action in db.execute("SELECT id, region, action FROM journal WHERE region <> '' ORDER BY id"):
        if row in standing and action in DECISIONS:
            settled[region] = action
    return settled
