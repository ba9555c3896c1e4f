"""TIFF: images and stacks, also OME-TIFF, ImageJ, BigTIFF, tiled and pyramidal ones; read and written by tifffile.

A stack is the first series of a file. Axes that the file names are used as named (``Z``, ``Y``, ``X``, ``C``, ``S``);
pages that it does not name are slices. A mask is written back with the same description (OME-XML, ImageJ), compression,
tiles, resolution, byte order and type.
"""

from __future__ import annotations

import logging
import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr

from src_core.errors import FormatError
from src_core.io.geometry import check_spacing
from src_core.io.guard import broken, check_claim, reading, whole
from src_core.io.lazy import LAZY_FROM, LazyArray, arranged, runs
from src_core.io.picture import Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".btf")
IN_STRIPS = True
SLICES = "ZIQ"
"""Letters that stand for slices; I and Q are pages without a name."""

_KEPT = (1, 5, 8, 32773, 32946, 34925, 50000)
"""Compressions that lose nothing; a mask packed with another one is written with deflate."""

_DEFLATE = 8
MAX_RATIO = 5000
"""The most that one byte of a compressed file may turn into."""

_MM = {"mm": 1.0, "cm": 10.0, "m": 1e3, "µm": 1e-3, "μm": 1e-3, "um": 1e-3, "micron": 1e-3, "nm": 1e-6, "inch": 25.4}
MAX_DESCRIPTION = 4 * 2**20
MAX_COMPLAINTS = 100


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read the first series of a file.

    Raises
    ------
    FormatError
        If it is broken, too large, or has more axes than space and channels.
    """
    with reading(path), _complaints(path) as found, tifffile.TiffFile(path, _multifile=False) as file:
        series = _series(path, file)
        if found or _is_short(file, series):
            raise broken(path)
        page: Any = series.keyframe
        ratio = 1 if page.compression == 1 else MAX_RATIO
        check_claim(path, series.shape, series.dtype.itemsize, path.stat().st_size * ratio)
        if any(item is None for item in series.pages):
            raise broken(path, "pages are missing")
        pixels = series.asarray()
        if found:
            raise broken(path)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        axes = series.axes
        extra = _layout(file, series, page)
        grid_facts = _spacing(file, page)
    pixels, axes = _without_single(path, pixels, axes)
    pixels, space = _ordered(path, pixels, axes)
    extra = {**extra, "axes": axes}
    mode = "RGB" if pixels.ndim > space else "L"
    if pixels.dtype == bool:
        pixels, mode = pixels.astype(np.uint8), "1"
    grid = Grid(spacing=check_spacing(grid_facts[0][-space:], path), unit=grid_facts[1])
    return Picture(pixels=pixels, space=space, grid=grid, mode=mode, extra=extra)


def open_lazily(path: Path, *, mask: bool = False) -> Picture | None:
    """Open a large file without reading it; None when it is small, or in pieces that are too large for that."""
    with reading(path), _complaints(path) as found, tifffile.TiffFile(path, _multifile=False) as file:
        picture = _lazily(path, file)
    return None if found else picture  # reading it whole tells what is wrong


class _Boxes:
    """The first series of a file, which is open only while a box is read: nobody has to close it."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._path = path

    def __getitem__(self, place: tuple[slice, ...]) -> Any:
        path = self._path
        with reading(path), _complaints(path) as found, tifffile.TiffFile(path, _multifile=False) as file:
            values = zarr.open_array(file.series[0].aszarr(level=0), mode="r")[place]
            if found:
                raise broken(path)
        return values


