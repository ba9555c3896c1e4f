"""OME-Zarr 0.4 and 0.5: the first image of a store, its largest level, read through zarr.

Axes are those that the store names. A mask is written back with the same attributes, and every array with the same
description (chunks, codecs, type); smaller levels hold every n-th pixel, so that no new value appears. A store that
holds labels beside its image gives the first of them when a mask is asked for.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from src_core.errors import FormatError
from src_core.io.geometry import check_spacing
from src_core.io.guard import broken, check_claim, check_inside, check_tree, reading, whole
from src_core.io.lazy import LAZY_FROM, STRIP_ROWS, LazyArray, arranged, runs
from src_core.io.picture import Grid, Picture
from src_core.io.remote import address_of, reaching, store_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".ome.zarr", ".zarr")
IN_STRIPS = True
RATIO = 100_000
"""The most that one byte of a chunk may turn into: codecs such as blosc pack a constant chunk into some bytes."""

MAX_META = 8 * 2**20
_MM = {
    "millimeter": 1.0,
    "micrometer": 1e-3,
    "nanometer": 1e-6,
    "centimeter": 10.0,
    "meter": 1e3,
    "angstrom": 1e-7,
}


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read a store.

    Parameters
    ----------
    path : Path
        A folder.
    mask : bool
        Expect one value a pixel: the store itself if it is a mask, else the first of its labels.

    Raises
    ------
    FormatError
    """
    with reading(path):
        check_tree(path)
        store = _Store(path, mask)
        pixels = _pixels(store)
        order, kept = _order(path, store.array.shape, store.axes, mask)
        single = tuple(k for k in range(pixels.ndim) if k not in order)
        ordered = np.ascontiguousarray(pixels.transpose([*order, *single]).reshape([pixels.shape[k] for k in order]))
    return store.picture(ordered, kept)


def open_lazily(path: Path, *, mask: bool = False) -> Picture | None:
    """Open a large store without reading it; None when it is small."""
    with reading(path):
        store = _Store(path, mask)
        if store.array.nbytes < LAZY_FROM:
            return None
        check_tree(path)
        store.check_claim(lazily=True)
        order, kept = _order(path, store.array.shape, store.axes, mask)
    dtype = store.array.dtype.newbyteorder("=")
    return store.picture(arranged(_Guarded(path, store.array), order, dtype, str(path)), kept)


class _Guarded:
    """A zarr array whose faults are told in a sentence."""

    def __init__(self, path: Path, array: zarr.Array[Any]) -> None:
        self.shape = array.shape
        self._path, self._array = path, array

    def __getitem__(self, place: tuple[slice, ...]) -> Any:
        with reading(self._path), reaching(self._path):
            return self._array[place]


class _Store:
    """What a store says of its largest level.

    Parameters
    ----------
    path : Path
    mask : bool
        Take its labels.
    """

    def __init__(self, path: Path, mask: bool) -> None:
        self.path = path
        self.folder = _labels(path) if mask else path
        self.attributes, self.version = attributes_of(self.folder)
        multiscale = multiscale_of(path, self.attributes)
        self.axes = _axes(path, multiscale)
        levels = [str(level["path"]) for level in multiscale["datasets"]]
        self.described = [_described(self.folder, level) for level in levels]
        self.level = self.folder / levels[0]
        with reaching(path):
            self.array = zarr.open_array(store_of(self.level), mode="r", zarr_format=self.version)
        if self.array.dtype.kind not in "uifb":
            raise FormatError(f"{path} holds values of type {self.array.dtype}; expected whole numbers or floats.")
        if self.array.ndim != len(self.axes):
            raise broken(path, f"{len(self.axes)} axes are named and there are {self.array.ndim}")
        self.spacing, self.unit = _spacing(path, multiscale, self.axes)

    def check_claim(self, *, lazily: bool = False) -> None:
        """Compare its size with that of its files."""
        array, folder = self.array, self.folder
        if address_of(folder) is not None:  # its files are somewhere else
            check_claim(folder, array.chunks, array.dtype.itemsize)
            check_claim(folder, array.shape, array.dtype.itemsize, lazily=lazily)
            return
        files = [file.stat().st_size for file in self.level.rglob("*") if file.is_file()]
        chunks = math.prod(array.chunks) * array.dtype.itemsize
        check_claim(folder, array.chunks, array.dtype.itemsize, sum(files) * RATIO)
        most = max(sum(files) * RATIO, chunks * len(files))
        check_claim(folder, array.shape, array.dtype.itemsize, most, lazily=lazily)

    def picture(self, pixels: Any, kept: str) -> Picture:
        """The image with these pixels, on the axes ``kept``."""
        space = 3 if "z" in kept else 2
        extra = {
            "version": self.version,
            "attributes": self.attributes,
            "levels": self.described,
            "axes": self.axes,
        }
        sides = tuple(self.spacing[self.axes.index(axis)] for axis in "zyx"[-space:])
        grid = Grid(spacing=check_spacing(sides, self.path), unit=self.unit)
        return Picture(pixels=pixels, space=space, grid=grid, extra=extra, labels=_names(self.attributes))


