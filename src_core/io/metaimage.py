"""MetaImage: .mha, and .mhd with its pixels beside it.

A mask is written back with the very header that it was read with; only the size of packed pixels and the name of their
file are new.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import FormatError
from src_core.io.blocks import MAX_HEADER, beside, pack, unpack
from src_core.io.geometry import LPS, check_spacing, grid_of
from src_core.io.guard import broken, reading, whole
from src_core.io.picture import Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".mha", ".mhd")
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read one file.

    Raises
    ------
    FormatError
    """
    with reading(path):
        header, data = _split(path)
        fields = _fields(path, header)
        sizes = [int(size) for size in fields["DimSize"].split()]
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        if len(sizes) not in (2, 3) or (mask and channels != 1) or not 1 <= channels <= 1024:
            raise FormatError(
                f"{path} has {len(sizes)} axes and {channels} channels; expected 2 or 3 axes"
                f"{' and one value a pixel' if mask else ''}."
            )
        name = fields["ElementDataFile"]
        if name.upper() != "LOCAL":
            data = beside(path, name).read_bytes()
        data = data[max(int(fields.get("HeaderSize", "0")), 0) :] if name.upper() != "LOCAL" else data
        dtype = _dtype(path, fields)
        encoding = "zlib" if _true(fields.get("CompressedData", "")) else "raw"
        shape = [*sizes[::-1], *([channels] if channels > 1 else [])]
        pixels = unpack(path, data, encoding, shape, dtype)
        grid = _grid(path, fields, len(sizes))
    ending = "" if name.upper() == "LOCAL" else ".zraw" if encoding == "zlib" else ".raw"
    extra = {"header": header.decode("latin-1"), "dtype": dtype.str, "encoding": encoding, "beside": ending}
    return Picture(pixels=pixels, space=len(sizes), grid=grid, extra=extra)


def _split(path: Path) -> tuple[bytes, bytes]:
    content = path.read_bytes()
    end = re.search(rb"(?m)^ElementDataFile *=[^\n]*(\n|\Z)", content[:MAX_HEADER])
    if end is None:
        raise broken(path)
    return content[: end.end()], content[end.end() :]


def _fields(path: Path, header: bytes) -> dict[str, str]:
    parts = (line.partition("=") for line in header.decode("utf-8", "replace").splitlines() if "=" in line)
    fields = {key.strip(): value.strip() for key, _, value in parts}
    lacking = [name for name in ("DimSize", "ElementType") if name not in fields]
    if lacking:
        raise broken(path, f"its header does not say its {' and '.join(lacking)}")
    return fields


def _true(text: str) -> bool:
    return text.lower() in ("true", "1")


def _dtype(path: Path, fields: Mapping[str, str]) -> np.dtype[Any]:
    code = _TYPES.get(fields["ElementType"].upper().removesuffix("_ARRAY"))
    if code is None:
        raise FormatError(f"{path} holds values of type {fields['ElementType']}; expected whole numbers or floats.")
    big = _true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")))
    return np.dtype(code).newbyteorder(">" if big else "<")


def _numbers(fields: Mapping[str, str], names: tuple[str, ...], count: int) -> list[float] | None:
    text = next((fields[name] for name in names if name in fields), "")
    numbers = [float(part) for part in text.split()]
    return numbers if len(numbers) == count else None


def _grid(path: Path, fields: Mapping[str, str], space: int) -> Grid:
    spacing = _numbers(fields, ("ElementSpacing", "ElementSize"), space)
    if spacing is None:
        return Grid(spacing=(1.0,) * space)
    checked = check_spacing(tuple(spacing), path)
    if space == 2:
        return Grid(spacing=checked[::-1], unit="mm")
    directions = _numbers(fields, ("TransformMatrix", "Rotation", "Orientation"), 9) or list(np.eye(3).ravel())
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(directions).reshape(3, 3).T * np.array(checked)
    matrix[:3, 3] = _numbers(fields, ("Offset", "Position", "Origin"), 3) or (0, 0, 0)
    return grid_of((LPS @ matrix)[:, [2, 1, 0, 3]], path)


# ------------------------------------------------------------------ writing


def companions(path: Path, extra: Mapping[str, Any]) -> list[Path]:
    """Files that are written beside a path."""
    return [path.with_suffix(extra["beside"])] if extra.get("beside") else []


def write(path: Path, pixels: NDArray[Any], *, mode: str = "L", extra: Mapping[str, Any]) -> None:
    """Write a mask ``(H, W)`` or ``(Z, H, W)`` as the file that ``extra`` was read from."""
    data, header = pack(pixels.astype(np.dtype(extra["dtype"])), extra["encoding"]), extra["header"]
    header = re.sub(r"(?m)^(CompressedDataSize\s*=\s*)\d+", lambda found: f"{found[1]}{len(data)}", header)
    for other in companions(path, extra):
        start = re.search(r"(?m)^ElementDataFile\s*=\s*", header)
        assert start is not None
        header = re.sub(r"(?m)^(HeaderSize\s*=\s*)\d+", r"\g<1>0", header[: start.end()]) + other.name + "\n"
        with whole(other) as partial:
            partial.write_bytes(data)
        data = b""
    with whole(path) as partial:
        partial.write_bytes(header.encode("latin-1") + data)
