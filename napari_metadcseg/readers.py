"""Files of the formats that projects are made of, as napari layers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import MaskValueError
from src_core.io.formats import read, stem_of, suffix_of
from src_core.io.sources import read_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from src_core.io.picture import Picture

LayerData = tuple[Any, dict[str, Any], str]

KEY = "metadcseg"
"""Where a layer keeps how its file was written, for the writer."""

_MASK_NAMES = re.compile(r"(?i)(^|[_.\- ])(mask|masks|label|labels|seg|segmentation|gt)($|[_.\- ])")


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """The reader, if every path is of a format of ours."""
    paths = [path] if isinstance(path, str) else list(path)
    return read_layers if paths and all(suffix_of(Path(each)) is not None for each in paths) else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Layers of one or several files: labels where the name or the format says that it is a mask, else images."""
    return [_layer(Path(each)) for each in ([path] if isinstance(path, str) else path)]


def _layer(path: Path) -> LayerData:
    if _MASK_NAMES.search(stem_of(path)) or path.name.lower().endswith(".seg.nrrd"):
        try:
            mask = read_mask(path)
        except MaskValueError:
            return _image(path)
        if mask.pixels.dtype.kind in "ui" or np.array_equal(mask.pixels, np.round(mask.pixels)):
            return _labels(path, mask)
    return _image(path)


def _facts(path: Path, picture: Picture) -> dict[str, Any]:
    return {"name": stem_of(path), "scale": picture.grid.spacing}


def _image(path: Path) -> LayerData:
    picture = read(path)
    rgb = picture.channels in (3, 4) and picture.pixels.dtype == np.uint8
    facts = _facts(path, picture)
    if picture.pixels.ndim > picture.space and not rgb:
        facts["channel_axis"] = picture.space
        facts["name"] = [f"{facts['name']} {number}" for number in range(picture.channels)]
    return picture.pixels, {**facts, "rgb": rgb} if rgb else facts, "image"


def _labels(path: Path, mask: Picture) -> LayerData:
    written = {
        "suffix": suffix_of(path),
        "dtype": str(mask.pixels.dtype),
        "mode": mask.mode,
        "extra": dict(mask.extra),
        "affine": mask.grid.affine,
        "unit": mask.grid.unit,
    }
    values = mask.pixels if mask.pixels.dtype.kind in "ui" else mask.pixels.astype(np.int64)
    return values, {**_facts(path, mask), "metadata": {KEY: written}}, "labels"
