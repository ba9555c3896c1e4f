"""arrays.zarr: images, given labels, current labels and verified masks of the cases."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

from src_core.data.case import Box
from src_core.errors import ProjectDamagedError
from src_core.store import chunks

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

NAME = "arrays.zarr"
_KEPT_OPEN = 1000


def discard(folder: Path) -> None:
    """Remove a folder with arrays that were given up, as far as the system lets us."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
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
        if mode == "w-":
            path.mkdir(parents=True)
            chunks.write_group(path)
            chunks.write_group(path / "cases")
        elif not (path / chunks.METADATA).is_file():
            raise ProjectDamagedError(
                f"The project's arrays are missing or damaged ({path}); restore the project from a backup."
            )
        self._touched: set[Path] = set()
        self._open: dict[tuple[int, str], chunks.ChunkedArray] = {}

    def add(self, case_id: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Write the arrays of a new case."""
        chunks.write_group(self._folder(case_id))
        for name, values in arrays.items():
            chunks.write_array(self._folder(case_id, name), values)

    def start(self, case_id: int, kinds: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
        """Begin the arrays of a new case, by name with shape and type; all of their boxes are to be written then."""
        chunks.write_group(self._folder(case_id))
        for name, (shape, dtype) in kinds.items():
            self._open[case_id, name] = chunks.new_array(self._folder(case_id, name), shape, dtype)

    def replace(self, case_id: int, name: str, values: NDArray[Any]) -> None:
        """Write an array anew in place of one that is of an older version."""
        self.beside(case_id, name, values.shape, values.dtype).write(Box.whole(values.shape), values)
        self.take_beside(case_id, name)

    def beside(self, case_id: int, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> chunks.ChunkedArray:
        """Begin an array that :meth:`take_beside` puts in the place of one that is damaged, missing, or older."""
        folder = self._folder(case_id, name + ".partial")
        shutil.rmtree(folder, ignore_errors=True)
        return chunks.new_array(folder, shape, dtype)

    def take_beside(self, case_id: int, name: str) -> None:
        """Put an array that is complete in its place."""
        folder = self._folder(case_id, name)
        self._open.pop((case_id, name), None)
        shutil.rmtree(folder, ignore_errors=True)
        self._folder(case_id, name + ".partial").rename(folder)
        self._touched.update([folder, *folder.iterdir()])

    def read(self, case_id: int, name: str, box: Box | None = None) -> NDArray[Any]:
        """Read an array of a case, or a box of it.

        Raises
        ------
        ProjectDamagedError
            If it is missing or cannot be read, or a checksum does not fit.
        """
        try:
            return self._array(case_id, name).read(box)
        except (OSError, ValueError) as error:
            raise self._damaged(case_id, name) from error

    def write(self, case_id: int, name: str, box: Box, values: NDArray[np.uint8]) -> None:
        """Write a box of an array. One of an older version, without checksums, is made anew with them.

        Raises
        ------
        OSError
            If the disk is full or may not be written; every chunk is as before or as it should be then.
        ProjectDamagedError
            If a chunk that is changed in part cannot be read.
        """
        try:
            array = self._array(case_id, name)
            if array.sealed:
                self._touched |= array.write(box, values)
                return
            whole = array.read()
            whole[box.slices] = values
            self.replace(case_id, name, whole)
        except (FileNotFoundError, ValueError) as error:
            raise self._damaged(case_id, name) from error

    def array(self, case_id: int, name: str) -> chunks.ChunkedArray:
        """An array of a case, to be read box by box: it fails as :class:`~src_core.store.chunks.ChunkedArray` does."""
        return self._array(case_id, name)

    def fill(self, case_id: int, name: str, box: Box, values: NDArray[Any]) -> None:
        """Write whole chunks of an array that was started."""
        self._array(case_id, name).write(box, values)

    def touched(self) -> set[Path]:
        """Files that were written since this was asked last."""
        taken, self._touched = self._touched, set()
        return taken

    def _damaged(self, case_id: int, name: str) -> ProjectDamagedError:
        return ProjectDamagedError(
            f"Array {name} of image {case_id} cannot be read from {self.path}; restore the project from a backup."
        )

    def _folder(self, case_id: int, *name: str) -> Path:
        return self.path.joinpath("cases", f"{case_id:06d}", *name)

    def _array(self, case_id: int, name: str) -> chunks.ChunkedArray:
        key = case_id, name
        if key not in self._open:
            folder = self._folder(case_id, name)
            if not folder.is_dir():
                raise ProjectDamagedError(
                    f"Array {name} of image {case_id} is missing in {self.path}; restore the project from a backup."
                )
            if len(self._open) >= _KEPT_OPEN:
                self._open.clear()
            self._open[key] = chunks.ChunkedArray(folder)
        return self._open[key]
