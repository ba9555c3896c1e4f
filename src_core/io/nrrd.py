"""NRRD, with its pixels in the file (.nrrd) or beside it (.nhdr); also segmentations of 3D Slicer (.seg.nrrd).

A mask is written back with the very header that it was read with, so fields that only other programs know stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import FormatError
from src_core.io.blocks import MAX_HEADER, beside, pack, unpack
from src_core.io.geometry import LPS, check_spacing, diagonal, grid_of
from src_core.io.guard import broken, reading, whole
from src_core.io.picture import Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".seg.nrrd", ".nrrd", ".nhdr")
_TYPES = {
    "i1": ("int8", "int8_t", "signed char"),
    "u1": ("uint8", "uint8_t", "uchar", "unsigned char"),
    "i2": ("int16", "int16_t", "short", "short int", "signed short", "signed short int"),
    "u2": ("uint16", "uint16_t", "ushort", "unsigned short", "unsigned short int"),
    "i4": ("int32", "int32_t", "int", "signed int"),
    "u4": ("uint32", "uint32_t", "uint", "unsigned int"),
    "i8": ("int64", "int64_t", "longlong", "long long", "long long int", "signed long long", "signed long long int"),
    "u8": ("uint64", "uint64_t", "ulonglong", "unsigned long long", "unsigned long long int"),
    "f4": ("float",),
    "f8": ("double",),
}
TYPES = {name: code for code, names in _TYPES.items() for name in names}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_SPACES = {
    "right-anterior-superior": np.eye(4),
    "ras": np.eye(4),
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0, 1.0]),
    "las": np.diag([-1.0, 1.0, 1.0, 1.0]),
    "left-posterior-superior": LPS,
    "lps": LPS,
}
_UNITS = {"mm": 1.0, "millimeter": 1.0, "cm": 10.0, "m": 1e3, "um": 1e-3, "µm": 1e-3, "microns": 1e-3, "nm": 1e-6}
_SPATIAL = ("domain", "space", "???", "none", "")


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read one file; an axis that is not of space is channels.

    Raises
    ------
    FormatError
    """
    with reading(path):
        header, data = _split(path)
        fields = _fields(path, header)
        sizes = [int(size) for size in fields["sizes"].split()]
        dtype = _dtype(path, fields)
        encoding = _ENCODINGS.get(fields["encoding"].lower())
        if encoding is None or int(fields.get("line skip", 0)) or int(fields.get("byte skip", 0)):
            raise FormatError(f"{path} is encoded in an unusual way; save it with encoding raw or gzip.")
        name = fields.get("data file", fields.get("datafile", ""))
        if name:
            data = beside(path, name).read_bytes()
        if len(sizes) != int(fields["dimension"]):
            raise broken(path)
        values = unpack(path, data, encoding, sizes[::-1], dtype)
        space, other = _axes(path, fields, len(sizes), sizes, mask)
        grid = _grid(path, fields, space)
    pixels = np.moveaxis(values, len(sizes) - 1 - other, -1) if other is not None else values
    if pixels.ndim > len(space) and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    extra = {
        "header": header.decode("latin-1"),
        "dtype": dtype.str,
        "encoding": encoding,
        "shape": list(values.shape),
        "beside": _ending(name),
    }
    pixels = np.ascontiguousarray(pixels)
    return Picture(pixels=pixels, space=len(space), grid=grid, extra=extra, labels=_labels(fields))


def _split(path: Path) -> tuple[bytes, bytes]:
    content = path.read_bytes()
    if not content.startswith(b"NRRD000"):
        raise broken(path)
    end = re.search(rb"\r?\n\r?\n", content[:MAX_HEADER])
    if end is None:
        if path.suffix.lower() != ".nhdr":
            raise broken(path, "its header has no end")
        return content.rstrip(b"\r\n") + b"\n\n", b""
    return content[: end.end()], content[end.end() :]


def _fields(path: Path, header: bytes) -> dict[str, str]:
    """Fields by their name in lower case; keys of other programs keep theirs."""
    fields: dict[str, str] = {}
    for line in header.decode("utf-8", "replace").splitlines()[1:]:
        if line.startswith("#") or ":" not in line:
            continue
        key, _, value = line.partition(":")
        fields[key if value.startswith("=") else key.strip().lower()] = value.removeprefix("=").strip()
    lacking = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if lacking:
        raise broken(path, f"its header does not say its {' and '.join(lacking)}")
    return fields


def _dtype(path: Path, fields: Mapping[str, str]) -> np.dtype[Any]:
    code = TYPES.get(fields["type"].lower())
    if code is None:
        raise FormatError(f"{path} holds values of type {fields['type']}; expected whole numbers or floats.")
    return np.dtype(code).newbyteorder(">" if fields.get("endian", "little").lower() == "big" else "<")


