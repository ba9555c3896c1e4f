"""project.db: the tables, and connections to them."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from src_core.errors import ProjectDamagedError, ProjectError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "project.db"
SCHEMA_VERSION = 3

SAMPLES = (
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
"""Drawn samples, what is asked of them, and the answers; since version 3. Only ever added to, as the journal."""

SCHEMA = """
CREATE TABLE state (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE class (idx INTEGER PRIMARY KEY, name TEXT NOT NULL, value INTEGER NOT NULL, color TEXT NOT NULL);
CREATE TABLE "case" (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, shape TEXT NOT NULL, channels INTEGER NOT NULL,
    spacing TEXT NOT NULL, unit TEXT NOT NULL, image_path TEXT NOT NULL, mask_path TEXT NOT NULL,
    encoding TEXT NOT NULL
);
CREATE TABLE verified (
    case_id INTEGER NOT NULL REFERENCES "case", kind INTEGER NOT NULL, pixels INTEGER NOT NULL,
    PRIMARY KEY (case_id, kind)
) WITHOUT ROWID;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, author TEXT NOT NULL,
    case_id INTEGER NOT NULL REFERENCES "case", action TEXT NOT NULL, region TEXT NOT NULL, run TEXT NOT NULL,
    note TEXT NOT NULL, box TEXT, before BLOB, after BLOB, target INTEGER REFERENCES journal,
    pixels INTEGER NOT NULL, scores TEXT
);
CREATE TRIGGER journal_is_never_changed BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'rows of the journal are never changed'); END;
CREATE TRIGGER journal_is_never_cut BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'rows of the journal are never removed'); END;
INSERT INTO state VALUES ('applied', 0);
"""

UPGRADES = {1: ("ALTER TABLE journal ADD COLUMN scores TEXT",), 2: SAMPLES}
"""From each version to the next, when a project is opened for writing."""

AS_IF_UPGRADED = {
    1: ("CREATE TEMP VIEW journal AS SELECT *, NULL AS scores FROM main.journal",),
    2: (
        "CREATE TEMP VIEW sample AS SELECT 0 AS id, '' AS time, '' AS author, '' AS purpose, '' AS run, 0 AS seed, "
        "'' AS settings WHERE 0",
    ),
}
"""Lets a connection that may only read see a record as if it were of the next version. Without samples nobody looks for
items and ratings."""


def create(path: Path) -> sqlite3.Connection:
    """Make a new, empty database; the connection is in autocommit mode."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(SCHEMA)
    for statement in SAMPLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return connection


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the database of a project.

    Raises
    ------
    ProjectDamagedError
        If the file is no database, or lacks its tables.
    ProjectError
        If a newer program made it.
    """
    mode = "rw" if write else "ro"
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        connection.execute("PRAGMA foreign_keys = ON")
        if write:
            connection.execute("PRAGMA synchronous = FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("SELECT value FROM state WHERE key = 'applied'").fetchone()
        if 1 <= version < SCHEMA_VERSION:
            _upgrade(connection, version, write=write)
    except sqlite3.Error as error:
        raise ProjectDamagedError(
            f"The project's record {path} cannot be read ({error}); restore it from a backup."
        ) from error
    if version > SCHEMA_VERSION:
        connection.close()
        raise ProjectError(f"{path} was made by a newer version of this program; update napari-metadcseg.")
    return connection


def _upgrade(connection: sqlite3.Connection, version: int, *, write: bool) -> None:
    steps = UPGRADES if write else AS_IF_UPGRADED
    statements = [statement for step in range(version, SCHEMA_VERSION) for statement in steps[step]]
    if not write:
        for statement in statements:
            connection.execute(statement)
        return
    with transaction(connection, "The project is as it was."):
        for statement in (*statements, f"PRAGMA user_version = {SCHEMA_VERSION}"):
            connection.execute(statement)


def faults(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with the file; empty when it is whole."""
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        found += [
            f"a row of {row[0]} names a row that is not there" for row in connection.execute("PRAGMA foreign_key_check")
        ]
    except sqlite3.Error as error:
        return [str(error)]
    return [fault for fault in found if fault != "ok"]


@contextmanager
def transaction(connection: sqlite3.Connection, consequence: str) -> Iterator[None]:
    """All or nothing; a full or read-only disk becomes a sentence.

    Raises
    ------
    StorageError
        If the change could not be written; nothing of it was.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            _roll_back(connection)
            raise
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        _roll_back(connection)
        raise StorageError(
            f"The project's record could not be written ({error}). {consequence} Free some space or check that the "
            "folder may be written to, then try again."
        ) from error


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
