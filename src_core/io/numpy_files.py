"""NumPy: .npy and .npz without objects.

Axes: ``(H, W)``; ``(H, W, channels)`` when the last of three axes is 4 or shorter; else ``(Z, H, W)``; four axes are
``(Z, H, W, channels)``. A .npz file holds one array, or one of a usual name.
"""

from __future__ import annotations

import zipfile
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import FormatError
from src_core.io.guard import DEFLATE_RATIO, broken, check_claim, reading, whole
from src_core.io.lazy import LAZY_FROM, LazyArray, arranged, runs
from src_core.io.picture import Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

SUFFIXES = (".npy", ".npz")
IN_STRIPS = True
IMAGE_KEYS = ("image", "img", "data", "volume", "raw", "x", "arr_0")
MASK_KEYS = ("mask", "label", "labels", "seg", "segmentation", "masks", "y", "arr_0")
MOST_CHANNELS = 4


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read one array.

    Raises
    ------
    FormatError
        If it is broken, holds objects, or has axes that are no image's.
    """
    with reading(path, TokenError):
        values, extra = _read_npz(path, mask) if path.suffix.lower() == ".npz" else _read_npy(path)
    space = _space(path, values.shape, mask)
    extra["dtype"] = values.dtype.str
    if values.flags.f_contiguous and not values.flags.c_contiguous:
        extra["fortran"] = True
    pixels = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    mode = "1" if pixels.dtype == bool else "L"
    pixels = pixels.astype(np.uint8) if mode == "1" else pixels
    return Picture(pixels=pixels, space=space, grid=Grid(spacing=(1.0,) * space), mode=mode, extra=extra)


def open_lazily(path: Path, *, mask: bool = False) -> Picture | None:
    """Open a large ``.npy`` file without reading it; None when it is small, or a ``.npz``."""
    if path.suffix.lower() != ".npy" or path.stat().st_size < LAZY_FROM:
        return None
    with reading(path, TokenError):
        with path.open("rb") as file:
            shape, fortran, dtype = _header(path, file)
            check_claim(path, shape, dtype.itemsize, path.stat().st_size - file.tell(), lazily=True)
            offset = file.tell()
        values = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran else "C")
    space = _space(path, shape, mask)
    extra = {"dtype": dtype.str, **({"fortran": True} if fortran else {})}
    mode = "1" if dtype.kind == "b" else "L"
    kept = np.dtype(np.uint8) if mode == "1" else dtype.newbyteorder("=")
    pixels = arranged(values, range(len(shape)), kept, str(path))
    grid = Grid(spacing=(1.0,) * space)
    return Picture(pixels=pixels, space=space, grid=grid, mode=mode, extra=extra)


def _space(path: Path, shape: tuple[int, ...], mask: bool) -> int:
    if len(shape) == 2:
        return 2
    if len(shape) == 3:
        return 2 if shape[2] <= MOST_CHANNELS and not mask else 3
    if len(shape) == 4 and not mask:
        return 3
    raise FormatError(
        f"{path} has an array of shape {shape}; expected (H, W) or (Z, H, W)"
        f"{'' if mask else ', with or without channels last'}."
    )


def _read_npy(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    with path.open("rb") as file:
        return _array(path, file, path.stat().st_size), {}


def _array(path: Path, file: BinaryIO | Any, stored: int) -> NDArray[Any]:
    """An array behind its header, whose size is looked at first."""
    shape, fortran, dtype = _header(path, file)
    size = check_claim(path, shape, dtype.itemsize, stored)
    data = file.read(size)
    if len(data) < size:
        raise broken(path, "it ends early")
    values: NDArray[Any] = np.frombuffer(data, dtype=dtype)
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def _header(path: Path, file: BinaryIO | Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type; the file stands at the first value then."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise broken(path)
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject or dtype.kind not in "uifb":
        raise FormatError(f"{path} holds values of type {dtype}; expected an array of whole numbers or floats.")
    return shape, fortran, dtype


def _read_npz(path: Path, mask: bool) -> tuple[NDArray[Any], dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        key = _key(path, list(names), mask)
        info = names[key]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise broken(path)
        most = min(info.file_size, info.compress_size * DEFLATE_RATIO)
        with archive.open(info) as file:
            values = _array(path, file, most)
            file.read(1)  # its checksum is looked at here
    return values, {"key": key, "packed": info.compress_type != zipfile.ZIP_STORED}


def _key(path: Path, names: list[str], mask: bool) -> str:
    if len(names) == 1:
        return names[0]
    usual = MASK_KEYS if mask else IMAGE_KEYS
    found = next((key for key in usual if key in names), None)
    if found is None:
        raise FormatError(
            f"{path} holds {len(names)} arrays ({', '.join(sorted(names)[:5]) or 'none'}); expected one, or one that "
            f"is called {usual[0]}."
        )
    return found


def write(path: Path, pixels: Any, *, mode: str = "L", extra: Mapping[str, Any]) -> None:
    """Write a mask as the file that ``extra`` was read from; of a .npz file only the mask's own array."""
    dtype = np.dtype(bool) if mode == "1" else np.dtype(extra.get("dtype", pixels.dtype.str))
    if isinstance(pixels, LazyArray):
        if path.suffix.lower() == ".npy" and not extra.get("fortran"):
            _write_in_strips(path, pixels, dtype)
            return
        pixels = np.asarray(pixels)
    values = _converted(pixels, dtype)
    if extra.get("fortran"):
        values = np.asfortranarray(values)
    with whole(path) as partial, partial.open("wb") as file:
        if path.suffix.lower() == ".npz":
            packing = zipfile.ZIP_DEFLATED if extra.get("packed", True) else zipfile.ZIP_STORED
            name = f"{extra.get('key', 'mask')}.npy"
            with zipfile.ZipFile(file, "w", packing) as archive, archive.open(name, "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, values, allow_pickle=False)
        else:
            np.save(file, values, allow_pickle=False)


def _converted(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return pixels > 0 if dtype.kind == "b" else pixels.astype(dtype, copy=False)


def _write_in_strips(path: Path, pixels: LazyArray, dtype: np.dtype[Any]) -> None:
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": pixels.shape}
    with whole(path) as partial, partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, facts)
        for _, part in runs(pixels):
            file.write(np.ascontiguousarray(_converted(part, dtype)).tobytes())


def write_new(path: Path, pixels: Any, grid: Grid) -> None:
    """Write an array; NumPy files have no geometry."""
    write(path, pixels, extra={})
