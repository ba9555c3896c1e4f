"""Every format by the ending of its files: the one place that knows which there are.

A format is a module of this package with the functions of :class:`Format`; it is imported when it is used. A folder is
recognised by what is in it: an OME-Zarr image or a DICOM series.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from src_core.errors import FormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.io.picture import Grid, Picture


class Format(Protocol):
    """What the module of a format offers."""

    def read(self, path: Path, *, mask: bool = False) -> Picture:
        """Read a file; FormatError when it cannot be."""

    def write(self, path: Path, pixels: NDArray[Any], *, mode: str = "L", extra: Mapping[str, Any]) -> None:
        """Write a mask as the file that ``extra`` was read from, whole or not at all."""


class NewFormat(Format, Protocol):
    """A format in which results are written that were not read from it."""

    def write_new(self, path: Path, pixels: NDArray[Any], grid: Grid) -> None:
        """Write an array with its geometry, whole or not at all."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A format in the list.

    Attributes
    ----------
    name : str
        As people call it.
    suffixes : tuple of str
        Lower case, the longest first.
    module : str
        Of this package.
    extra : str
        What to install when its package is missing; empty when every installation has it.
    folder : bool
        Its images are folders.
    lossy : bool
        Values of masks are not kept exactly.
    outlines : bool
        Masks only, never an image.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    extra: str = ""
    folder: bool = False
    lossy: bool = False
    outlines: bool = False

    def load(self) -> Format:
        """The module.

        Raises
        ------
        FormatError
            If a package is not installed; it says which, and how to install it.
        """
        try:
            return cast("Format", import_module(f"src_core.io.{self.module}"))
        except ModuleNotFoundError as error:
            raise FormatError(
                f"{self.name} needs the package {error.name}, which is not installed; install it with: "
                f"pip install 'napari-metadcseg[{self.extra or 'formats'}]'."
            ) from error


ENTRIES = (
    Entry(name="PNG", suffixes=(".png",), module="images"),
    Entry(name="BMP", suffixes=(".bmp",), module="images"),
    Entry(name="JPEG", suffixes=(".jpeg", ".jpg"), module="images", lossy=True),
    Entry(name="TIFF", suffixes=(".ome.tiff", ".ome.tif", ".tiff", ".tif", ".btf"), module="tiff"),
    Entry(name="NIfTI", suffixes=(".nii.gz", ".nii"), module="nifti"),
    Entry(name="NRRD", suffixes=(".seg.nrrd", ".nrrd", ".nhdr"), module="nrrd"),
    Entry(name="MetaImage", suffixes=(".mha", ".mhd"), module="metaimage"),
    Entry(name="NumPy", suffixes=(".npy", ".npz"), module="numpy_files"),
    Entry(name="OME-Zarr", suffixes=(".ome.zarr", ".zarr"), module="ome_zarr", folder=True),
    Entry(name="LabelMe or COCO", suffixes=(".coco.json", ".json"), module="polygons", outlines=True),
    Entry(name="DICOM", suffixes=(".dcm",), module="dicom", extra="formats"),
)
_BY_SUFFIX = {suffix: entry for entry in ENTRIES for suffix in entry.suffixes}
SUFFIXES = frozenset(_BY_SUFFIX)
SERIES = ""
"""The ending of a folder that holds a DICOM series."""


def names() -> str:
    """All formats of images, for messages."""
    return ", ".join(entry.name for entry in ENTRIES if not entry.outlines)


def suffix_of(path: Path) -> str | None:
    """Its known ending in lower case, the longest one; empty for a DICOM series in a folder, None if unknown."""
    name = path.name.lower()
    if path.parent.suffix.lower() == ".json" and path.parent.is_file():  # an image's part of a COCO file
        return ".coco.json"
    found = [suffix for suffix in SUFFIXES if name.endswith(suffix) and name != suffix]
    if path.is_dir():
        if any(_BY_SUFFIX[suffix].folder for suffix in found):
            return max(found, key=len)
        return SERIES if _is_series(path) else None
    found = [suffix for suffix in found if not _BY_SUFFIX[suffix].folder]
    return max(found, key=len) if found else None


