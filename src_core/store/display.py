"""display.zarr: where the levels of large images are, beside the arrays that they are made of.

All of it can be made again from the project, so it may be deleted, is left out of copies, and is no part of what
``verify`` looks at. The levels of a run's maps are with its maps when they were made by scoring; for older runs they
are here.
"""

from __future__ import annotations

import shutil
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.store import chunks
from src_core.store.levels import Levels, is_large

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.data.case import CaseInfo
    from src_core.store.arrays import ArrayStore
    from src_core.store.levels import How

NAME = "display.zarr"
MASKS = ("label", "verified")
ARRAYS = ("image", *MASKS)
WITHIN = "levels"
"""Folder in that of an image's maps."""

MAPS: dict[str, tuple[Any, How]] = {
    "trust": (np.float32, "mean"),
    "alpha": (np.float32, "mean"),
    "beta": (np.float32, "mean"),
    "uncertainty": (np.float32, "mean"),
    "proposed": (np.uint8, "nearest"),
}
"""Maps that are shown, whose levels are made by scoring."""


def image_levels(root: Path, case: CaseInfo, dtype: Any, channels: tuple[int, ...]) -> Levels:
    """Levels of an image; ``channels`` is what its shape has beside that of the case."""
    return Levels(_folder(root, case.id) / "image", (*case.shape, *channels), dtype, "mean")


def mask_levels(root: Path, case: CaseInfo) -> dict[str, Levels]:
    """Levels of label and verified mask."""
    return {name: Levels(_folder(root, case.id) / name, case.shape, np.uint8, "nearest") for name in MASKS}


def is_complete(root: Path, case: CaseInfo) -> bool:
    """True when there are levels of an image and its masks."""
    return all(Levels(_folder(root, case.id) / name, (), np.uint8, "nearest").row is not None for name in ARRAYS)


def map_levels(root: Path, maps: Path, run: str, generation: int, case: CaseInfo, name: str) -> Levels:
    """Levels of a run's map: beside its maps, in their folder ``maps``, or else under ``root``."""
    dtype, how = MAPS.get(name, (np.float32, "mean"))
    found = Levels(maps / WITHIN / name, case.shape, dtype, how)
    if found.row is not None:
        return found
    return Levels(root / "runs" / run / str(generation) / f"{case.id:06d}" / name, case.shape, dtype, how)


def forget_runs(root: Path, run: str, generation: int) -> None:
    """Remove the levels of maps of a run that there are newer ones of."""
    folder = root / "runs" / run
    for old in folder.iterdir() if folder.is_dir() else ():
        if old.name != str(generation):
            shutil.rmtree(old, ignore_errors=True)


def write_case(root: Path, store: ArrayStore, case: CaseInfo, row: int) -> None:
    """Make the levels of a new image and its masks, if it is large.

    Raises
    ------
    OSError
        If the disk is full.
    """
    if not is_large(case.shape):
        return
    image = store.array(case.id, "image")
    levels = {"image": image_levels(root, case, image.dtype, image.shape[2:]), **mask_levels(root, case)}
    for name, each in levels.items():
        for _ in each.make(store.array(case.id, name).read, row):
            pass


def write_maps(scores: Path) -> None:
    """Make the levels of the maps of large images that are below a folder of scores and have none.

    Raises
    ------
    OSError
        If the disk is full.
    """
    for (name, (_, how)), folder in product(MAPS.items(), (scores / "cases").glob("*/")):
        if not (folder / name).is_dir():
            continue
        array = chunks.ChunkedArray(folder / name)
        if is_large(array.shape):
            chunks.write_group(folder / WITHIN)
            levels = Levels(folder / WITHIN / name, array.shape, array.dtype, how)
            for _ in levels.make(array.read, 0) if levels.row is None else ():  # kept ones come with theirs
                pass


def _folder(root: Path, case_id: int) -> Path:
    return root / "cases" / f"{case_id:06d}"
