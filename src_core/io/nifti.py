"""NIfTI-1 and -2 in one file, also packed by gzip.

The header is read by nibabel. A mask is written back with the very bytes of its header and extensions, so only voxels
can change.
"""

from __future__ import annotations

import base64
import gzip
import io
import zlib
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.wrapstruct import WrapStructError

from src_core.errors import FormatError, InputError
from src_core.io.geometry import check_spacing, diagonal, grid_of
from src_core.io.guard import DEFLATE_RATIO, broken, check_claim, reading, whole
from src_core.io.lazy import LAZY_FROM, LazyArray, arranged, runs
from src_core.io.picture import Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

SUFFIXES = (".nii", ".nii.gz")
IN_STRIPS = True
MAX_PREAMBLE = 16 * 2**20
_ERRORS = (WrapStructError, HeaderDataError, HeaderTypeError, ImageFileError)
_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read one file; a fourth axis is channels.

    Parameters
    ----------
    path : Path
    mask : bool
        Expect one value a voxel.

    Raises
    ------
    FormatError
    """
    with reading(path, *_ERRORS), _open(path) as file:
        header, preamble = _header(path, file)
        shape = tuple(int(side) for side in header.get_data_shape())
        shape = shape[:3] + tuple(side for side in shape[3:] if side != 1)
        dtype = header.get_data_dtype()
        _check_axes(path, shape, dtype, mask)
        stored = path.stat().st_size * (DEFLATE_RATIO if _packed(path) else 1)
        size = check_claim(path, shape, dtype.itemsize, stored)
        data = file.read(size)
        if len(data) < size:
            raise broken(path, "it ends early")
        file.read(1)  # the checksum of gzip is looked at here
        values = np.frombuffer(data, dtype=dtype).reshape(shape[::-1])
        grid = _grid(path, header)
        pixels, slope, inter = _scaled(path, _native(values), header, mask)
    if pixels.dtype.names is None and len(shape) == 4:
        pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    while pixels.ndim < 3:
        pixels = pixels[None]
    extra = {
        "preamble": base64.b64encode(zlib.compress(preamble)).decode(),
        "dtype": dtype.str,
        "slope": slope,
        "inter": inter,
    }
    return Picture(pixels=pixels, space=3, grid=grid, extra=extra)


def open_lazily(path: Path, *, mask: bool = False) -> Picture | None:
    """Open a large file without reading it; None when it is small, packed, in colour, or its values are scaled."""
    if _packed(path) or path.stat().st_size < LAZY_FROM:
        return None
    with reading(path, *_ERRORS), _open(path) as file:
        header, preamble = _header(path, file)
        shape = tuple(int(side) for side in header.get_data_shape())
        shape = shape[:3] + tuple(side for side in shape[3:] if side != 1)
        dtype = header.get_data_dtype()
        _check_axes(path, shape, dtype, mask)
        slope, inter = header.get_slope_inter()
        if dtype.names or (1 if slope is None else slope, inter or 0) != (1, 0) or len(shape) < 3:
            return None
        check_claim(path, shape, dtype.itemsize, path.stat().st_size - file.tell(), lazily=True)
        values = np.memmap(path, dtype=dtype, mode="r", offset=file.tell(), shape=shape[::-1])
        grid = _grid(path, header)
    order = range(3) if len(shape) == 3 else (1, 2, 3, 0)
    pixels = arranged(values, order, dtype.newbyteorder("="), str(path))
    packed = base64.b64encode(zlib.compress(preamble)).decode()
    extra = {"preamble": packed, "dtype": dtype.str, "slope": 1.0, "inter": 0.0}
    return Picture(pixels=pixels, space=3, grid=grid, extra=extra)


def _packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if _packed(path) else path.open("rb")  # type: ignore[return-value]


def _header(path: Path, file: BinaryIO) -> tuple[Any, bytes]:
    """The header, and everything before the voxels."""
    start = file.read(4)
    size = int.from_bytes(start, "little") if start[:1] in (b"\x5c", b"\x1c") else int.from_bytes(start, "big")
    kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    if size not in kinds:
        raise broken(path)
    head = start + file.read(size - 4)
    header = kinds[size].from_fileobj(io.BytesIO(head + bytes(4)), check=False)
    if bytes(header["magic"])[:2] not in (b"n+",):
        raise FormatError(f"{path} is half of a pair (.hdr and .img) or no NIfTI; save it as one .nii file.")
    offset = float(header["vox_offset"])
    if not size <= offset <= MAX_PREAMBLE:
        raise broken(path, f"its voxels are said to start at byte {offset:g}")
    return header, head + file.read(int(offset) - size)


def _check_axes(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], mask: bool) -> None:
    if not 1 <= len(shape) <= 4 or (len(shape) == 4 and mask):
        raise FormatError(
            f"{path} has {len(shape)} axes ({' x '.join(map(str, shape))}); expected "
            f"{'x, y, z and one value a voxel' if mask else 'x, y, z and at most one more for channels'}."
        )
    if dtype.kind not in "uifV" or dtype.itemsize > 8 or (dtype.kind == "V" and dtype.names is None):
        raise FormatError(f"{path} holds values of type {dtype}; expected whole numbers or floats.")


def _native(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.names:  # colour: one byte a channel
        return np.stack([values[name] for name in values.dtype.names], axis=-1)
    return values.astype(values.dtype.newbyteorder("="))


def _scaled(path: Path, values: NDArray[Any], header: Any, mask: bool) -> tuple[NDArray[Any], float, float]:
    slope, inter = header.get_slope_inter()
    slope, inter = float(1 if slope is None else slope), float(inter or 0)
    if (slope, inter) == (1, 0) or values.ndim > len(header.get_data_shape()):
        return values, 1.0, 0.0
    if not np.isfinite([slope, inter]).all() or abs(slope) < 1e-30:
        raise broken(path, f"values are said to be scaled by {slope:g} and {inter:g}")
    scaled = values.astype(np.float64) * slope + inter
    return scaled if mask else scaled.astype(np.float32), slope, inter


def _grid(path: Path, header: Any) -> Grid:
    unit = _MM.get(int(header["xyzt_units"]) & 7, 1.0)
    if int(header["sform_code"]) or int(header["qform_code"]):
        matrix = np.asarray(header.get_best_affine(), dtype=np.float64)
        matrix[:3] *= unit
        return grid_of(matrix[:, [2, 1, 0, 3]], path)
    spacing = tuple(abs(float(side)) * unit or 1.0 for side in header["pixdim"][3:0:-1])
    return Grid(spacing=check_spacing(spacing, path), unit="mm")


def write(path: Path, pixels: Any, *, mode: str = "L", extra: Mapping[str, Any]) -> None:
    """Write a mask as the file that ``extra`` was read from.

    Parameters
    ----------
    path : Path
    pixels : array, (Z, H, W)
    mode : str
    extra : mapping
        Of the :class:`Picture` that was read.
    """
    slope, inter = extra["slope"], extra["inter"]
    dtype = np.dtype(extra["dtype"])

    def stored(values: NDArray[Any]) -> NDArray[Any]:
        return (values if (slope, inter) == (1, 0) else np.rint((values - inter) / slope)).astype(dtype)

    preamble = zlib.decompress(base64.b64decode(extra["preamble"]))
    _write(path, preamble, (stored(part) for _, part in runs(pixels)))


def _write(path: Path, preamble: bytes, parts: Iterable[NDArray[Any]]) -> None:
    """Write voxels in their order, part by part."""
    with whole(path) as partial, partial.open("wb") as raw:
        packed = gzip.GzipFile("", "wb", compresslevel=5, fileobj=raw, mtime=0) if _packed(path) else nullcontext(raw)
        with packed as file:
            file.write(preamble)
            for part in parts:
                file.write(np.ascontiguousarray(part).tobytes())


def write_new(path: Path, pixels: Any, grid: Grid) -> None:
    """Write an array ``(H, W)`` or ``(Z, H, W)`` with a geometry.

    Raises
    ------
    InputError
        If the format cannot hold its type.
    """
    header = nibabel.Nifti1Header()
    if pixels.dtype.kind not in "uif":
        raise InputError(f"{path} cannot be written: NIfTI holds no values of type {pixels.dtype}.")
    volume = pixels
    if pixels.ndim == 2:
        volume = pixels.with_first() if isinstance(pixels, LazyArray) else pixels[None]
    header.set_data_dtype(pixels.dtype)
    header.set_data_shape(volume.shape[::-1])
    affine = np.array(grid.affine or diagonal(grid.spacing))[:, [2, 1, 0, 3]]
    known = grid.affine is not None
    header.set_qform(affine, code=1 if known else 0)
    header.set_sform(affine, code=1 if known else 0)
    header.set_xyzt_units("mm" if grid.unit == "mm" else "unknown")
    header["magic"], header["vox_offset"] = b"n+1", 352
    native = pixels.dtype.newbyteorder("=")
    _write(path, header.binaryblock + bytes(4), (part.astype(native, copy=False) for _, part in runs(volume)))
