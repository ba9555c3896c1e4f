"""arrays.zarr: images, given labels, current labels and verified masks of the cases."""

from __future__ import annotations

import logging
import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from src_core.errors import ProjectDamagedError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import Box

logger = logging.getLogger(__name__)

NAME = "arrays.zarr"
CHUNK = 1024


def put(group: zarr.Group, key: str, values: NDArray[Any]) -> None:
    """Write a new array into a group, compressed, in chunks that are replaced whole or not at all."""
    array = group.create_array(
        key,
        shape=values.shape,
        chunks=tuple(min(CHUNK, edge) for edge in values.shape),
        dtype=values.dtype,
        compressors=BloscCodec(cname="zstd", clevel=3),
    )
    array[...] = values


def discard(folder: Path) -> None:
    """Remove a folder with arrays that were given up, as far as the system lets us.

    When one of zarr's writes fails, others of the same array may still be under way on its threads and make files anew
    while their folder is removed, or after it; so it is tried for up to three seconds, until none came back for a
    quarter of one.
    """
    quiet = 0
    for _ in range(60):
        if folder.exists():
            quiet = 0
            shutil.rmtree(folder, ignore_errors=True)
        else:
            quiet += 1
        if quiet == 6:
            return
        time.sleep(0.05)
    logger.warning("%s could not be removed; delete it by hand.", folder)


class ArrayStore:
    """The zarr store of a project. A chunk is replaced whole or not at all.

    Parameters
    ----------
    path : path
        Of ``arrays.zarr``.
    mode : str
        ``r``, ``r+`` or ``w-`` (make a new one).
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.path = path
        try:
            self._group = zarr.open_group(str(path), mode=mode, zarr_format=3)
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise ProjectDamagedError(
                f"The project's arrays are missing or damaged ({path}); restore the project from a backup."
            ) from error
        self._open: dict[tuple[int, str], Any] = {}

    def add(self, case_id: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Write the arrays of a new case."""
        for name, values in arrays.items():
            put(self._group, f"cases/{case_id:06d}/{name}", values)

    def read(self, case_id: int, name: str, box: Box | None = None) -> NDArray[Any]:
        """Read an array of a case, or a box of it.

        Raises
        ------
        ProjectDamagedError
            If it is missing or cannot be read.
        """
        try:
            return np.asarray(self._array(case_id, name)[... if box is None else box.slices])
        except (OSError, RuntimeError, ValueError) as error:
            raise ProjectDamagedError(
                f"Array {name} of image {case_id} cannot be read from {self.path}; restore the project from a backup."
            ) from error

    def write(self, case_id: int, name: str, box: Box, values: NDArray[np.uint8]) -> None:
        """Write a box of an array."""
        self._array(case_id, name)[box.slices] = values

    def _array(self, case_id: int, name: str) -> Any:
        key = (case_id, name)
        if key not in self._open:
            try:
                self._open[key] = self._group[f"cases/{case_id:06d}/{name}"]
            except KeyError as error:
                raise ProjectDamagedError(
                    f"Array {name} of image {case_id} is missing in {self.path}; restore the project from a backup."
                ) from error
        return self._open[key]
