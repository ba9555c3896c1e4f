"""runs/RUN/opinion: what somebody else's score says of a run's labels, beside its own.

It belongs to one generation of the scores and is replaced as a whole; with other scores in place it counts as missing.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import InputError, storage_errors
from src_core.store import arrays, chunks
from src_core.store.reading import number_of, read_object, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import Box

FOLDER = "opinion"
RECORD = "opinion.json"
STORE = "maps.zarr"
MOST = 2**29
"""Bytes of a record with a million regions and more."""


def read_record(run: Path, generation: int) -> dict[str, Any] | None:
    """The record of the second opinion on scores of this generation; None when there is none that can be read."""
    try:
        record = read_object(run / FOLDER / RECORD, MOST)
    except (OSError, ValueError):
        return None
    rows = record.get("regions")
    if not generation or record.get("generation") != generation or not isinstance(rows, list):
        return None
    sound = all(isinstance(row, dict) and text_of(row, "region") and number_of(row, "mean") is not None for row in rows)
    return record if sound else None


def read_map(run: Path, case_id: int, generation: int, box: Box | None = None) -> NDArray[np.float32]:
    """What it says of the label of each pixel of an image, or of a box of it, float32, in [0, 1].

    Raises
    ------
    InputError
        If there is none.
    """
    if read_record(run, generation) is not None:
        try:
            return chunks.ChunkedArray(run / FOLDER / STORE / f"{case_id:06d}").read(box)
        except (OSError, ValueError, RuntimeError, MemoryError):
            pass
    raise InputError(
        f"Run {run.name} has no second opinion on image {case_id}; make it with 'metadcseg second-opinion', anew "
        "whenever there are new scores."
    )


class OpinionWriter:
    """Writes a second opinion beside the one before and puts it in its place when complete.

    Parameters
    ----------
    run : Path
        Folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._partial = run / (FOLDER + ".partial")
        with storage_errors(self._partial, "The scores are as they were."):
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir()
            chunks.write_group(self._partial / STORE)

    def start(self, case_id: int, shape: tuple[int, ...]) -> chunks.ChunkedArray:
        """Begin the map of one image, to be written box by box.

        Raises
        ------
        StorageError
            If the disk is full; everything stays as it was.
        """
        with storage_errors(self._partial, "The scores are as they were."):
            return chunks.new_array(self._partial / STORE / f"{case_id:06d}", shape, np.dtype(np.float32))

    def write(self, array: chunks.ChunkedArray, box: Box, values: NDArray[np.float32]) -> None:
        """Write a box of a map; StorageError as of :meth:`start`."""
        with storage_errors(self._partial, "The scores are as they were."):
            array.write(box, values)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Put it in place, with its record; ``generation`` in it says which scores it is about."""
        target, old = self._run / FOLDER, self._run / (FOLDER + ".old")
        with storage_errors(target, "The scores are as they were."):
            with (self._partial / RECORD).open("w", encoding="utf-8") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            shutil.rmtree(old, ignore_errors=True)
            if target.exists():
                target.rename(old)
            self._partial.rename(target)
            shutil.rmtree(old, ignore_errors=True)

    def abandon(self) -> None:
        """Throw away what was written."""
        arrays.discard(self._partial)
