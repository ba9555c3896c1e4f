"""Arrays of zarr v3 as files: new ones written in one go, and a store that knows which files were touched.

The layout of a file is zarr's own, and zarr reads and changes them. New arrays are written here since making them by
zarr takes several times longer, which shows in projects of thousands of images.
"""

from __future__ import annotations

import itertools
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numcodecs import Blosc
from numcodecs.checksum32 import CRC32C
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore, MemoryStore, StorePath

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from src_core.data.case import Box

METADATA = "zarr.json"
COMPLETE = "complete"
"""Attribute of arrays each of whose chunks has a file, also when it is all zeros: one that is missing was lost."""

_EDGES = {1: 65536, 2: 512, 3: 64}
"""Length of a chunk along each axis in space, px: a stroke rewrites little, and a whole image is still few files."""

_LEVEL = 3
_GROUP = {"zarr_format": 3, "node_type": "group"}


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
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    chunks = chunk_shape(values.shape)
    folder.mkdir(parents=True)
    corners = (range(0, edge, step) for edge, step in zip(values.shape, chunks, strict=True))
    for corner in itertools.product(*corners):
        block = values[tuple(slice(start, start + step) for start, step in zip(corner, chunks, strict=True))]
        if block.shape != chunks:
            block = np.pad(block, [(0, full - there) for full, there in zip(chunks, block.shape, strict=True)])
        place = (str(start // step) for start, step in zip(corner, chunks, strict=True))
        (folder / ".".join(["c", *place])).write_bytes(_encode(block))
    (folder / METADATA).write_text(_metadata(values.shape, chunks, values.dtype.str), encoding="utf-8")


def _encode(block: NDArray[Any]) -> bytes:
    compressed = Blosc(cname="zstd", clevel=_LEVEL, shuffle=Blosc.AUTOSHUFFLE).encode(np.ascontiguousarray(block))
    return bytes(CRC32C(location="end").encode(np.frombuffer(compressed, dtype=np.uint8)))


@lru_cache(maxsize=256)
def _metadata(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str) -> str:
    """What zarr writes for such an array."""
    array = zarr.create_array(
        MemoryStore(),
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        compressors=[BloscCodec(cname="zstd", clevel=_LEVEL), Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        attributes={COMPLETE: True},
        zarr_format=3,
    )
    return json.dumps(array.metadata.to_dict())


def open_array(store: TouchStore, key: str) -> Any:
    """An array of a store, as zarr's own; opening it by zarr itself takes several times longer.

    Raises
    ------
    OSError, ValueError, TypeError, KeyError
        If there is none, or its description makes no sense.
    """
    facts = json.loads((store.root / key / METADATA).read_text(encoding="utf-8"))
    array = zarr.Array.from_dict(StorePath(store, key), facts)
    if array.attrs.get(COMPLETE):
        store.complete.add(key)
        array = array.with_config({"write_empty_chunks": True})
    return array


def read_array(root: Path, key: str, box: Box | None = None) -> NDArray[Any]:
    """Values of an array, or of a box of it; raises what :func:`open_array` and zarr raise."""
    return np.asarray(open_array(TouchStore(root, read_only=True), key)[... if box is None else box.slices])


class TouchStore(LocalStore):  # type: ignore[misc]
    """A folder of arrays that remembers the files which were written, and misses chunks that should be there.

    Attributes
    ----------
    touched : set of Path
        Files that were written or removed; whoever takes care of them takes them out.
    complete : set of str
        Keys of arrays each of whose chunks must have a file.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self.touched: set[Path] = set()
        self.complete: set[str] = set()

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Value of a key; None when there is none.

        Raises
        ------
        FileNotFoundError
            If it is a chunk of a complete array.
        """
        return self._found(key, await super().get(key, prototype, byte_range))

    def get_sync(self, key: str, **how: Any) -> Buffer | None:
        """As :meth:`get`."""
        return self._found(key, super().get_sync(key, **how))

    def _found(self, key: str, value: Buffer | None) -> Buffer | None:
        if value is None and key.rpartition("/")[0] in self.complete:
            raise FileNotFoundError(f"{self.root / key} is missing")
        return value

    def _touch(self, key: str) -> None:
        """Note a file, and the folders between it and its array, which may be new."""
        path = self.root / key
        self.touched.update([path, *itertools.islice(path.parents, max(0, key.count("/") - 2))])

    async def set(self, key: str, value: Buffer) -> None:
        """Write a value, whole or not at all."""
        self._touch(key)
        await super().set(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """As :meth:`set`."""
        self._touch(key)
        super().set_sync(key, value)

    async def delete(self, key: str) -> None:
        """Remove a value."""
        self._touch(key)
        await super().delete(key)

    def delete_sync(self, key: str) -> None:
        """As :meth:`delete`."""
        self._touch(key)
        super().delete_sync(key)
