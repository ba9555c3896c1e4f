"""Reads JSON that may be damaged, foreign or made to harm; all that is wrong with it is an OSError or a ValueError."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST = 2**24
"""Larger records than this, bytes, are none of ours; rankings and logs may be longer."""


def read_object(path: Path, most: int = MOST) -> dict[str, Any]:
    """The JSON object of a file.

    Raises
    ------
    OSError
        If it is missing or cannot be read.
    ValueError
        If it is too long, nested too deep, no JSON, holds NaN, or is no object.
    """
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"it has {size:,} bytes, expected at most {most:,}")
    return as_object(path.read_text(encoding="utf-8"))


def as_object(text: str) -> dict[str, Any]:
    """The JSON object of a text; ``ValueError`` as in :func:`read_object`."""
    try:
        values = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(values, dict):
        raise ValueError(f"it holds a {type(values).__name__}, expected an object")  # noqa: TRY004 - one kind of error
    return values


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def text_of(values: Mapping[str, Any], name: str) -> str:
    """A text, empty when it is missing or something else."""
    found = values.get(name)
    return found if isinstance(found, str) else ""


def whole_of(values: Mapping[str, Any], name: str) -> int | None:
    """A whole number of 0 or more; None when it is missing or something else."""
    found = values.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**63 else None


def number_of(values: Mapping[str, Any], name: str) -> float | None:
    """A finite number; None when it is missing or something else."""
    found = values.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    try:
        return float(found) if math.isfinite(found) else None
    except OverflowError:
        return None
