"""What a person prefers, kept in one small file between sessions: their name in the record, and their keys."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from src_core.errors import storage_errors
from src_core.store.durable import put
from src_core.store.reading import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

FILE = "preferences.json"


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """Values that differ from what everybody starts with.

    Attributes
    ----------
    author : str
        Written with every change; empty for the login name.
    scheduler : str
        Address of the Dask scheduler that was used last.
    keys : mapping of action to key
        Only those that were changed.
    """

    author: str = ""
    scheduler: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)


def default_path() -> Path:
    """Where this system keeps such files."""
    return user_config_path("napari-metadcseg") / FILE


def load(path: Path) -> Preferences:
    """Read the file; what cannot be read counts as not set, and is logged."""
    try:
        values = read_object(path)
        author, keys, scheduler = values.get("author", ""), values.get("keys", {}), values.get("scheduler", "")
        texts = [author, scheduler, *(text for pair in keys.items() for text in pair)]
        if all(isinstance(text, str) for text in texts):
            return Preferences(author=author, scheduler=scheduler, keys=keys)
        logger.warning("%s is not as expected; preferences are as at the start.", path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, AttributeError) as error:
        logger.warning("%s cannot be read (%s); preferences are as at the start.", path, error)
    return Preferences()


def save(preferences: Preferences, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    with storage_errors(path, "The preferences are as they were."):
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, json.dumps(asdict(preferences), indent=2))
