"""What a project folder and a run are called, and whose name stands in the record."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

from src_core.errors import InputError

SUFFIX = ".metadcseg"
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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


def check_run_name(name: str) -> None:
    """Refuse a name that cannot be that of a folder everywhere.

    Raises
    ------
    InputError
        With what was expected.
    """
    if not _RUN.fullmatch(name):
        raise InputError(
            f"Run name {name!r} cannot be used; expected 1 to 64 letters, digits, dots, dashes or underscores."
        )
