"""Classes and cases of a project, as rows of its database."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from src_core.data.case import CaseInfo, ClassInfo, MaskEncoding
from src_core.errors import ProjectDamagedError

if TYPE_CHECKING:
    from pathlib import Path

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


def add_case(db: sqlite3.Connection, info: CaseInfo) -> None:
    """Write the row of a new case; the caller has opened the transaction."""
    values = asdict(info)
    for name in ("shape", "spacing", "encoding"):
        values[name] = json.dumps(values[name])
    db.execute(f'INSERT INTO "case" ({", ".join(values)}) VALUES ({", ".join("?" * len(values))})', (*values.values(),))


def _case(
    id: int, name: str, shape: str, channels: int, spacing: str, unit: str, image: str, mask: str, encoding: str
) -> CaseInfo:
    values: dict[str, Any] = json.loads(encoding)
    values["values"] = {int(key): value for key, value in values["values"].items()}
    return CaseInfo(
        id=id,
        name=name,
        shape=tuple(json.loads(shape)),
        channels=channels,
        spacing=tuple(json.loads(spacing)),
        unit=unit,
        image_path=image,
        mask_path=mask,
        encoding=MaskEncoding(**values),
    )
