"""Reading and writing of raster files: PNG, JPEG, BMP through Pillow, TIFF through tifffile."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image

from src_core.errors import FormatError, InputError, storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MAX_PIXELS = 200_000_000
"""Files that claim to be larger are refused before memory is taken for them."""

PILLOW_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
SUFFIXES = PILLOW_SUFFIXES | TIFF_SUFFIXES
LOSSY = frozenset({".jpg", ".jpeg"})


@dataclass(frozen=True)
class Raster:
    """A file's pixels and how they were laid out.

    Attributes
    ----------
    pixels : array, (H, W) or (H, W, 3)
        dtype of the file; bilevel files as uint8 0/1, palettes as their indices when ``indices`` was asked for.
    mode : str
        ``1``, ``L``, ``P``, ``RGB``, ``I;16`` … for writing it the same way.
    extra : mapping
        Palette, compression, resolution: JSON-serialisable.
    """

    pixels: NDArray[Any]
    mode: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


def read(path: Path, *, indices: bool = False) -> Raster:
    """Read one file.

    Parameters
    ----------
    path : Path
    indices : bool
        Give the indices of a palette file, as for masks, else its colours.

    Raises
    ------
    FormatError
        If it is of a format that is not supported, broken, larger than 200 megapixels or has more than one page.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FormatError(
            f"{path} cannot be read: {suffix or 'a name without ending'} is not supported; expected one of "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raster = _read_tiff(path) if suffix in TIFF_SUFFIXES else _read_pillow(path, indices=indices)
    except FormatError:
        raise
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError, EOFError) as error:
        raise _broken(path) from error
    except (RuntimeError, ArithmeticError, MemoryError, Image.DecompressionBombError) as error:
        raise _broken(path) from error
    return raster


def _broken(path: Path) -> FormatError:
    return FormatError(f"{path} cannot be read: the file is broken or not what its name says; replace or remove it.")


def _check_size(path: Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise FormatError(
            f"{path} claims to be {width} x {height} px; expected at most {MAX_PIXELS // 10**6} megapixels."
        )
    if not height or not width:
        raise FormatError(f"{path} has no pixels; replace or remove it.")


def _read_pillow(path: Path, *, indices: bool) -> Raster:
    with Image.open(path) as image:
        _check_size(path, image.height, image.width)
        mode, extra = image.mode, {}
        if image.info.get("dpi"):
            extra["dpi"] = [float(value) for value in image.info["dpi"]]
        if mode == "P" and indices:
            extra["palette"] = list(image.getpalette() or [])
        elif mode == "1":
            image.load()
            return Raster(np.asarray(image, dtype=np.uint8), mode, extra)
        elif mode in ("P", "PA", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
            return Raster(np.array(image.convert("RGB")), "RGB", extra)
        elif mode == "LA":
            return Raster(np.array(image.convert("L")), "L", extra)
        return Raster(np.array(image), mode, extra)


def _read_tiff(path: Path) -> Raster:
    with tifffile.TiffFile(path) as file:
        if len(file.pages) != 1:
            raise FormatError(
                f"{path} has {len(file.pages)} pages; expected one image a file; save its slices as single files."
            )
        page = file.pages[0]
        _check_size(path, int(page.imagelength), int(page.imagewidth))
        pixels = page.asarray()
        extra: dict[str, Any] = {"compression": int(page.compression)}
        resolution = _tiff_resolution(page)
        if resolution:
            extra["resolution"] = resolution
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        pixels = pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[..., :3]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise FormatError(f"{path} has an array of shape {pixels.shape}; expected a grey or RGB image.")
    if pixels.dtype == bool:
        return Raster(pixels.astype(np.uint8), "1", extra)
    return Raster(pixels, "RGB" if pixels.ndim == 3 else "L", extra)


def _tiff_resolution(page: Any) -> list[Any] | None:
    tags = page.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    unit = tags["ResolutionUnit"].value if "ResolutionUnit" in tags else 1
    return [list(map(int, tags["XResolution"].value)), list(map(int, tags["YResolution"].value)), int(unit)]


def grey(pixels: NDArray[Any]) -> NDArray[Any]:
    """One channel of an image that is grey in all of them (a little smear is allowed); colour stays as it is."""
    if pixels.ndim == 3 and np.ptp(pixels.astype(np.int64), axis=2).max(initial=0) <= 16:
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


# -------------------------------------------------------------------- writing


def write(path: Path, pixels: NDArray[Any], *, mode: str = "L", extra: Mapping[str, Any] | None = None) -> None:
    """Write one file, whole or not at all.

    Parameters
    ----------
    path : Path
        Its ending decides the format.
    pixels : array, (H, W)
    mode, extra
        As in :class:`Raster`.

    Raises
    ------
    StorageError
        If the disk is full or may not be written.
    InputError
        If the format cannot hold the pixels.
    """
    suffix = path.suffix.lower()
    writer: Callable[[Path, NDArray[Any], str, Mapping[str, Any]], None]
    if suffix in TIFF_SUFFIXES:
        writer = _write_tiff
    elif suffix in PILLOW_SUFFIXES:
        writer = _write_pillow
    else:
        raise InputError(
            f"{path} cannot be written: {suffix} is not supported; expected one of {', '.join(sorted(SUFFIXES))}."
        )
    partial = path.with_name(f".{path.stem}.partial{suffix}")
    with storage_errors(path, "Files written before it are complete."):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            writer(partial, pixels, mode, extra or {})
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def _write_pillow(path: Path, pixels: NDArray[Any], mode: str, extra: Mapping[str, Any]) -> None:
    options: dict[str, Any] = {}
    if "dpi" in extra:
        options["dpi"] = tuple(extra["dpi"])
    if path.suffix.lower() in LOSSY:
        options |= {"quality": 100, "subsampling": 0}
    image = _pillow_image(pixels, mode, extra)
    image.save(path, **options)


def _pillow_image(pixels: NDArray[Any], mode: str, extra: Mapping[str, Any]) -> Image.Image:
    if mode == "1":
        return Image.fromarray((pixels > 0).astype(np.uint8) * 255).convert("1")
    if mode == "P":
        image = Image.fromarray(pixels.astype(np.uint8), mode="L")
        image.putpalette(list(extra.get("palette", [])) or list(np.repeat(np.arange(256), 3)))
        return image
    if mode == "RGB" and pixels.ndim == 2:
        return Image.fromarray(np.repeat(pixels[..., None], 3, axis=2).astype(np.uint8))
    if mode.startswith("I"):
        return Image.fromarray(pixels.astype(np.uint16 if "16" in mode else np.int32))
    return Image.fromarray(pixels)


def _write_tiff(path: Path, pixels: NDArray[Any], mode: str, extra: Mapping[str, Any]) -> None:
    options: dict[str, Any] = {}
    compression = extra.get("compression", 1)
    if compression in (1, 5, 7, 8, 32773, 32946, 34925, 50000):
        options["compression"] = compression
    if compression == 7:  # a lossy mask would not come back as it is
        options["compression"] = 8
    if "resolution" in extra:
        x, y, unit = extra["resolution"]
        options |= {"resolution": (tuple(x), tuple(y)), "resolutionunit": unit}
    if mode == "1":
        pixels = pixels > 0
    if mode == "RGB" and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(path, pixels, photometric=photometric, **options)
