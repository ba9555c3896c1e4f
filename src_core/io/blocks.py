"""Pixels behind a text header, as NRRD and MetaImage keep them: packed or not, in the same file or in one beside it."""

from __future__ import annotations

import bz2
import gzip
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import FormatError
from src_core.io.guard import DEFLATE_RATIO, broken, check_claim, check_inside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MAX_HEADER = 4 * 2**20
BZIP2_RATIO = 45_900_000 // 40
"""A block of 900 kB of one value takes some forty bytes, and bzip2 first writes runs shorter."""


def beside(path: Path, name: str) -> Path:
    """The file of pixels that a header names.

    Raises
    ------
    FormatError
        If it is a list or pattern, leads out of the folder of the header, or is missing.
    """
    if not name or name == "LIST" or name.startswith("LIST ") or "%" in name:
        raise FormatError(f"{path} names several files of pixels; save it as one file.")
    target = path.parent / name
    check_inside(target, path.parent)
    if not target.is_file():
        raise FormatError(f"{path} has its pixels in {name}, which is missing; put it beside it.")
    return target


def unpack(path: Path, data: bytes, encoding: str, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array from its bytes, native byte order; never more bytes than the header says.

    Raises
    ------
    FormatError
        If there are fewer, or the packing is broken.
    """
    ratios = {"raw": 1, "gzip": DEFLATE_RATIO, "zlib": DEFLATE_RATIO, "bzip2": BZIP2_RATIO}
    size = check_claim(path, shape, dtype.itemsize, len(data) * ratios[encoding])
    plain = data[:size] if encoding == "raw" else _unpacked(path, data, encoding, size)
    if len(plain) < size:
        raise broken(path, "it ends early")
    values = np.frombuffer(plain, dtype=dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _unpacked(path: Path, data: bytes, encoding: str, size: int) -> bytes:
    if encoding == "bzip2":
        small = bz2.BZ2Decompressor()
        return small.decompress(data, size)
    packed = zlib.decompressobj(31 if encoding == "gzip" else 15)
    plain = packed.decompress(data, size)
    rest = packed.decompress(packed.unconsumed_tail, 1)  # the checksum stands at the end
    if len(plain) == size and not rest and not packed.eof:
        raise broken(path, "it ends early")
    return plain


def pack(values: NDArray[Any], encoding: str) -> bytes:
    """The bytes of an array."""
    data = np.ascontiguousarray(values).tobytes()
    if encoding == "gzip":
        return gzip.compress(data, compresslevel=5, mtime=0)
    if encoding == "zlib":
        return zlib.compress(data, 5)
    return bz2.compress(data) if encoding == "bzip2" else data
