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
