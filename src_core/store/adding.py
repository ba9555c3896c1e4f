"""What an addition of images leaves when its session dies, and how the next one sweeps it away.

The arrays of new images are written to where those of all images are, under numbers that no image has yet, and nobody
looks for them before the record names these images, all in one transaction. ``adding.json`` says from which number on
somebody is writing; it is there before anything of them is. With it, whoever opens the project for writing next removes
what the record does not name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from src_core.errors import InputError, storage_errors
from src_core.store import arrays
from src_core.store.durable import PARTIAL, put, sync_file
from src_core.store.reading import read_object, whole_of

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

MARKER = "adding.json"


def announce(project: Path, first: int) -> None:
    """Say from which number on images are going to be written.

    Raises
    ------
    InputError
        If this session is adding images already.
    StorageError
        If the disk is full or may not be written.
    """
    marker = project / MARKER
    if marker.exists():
        raise InputError(f"Images are being added to project {project.stem} already; wait for that to end.")
    with storage_errors(marker, "Nothing was added."):
        put(marker, json.dumps({"first": first}))


def sweep(project: Path, known: Container[int]) -> None:
    """Remove arrays of images that were announced and that the record does not name.

    Parameters
    ----------
    project : Path
    known : container of int
        Ids of the images that the record names.
    """
    marker = project / MARKER
    marker.with_name(f".{MARKER}{PARTIAL}").unlink(missing_ok=True)
    try:
        first = whole_of(read_object(marker), "first")
    except (OSError, ValueError):
        return
    cases = project / arrays.NAME / "cases"
    written = [folder for folder in cases.iterdir() if folder.name.isdecimal()]
    given_up = [folder for folder in written if int(folder.name) not in known and int(folder.name) >= (first or 0)]
    for folder in given_up:
        arrays.discard(folder)
    if first is not None and not any(folder.exists() for folder in given_up):
        sync_file(cases)
        marker.unlink(missing_ok=True)