def _lazily(path: Path, file: Any) -> Picture | None:
    """The first series of a file."""
    series = _series(path, file)
    page: Any = series.keyframe
    if series.nbytes < LAZY_FROM or _is_short(file, series) or any(item is None for item in series.pages):
        return None
    piece = math.prod(page.chunks) * series.dtype.itemsize
    if piece > LAZY_FROM or series.dtype == bool:
        return None
    ratio = 1 if page.compression == 1 else MAX_RATIO
    check_claim(path, page.chunks, series.dtype.itemsize)
    check_claim(path, series.shape, series.dtype.itemsize, path.stat().st_size * ratio, lazily=True)
    keep = _kept(path, series.shape, series.axes)
    axes = "".join(series.axes[k] for k in keep)
    order, space, opaque = _order(path, [series.shape[k] for k in keep], axes)
    source = _Boxes(path, series.shape)
    pixels = arranged(source, [keep[k] for k in order], series.dtype.newbyteorder("="), str(path), channels=opaque)
    pixels = pixels if opaque != 1 else pixels.without_last()
    sides, unit = _spacing(file, page)
    grid = Grid(spacing=check_spacing(sides[-space:], path), unit=unit)
    extra = {**_layout(file, series, page), "axes": axes}
    return Picture(pixels=pixels, space=space, grid=grid, mode="RGB" if pixels.ndim > space else "L", extra=extra)


