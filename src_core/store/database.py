"""project.db: the tables, and connections to them."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from src_core.errors import ProjectDamagedError, ProjectError, StorageError
from src_core.store import upgrades

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "project.db"

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
    pixels INTEGER NOT NULL
);
CREATE TRIGGER journal_is_never_changed BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'rows of the journal are never changed'); END;
CREATE TRIGGER journal_is_never_cut BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'rows of the journal are never removed'); END;
INSERT INTO state VALUES ('applied', 0);
"""
"""Of version 1; what came later is in :mod:`~src_core.store.upgrades`, for new projects as for old ones."""

_DURABLE = ("PRAGMA synchronous = FULL", "PRAGMA fullfsync = ON", "PRAGMA checkpoint_fullfsync = ON")
"""A commit has reached the disk itself when it returns; the latter two matter on macOS only."""


def create(path: Path) -> sqlite3.Connection:
    """Make a new, empty database; the connection is in autocommit mode.

    Raises
    ------
    StorageError
        If the disk is full or may not be written.
    """
    connection = None
    try:
        with writing("Nothing was created."):
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            for pragma in _DURABLE:
                connection.execute(pragma)
            connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            with transaction(connection, "Nothing was created."):
                upgrades.upgrade(connection)
    except BaseException:
        _close(connection)
        raise
    return connection


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the database of a project.

    Raises
    ------
    ProjectDamagedError
        If the file is no database, or lacks its tables.
    ProjectError
        If a newer program made it, or its disk does not let us read it.
    StorageError
        If it should be written and the disk is full, or may not be written.
    """
    connection = None
    try:
        connection = _connection(path, write=write)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("SELECT value FROM state WHERE key = 'applied'").fetchone()
        if version < upgrades.VERSION:
            _upgrade(connection, write=write)
    except sqlite3.Error as error:
        _close(connection)
        raise _not_opened(path, error) from error
    except BaseException:
        _close(connection)
        raise
    if version > upgrades.VERSION:
        connection.close()
        raise ProjectError(f"{path} was made by a newer version of this program; update napari-metadcseg.")
    return connection


def _not_opened(path: Path, error: sqlite3.Error) -> ProjectError | StorageError:
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if kind in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY):
        return StorageError(
            f"The project's record {path} could not be opened for writing ({error}), and is as it was. Free some space "
            "or check that the folder may be written to, then try again."
        )
    if kind in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PERM):
        return ProjectError(
            f"The project's record {path} cannot be opened at the moment ({error}); check that its disk is there and "
            "that its folder may be read, then try again."
        )
    return ProjectDamagedError(f"The project's record {path} cannot be read ({error}); restore it from a backup.")


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _connection(path: Path, *, write: bool) -> sqlite3.Connection:
    """A connection that has read something, so that what is wrong with the file shows here."""
    connection = _opened(path, "mode=rw" if write else "mode=ro")
    try:
        if write:
            connection.execute("PRAGMA journal_mode = WAL")
            for pragma in _DURABLE:
                connection.execute(pragma)
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if write:
            raise
        if not _is_closed(path):
            raise ProjectError(
                f"The project's record {path} cannot be read where it is ({error}): it was not closed after the last "
                "change, and its folder is read-only; copy it to a disk that can be written, and open it there."
            ) from error
        # nobody has it open, and SQLite may not make the files beside it that it shares with others: a read-only disk
        connection = _opened(path, "mode=ro&immutable=1")
    return connection


def _opened(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{how}", uri=True, isolation_level=None, check_same_thread=False, timeout=10
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _is_closed(path: Path) -> bool:
    """True when all that was committed is in the file itself."""
    log = path.with_name(path.name + "-wal")
    return path.is_file() and not (log.is_file() and log.stat().st_size)


def _upgrade(connection: sqlite3.Connection, *, write: bool) -> None:
    if not write:
        upgrades.show_as_upgraded(connection)
        return
    with transaction(connection, "The project is as it was."):
        upgrades.upgrade(connection)


def file_in(folder: Path) -> tuple[int, int] | None:
    """What tells the record of a project folder from another file in its place; None when there is none."""
    try:
        found = (folder / NAME).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
def reading() -> Iterator[None]:
    """Turn what goes wrong while rows are read into a sentence.

    Raises
    ------
    ProjectDamagedError
        If a page of the database is damaged; ProjectError if it cannot be reached, as when a disk was unplugged.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "decode" in str(error):
            raise _damaged(error) from error
        raise ProjectError(
            f"The project's record cannot be read at the moment ({error}); check that its disk is there, then open the "
            "project again. What was recorded before is kept."
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(error) from error


def _damaged(error: sqlite3.DatabaseError) -> ProjectDamagedError:
    return ProjectDamagedError(
        f"The project's record is damaged ({error}); close the project and restore {NAME} from a backup. "
        "'metadcseg verify' tells what is wrong."
    )


@contextmanager
def writing(consequence: str) -> Iterator[None]:
    """Turn what goes wrong while something is written into a sentence.

    Raises
    ------
    StorageError
        If the disk is full or may not be written.
    ProjectDamagedError
        If a page of the database is damaged.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"The project's record could not be written ({error}). {consequence} Free some space or check that the "
            "folder may be written to, then try again."
        ) from error
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        raise _damaged(error) from error


@contextmanager
def transaction(connection: sqlite3.Connection, consequence: str) -> Iterator[None]:
    """All or nothing; what goes wrong becomes a sentence, as in :func:`writing`, and nothing was written then."""
    with writing(consequence):
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
