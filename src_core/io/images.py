"""PNG, JPEG and BMP, through Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from src_core.errors import FormatError, InputError
from src_core.io.guard import MAX_PIXELS, reading, whole
from src_core.io.picture import Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
LOSSY = frozenset({".jpg", ".jpeg"})
_PLANE = Grid(spacing=(1.0, 1.0))


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read one file.

    Parameters
    ----------
    path : Path
    mask : bool
        Give the indices of a palette file, else its colours.

    Raises
    ------
    FormatError
        If it is broken, or larger than 200 megapixels.
    """
    with reading(path), Image.open(path) as image:
        _check_size(path, image.height, image.width)
        mode, extra = image.mode, {}
        if image.info.get("dpi"):
            extra["dpi"] = [float(value) for value in image.info["dpi"]]
        if mode == "P" and mask:
            extra["palette"] = list(image.getpalette() or [])
            if image.info.get("transparency") is not None:
                extra["transparency"] = _transparency(image.info["transparency"])
        pixels, mode = _pixels(image, mode, mask)
    return Picture(pixels=pixels, space=2, grid=_PLANE, mode=mode, extra=extra)


def _transparency(value: Any) -> Any:
    return list(value) if isinstance(value, bytes) else value


def _pixels(image: Image.Image, mode: str, mask: bool) -> tuple[NDArray[Any], str]:
    if mode == "1":
        image.load()
        return np.asarray(image, dtype=np.uint8), mode
    if mode in ("LA", "La"):
        return np.array(image.convert("L")), "LA"
    if mode in ("P", "PA", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa") and not (mode == "P" and mask):
        return np.array(image.convert("RGB")), "RGBA" if mode == "RGBA" else "RGB"
    return np.array(image), mode


def _check_size(path: Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise FormatError(
            f"{path} claims to be {width} x {height} px; expected at most {MAX_PIXELS // 10**6} megapixels."
        )
    if not height or not width:
        raise FormatError(f"{path} has no pixels; replace or remove it.")


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
        As in :class:`~src_core.io.picture.Picture`.

    Raises
    ------
    StorageError
        If the disk is full or may not be written.
    InputError
        If the format cannot hold the pixels.
    """
    if pixels.ndim != 2:
        raise InputError(
            f"{path.name} cannot be written: PNG, JPEG and BMP hold single slices; export stacks as TIFF or NIfTI."
        )
    facts = extra or {}
    options: dict[str, Any] = {}
    if "dpi" in facts:
        options["dpi"] = tuple(facts["dpi"])
    if mode == "P" and "transparency" in facts:
        value = facts["transparency"]
        options["transparency"] = bytes(value) if isinstance(value, list) else value
    if path.suffix.lower() in LOSSY:
        options |= {"quality": 100, "subsampling": 0}
    with whole(path) as partial:
        _pillow_image(pixels, mode, facts).save(partial, **options)


def _pillow_image(pixels: NDArray[Any], mode: str, extra: Mapping[str, Any]) -> Image.Image:
    if mode == "1":
        return Image.fromarray((pixels > 0).astype(np.uint8) * 255).convert("1")
    if mode == "P":
        image = Image.fromarray(pixels.astype(np.uint8), mode="L")
        image.putpalette(list(extra.get("palette", [])) or list(np.repeat(np.arange(256), 3)))
        return image
    if mode in ("RGB", "RGBA", "LA"):
        return Image.merge(mode, _bands(pixels.astype(np.uint8), mode))
    if mode.startswith("I"):
        return Image.fromarray(pixels.astype(np.uint16 if "16" in mode else np.int32))
    return Image.fromarray(pixels)


def _bands(pixels: NDArray[np.uint8], mode: str) -> list[Image.Image]:
    band = Image.fromarray(pixels)
    opaque = Image.new("L", band.size, 255)
    return [opaque if name == "A" else band for name in mode]


def write_new(path: Path, pixels: NDArray[Any], grid: Grid) -> None:
    """Write an array ``(H, W)`` of whole numbers below 65536; PNG has no geometry.

    Raises
    ------
    InputError
        If it is a stack, or of another type.
    """
    if pixels.dtype.kind not in "bu" or pixels.dtype.itemsize > 2:
        if pixels.dtype.kind == "f" or pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
            raise InputError(f"{path.name} cannot be written: PNG holds whole numbers from 0 to 65535; choose TIFF.")
        pixels = pixels.astype(np.uint8 if pixels.max(initial=0) < 256 else np.uint16)
    write(path, pixels, mode="I;16" if pixels.dtype.itemsize == 2 else "L")
