"""Arrays as zarr (version 3) lays them out on disk, read and written without its event loop.

zarr hands every access to other threads and back, some milliseconds each time and many more while training keeps the
processors busy; a stroke takes seven. The arrays of a project are of one kind only, numbers in chunks packed by blosc,
so this is all that it takes; zarr reads and writes them as its own.
"""

from __future__ import annotations

import itertools
import json
import os
from math import prod
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs import Blosc

from src_core.data.case import Box
from src_core.store.reading import read_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

METADATA = "zarr.json"
COMPLETE = "complete"
"""Attribute of arrays each of whose chunks has a file, also when it is all zeros: one that is missing was lost."""

_EDGES = {1: 65536, 2: 512, 3: 64}
"""Length of a chunk along each axis in space, px: a stroke rewrites little, and a whole image is still few files."""

BAND = 2**26
"""Masks of more pixels than this are worked on with their record band by band, px; also what is exported in strips."""

_LEVEL = 3
_GROUP = {"zarr_format": 3, "node_type": "group"}
_PACKED = [["bytes", "blosc"], ["bytes", "blosc", "crc32c"]]
_SEAL = 4  # bytes of a checksum
_HEADER = 16  # of blosc; the last four bytes are the length of the whole
_TYPES = frozenset(
    {"bool", "float16", "float32", "float64"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
)
_MOST = 2**40
_MOST_IN_A_CHUNK = 2**28
_MOST_AXES = 6
_packer = Blosc(cname="zstd", clevel=_LEVEL, shuffle=Blosc.AUTOSHUFFLE)

Slices = tuple[slice, ...]


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the chunks of an array; channels, at most four of them, stay together."""
    axes = len(shape) - 1 if len(shape) > 2 and shape[-1] <= 4 else len(shape)
    edge = _EDGES.get(axes, 32)
    return tuple(max(1, min(edge, length)) for length in shape[:axes]) + shape[axes:]


def write_group(folder: Path, attributes: dict[str, Any] | None = None) -> None:
    """Make a group, which is a folder of arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METADATA).write_text(json.dumps({**_GROUP, "attributes": attributes or {}}), encoding="utf-8")


def write_array(folder: Path, values: NDArray[Any]) -> None:
    """Make an array with its values, each chunk with a checksum.

    Parameters
    ----------
    folder : Path
        Of the array; may not exist.
    values : array
        Of numbers.

    Raises
    ------
    OSError
        If the disk is full or may not be written; what was written stays then.
    """
    values = np.asarray(values)
    new_array(folder, values.shape, values.dtype).write(Box.whole(values.shape), values)


def new_array(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], *, complete: bool = True) -> ChunkedArray:
    """Describe an array whose values are written afterwards: every chunk of it, unless ``complete`` is False.

    Only then may chunks be begun with a part of their values; :meth:`ChunkedArray.finish` says when all are there.

    Raises
    ------
    OSError
        As of :func:`write_array`.
    """
    folder.mkdir(parents=True)
    facts = _describe(shape, dtype.newbyteorder("<")) | {"attributes": {COMPLETE: True} if complete else {}}
    (folder / METADATA).write_text(json.dumps(facts), encoding="utf-8")
    return ChunkedArray(folder)


def strip_boxes(shape: tuple[int, ...]) -> list[Box]:
    """Boxes of whole chunks, beside each other along the first axis, that cover an array in the order of its values."""
    return band_boxes(shape, 0)


def band_boxes(shape: tuple[int, ...], most: int | None = None) -> list[Box]:
    """Boxes of whole strips that cover a mask in the order of its values, of ``most`` pixels where a strip has no more.

    What is worked on with its record is read so: a change is looked up once for each of them that it meets.
    """
    rows = chunk_shape(shape)[0]
    rows *= max(1, (BAND if most is None else most) // (rows * prod(shape[1:])))
    edges = range(0, shape[0], rows)
    return [Box((a, *(0,) * (len(shape) - 1)), (min(a + rows, shape[0]), *shape[1:])) for a in edges]


def _describe(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    """What zarr writes for such an array."""
    bytes_: dict[str, Any] = {"name": "bytes"}
    if dtype.itemsize > 1:
        bytes_["configuration"] = {"endian": "little"}
    shuffle = "shuffle" if dtype.itemsize > 1 else "bitshuffle"  # what blosc chooses by itself
    blosc = {"typesize": dtype.itemsize, "cname": "zstd", "clevel": _LEVEL, "shuffle": shuffle, "blocksize": 0}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk_shape(shape))}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": dtype.type(0).item(),
        "codecs": [bytes_, {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}],
    }