def _json(file: Path) -> dict[str, Any]:
    if file.stat().st_size > MAX_META:
        raise broken(file)
    values = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise broken(file)
    return values


def attributes_of(folder: Path) -> tuple[dict[str, Any], int]:
    """What a group says of itself, and the version of zarr."""
    if (folder / "zarr.json").is_file():
        return dict(_json(folder / "zarr.json").get("attributes", {})), 3
    return _json(folder / ".zattrs"), 2


def content_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What OME says in the attributes of a group, in either version."""
    return dict(attributes.get("ome", attributes))


def _labels(path: Path) -> Path:
    """The folder of the mask in a store."""
    attributes, _ = attributes_of(path)
    if "image-label" in content_of(attributes) or not (path / "labels").is_dir():
        return path
    names = content_of(attributes_of(path / "labels")[0]).get("labels", [])
    if len(names) != 1:
        raise FormatError(f"{path} holds {len(names)} labels; expected one; give the store of labels itself.")
    check_inside(path / "labels" / str(names[0]), path)
    return path / "labels" / str(names[0])


def multiscale_of(path: Path, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The first image of a group; FormatError when there is none."""
    found = content_of(attributes).get("multiscales")
    if not isinstance(found, list) or not found or not found[0].get("datasets"):
        raise FormatError(
            f"{path} is a zarr store without an OME-Zarr image (multiscales); expected version 0.4 or 0.5."
        )
    return dict(found[0])


def _axes(path: Path, multiscale: Mapping[str, Any]) -> str:
    axes = [axis["name"] if isinstance(axis, dict) else axis for axis in multiscale.get("axes", "tczyx")]
    text = "".join(str(axis) for axis in axes)
    if any(len(str(axis)) != 1 or axis not in "tczyx" for axis in axes) or len(set(axes)) != len(axes):
        raise FormatError(f"{path} has the axes {', '.join(map(str, axes))[:80]}; expected some of t, c, z, y, x.")
    if "y" not in text or "x" not in text:
        raise FormatError(f"{path} has no axes y and x; expected an image.")
    return text


def _described(folder: Path, level: str) -> dict[str, Any]:
    check_inside(folder / level, folder)
    for name in ("zarr.json", ".zarray"):
        if (folder / level / name).is_file():
            facts = {"path": level, "facts": _json(folder / level / name)}
            more = folder / level / ".zattrs"
            return {**facts, "attributes": _json(more)} if more.is_file() else facts
    raise broken(folder, f"its level {level[:80]!r} is missing")


def _pixels(store: _Store) -> NDArray[Any]:
    store.check_claim()
    with reaching(store.path):
        values = np.asarray(store.array[...])
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _spacing(path: Path, multiscale: Mapping[str, Any], axes: str) -> tuple[list[float], str]:
    """Size of a pixel along every axis; mm where the axes of space have a unit of length."""
    steps = [1.0] * len(axes)
    for holder in (multiscale["datasets"][0], multiscale):
        for step in holder.get("coordinateTransformations", []):
            if step.get("type") == "scale":
                scale = [float(side) for side in step["scale"]]
                if len(scale) != len(axes):
                    raise broken(path, "its scale has another number of axes")
                steps = [a * b for a, b in zip(steps, scale, strict=True)]
    units = {axis["name"]: axis.get("unit") for axis in multiscale.get("axes", []) if isinstance(axis, dict)}
    factor = _MM.get(str(units.get("x")))
    if factor is None:
        return steps, "px"
    return [side * factor if axis in "zyx" else side for side, axis in zip(steps, axes, strict=True)], "mm"


def _order(path: Path, shape: tuple[int, ...], axes: str, mask: bool) -> tuple[list[int], str]:
    """Axes with slices first and channels last, and what is kept; those of length one that are neither are dropped."""
    kept = "".join(axis for k, axis in enumerate(axes) if axis in "zyx" or shape[k] > 1)
    if "t" in kept or (mask and "c" in kept):
        axis, what = ("t", "time points") if "t" in kept else ("c", "channels")
        raise FormatError(
            f"{path} has {shape[axes.index(axis)]} {what}; expected one {'mask' if mask else 'image or stack'}."
        )
    return [axes.index(axis) for axis in "zyxc" if axis in kept], kept