def _axes(
    path: Path, fields: Mapping[str, str], dimension: int, sizes: list[int], mask: bool
) -> tuple[list[int], int | None]:
    """Which axes are space, fastest first, and which one is channels."""
    directions = _vectors(fields.get("space directions", ""))
    kinds = fields.get("kinds", "").lower().split()
    if len(directions) == dimension:
        space = [axis for axis, vector in enumerate(directions) if vector is not None]
    elif len(kinds) == dimension:
        space = [axis for axis, kind in enumerate(kinds) if kind in _SPATIAL]
    else:
        space = list(range(dimension))
    other = [axis for axis in range(dimension) if axis not in space]
    if len(space) not in (2, 3) or len(other) > 1 or (mask and other and sizes[other[0]] != 1):
        raise FormatError(
            f"{path} has {len(space)} axes of space and {len(other)} others ({' x '.join(map(str, sizes))}); expected "
            f"2 or 3 of space{' and one value each, without layers' if mask else ' and at most one of channels'}."
        )
    return space, other[0] if other else None


def _vectors(text: str) -> list[tuple[float, ...] | None]:
    found = re.findall(r"none|\(([^)]*)\)", text)
    return [tuple(float(number) for number in part.split(",")) if part else None for part in found]


def _grid(path: Path, fields: Mapping[str, str], space: list[int]) -> Grid:
    vectors = [vector for vector in _vectors(fields.get("space directions", "")) if vector is not None]
    frame = _SPACES.get(fields.get("space", "").lower())
    units = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    scale = _UNITS.get(units[0], 1.0) if units else 1.0
    if vectors and frame is not None and len(vectors) == 3:
        matrix = np.eye(4)
        matrix[:3, :3] = np.array(vectors).T * scale
        origin = _vectors(fields.get("space origin", "(0,0,0)"))[0] or (0.0, 0.0, 0.0)
        matrix[:3, 3] = np.array(origin) * scale
        return grid_of((frame @ matrix)[:, [2, 1, 0, 3]], path)
    if vectors:
        sides = [float(np.linalg.norm(vector)) * scale for vector in vectors]
        return Grid(spacing=check_spacing(tuple(sides[::-1]), path), unit="mm" if frame is not None or units else "px")
    numbers = [float(side) * scale for side in fields.get("spacings", "").split()]
    if len(numbers) > max(space):
        sides = [numbers[axis] for axis in space]
        if np.isfinite(sides).all():
            return Grid(spacing=check_spacing(tuple(sides[::-1]), path), unit="mm")
    return Grid(spacing=(1.0,) * len(space))


def _labels(fields: Mapping[str, str]) -> dict[int, tuple[str, str]]:
    """Names and colours of segments, as 3D Slicer writes them."""
    labels: dict[int, tuple[str, str]] = {}
    for key, value in fields.items():
        number = re.fullmatch(r"Segment(\d+)_LabelValue", key)
        if number and value.lstrip("-").isdigit():
            parts = [float(part) for part in fields.get(f"Segment{number[1]}_Color", "").split()]
            right = len(parts) == 3 and all(0 <= part <= 1 for part in parts)
            color = "#" + "".join(f"{round(part * 255):02x}" for part in parts) if right else ""
            labels[int(value)] = (fields.get(f"Segment{number[1]}_Name", ""), color)
    return labels


# ------------------------------------------------------------------ writing


def _ending(name: str) -> str:
    return "" if not name else ".raw.gz" if name.lower().endswith(".gz") else ".raw"


def companions(path: Path, extra: Mapping[str, Any]) -> list[Path]:
    """Files that are written beside a path."""
    return [path.with_name(path.name.rpartition(".")[0] + extra["beside"])] if extra.get("beside") else []


def write(path: Path, pixels: NDArray[Any], *, mode: str = "L", extra: Mapping[str, Any]) -> None:
    """Write a mask ``(H, W)`` or ``(Z, H, W)`` as the file that ``extra`` was read from."""
    values = pixels.astype(np.dtype(extra["dtype"])).reshape(extra["shape"])
    data, header = pack(values, extra["encoding"]), extra["header"]
    for other in companions(path, extra):
        name = other.name.replace("\\", "\\\\")
        header = re.sub(r"(?im)^(data ?file:\s*)[^\r\n]*", rf"\g<1>{name}", header)
        with whole(other) as partial:
            partial.write_bytes(data)
        data = b""
    with whole(path) as partial:
        partial.write_bytes(header.encode("latin-1") + data)


def write_new(path: Path, pixels: NDArray[Any], grid: Grid) -> None:
    """Write an array ``(H, W)`` or ``(Z, H, W)`` with a geometry."""
    values = pixels if pixels.ndim == 3 else pixels[None]
    matrix = (LPS @ np.array(grid.affine or diagonal(grid.spacing)))[:, [2, 1, 0, 3]]
    code = values.dtype.newbyteorder("=").str[1:]
    vectors = [f"({','.join(repr(float(number)) for number in matrix[:3, axis])})" for axis in range(4)]
    lines = [
        "NRRD0004",
        f"type: {_TYPES[code][0]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, values.shape[::-1]))}",
        f"space directions: {' '.join(vectors[:3])}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {vectors[3]}",
    ]
    with whole(path) as partial:
        text = "\n".join(lines) + "\n\n"
        partial.write_bytes(text.encode() + pack(values.astype(values.dtype.newbyteorder("<")), "gzip"))
