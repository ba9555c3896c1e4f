"""Arrays of numbers by image name: a folder with a file an image, one .npz file, a .zarr store, or arrays at hand.

Nothing is read before it is asked for, so that large sets need not fit into memory.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import tifffile
import zarr

from src_core.errors import FormatError, InputError
from src_core.io import images, score_pictures
from src_core.io.formats import stem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo

ScoreSource = str | Path | Mapping[str, "NDArray[Any]"]
"""A path, or arrays by image name."""

SUFFIXES = frozenset({".npz", ".npy", ".tif", ".tiff", ".png", *score_pictures.SUFFIXES})
NPZ_KEYS = ("probabilities", "softmax")
"""Names that are taken first in a file with several arrays; other programs write these."""

_UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, SyntaxError, RuntimeError, MemoryError)
_BROKEN = (*_UNREADABLE, ArithmeticError, zipfile.BadZipFile, zlib.error, tifffile.TiffFileError)


class ScoreFiles(Protocol):
    """Arrays by image name."""

    @property
    def names(self) -> Collection[str]:
        """Names of the images that there are arrays of."""

    def read(self, name: str, case: CaseInfo | None = None) -> NDArray[Any]:
        """The array of an image as it is stored; on the axes of the case where a file says how it lies.

        FormatError when it cannot be read.
        """

    def where(self, name: str) -> str:
        """Where it is, for messages."""


def open_scores(source: ScoreSource, what: str) -> ScoreFiles:
    """Look what there is.

    Parameters
    ----------
    source : path or mapping of image name to array
        A folder of ``NAME.npz``, ``.npy``, ``.tif``, ``.tiff``, ``.png``, NIfTI, NRRD or MetaImage files; one ``.npz``
        file with an array an image; a ``.zarr`` group with an array an image; a ``.zarr`` array whose first axis are
        the images that its attribute ``names`` lists.
    what : str
        ``probabilities`` or so, for messages.

    Raises
    ------
    InputError
        If there is nothing of that kind.
    """
    if isinstance(source, Mapping):
        return _Arrays(source, what)
    path = Path(source).expanduser()
    if path.is_dir():
        return _open_zarr(path, what) if _is_zarr(path) else _Folder(path, what)
    if not path.is_file():
        raise InputError(f"There are no {what} at {path}; choose a folder, a .npz file or a .zarr store.")
    if path.suffix.lower() != ".npz":
        raise InputError(
            f"The {what} {path} are one file; expected a folder with a file an image, one .npz file with an array an "
            "image, or a .zarr store."
        )
    return _Archive(path, what)


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def _sound(path: Path | str, read: Callable[[], Any]) -> NDArray[Any]:
    """What a reader gives, with a sentence when it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(read())
    except FormatError:
        raise
    except _BROKEN as error:
        raise FormatError(
            f"{path} cannot be read: the file is broken or not what its name says; replace or remove it."
        ) from error


class _Arrays:
    def __init__(self, arrays: Mapping[str, NDArray[Any]], what: str) -> None:
        self.names = frozenset(arrays)
        self._arrays, self._what = arrays, what

    def read(self, name: str, case: CaseInfo | None = None) -> NDArray[Any]:
        return np.asarray(self._arrays[name])

    def where(self, name: str) -> str:
        return f"the {self._what} of {name}"


class _Folder:
    """One file an image; what belongs to no image (by its ending) is passed over, and so are hidden files."""

    def __init__(self, folder: Path, what: str) -> None:
        self._files: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or not path.is_file() or not path.name.lower().endswith(tuple(SUFFIXES)):
                continue
            stem = stem_of(path)
            if stem in self._files:
                raise InputError(
                    f"{path.name} and {self._files[stem].name} in {folder} have the same stem; remove one."
                )
            self._files[stem] = path
        if not self._files:
            raise InputError(
                f"The folder of {what}, {folder}, holds no {', '.join(sorted(SUFFIXES))} files; choose another."
            )
        self.names = self._files.keys()

    def read(self, name: str, case: CaseInfo | None = None) -> NDArray[Any]:
        path = self._files[name]
        if path.name.lower().endswith(score_pictures.SUFFIXES):
            return score_pictures.read_map_of(path, case)
        reader = {".npz": _read_npz, ".npy": _read_npy, ".png": _read_png}.get(path.suffix.lower(), _read_tiff)
        return _sound(path, lambda: reader(path))

    def where(self, name: str) -> str:
        return str(self._files[name])