def _names(attributes: Mapping[str, Any]) -> dict[int, tuple[str, str]]:
    """Names and colours that a store of labels has for its values."""
    label = content_of(attributes).get("image-label", {})
    labels: dict[int, tuple[str, str]] = {}
    for item in label.get("colors", []):
        rgba = item.get("rgba")
        if isinstance(rgba, list) and len(rgba) >= 3:
            labels[int(item["label-value"])] = ("", "#" + "".join(f"{int(part) & 255:02x}" for part in rgba[:3]))
    for item in label.get("properties", []):
        name = next((str(item[key]) for key in ("name", "class", "label") if key in item), "")
        value = int(item["label-value"])
        labels[value] = (name, labels.get(value, ("", ""))[1])
    return labels


# ------------------------------------------------------------------ writing


def write(path: Path, pixels: Any, *, mode: str = "L", extra: Mapping[str, Any]) -> None:
    """Write a mask ``(H, W)`` or ``(Z, H, W)`` as the store that ``extra`` was read from."""
    axes = extra["axes"]
    own = "zyx"[-pixels.ndim :]
    values = _on_axes(pixels, own, axes)
    with whole(path) as partial:
        partial.mkdir()
        _write_group(partial, extra["attributes"], extra["version"])
        for level in extra["levels"]:
            _write_level(partial, level, values, extra["version"])


def _on_axes(pixels: Any, own: str, axes: str) -> Any:
    """Pixels on the axes of a store; those that they have not are of length one."""
    order = [own.index(axis) for axis in axes if axis in own]
    shape = [pixels.shape[own.index(axis)] if axis in own else 1 for axis in axes]
    if not isinstance(pixels, LazyArray):
        return pixels.transpose(order).reshape(shape)

    def read(place: tuple[slice, ...]) -> NDArray[Any]:
        wanted = [place[axes.index(axis)] for axis in own]
        return pixels[tuple(wanted)].transpose(order).reshape([part.stop - part.start for part in place])

    return LazyArray(shape, pixels.dtype, read)


def _fill(array: zarr.Array[Any], values: Any) -> None:
    """Write all values; those of a LazyArray by whole chunks of the store."""
    if not isinstance(values, LazyArray):
        array[...] = values.astype(array.dtype)
        return
    sizes = array.shards or array.chunks
    axis = next((k for k, side in enumerate(values.shape) if side > 1), 0)
    rows = sizes[axis] * max(1, STRIP_ROWS[min(max(values.ndim, 2), 3)] // sizes[axis])
    for place, part in runs(values, rows):
        array[place] = part.astype(array.dtype)


def _write_group(folder: Path, attributes: Mapping[str, Any], version: int) -> None:
    if version == 3:
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (folder / "zarr.json").write_text(json.dumps(group, indent=2), encoding="utf-8")
        return
    (folder / ".zgroup").write_text('{"zarr_format": 2}', encoding="utf-8")
    (folder / ".zattrs").write_text(json.dumps(attributes, indent=2), encoding="utf-8")


def _write_level(folder: Path, level: Mapping[str, Any], values: Any, version: int) -> None:
    target = folder / level["path"]
    check_inside(target, folder)
    target.mkdir(parents=True)
    name = "zarr.json" if version == 3 else ".zarray"
    (target / name).write_text(json.dumps(level["facts"], indent=2), encoding="utf-8")
    if "attributes" in level:
        (target / ".zattrs").write_text(json.dumps(level["attributes"], indent=2), encoding="utf-8")
    array = zarr.open_array(str(target), mode="r+", zarr_format=version)
    if isinstance(values, LazyArray):
        values = values.picked(array.shape)
    else:
        for axis, (have, want) in enumerate(zip(values.shape, array.shape, strict=True)):
            if have != want:
                values = np.take(values, np.arange(want) * have // want, axis=axis)
    _fill(array, values)


def write_new(path: Path, pixels: Any, grid: Grid) -> None:
    """Write an array ``(H, W)`` or ``(Z, H, W)`` with its spacing, as OME-Zarr 0.5 of one level."""
    axes = "zyx"[-pixels.ndim :]
    unit = {"unit": "millimeter"} if grid.unit == "mm" else {}
    multiscale = {
        "name": path.name.partition(".")[0],
        "axes": [{"name": axis, "type": "space", **unit} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(grid.spacing)}]}],
    }
    chunks = tuple(min(side, 64 if pixels.ndim == 3 else 512) for side in pixels.shape)
    with whole(path) as partial:
        partial.mkdir()
        _write_group(partial, {"ome": {"version": "0.5", "multiscales": [multiscale]}}, 3)
        array = zarr.create_array(str(partial / "0"), shape=pixels.shape, chunks=chunks, dtype=pixels.dtype)
        _fill(array, pixels)
