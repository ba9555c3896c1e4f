"""run.json: what a run was started with, enough to start it again; its schema stands beside this file."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from src_core.config import RANGES, TrainingSettings
from src_core.errors import FormatError, ProjectDamagedError, SettingsError
from src_core.store.reading import as_object, number_of, read_object, whole_of

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "run.schema.json"
MOST_EPOCHS = 100_000
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def settings_of(record: dict[str, Any], where: str) -> TrainingSettings:
    """Settings in the record of a run.

    Raises
    ------
    SettingsError
        If there are none, or they are of another version or out of range; the message names ``where``.
    """
    values = record.get("settings")
    if not isinstance(values, dict):
        raise SettingsError(f"{where} has no settings; expected an object 'settings' as in a run.json.")
    try:
        return TrainingSettings.from_mapping(values)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def read_settings(path: Path) -> TrainingSettings:
    """Settings in a file: a run.json, or settings by themselves.

    Raises
    ------
    FormatError
        If it is missing, damaged or no JSON object.
    SettingsError
        If a setting is unknown or out of range.
    """
    try:
        values = read_object(path)
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{path} cannot be read as settings ({error}); expected a run.json, as every run of a project has one."
        ) from error
    record = values if "settings" in values or "run" in values else {"settings": values}
    return settings_of(record, str(path))


def settings_schema() -> dict[str, Any]:
    """JSON schema of the settings, made from their declaration; missing ones take their default."""
    hints = get_type_hints(TrainingSettings)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            field.name: _one(field.name, hints[field.name], field.default) for field in fields(TrainingSettings)
        },
    }


def _one(name: str, hint: Any, default: Any) -> dict[str, Any]:
    choices = get_args(hint)
    if choices:
        return {"enum": list(choices), "default": default}
    found: dict[str, Any] = {"type": _KINDS[hint], "default": default}
    if name in RANGES:
        found["minimum"], found["maximum"] = RANGES[name]
    return found


def record_schema() -> dict[str, Any]:
    """JSON schema of run.json, of a run that was trained."""
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    project = {
        "images": {"type": "integer", "minimum": 0},
        "classes": {"type": "array", "items": {"type": "string"}},
        "version": {"type": "array", "items": {"type": "integer"}},
    }
    properties = {
        "run": {"type": "string"},
        "started": {"type": "string", "format": "date-time"},
        "settings": settings_schema(),
        "dimensions": {"enum": ["2d", "2.5d", "3d"]},
        "from": {
            "type": "object",
            "properties": {
                "run": {"type": "string"},
                "epochs": {"type": "integer", "minimum": 0},
                "generation": {"type": "integer", "minimum": 0},
            },
            "required": ["run"],
        },
        "project": {"type": "object", "properties": project},
        "versions": texts,
        "device": {"type": "string"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "run.json of napari-metadcseg",
        "type": "object",
        "required": ["run", "started", "settings"],
        "properties": properties,
    }


def read_history(path: Path) -> list[dict[str, Any]]:
    """Rows of ``history.jsonl``, one an epoch, as :meth:`~src_core.store.runs.Run.history` gives them; none without it.

    Raises
    ------
    ProjectDamagedError
        If it cannot be read.
    """
    rows: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    except OSError as error:
        raise ProjectDamagedError(f"{path} cannot be read ({error}); delete the run, or train a new one.") from error
    for line in lines[:MOST_EPOCHS]:
        try:
            row = as_object(line)
        except ValueError:
            break
        if whole_of(row, "epoch") is None:
            break
        rows.append(row | {name: number_of(row, name) for name in ("loss", "val_dice")})
    return rows
