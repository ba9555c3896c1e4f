"""From pairs of files to cases of a project: read, checked, and encoded as classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE, NO_MASK, MaskEncoding
from src_core.data.classes import ClassTable, MaskValues, infer_classes, read_classes
from src_core.errors import FormatError, InputError, MaskValueError, PairingError
from src_core.io.finding import find
from src_core.io.formats import NEW, entry_of, opened, read, suffix_of, usual_format
from src_core.io.geometry import find_turn, spread, turn_to_image, volume
from src_core.io.images import grey
from src_core.io.instances import one_class
from src_core.io.lazy import LazyArray, first_slice, strips
from src_core.io.picture import Grid, Picture
from src_core.io.remote import is_address, told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo, ClassInfo
    from src_core.io.pairs import Pair

GRID = "grid"
"""Key of an encoding's extra facts that tells where the image lies and how its mask file is turned."""


@dataclass(frozen=True)
class Source:
    """Everything that is to become a project, checked.

    Attributes
    ----------
    pairs : tuple of Pair
    table : ClassTable
    layout : str
        What the pairs were found as, in words.
    """

    pairs: tuple[Pair, ...]
    table: ClassTable
    layout: str = ""


@dataclass(frozen=True)
class Placed:
    """A mask on the axes of its image.

    Attributes
    ----------
    values : array or LazyArray, (H, W) or (Z, H, W)
        File values.
    file : Picture
        As it was read.
    turn : mapping or None
        How it was turned.
    """

    values: Any
    file: Picture
    turn: dict[str, list[int]] | None


def check_folders(
    images: str | Path,
    masks: str | Path | None = None,
    clean_masks: str | Path | None = None,
    classes_file: str | Path | None = None,
    *,
    unlabelled: bool = False,
    instances: bool = False,
) -> Source:
    """Look at every file once and list all that is wrong; see :func:`~src_core.io.finding.find` for what can be given.

    Raises
    ------
    PairingError
        With every unmatched, unreadable or unequal file.
    MaskValueError, InputError
        When the values of the masks cannot be turned into classes.
    """
    table = one_class() if instances else None
    if classes_file is not None:
        given = read_classes(Path(classes_file))
        if instances and [info.value for info in given.classes] != [0, 1]:
            raise InputError(f"The classes file {classes_file} must name 0 and 1 where masks number objects.")
        table = replace(given, instances=instances)
    found = find(images, masks, clean_masks, unlabelled=unlabelled)
    return check_pairs(found.pairs, table or found.table, found.layout)


def check_pairs(
    pairs: Sequence[Pair],
    table: ClassTable | None = None,
    layout: str = "",
    problem_of: Callable[[Path, Picture], str] | None = None,
) -> Source:
    """Look at every file once and list all that is wrong.

    Parameters
    ----------
    pairs : sequence of Pair
    table : ClassTable, optional
        What the values of the masks mean; found from the masks when left out.
    layout : str
        What the pairs were found as.
    problem_of : callable, optional
        Says why an image cannot be taken; empty when it can.

    Raises
    ------
    PairingError, MaskValueError, InputError
        As of :func:`check_folders`.
    """
    problems: list[str] = []
    values: list[MaskValues] = []
    labels: dict[int, tuple[str, str]] = {}
    for pair in pairs:
        values += _look(pair, table, problems, labels, problem_of)
    if problems:
        raise PairingError(problems)
    if table is None and not values:
        raise InputError("None of the images has a mask, so the classes are not known; give a classes file.")
    if table is None and labels:  # classes that the files name, although no pixel has them yet
        values.append(MaskValues("the mask files", dict.fromkeys([0, *labels], 0)))
    return Source(tuple(pairs), table or _named(infer_classes(values), labels), layout)


def _named(table: ClassTable, labels: dict[int, tuple[str, str]]) -> ClassTable:
    """The classes with the names and colours that the mask files have for them."""
    named = tuple(
        replace(info, name=labels[info.value][0] or info.name, color=labels[info.value][1] or info.color)
        if info.value in labels
        else info
        for info in table.classes
    )
    return replace(table, classes=named)