@contextmanager
def _complaints(path: Path) -> Iterator[list[str]]:
    """Errors that tifffile only logs, such as pages that are missing; they are not logged then."""
    found: list[str] = []

    class Listener(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            # a description of its own that tifffile cannot use does not matter: it goes by the pages then
            if record.levelno >= logging.ERROR and "invalid shaped series" not in record.getMessage():
                found.append(record.getMessage())
                if len(found) > MAX_COMPLAINTS:  # thousands of tags of nonsense take minutes
                    raise broken(path)
            return False

    listener, logger = Listener(), logging.getLogger("tifffile")
    logger.addFilter(listener)
    try:
        yield found
    finally:
        logger.removeFilter(listener)


def _is_short(file: Any, series: Any) -> bool:
    """True when a stack has fewer pages than its description says."""
    if file.is_imagej:
        told = (file.imagej_metadata or {}).get("images", 1)
        return bool(np.prod(series.shape) < int(told) * np.prod(series.keyframe.shape))
    told = (file.shaped_metadata or [{}])[0].get("shape", ()) if file.is_shaped else ()
    return bool(np.prod(series.shape) < np.prod(told)) if told else False


def _series(path: Path, file: Any) -> Any:
    found = file.series
    if not found:
        raise FormatError(f"{path} has no pages; replace or remove it.")
    if len(found) > 1 and not (file.is_ome or file.is_svs):
        if len({(one.shape, str(one.dtype), one.axes) for one in found}) > 1:
            raise FormatError(
                f"{path} has {len(found)} images of different size or type; expected one image or stack a file; "
                "save them as single files."
            )
        raise FormatError(
            f"{path} has {len(found)} pages that were written as images of their own; expected one image or stack a "
            "file; save it as one stack."
        )
    return found[0]


def _without_single(path: Path, pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """The array without axes of length one that are neither of the slice."""
    keep = _kept(path, pixels.shape, axes)
    return pixels.reshape([pixels.shape[k] for k in keep]), "".join(axes[k] for k in keep)


def _kept(path: Path, shape: tuple[int, ...], axes: str) -> list[int]:
    """Axes that are of the slice, or longer than one."""
    keep = [k for k, side in enumerate(shape) if side > 1 or axes[k] in "YX"]
    wrong = [axes[k] for k in keep if axes[k] not in f"{SLICES}CSYX"]
    if wrong:
        count = shape[axes.index(wrong[0])]
        what = "time points" if wrong[0] == "T" else f"entries along an axis {wrong[0]!r}"
        raise FormatError(f"{path} has {count} {what}; expected one image or stack a file; save them as single files.")
    return keep


def _ordered(path: Path, pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], int]:
    """The array with its slices first and its channels last, and how many axes are space."""
    order, space, opaque = _order(path, pixels.shape, axes)
    ordered = pixels.transpose(order)
    if opaque is not None:
        ordered = ordered[..., :opaque]
        ordered = ordered[..., 0] if opaque == 1 else ordered
    return np.ascontiguousarray(ordered), space


def _order(path: Path, shape: Sequence[int], axes: str) -> tuple[list[int], int, int | None]:
    """Axes with slices first and channels last, how many are space, and how many channels are no opacity.

    The last is None where all channels are taken.
    """
    slices = [k for k, axis in enumerate(axes) if axis in SLICES]
    channels = [k for k, axis in enumerate(axes) if axis in "CS"]
    if len(slices) > 1 or len(channels) > 1 or "Y" not in axes or "X" not in axes:
        raise FormatError(
            f"{path} has the axes {axes} ({' x '.join(map(str, shape))}); expected slices, height, width and "
            "at most one axis of channels."
        )
    order = [*slices, axes.index("Y"), axes.index("X"), *channels]
    opacity = bool(channels) and axes[channels[0]] == "S" and shape[channels[0]] in (2, 4)
    return order, 2 + len(slices), shape[channels[0]] - 1 if opacity else None  # the last one is opacity


# ------------------------------------------------------------------ facts of the file


def _layout(file: Any, series: Any, page: Any) -> dict[str, Any]:
    extra: dict[str, Any] = {"compression": int(page.compression), "dtype": series.dtype.str}
    if page.is_tiled:
        extra["tile"] = [int(side) for side in page.tile]
    elif page.rowsperstrip and page.rowsperstrip < page.imagelength:
        extra["rows"] = int(page.rowsperstrip)
    if file.is_bigtiff:
        extra["big"] = True
    if file.byteorder == ">":
        extra["order"] = ">"
    if int(page.predictor) == 2:
        extra["predictor"] = True
    if page.photometric == 0:
        extra["white"] = True
    if page.description and len(page.description) < MAX_DESCRIPTION:
        extra["description"] = page.description
    if page.software and page.software != "tifffile.py":
        extra["software"] = page.software
    resolution = _resolution(page)
    if resolution:
        extra["resolution"] = resolution
    if len(series.levels) > 1:
        extra["levels"] = [[int(side) for side in level.keyframe.shape[:2]] for level in series.levels[1:]]
    return extra


def _resolution(page: Any) -> list[Any] | None:
    tags = page.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    unit = tags["ResolutionUnit"].value if "ResolutionUnit" in tags else 1
    return [list(map(int, tags["XResolution"].value)), list(map(int, tags["YResolution"].value)), int(unit)]


def _spacing(file: Any, page: Any) -> tuple[tuple[float, float, float], str]:
    """Spacing z, y, x and its unit, where OME-XML or ImageJ have it; plain resolution is mostly that of a printer."""
    if file.is_ome and file.ome_metadata:
        sides = [_ome_side(file.ome_metadata, axis) for axis in "ZYX"]
        if sides[1] and sides[2]:
            return (sides[0] or 1.0, sides[1], sides[2]), "mm"
    facts = file.imagej_metadata if file.is_imagej else None
    scale = _MM.get(str((facts or {}).get("unit", "")).replace("\\u00B5", "µ"))
    resolution = _resolution(page)
    if facts and scale and resolution and resolution[0][0] and resolution[1][0]:
        x, y = (part[1] / part[0] * scale for part in resolution[:2])
        return (float(facts.get("spacing", 1.0)) * scale, y, x), "mm"
    return (1.0, 1.0, 1.0), "px"


def _ome_side(text: str, axis: str) -> float | None:
    size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', text)
    unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', text)
    scale = _MM.get(unit.group(1) if unit else "µm")
    return float(size.group(1)) * scale if size and scale else None


# ------------------------------------------------------------------ writing


def write(path: Path, pixels: Any, *, mode: str = "L", extra: Mapping[str, Any]) -> None:
    """Write a mask ``(H, W)`` or ``(Z, H, W)`` as the file that ``extra`` was read from."""
    options = _options(extra)
    dtype = np.dtype(bool) if mode == "1" else np.dtype(extra.get("dtype", pixels.dtype.str))

    def stored(part: NDArray[Any]) -> NDArray[Any]:
        values = part > 0 if mode == "1" else part.astype(dtype, copy=False)
        return np.repeat(values[..., None], 3, axis=-1) if mode == "RGB" else values

    options["photometric"] = "rgb" if mode == "RGB" else "miniswhite" if extra.get("white") else "minisblack"
    levels = extra.get("levels", [])
    with whole(path) as partial:
        opened = tifffile.TiffWriter(partial, bigtiff=extra.get("big", False), byteorder=extra.get("order"))
        with opened as file:
            described = {"description": extra["description"].encode()} if "description" in extra else {}
            with _in_place(pixels, stored, partial) as values:
                file.write(values, **options, **described, metadata=None, subifds=len(levels))
            for height, width in levels:
                with _in_place(_smaller(pixels, height, width), stored, partial) as values:
                    file.write(values, **options, metadata=None, subfiletype=1)


@contextmanager
def _in_place(pixels: Any, stored: Callable[[NDArray[Any]], NDArray[Any]], partial: Path) -> Iterator[NDArray[Any]]:
    """An array as it is stored; a LazyArray lies in a file beside meanwhile, strip by strip, and not in memory."""
    if not isinstance(pixels, LazyArray):
        yield stored(pixels)
        return
    scratch = partial.with_name(partial.name + ".pixels")
    sample = stored(np.zeros((1,) * pixels.ndim, pixels.dtype))
    try:
        values = np.memmap(scratch, sample.dtype, "w+", shape=pixels.shape + sample.shape[pixels.ndim :])
        for place, part in runs(pixels):
            values[place] = stored(part)
        yield values
        del values
    finally:
        scratch.unlink(missing_ok=True)


def _options(extra: Mapping[str, Any]) -> dict[str, Any]:
    compression = extra.get("compression", 1)
    options: dict[str, Any] = {"compression": compression if compression in _KEPT else _DEFLATE}
    if extra.get("predictor") and options["compression"] in (5, 8, 32946):
        options["predictor"] = 2
    if "resolution" in extra:
        x, y, unit = extra["resolution"]
        options |= {"resolution": (tuple(x), tuple(y)), "resolutionunit": unit}
    if "tile" in extra:
        options["tile"] = tuple(extra["tile"])
    if "rows" in extra:
        options["rowsperstrip"] = extra["rows"]
    options["software"] = extra.get("software", False)
    return options


def _smaller(pixels: Any, height: int, width: int) -> Any:
    """A level of a pyramid: every n-th pixel, so that no new value appears."""
    if isinstance(pixels, LazyArray):
        return pixels.picked((*pixels.shape[:-2], height, width))
    picked = np.take(pixels, np.arange(height) * pixels.shape[-2] // height, axis=-2)
    return np.ascontiguousarray(np.take(picked, np.arange(width) * pixels.shape[-1] // width, axis=-1))


def write_new(path: Path, pixels: Any, grid: Grid) -> None:
    """Write an array ``(H, W)`` or ``(Z, H, W)`` with its spacing: OME-TIFF where that is known, else plain."""
    axes = "ZYX"[-pixels.ndim :]
    options: dict[str, Any] = {"photometric": "minisblack", "compression": _DEFLATE, "metadata": {"axes": axes}}
    ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    if grid.unit == "mm" and ome:
        options["metadata"] |= _ome_facts(grid)
    elif grid.unit == "mm":
        x, y = (10 / side for side in (grid.spacing[-1], grid.spacing[-2]))
        options |= {"resolution": (x, y), "resolutionunit": "CENTIMETER"}
        options["metadata"]["spacing"] = list(grid.spacing)
    with whole(path) as partial:
        with _in_place(pixels, lambda part: part, partial) as values:
            tifffile.imwrite(partial, values, ome=ome, software=False, **options)


def _ome_facts(grid: Grid) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for axis, side in zip("ZYX"[-len(grid.spacing) :], grid.spacing, strict=True):
        facts |= {f"PhysicalSize{axis}": side, f"PhysicalSize{axis}Unit": "mm"}
    return facts
