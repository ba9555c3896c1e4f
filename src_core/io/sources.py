"""From pairs of files to cases of a project: read, checked, and encoded as classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import MaskEncoding
from src_core.data.classes import ClassTable, MaskValues, infer_classes, read_classes
from src_core.errors import FormatError, MaskValueError, PairingError
from src_core.io.images import LOSSY, Raster, grey, read
from src_core.io.pairs import Pair, find_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import ClassInfo


@dataclass(frozen=True)
class Source:
    """Everything that is to become a project, checked.

    Attributes
    ----------
    pairs : tuple of Pair
    table : ClassTable
    """

    pairs: tuple[Pair, ...]
    table: ClassTable


def check_folders(
    images: str | Path,
    masks: str | Path,
    clean_masks: str | Path | None = None,
    classes_file: str | Path | None = None,
) -> Source:
    """Look at every file once and list all that is wrong.

    Raises
    ------
    PairingError
        With every unmatched, unreadable or unequal file.
    MaskValueError, InputError
        When the values of the masks cannot be turned into classes.
    """
    pairs = find_pairs(Path(images), Path(masks), None if clean_masks is None else Path(clean_masks))
    table = None if classes_file is None else read_classes(Path(classes_file))
    problems: list[str] = []
    values: list[MaskValues] = []
    for pair in pairs:
        values += _look(pair, problems)
    if problems:
        raise PairingError(problems)
    return Source(tuple(pairs), table or infer_classes(values))


def _look(pair: Pair, problems: list[str]) -> list[MaskValues]:
    """Read the files of a pair, note problems, and return the values of its masks."""
    rasters: dict[Path, Raster] = {}
    for path in (pair.image, pair.mask, pair.clean):
        if path is None:
            continue
        try:
            rasters[path] = read_image(path) if path is pair.image else read_mask(path)
        except (FormatError, MaskValueError) as error:
            problems.append(str(error))
    image = rasters.get(pair.image)
    found = []
    for path in (pair.mask, pair.clean):
        mask = rasters.get(path) if path is not None else None
        if mask is None or path is None:
            continue
        if image is not None and mask.shape != image.shape:
            problems.append(
                f"{pair.image.name} is {image.shape[1]} x {image.shape[0]} px and its mask {path.name} "
                f"{mask.shape[1]} x {mask.shape[0]} px; expected the same size."
            )
        try:
            found.append(MaskValues.of(mask.pixels, str(path)))
        except MaskValueError as error:
            problems.append(str(error))
    return found


def read_image(path: Path) -> Raster:
    """Read an image; a grey one stored in three equal channels stays as it is."""
    raster = read(path)
    if raster.pixels.dtype.kind not in "uif":
        raise FormatError(f"{path} holds values of type {raster.pixels.dtype}; expected whole numbers or floats.")
    if raster.pixels.dtype.kind == "f" and not np.isfinite(raster.pixels).all():
        raise FormatError(f"{path} holds values that are no numbers (NaN or infinite); replace them first.")
    return raster


def read_mask(path: Path) -> Raster:
    """Read a mask as one channel of values.

    Raises
    ------
    MaskValueError
        If it is a colour image.
    """
    raster = read(path, indices=True)
    pixels = grey(raster.pixels)
    if pixels.ndim == 3:
        raise MaskValueError(
            f"{path} is a colour image; expected a mask with one class value a pixel; convert it first."
        )
    return Raster(pixels, raster.mode, raster.extra)


def mask_encoding(path: Path, raster: Raster, table: ClassTable) -> MaskEncoding:
    """How to write a cleaned mask so that it looks like its source."""
    return MaskEncoding(
        suffix=path.suffix.lower(),
        dtype=str(raster.pixels.dtype),
        values={info.index: info.value for info in table.classes},
        ignore_value=table.ignore_value,
        mode=raster.mode,
        extra=raster.extra,
    )


def encode_mask(path: Path, raster: Raster, table: ClassTable) -> NDArray[np.uint8]:
    """Class indices of a mask that was read."""
    return table.encode(raster.pixels, str(path))


def read_label(path: Path, classes: tuple[ClassInfo, ...], ignore_value: int | None) -> NDArray[np.uint8]:
    """Class indices of a mask with the values of a project's masks, uint8, 255 where there is no label.

    Raises
    ------
    FormatError, MaskValueError
        If it cannot be read, or holds another value.
    """
    smeared = path.suffix.lower() in LOSSY
    return encode_mask(path, read_mask(path), ClassTable(classes=classes, ignore_value=ignore_value, smeared=smeared))


def load(pair: Pair, table: ClassTable) -> dict[str, Any]:
    """Arrays and facts of one pair, as keywords of :class:`~src_core.store.create.NewCase`."""
    image, mask = read_image(pair.image), read_mask(pair.mask)
    clean = None if pair.clean is None else encode_mask(pair.clean, read_mask(pair.clean), table)
    return {
        "name": pair.name,
        "image": image.pixels,
        "given": encode_mask(pair.mask, mask, table),
        "clean": clean,
        "image_path": str(pair.image.resolve()),
        "mask_path": str(pair.mask.resolve()),
        "encoding": mask_encoding(pair.mask, mask, table),
    }