def _look(
    pair: Pair,
    table: ClassTable | None,
    problems: list[str],
    labels: dict[int, tuple[str, str]],
    problem_of: Callable[[Path, Picture], str] | None,
) -> list[MaskValues]:
    """Read the files of a pair, note problems, and return the values of its masks."""
    image, found = None, []
    try:
        image = _read_channels(pair)
        words = "" if problem_of is None else problem_of(pair.image, _flat(image))
        problems += [words] if words else []
    except FormatError as error:
        problems.append(str(error))
    for path in (pair.mask, pair.clean):
        if path is None:
            continue
        try:
            mask = open_mask(path)
            labels |= mask.labels
            if image is not None:
                place(mask, image, path, pair.image)
            parts = strips(mask.pixels, mask.space)
            if table is None:
                found.append(MaskValues.sum_of([MaskValues.of(part, str(path)) for part in parts]))
            else:
                for part in parts:
                    table.encode(part, str(path))
        except (FormatError, MaskValueError) as error:
            problems.append(str(error))
    return found


def read_image(path: Path) -> Picture:
    """Read an image; a grey one stored in three equal channels stays as it is. A stack of one slice is an image."""
    return _flat(_checked(path, read(path)))


def open_image(path: Path) -> Picture:
    """As :func:`read_image`, of a large file without reading it (:func:`~src_core.io.formats.opened`)."""
    return _flat(_checked(path, opened(path)))


def _checked(path: Path, picture: Picture) -> Picture:
    kind = picture.pixels.dtype.kind
    if kind not in "uif":
        raise FormatError(f"{path} holds values of type {picture.pixels.dtype}; expected whole numbers or floats.")
    if kind == "f" and not all(np.isfinite(part).all() for part in strips(picture.pixels, picture.space)):
        raise FormatError(f"{path} holds values that are no numbers (NaN or infinite); replace them first.")
    return picture


def _read_channels(pair: Pair) -> Picture:
    """The image of a pair as its file has it; further files are further channels."""
    image = _checked(pair.image, opened(pair.image))
    if not pair.more:
        return image
    parts = [np.asarray(image.pixels)]
    for path in pair.more:
        other = _checked(path, read(path))
        if find_turn(image, other, pair.image, path) is not None or other.pixels.ndim != image.pixels.ndim:
            raise FormatError(f"{path.name} is stored otherwise than {pair.image.name}; save all channels alike.")
        parts.append(other.pixels)
    return replace(image, pixels=np.stack(parts, axis=-1) if image.channels == 1 else np.concatenate(parts, axis=-1))


def _flat(picture: Picture) -> Picture:
    if picture.space == 2 or picture.shape[0] != 1:
        return picture
    grid = replace(picture.grid, spacing=picture.grid.spacing[1:])
    return replace(picture, pixels=first_slice(picture.pixels), space=2, grid=grid)


def read_mask(path: Path) -> Picture:
    """Read a mask as one channel of values, on the axes of its file.

    Raises
    ------
    MaskValueError
        If it is a colour image.
    """
    return _one_channel(path, read(path, mask=True))


def open_mask(path: Path) -> Picture:
    """As :func:`read_mask`, of a large file without reading it (:func:`~src_core.io.formats.opened`)."""
    return _one_channel(path, opened(path, mask=True))


def _one_channel(path: Path, picture: Picture) -> Picture:
    pixels = picture.pixels
    if pixels.ndim > picture.space:
        pixels = np.asarray(pixels)
        pixels = grey(pixels) if picture.space == 2 else pixels
    if pixels.ndim > picture.space:
        raise MaskValueError(
            f"{path} is a colour image; expected a mask with one class value a pixel; convert it first."
        )
    return replace(picture, pixels=pixels)


def place(mask: Picture, image: Picture, mask_path: Path | str, image_path: Path | str) -> Placed:
    """A mask on the axes of its image.

    Raises
    ------
    FormatError
        If they do not lie on one grid.
    """
    if mask.extra.get("partial"):
        mask = spread(image, mask)
    turn = find_turn(image, mask, image_path, mask_path)
    if isinstance(mask.pixels, LazyArray) and turn is None:
        flat = mask.space == 3 and mask.shape[0] == 1
        return Placed(first_slice(mask.pixels) if flat else mask.pixels, mask, None)
    values = turn_to_image(volume(np.asarray(mask.pixels), mask.space), turn)
    return Placed(values[0] if values.shape[0] == 1 else values, mask, turn)


def mask_encoding(path: Path, placed: Placed, table: ClassTable, grid: Grid) -> MaskEncoding:
    """How to write a cleaned mask so that it looks like its source."""
    where: dict[str, Any] = {}
    if placed.turn is not None:
        where["turn"] = placed.turn
    if placed.file.space != placed.values.ndim:
        where["space"] = placed.file.space
    if grid.affine is not None:
        where["affine"] = grid.affine
    if table.instances:
        where["instances"] = True
    return MaskEncoding(
        suffix=suffix_of(path) or path.suffix.lower(),
        dtype=str(placed.file.pixels.dtype),
        values={info.index: info.value for info in table.classes},
        ignore_value=table.ignore_value,
        mode=placed.file.mode,
        extra={**placed.file.extra, **({GRID: where} if where else {})},
    )


