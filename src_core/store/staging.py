"""Files that appear in a folder whole or not at all, whatever happens to the process that writes them."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from src_core.errors import InputError, StorageError, storage_errors

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_CONSEQUENCE = "Files written before it are complete."


class Staging:
    """A hidden folder inside of another, where files are written before they are moved into it.

    One process at a time writes into a folder; what another one that died left unfinished is removed. A context
    manager.

    Parameters
    ----------
    folder : Path
        Made if missing.
    stems : collection of str
        Of the files that will be written; older versions left unfinished ones of these stems beside them.

    Attributes
    ----------
    path : Path
        Where to write.

    Raises
    ------
    InputError
        If another process is writing into the folder.
    StorageError
        If the disk is full or may not be written.
    """

    def __init__(self, folder: Path, stems: Collection[str] = ()) -> None:
        self._folder = folder
        self._stems = {f".{stem}" for stem in stems}
        self.path = folder / ".partial"
        self._lock = FileLock(folder / ".partial.lock")

    def __enter__(self) -> Self:
        with storage_errors(self._folder, _CONSEQUENCE):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise InputError(
                    f"Another export is writing into {self._folder}; wait for its end, or choose another folder."
                ) from error
            try:
                self._clean()
                self.path.mkdir()
            except BaseException:
                self._release()
                raise
        return self

    def _clean(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        for left in self._folder.glob(".*.partial*"):
            if left.name.partition(".partial")[0].removesuffix(".npy") in self._stems:
                left.unlink(missing_ok=True)

    def publish(self, path: Path) -> Path:
        """Move a file that is complete to its place, over one that is there; its path there."""
        target = self._folder / path.name
        with storage_errors(target, _CONSEQUENCE):
            if target.is_dir():  # a format that is a folder: it cannot be replaced in one go
                target.rename(self.path / ".old")
                path.rename(target)
                shutil.rmtree(self.path / ".old", ignore_errors=True)
            else:
                path.replace(target)
        return target

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._release()
        if isinstance(error, StorageError) and str(self.path) in str(error):
            raise StorageError(str(error).replace(str(self.path), str(self._folder))) from error

    def _release(self) -> None:
        self._lock.release()
        with suppress(OSError):
            (self._folder / ".partial.lock").unlink(missing_ok=True)
