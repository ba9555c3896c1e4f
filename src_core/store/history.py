"""Reading and writing of rows of the journal."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from src_core.data.case import Box
from src_core.errors import ProjectDamagedError
from src_core.store import database, pieces
from src_core.store.journal import BEGINNINGS, Action, Change, Patch, Record, unpack

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from src_core.store.pieces import Total

_COLUMNS = "id, time, author, case_id, action, region, run, note, box, target, pixels, scores"
_SEALED = (
    "time", "author", "case_id", "action", "region", "run", "note", "box", "before", "after", "target", "pixels",
    "scores",
)  # fmt: skip
_LAST_DIGEST = "digest"


def insert(
    db: sqlite3.Connection,
    change: Change,
    author: str,
    before: bytes | None,
    after: bytes | None,
    target: int | None,
    pixels: int,
    total: Total | None = None,
) -> Record:
    """Add a row; the caller has opened the transaction, and has written its pieces, if there are any."""
    box = None if change.patch is None else change.patch.box
    box = box if total is None else total.box
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
        "box": box_json(box),
        "before": before,
        "after": after,
        "scores": json.dumps(dict(change.scores)) if change.scores else None,
    }
    extra = [] if total is None or total.seal is None else [total.seal]
    stored["digest"] = _seal(last_digest(db), [*(stored[name] for name in _SEALED), *extra])
    names = ", ".join(stored)
    marks = ", ".join("?" * len(stored))
    cursor = db.execute(f"INSERT INTO journal ({names}) VALUES ({marks})", tuple(stored.values()))
    db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (_LAST_DIGEST, stored["digest"]))
    assert cursor.lastrowid is not None
    return Record(id=cursor.lastrowid, box=box, scores=change.scores, **row)  # type: ignore[arg-type]


def last_digest(db: sqlite3.Connection) -> str:
    """Digest of the row that was added last; empty when there is none."""
    found = db.execute("SELECT value FROM state WHERE key = ?", (_LAST_DIGEST,)).fetchone()
    return "" if found is None else str(found[0])


def _seal(before: str, values: Sequence[Any]) -> str:
    """A digest of a row and of all rows before it, so that none can be changed or left out unseen."""
    digest = hashlib.blake2b(before.encode(), digest_size=16)
    for value in values:
        part = value if isinstance(value, bytes) else json.dumps(value).encode()
        digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()


def broken_seals(db: sqlite3.Connection) -> Iterator[str]:
    """What is not as it was when it was recorded: rows that were changed, and rows that are missing.

    Rows of a record of version 2 and older carry no digest; of those only missing ones are found.
    """
    before, last, in_pieces = "", 0, pieces.rows(db)
    for row, told, *values in db.execute(f"SELECT id, digest, {', '.join(_SEALED)} FROM journal ORDER BY id"):
        if row > last + 1:
            yield (
                f"Rows {last + 1} to {row - 1} of the record are missing."
                if row > last + 2
                else (f"Row {last + 1} of the record is missing.")
            )
        else:
            more = [pieces.seal_of(db, row)] if row in in_pieces else []
            if told is not None and told != _seal(before, [*values, *more]):
                yield f"Row {row} of the record is not as it was recorded."
        before, last = told or "", row
    if before != last_digest(db):
        yield f"Rows of the record after row {last} are missing."


def box_json(box: Box | None) -> str | None:
    """A box as JSON."""
    return None if box is None else json.dumps([box.start, box.stop])


def box_from_json(text: str | None) -> Box | None:
    """A box from JSON."""
    if text is None:
        return None
    start, stop = json.loads(text)
    return Box(tuple(start), tuple(stop))


def records(db: sqlite3.Connection, limit: int | None = None) -> list[Record]:
    """Rows without their pixels, newest first."""
    with database.reading():
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM journal ORDER BY id DESC LIMIT ?", (-1 if limit is None else limit,)
        ).fetchall()
    return [_record(*values) for values in rows]


def stream(db: sqlite3.Connection, upto: int) -> Iterator[Record]:
    """Rows without their pixels, oldest first, one at a time, none after ``upto``."""
    with database.reading():
        for values in db.execute(f"SELECT {_COLUMNS} FROM journal WHERE id <= ? ORDER BY id", (upto,)):
            yield _record(*values)


def record(db: sqlite3.Connection, row: int) -> Record:
    """One row without its pixels."""
    with database.reading():
        values = db.execute(f"SELECT {_COLUMNS} FROM journal WHERE id = ?", (row,)).fetchone()
    if values is None:
        raise _missing(row)
    return _record(*values)


def _record(row: int, time: str, author: str, case_id: int, action: str, *more: Any) -> Record:
    region, run, note, box, target, pixels, scores = more
    try:
        return Record(
            id=row,
            time=time,
            author=author,
            case_id=case_id,
            action=Action(action),
            region=region,
            run=run,
            note=note,
            box=box_from_json(box),
            target=target,
            pixels=pixels,
            scores=json.loads(scores or "{}"),
        )
    except (ValueError, TypeError) as error:
        raise _missing(row) from error


def _missing(row: int) -> ProjectDamagedError:
    return ProjectDamagedError(
        f"Row {row} of the project's record is missing or makes no sense; restore {database.NAME} from a backup."
    )


def rows_of(db: sqlite3.Connection, case_id: int, after: int = 0) -> list[int]:
    """Rows of a case beyond ``after``, oldest first."""
    with database.reading():
        rows = db.execute("SELECT id FROM journal WHERE case_id = ? AND id > ?", (case_id, after)).fetchall()
    return sorted(row for (row,) in rows)


def row_patch(db: sqlite3.Connection, row: int) -> tuple[int, Box | None, bytes | None, bytes | None]:
    """Case, box, and packed pixels before and after of one row."""
    with database.reading():
        values = db.execute("SELECT case_id, box, before, after FROM journal WHERE id = ?", (row,)).fetchone()
    if values is None:
        raise _missing(row)
    case_id, box, before, after = values
    return case_id, box_from_json(box), before, after


def case_of(db: sqlite3.Connection, row: int) -> int:
    """The case that one row changed."""
    return record(db, row).case_id


def next_row(db: sqlite3.Connection) -> int:
    """The number that the next row gets; the caller has opened the transaction."""
    return int(db.execute("SELECT coalesce(max(id), 0) + 1 FROM journal").fetchone()[0])


def box_of(db: sqlite3.Connection, row: int) -> Box | None:
    """The box of one row, without its pixels."""
    with database.reading():
        values = db.execute("SELECT box FROM journal WHERE id = ?", (row,)).fetchone()
    if values is None:
        raise _missing(row)
    return box_from_json(values[0])


def standing(db: sqlite3.Connection, upto: int) -> set[int]:
    """Rows of changes that held after row ``upto``: how images came, and what was done and not turned back by then."""
    undo: list[int] = []
    redo: list[int] = []
    began: set[int] = set()
    with database.reading():
        rows = db.execute("SELECT id, action FROM journal WHERE id <= ? ORDER BY id", (upto,)).fetchall()
    for row, action in rows:
        if action in BEGINNINGS:
            began.add(row)
        elif action == Action.UNDO:
            redo.append(undo.pop())
        elif action == Action.REDO:
            undo.append(redo.pop())
        else:
            undo.append(row)
            redo.clear()
    return {*began, *undo}


def row_pieces(db: sqlite3.Connection, row: int, within: Box | None = None) -> Iterator[tuple[Patch, Patch]]:
    """Pixels before and after one row, box by box; of a row whose box does not meet ``within``, none."""
    if within is not None:
        box = box_of(db, row)
        if box is None or not box.meets(within):
            return
    _, box, old, new = row_patch(db, row)
    if box is not None and old is not None and new is not None:
        yield unpack(old, box), unpack(new, box)
    elif box is not None:
        yield from (piece.patches() for piece in pieces.read(db, row, within))


def pixels_after(db: sqlite3.Connection, row: int, within: Box | None = None) -> Iterator[Patch]:
    """Pixels after one row, box by box; none when it has none, or none ``within`` a box."""
    yield from (patch for patch, _ in labels_after(db, row, within))


def labels_after(db: sqlite3.Connection, row: int, within: Box | None = None) -> Iterator[tuple[Patch, bool]]:
    """As :func:`pixels_after`, and whether labels may have changed in the box."""
    if within is not None:
        box = box_of(db, row)
        if box is None or not box.meets(within):
            return
    _, box, _, new = row_patch(db, row)
    if box is not None and new is not None:
        yield unpack(new, box), True
    elif box is not None:
        yield from ((unpack(piece.after, piece.box), piece.pixels > 0) for piece in pieces.read(db, row, within))


def patches(
    db: sqlite3.Connection, case_id: int, after: int = 0, within: Box | None = None
) -> Iterator[tuple[int, Patch, Patch]]:
    """Row, pixels before and pixels after, of every change of a case beyond row ``after``, oldest first.

    Those of a large change come box by box, with the same row; of changes that do not meet ``within``, none.
    """
    for row in rows_of(db, case_id, after):
        for old, new in row_pieces(db, row, within):
            yield row, old, new


def numbers(db: sqlite3.Connection) -> tuple[int, int]:
    """Last committed row, and the row up to which the files of the masks are on the disk for sure."""
    with database.reading():
        row = db.execute(
            "SELECT (SELECT coalesce(max(id), 0) FROM journal), (SELECT value FROM state WHERE key = 'applied')"
        ).fetchone()
    return int(row[0]), int(row[1])


def set_applied(db: sqlite3.Connection, row: int) -> None:
    """Note that the files of the masks are on the disk up to a row; the caller has opened the transaction."""
    db.execute("UPDATE state SET value = ? WHERE key = 'applied'", (row,))