class ChunkedArray:
    """One array on disk.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    sealed : bool
        Its chunks have checksums.

    Raises
    ------
    OSError
        If it is missing.
    ValueError
        If its description makes no sense, or is of another kind of array than projects have.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        facts = read_object(folder / METADATA)
        try:
            codecs = [codec["name"] for codec in facts["codecs"]]
            if facts["zarr_format"] != 3 or codecs not in _PACKED or facts["chunk_grid"]["name"] != "regular":
                raise ValueError(f"arrays packed by {', '.join(codecs)} are not used in projects")
            self.shape = _sides(facts["shape"])
            self._chunks = _sides(facts["chunk_grid"]["configuration"]["chunk_shape"])
            if len(self.shape) != len(self._chunks) or not 0 < prod(self._chunks) <= _MOST_IN_A_CHUNK:
                raise ValueError(f"chunks of {self._chunks} do not fit an array of {self.shape}")
            if facts["data_type"] not in _TYPES:
                raise ValueError(f"arrays of {str(facts['data_type'])[:40]} are not used in projects")
            self.dtype = np.dtype(facts["data_type"]).newbyteorder("<")
            self._separator = facts["chunk_key_encoding"]["configuration"]["separator"]
            self._fill = self.dtype.type(facts["fill_value"])
            if self._separator not in (".", "/"):
                raise ValueError("its chunks have other names than in projects")
            self.sealed = "crc32c" in codecs
            self._complete = bool(facts.get("attributes", {}).get(COMPLETE))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{folder / METADATA} makes no sense: {error!r}") from error

    def read(self, box: Box | None = None) -> NDArray[Any]:
        """The values, or those of a box.

        Raises
        ------
        OSError
            If a chunk is missing that must have a file, or cannot be read.
        ValueError
            If a chunk is damaged.
        """
        box = self._full(box)
        values = np.empty(box.shape, self.dtype)
        for place, inside, of_box in self._parts(box):
            values[of_box] = self._block(place)[inside]
        return values

    def write(self, box: Box, values: NDArray[Any]) -> set[Path]:
        """Write the values of a box, each chunk whole or not at all.

        Returns
        -------
        set of Path
            Files and folders that were changed.

        Raises
        ------
        OSError, ValueError
            As in :meth:`read`, of a chunk that is changed in part; and if the disk is full or may not be written.
        """
        touched: set[Path] = set()
        for place, inside, of_box in self._parts(self._full(box)):
            part = values[of_box]
            whole = part.shape == self._extent(place)
            block = np.full(self._chunks, self._fill, self.dtype) if whole else self._block(place).copy()
            block[inside] = part
            touched |= self._put(self._file(place), block)
        return touched

    def finish(self) -> None:
        """Say that all was written: from now on each of its chunks must have a file.

        Raises
        ------
        OSError
            If the disk is full or may not be written.
        """
        path = self.folder / METADATA
        facts = {**read_object(path), "attributes": {COMPLETE: True}}
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(facts), encoding="utf-8")
        os.replace(partial, path)
        self._complete = True

    def _full(self, box: Box | None) -> Box:
        """A box may leave out the channels."""
        whole = Box.whole(self.shape)
        if box is None:
            return whole
        axes = len(box.start)
        return Box(box.start + whole.start[axes:], box.stop + whole.stop[axes:])

    def _parts(self, box: Box) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
        """Chunks that a box meets: place, the common part as seen from the chunk, and as seen from the box."""
        edges = list(zip(box.start, box.stop, self._chunks, strict=True))
        for place in itertools.product(*(range(a // step, -(-b // step)) for a, b, step in edges)):
            common = [
                (max(a, index * step), min(b, (index + 1) * step), index * step, a)
                for index, (a, b, step) in zip(place, edges, strict=True)
            ]
            inside = tuple(slice(low - corner, high - corner) for low, high, corner, _ in common)
            of_box = tuple(slice(low - start, high - start) for low, high, _, start in common)
            yield place, inside, of_box

    def _extent(self, place: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the part of a chunk that lies in the array."""
        return tuple(
            min(step, edge - index * step) for index, step, edge in zip(place, self._chunks, self.shape, strict=True)
        )

    def _file(self, place: tuple[int, ...]) -> Path:
        name: str = self._separator.join(["c", *map(str, place)])
        return self.folder / name

    def _block(self, place: tuple[int, ...]) -> NDArray[Any]:
        path = self._file(place)
        try:
            packed = path.read_bytes()
        except FileNotFoundError:
            if self._complete or not self.folder.is_dir():
                raise
            return np.full(self._chunks, self._fill, self.dtype)
        try:
            size = prod(self._chunks) * self.dtype.itemsize
            return np.frombuffer(unpack(packed, sealed=self.sealed, size=size), self.dtype).reshape(self._chunks)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error

    def _put(self, path: Path, block: NDArray[Any]) -> set[Path]:
        packed = pack(block, sealed=self.sealed)
        if self._separator == "/":
            path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_bytes(packed)
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        folders = itertools.takewhile(lambda folder: folder != self.folder.parent, path.parents)
        return {path, *folders}


def pack(values: NDArray[Any], *, sealed: bool = True) -> bytes:
    """Compress values, by default with a checksum at the end."""
    packed = bytes(_packer.encode(np.ascontiguousarray(values)))
    return packed + _seal(packed) if sealed else packed


def unpack(packed: bytes, *, sealed: bool = True, size: int | None = None) -> bytes:
    """What :func:`pack` was given, as bytes; ``size`` of them, if that is known.

    Raises
    ------
    ValueError, RuntimeError
        If it was cut short or changed.
    """
    if sealed:
        packed, told = packed[:-_SEAL], packed[-_SEAL:]
        if _seal(packed) != told:
            raise ValueError("it does not fit its checksum")
    if len(packed) < _HEADER or int.from_bytes(packed[12:16], "little") != len(packed):
        raise ValueError("it was cut short")
    if size is not None and int.from_bytes(packed[4:8], "little") != size:
        raise ValueError("it holds another number of values")
    values: bytes = _packer.decode(packed)
    return values


def _sides(values: Any) -> tuple[int, ...]:
    """A shape as it stands in a description: lengths from 0 on, whose product a machine may hold."""
    sound = isinstance(values, list) and len(values) <= _MOST_AXES and all(type(side) is int for side in values)
    if not sound or any(side < 0 for side in values) or prod(values) > _MOST:
        raise ValueError(f"a shape of {str(values)[:80]} makes no sense")
    return tuple(values)


def _seal(packed: bytes) -> bytes:
    value: int = google_crc32c.value(packed)
    return value.to_bytes(_SEAL, "little")