def _is_series(folder: Path) -> bool:
    """True when the first file of a folder is DICOM."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            with path.open("rb") as file:
                return file.read(132)[128:] == b"DICM"
    return False


def stem_of(path: Path) -> str:
    """The name without its ending."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.name if path.is_dir() else path.stem


def entry_of(path: Path, suffix: str | None = None) -> Entry:
    """The format of a path.

    Raises
    ------
    FormatError
        If it is none of ours.
    """
    known = suffix_of(path) if suffix is None else suffix
    if known is None:
        what = "a folder of something else" if path.is_dir() else path.suffix or "a name without ending"
        raise FormatError(f"{path} cannot be read: {what} is not supported; expected one of {names()}.")
    return _BY_SUFFIX[known or ".dcm"]


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read a file, or a folder that is an image.

    Parameters
    ----------
    path : Path
    mask : bool
        Expect one value a pixel: indices of a palette, segments.

    Raises
    ------
    FormatError
        If it is of no known format, broken, or too large.
    """
    return entry_of(path).load().read(path, mask=mask)


def opened(path: Path, *, mask: bool = False) -> Picture:
    """As :func:`read`; the pixels of a large file are a :class:`~src_core.io.lazy.LazyArray` where the format can.

    A format can whose module has ``open_lazily``, with the parameters of ``read``; it returns None for what is small,
    or stored so that it has to be read whole.
    """
    module = entry_of(path).load()
    lazily = getattr(module, "open_lazily", None)
    found: Picture | None = None if lazily is None else lazily(path, mask=mask)
    return module.read(path, mask=mask) if found is None else found


def write(path: Path, pixels: Any, *, mode: str = "L", extra: Mapping[str, Any] | None = None) -> list[Path]:
    """Write a mask, an array or a LazyArray, as the file that ``mode`` and ``extra`` were read from.

    Returns
    -------
    list of Path
        What was written, the file itself last.

    Raises
    ------
    InputError
        If nothing is written in that format.
    StorageError
        If the disk is full or may not be written.
    """
    suffix = next((known for known in sorted(SUFFIXES, key=len)[::-1] if path.name.lower().endswith(known)), None)
    if suffix is None:
        raise InputError(f"{path} cannot be written: its ending is not supported; expected one of {names()}.")
    module = _BY_SUFFIX[suffix].load()
    facts = extra or {}
    module.write(path, _as_taken(module, pixels), mode=mode, extra=facts)
    companions = getattr(module, "companions", None)
    return [*(companions(path, facts) if companions is not None else []), path]


NEW = {
    "png": (".png", "images"),
    "tiff": (".tif", "tiff"),
    "nifti": (".nii.gz", "nifti"),
    "nrrd": (".nrrd", "nrrd"),
    "ome-zarr": (".ome.zarr", "ome_zarr"),
    "npy": (".npy", "numpy_files"),
}
"""Formats that results can be written in, by the word for it: ending and module."""


def write_new(folder: Path, name: str, format: str, pixels: Any, grid: Grid) -> Path:
    """Write ``FOLDER/NAME.ext`` in a format that the pixels need not come from.

    Parameters
    ----------
    folder : Path
    name : str
    format : str
        A key of :data:`NEW`.
    pixels : array or LazyArray, (H, W) or (Z, H, W)
    grid : Grid

    Raises
    ------
    InputError
        If the format cannot hold the pixels.
    StorageError
        If the disk is full or may not be written.
    """
    suffix, module = NEW[format]
    path = folder / f"{name}{suffix}"
    writer = cast("NewFormat", import_module(f"src_core.io.{module}"))
    writer.write_new(path, _as_taken(writer, pixels), grid)
    return path


def _as_taken(module: Format, pixels: Any) -> Any:
    """Pixels as a module takes them: one with ``IN_STRIPS`` writes a LazyArray part by part, others need it whole."""
    return pixels if getattr(module, "IN_STRIPS", False) else np.asarray(pixels)


def usual_format(shape: tuple[int, ...], grid: Grid) -> str:
    """The key of :data:`NEW` that masks are written in when nothing says otherwise: what keeps all that is known."""
    if grid.affine is not None or (len(shape) == 3 and grid.unit == "mm"):
        return "nifti"
    return "tiff" if len(shape) == 3 else "png"