def _read_npy(path: Path) -> NDArray[Any]:
    values: NDArray[Any] = np.load(path, allow_pickle=False)
    return values


def _read_npz(path: Path) -> NDArray[Any]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        keys = list(archive.files)
        key = keys[0] if len(keys) == 1 else next((key for key in NPZ_KEYS if key in keys), None)
        if key is None:
            raise FormatError(
                f"{path} holds {len(keys)} arrays ({', '.join(keys[:5]) or 'none'}); expected one, or one that is "
                f"called {' or '.join(NPZ_KEYS)}."
            )
        values: NDArray[Any] = archive[key]
        return values


def _read_tiff(path: Path) -> NDArray[Any]:
    """All pages as one array; pages that were written one by one are put on top of each other."""
    with tifffile.TiffFile(path) as file:
        parts = [series.asarray() for series in file.series]
    if len(parts) > 1 and len({part.shape for part in parts}) > 1:
        raise FormatError(f"{path} has pages of different sizes; expected one page a class, all of the image's size.")
    return parts[0] if len(parts) == 1 else np.stack(parts)


def _read_png(path: Path) -> NDArray[Any]:
    return images.grey(images.read(path).pixels)


class _Archive:
    """One .npz file with an array an image."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                self.names = frozenset(archive.files)
        except _BROKEN as error:
            raise InputError(f"The {what} {path} cannot be read: the file is broken or no .npz file.") from error
        if not self.names:
            raise InputError(f"The {what} {path} hold no arrays; expected one an image.")

    def read(self, name: str, case: CaseInfo | None = None) -> NDArray[Any]:
        def take() -> NDArray[Any]:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                values: NDArray[Any] = archive[name]
                return values

        return _sound(self.where(name), take)

    def where(self, name: str) -> str:
        return f"{self._path}, array {name},"


# ---------------------------------------------------------------- zarr


def _open_zarr(path: Path, what: str) -> ScoreFiles:
    try:
        store = zarr.open(str(path), mode="r")
        attributes = dict(store.attrs)
    except _BROKEN as error:
        raise InputError(
            f"The {what} {path} cannot be read: the zarr store is damaged or of an unknown kind."
        ) from error
    if isinstance(store, zarr.Group):
        return _ZarrGroup(path, store, what)
    names, count = attributes.get("names"), store.shape[0] if store.shape else 0
    if not isinstance(names, list) or not len(names) == len(set(map(str, names))) == count:
        raise InputError(
            f"The zarr array {path} has {count} entries and no attribute 'names' with as "
            "many different image names; add it, or write a group with an array an image."
        )
    return _ZarrStack(path, store, [str(name) for name in names])


class _ZarrGroup:
    """A group with an array an image."""

    def __init__(self, path: Path, group: zarr.Group, what: str) -> None:
        self._path, self._group = path, group
        self.names = frozenset(group.array_keys())
        if not self.names:
            raise InputError(f"The {what} {path} hold no arrays; expected a zarr group with an array an image.")

    def read(self, name: str, case: CaseInfo | None = None) -> NDArray[Any]:
        return _sound(self.where(name), lambda: self._group[name][...])

    def where(self, name: str) -> str:
        return f"{self._path}, array {name},"


class _ZarrStack:
    """One array whose first axis are the images."""

    def __init__(self, path: Path, array: Any, names: list[str]) -> None:
        self._path, self._array = path, array
        self._places = {name: place for place, name in enumerate(names)}
        self.names = self._places.keys()

    def read(self, name: str, case: CaseInfo | None = None) -> NDArray[Any]:
        return _sound(self.where(name), lambda: self._array[self._places[name]])

    def where(self, name: str) -> str:
        return f"{self._path}, entry {self._places[name]} ({name}),"
