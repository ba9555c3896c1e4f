"""What a project folder is called, and whose name stands in its record."""

from __future__ import annotations

import getpass
from pathlib import Path

SUFFIX = ".metadcseg"


def project_path(path: str | Path) -> Path:
    """The path with the suffix of project folders."""
    path = Path(path).expanduser()
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def default_author() -> str:
    """Login name of the person at this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
