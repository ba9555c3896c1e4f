"""Classes, cases and counts of a project, as rows of its database."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import CaseInfo, ClassInfo, MaskEncoding, Verified
from src_core.errors import ProjectDamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_CASE = "id, name, shape, channels, spacing, unit, image_path, mask_path, encoding"


def read(db: sqlite3.Connection, path: Path) -> tuple[tuple[ClassInfo, ...], tuple[CaseInfo, ...]]:
    """Classes in their order, and cases by name.

    Raises
    ------
    ProjectDamagedError
        If a row makes no sense.
    """
    try:
        classes = tuple(
            ClassInfo(index=index, name=name, value=value, color=color)
            for index, name, value, color in db.execute("SELECT idx, name, value, color FROM class ORDER BY idx")
        )
        return classes, tuple(_case(*row) for row in db.execute(f'SELECT {_CASE} FROM "case" ORDER BY name'))
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise ProjectDamagedError(
            f"The project's record in {path} cannot be read ({error}); restore it from a backup."
        ) from error


def add_case(db: sqlite3.Connection, info: CaseInfo, digests: Mapping[str, str]) -> None:
    """Write the row of a new case, with digests of what never changes; the caller has opened the transaction."""
    values = asdict(info)
    for name in ("shape", "spacing", "encoding"):
        values[name] = json.dumps(values[name])
    values["digests"] = json.dumps(dict(digests))
    db.execute(f'INSERT INTO "case" ({", ".join(values)}) VALUES ({", ".join("?" * len(values))})', (*values.values(),))


def set_digests(db: sqlite3.Connection, case_id: int, digests: Mapping[str, str]) -> None:
    """Write the digests of a case that were not known when its row was; the caller has opened the transaction."""
    db.execute('UPDATE "case" SET digests = ? WHERE id = ?', (json.dumps(dict(digests)), case_id))


def set_counts(db: sqlite3.Connection, case_id: int, counts: Mapping[int, int]) -> None:
    """Write how many pixels of a case are verified, by kind; the caller has opened the transaction."""
    db.execute("DELETE FROM verified WHERE case_id = ?", (case_id,))
    add_counts(db, case_id, counts)


def kind_counts(verified: NDArray[np.uint8]) -> Counter[int]:
    """How many pixels are verified, by kind; those that are not left out."""
    counts = {int(kind): int(np.count_nonzero(verified == kind)) for kind in Verified if kind}
    return Counter({kind: count for kind, count in counts.items() if count})


def add_counts(db: sqlite3.Connection, case_id: int, deltas: Mapping[int, int]) -> None:
    """Write how many pixels more or fewer are verified, by kind; the caller has opened the transaction."""
    for kind, delta in deltas.items():
        db.execute(
            "INSERT INTO verified VALUES (?, ?, ?) "
            "ON CONFLICT (case_id, kind) DO UPDATE SET pixels = pixels + excluded.pixels",
            (case_id, kind, delta),
        )


def kind_deltas(old: NDArray[np.uint8], new: NDArray[np.uint8]) -> dict[int, int]:
    """How many pixels more or fewer there are of each kind of verification."""
    kinds = [int(kind) for kind in Verified if kind]
    deltas = {kind: int(np.count_nonzero(new == kind)) - int(np.count_nonzero(old == kind)) for kind in kinds}
    return {kind: delta for kind, delta in deltas.items() if delta}


def digests(db: sqlite3.Connection, case_id: int) -> dict[str, str]:
    """Digests of the arrays of a case that never change; none in projects of version 2 and older."""
    (text,) = db.execute('SELECT digests FROM "case" WHERE id = ?', (case_id,)).fetchone()
    found: dict[str, str] = json.loads(text or "{}")
    return found


class Digest:
    """A digest of the values of an array, its type and its shape, from parts along its first axis, in order."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._dtype = dtype.newbyteorder("<")
        self._digest = hashlib.blake2b(f"{self._dtype.str} {shape}".encode(), digest_size=16)

    def add(self, values: NDArray[Any]) -> None:
        """Take up the next part."""
        self._digest.update(np.ascontiguousarray(values, dtype=self._dtype).tobytes())

    def text(self) -> str:
        """The digest of what was taken up."""
        return self._digest.hexdigest()


def digest_of(values: NDArray[Any]) -> str:
    """A digest of the values of an array, its type and its shape."""
    digest = Digest(values.shape, values.dtype)
    digest.add(values)
    return digest.text()


def _case(
    id: int, name: str, shape: str, channels: int, spacing: str, unit: str, image: str, mask: str, encoding: str
) -> CaseInfo:
    return CaseInfo(
        id=id,
        name=name,
        shape=_numbers(shape),
        channels=channels,
        spacing=_numbers(spacing),
        unit=unit,
        image_path=image,
        mask_path=mask,
        encoding=_encoding(encoding),
    )


@lru_cache(maxsize=256)
def _numbers(text: str) -> tuple[Any, ...]:
    return tuple(json.loads(text))


@lru_cache(maxsize=256)
def _encoding(text: str) -> MaskEncoding:
    """Most masks of a project are written the same way."""
    values: dict[str, Any] = json.loads(text)
    values["values"] = {int(key): value for key, value in values["values"].items()}
    return MaskEncoding(**values)
