"""What each version of project.db added to the one before, so that projects of all versions can be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True)
class Step:
    """What a version added.

    Attributes
    ----------
    version : int
    columns : tuple of (table, column)
        Text; null in rows that are older. Who may only read sees them as null.
    statements : tuple of str
        Run by the first who opens the project for writing; they may find their work done (``IF NOT EXISTS``).
    for_readers : tuple of str
        Run on the connection of who may only read (``CREATE TEMP TABLE ...``).
    """

    version: int
    columns: tuple[tuple[str, str], ...] = ()
    statements: tuple[str, ...] = ()
    for_readers: tuple[str, ...] = ()


_SAMPLES = (
    """CREATE TABLE IF NOT EXISTS sample (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, author TEXT NOT NULL, purpose TEXT NOT NULL,
    run TEXT NOT NULL, seed INTEGER NOT NULL, settings TEXT NOT NULL
)""",
    """CREATE TABLE IF NOT EXISTS item (
    sample INTEGER NOT NULL REFERENCES sample, number INTEGER NOT NULL, case_id INTEGER NOT NULL REFERENCES "case",
    region TEXT NOT NULL, kind TEXT NOT NULL, box TEXT NOT NULL, mask BLOB, label BLOB, proposed BLOB,
    facts TEXT NOT NULL, PRIMARY KEY (sample, number)
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS rating (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, author TEXT NOT NULL, sample INTEGER NOT NULL,
    item INTEGER NOT NULL, case_id INTEGER NOT NULL, region TEXT NOT NULL, box TEXT NOT NULL, shown TEXT NOT NULL,
    answer TEXT NOT NULL, seconds REAL, painted BLOB, target INTEGER REFERENCES rating,
    FOREIGN KEY (sample, item) REFERENCES item
)""",
    *(
        f"""CREATE TRIGGER IF NOT EXISTS {table}_is_never_{name} BEFORE {event} ON {table}
BEGIN SELECT RAISE(ABORT, 'rows of {table} are never {name}'); END"""
        for table in ("sample", "item", "rating")
        for name, event in (("changed", "UPDATE"), ("cut", "DELETE"))
    ),
)
"""Drawn samples, what is asked of them, and the answers; since version 4. Only ever added to, as the journal."""

_PIECES = (
    """CREATE TABLE IF NOT EXISTS piece (
    id INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL REFERENCES journal DEFERRABLE INITIALLY DEFERRED,
    box TEXT NOT NULL, pixels INTEGER NOT NULL, kinds TEXT NOT NULL, before BLOB NOT NULL, after BLOB NOT NULL
)""",
    "CREATE INDEX IF NOT EXISTS piece_of_row ON piece (row)",
    *(
        f"""CREATE TRIGGER IF NOT EXISTS piece_is_never_{name} BEFORE {event} ON piece
BEGIN SELECT RAISE(ABORT, 'rows of piece are never {name}'); END"""
        for name, event in (("changed", "UPDATE"), ("cut", "DELETE"))
    ),
)
"""What a row of the journal changed, box by box, where that is too much for the row itself; since version 6."""

STEPS = (
    Step(2, columns=(("journal", "scores"),)),
    Step(
        3,
        columns=(("journal", "digest"), ("case", "digests")),
        statements=(
            # finds the rows of an image, and lets actions and regions be read without the pixels between them
            "CREATE INDEX IF NOT EXISTS journal_of_case ON journal (case_id, action, region)",
        ),
    ),
    Step(
        4,
        statements=_SAMPLES,
        # without samples nobody looks for items and ratings
        for_readers=("CREATE TEMP TABLE IF NOT EXISTS sample (id, time, author, purpose, run, seed, settings)",),
    ),
    Step(5),  # rows of the journal that say that an image was added
    Step(
        6,
        statements=_PIECES,
        for_readers=("CREATE TEMP TABLE IF NOT EXISTS piece (id, row, box, pixels, kinds, before, after)",),
    ),
)
"""In their order; the last one is the version that this program writes."""

VERSION = STEPS[-1].version


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a database to the newest version; the caller has opened the transaction."""
    for step in STEPS:
        for table, column in step.columns:
            if column not in _columns(connection, table):
                connection.execute(f'ALTER TABLE "{table}" ADD COLUMN {column} TEXT')
        for statement in step.statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def show_as_upgraded(connection: sqlite3.Connection) -> None:
    """Let a connection that may only read see an older database as if it were of the newest version."""
    missing: dict[str, list[str]] = {}
    for step in STEPS:
        for table, column in step.columns:
            if column not in _columns(connection, table):
                missing.setdefault(table, []).append(column)
    for table, columns in missing.items():
        nulls = ", ".join(f"NULL AS {column}" for column in columns)
        connection.execute(f'CREATE TEMP VIEW "{table}" AS SELECT *, {nulls} FROM main."{table}"')
    for step in STEPS:
        for statement in step.for_readers:
            connection.execute(statement)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f'PRAGMA main.table_info("{table}")')}