def grid_of_case(case: CaseInfo) -> Grid:
    """Where the image of a case lies."""
    affine = case.encoding.extra.get(GRID, {}).get("affine")
    rows = None if affine is None else tuple(tuple(row) for row in affine)
    return Grid(spacing=case.spacing, unit=case.unit, affine=rows)


def read_label_of(path: Path, case: CaseInfo, classes: tuple[ClassInfo, ...]) -> NDArray[np.uint8]:
    """Class indices of a mask of an image of a project, uint8, 255 where there is no label.

    Raises
    ------
    FormatError, MaskValueError
        If it cannot be read, does not lie on the grid of the image, or holds another value than the project's masks.
    """
    placed = _place_on(case, path)
    encoding = case.encoding
    table = ClassTable(
        classes=classes,
        ignore_value=encoding.ignore_value,
        smeared=entry_of(path).lossy,
        instances=encoding.extra.get(GRID, {}).get("instances", False),
    )
    return table.encode(placed.values, str(path))


def numbers_of(case: CaseInfo) -> NDArray[Any]:
    """Numbers of the objects in the mask that a case was made of.

    Raises
    ------
    InputError
        If it is not there any more, or another one.
    """
    path = Path(case.mask_path)
    if is_address(case.mask_path):
        from src_core.io.remote_stores import opened_at

        path = opened_at(case.mask_path)
    if not path.exists():
        raise InputError(f"The mask {path} is not there any more, so its objects cannot be numbered; put it back.")
    values: NDArray[Any] = _place_on(case, path).values
    return values.astype(np.int64) if values.dtype.kind == "f" else values


def _place_on(case: CaseInfo, path: Path) -> Placed:
    image = Picture(pixels=np.broadcast_to(np.uint8(0), case.shape), space=len(case.shape), grid=grid_of_case(case))
    return place(read_mask(path), image, path, case.name)


def load(pair: Pair, table: ClassTable) -> dict[str, Any]:
    """Arrays and facts of one pair, as keywords of :class:`~src_core.store.create.NewCase`."""
    file = _read_channels(pair)
    image = _flat(file)
    facts: dict[str, Any] = {
        "name": pair.name,
        "image": image.pixels,
        "clean": None,
        "spacing": image.grid.spacing,
        "unit": image.grid.unit,
        "image_path": told(pair.image),
        "mask_path": "",
    }
    masks = {path: place(open_mask(path), file, path, pair.image) for path in (pair.mask, pair.clean) if path}
    if pair.clean is not None:
        facts["clean"] = _encoded(table, masks[pair.clean].values, str(pair.clean))
    if pair.mask is not None:
        facts["mask_path"] = told(pair.mask)
        facts["given"] = _encoded(table, masks[pair.mask].values, str(pair.mask))
    else:
        facts["given"] = _unlabelled(image)
    like = pair.mask or pair.clean
    facts["encoding"] = mask_encoding(like, masks[like], table, image.grid) if like else _new_encoding(image, table)
    return facts


def _encoded(table: ClassTable, values: Any, where: str) -> Any:
    if isinstance(values, LazyArray):
        return values.mapped(lambda part: table.encode(part, where), np.uint8)
    return table.encode(values, where)


def _unlabelled(image: Picture) -> Any:
    """No label anywhere."""
    if isinstance(image.pixels, LazyArray):
        edges = "of an image without mask"
        return LazyArray(image.shape, np.uint8, lambda place: _no_label([one.stop - one.start for one in place]), edges)
    return _no_label(image.shape)


def _no_label(shape: Sequence[int]) -> NDArray[np.uint8]:
    return np.full(shape, IGNORE, dtype=np.uint8)


def _new_encoding(image: Picture, table: ClassTable) -> MaskEncoding:
    """How to write a mask of an image that had none: like the image where that loses nothing."""
    values = {info.index: info.value for info in table.classes}
    dtype = str(np.min_scalar_type(max(*values.values(), table.ignore_value or 0)))
    where = {} if image.grid.affine is None else {GRID: {"affine": image.grid.affine}}
    suffix = NEW[usual_format(image.shape, image.grid)][0]
    return MaskEncoding(
        suffix=suffix, dtype=dtype, values=values, ignore_value=table.ignore_value, extra={NO_MASK: True, **where}
    )
