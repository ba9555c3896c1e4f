"""DICOM: a series in a folder, a file of one or many frames, and segmentations (DICOM-SEG).

Only what tells about pixels and where they lie is taken out of a file: no name, number or date of a patient or study.
Nothing is written here but segmentations (see :mod:`src_core.io.dicom_seg`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import pixel_array

from src_core.errors import FormatError, InputError
from src_core.io.geometry import LPS, check_spacing, grid_of
from src_core.io.guard import broken, check_claim, check_inside, reading
from src_core.io.picture import Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segments one by one, and as a map of labels."""

MAX_FILES = 20_000
UNEVEN = 0.05
"""How far a slice may lie from where equal distances put it; of the distance."""


def read(path: Path, *, mask: bool = False) -> Picture:
    """Read a series (a folder), a file, or a segmentation.

    Raises
    ------
    FormatError
        If it is broken, of several series, uneven, or packed in a way that needs another package.
    """
    with reading(path):
        files = _files(path)
        try:
            headers = [(file, pydicom.dcmread(file, stop_before_pixels=True)) for file in files]
        except (InvalidDicomError, BytesLengthException, RecursionError) as error:
            raise broken(path) from error
        if headers[0][1].get("SOPClassUID") in SEGMENTATIONS:
            from src_core.io import dicom_seg

            return dicom_seg.read(files[0])
        if mask:
            raise FormatError(
                f"{path} is a DICOM image and no segmentation; expected a mask as DICOM-SEG, NIfTI or another format."
            )
        headers = [(file, header) for file, header in headers if "Rows" in header]
        _check_alike(path, [header for _, header in headers])
        if len(headers) == 1:
            return _one_file(path, *headers[0])
        return _stack(path, headers)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = []
    for file in sorted(path.iterdir()):
        if file.is_file() and not file.name.startswith(".") and file.name.upper() != "DICOMDIR":
            check_inside(file, path)
            with file.open("rb") as start:
                if start.read(132)[128:] == b"DICM":
                    files.append(file)
    if not files or len(files) > MAX_FILES:
        raise FormatError(f"{path} holds {len(files)} DICOM files; expected one series.")
    return files


def _check_alike(path: Path, headers: Sequence[Any]) -> None:
    if not headers:
        raise FormatError(f"{path} holds no DICOM images.")
    series = {str(header.get("SeriesInstanceUID", "")) for header in headers}
    if len(series) > 1:
        raise FormatError(f"{path} holds {len(series)} DICOM series; put each into a folder of its own.")
    kinds = {(int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel", 1))) for header in headers}
    if len(kinds) > 1:
        raise FormatError(f"{path} holds DICOM slices of {len(kinds)} sizes; expected one stack; remove the others.")


def _pixels(path: Path, file: Path) -> NDArray[Any]:
    """Stored values of a file, as they are."""
    try:
        return np.asarray(pixel_array(file))
    except RuntimeError as error:  # also what says that something is not implemented
        if "plugin" in str(error) or "decode" in str(error) or "dependenc" in str(error):
            raise FormatError(
                f"{path} is packed in a way that the packages which are installed cannot unpack; install more with: "
                "pip install 'napari-metadcseg[dicom-codecs]', or save it unpacked."
            ) from error
        raise broken(path) from error
    except (pydicom.errors.BytesLengthException, InvalidDicomError) as error:
        raise broken(path) from error


def _claim(path: Path, header: Any, frames: int) -> None:
    shape = [frames, int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel", 1))]
    check_claim(path, shape, max(1, int(header.get("BitsAllocated", 8)) // 8))


def _one_file(path: Path, file: Path, header: Any) -> Picture:
    frames = int(header.get("NumberOfFrames", 1) or 1)
    _claim(path, header, frames)
    colour = int(header.get("SamplesPerPixel", 1)) > 1
    pixels = _pixels(path, file)
    pixels = pixels[None] if frames == 1 else pixels
    slices = _planes(header, frames)
    pixels = pixels if colour else _rescaled([pixels], [_rescale(header)])[0]
    if slices is None:
        return Picture(pixels=pixels, space=3, grid=_spacing_only(path, header))
    order, grid = _lie(path, slices)
    return Picture(pixels=np.ascontiguousarray(pixels[order]), space=3, grid=grid)


def _stack(path: Path, headers: list[tuple[Path, Any]]) -> Picture:
    _claim(path, headers[0][1], len(headers))
    planes = [_planes(header, 1) for _, header in headers]
    if any(plane is None for plane in planes):
        raise FormatError(f"{path} holds DICOM slices that do not say where they lie; expected a stack.")
    order, grid = _lie(path, [plane[0] for plane in planes if plane])
    slices = [_pixels(path, headers[k][0]) for k in order]
    if int(headers[0][1].get("SamplesPerPixel", 1)) == 1:
        slices = _rescaled(slices, [_rescale(headers[k][1]) for k in order])
    return Picture(pixels=np.stack(slices), space=3, grid=grid)


# ------------------------------------------------------------------ values


def _rescale(header: Any) -> tuple[float, float]:
    shared = header.get("SharedFunctionalGroupsSequence")
    group = shared[0].get("PixelValueTransformationSequence") if shared else None
    source = group[0] if group else header
    return float(source.get("RescaleSlope", 1) or 1), float(source.get("RescaleIntercept", 0) or 0)


def _rescaled(slices: list[NDArray[Any]], scales: list[tuple[float, float]]) -> list[NDArray[Any]]:
    """Values in their unit, such as Hounsfield's: whole where they can be."""
    if all(scale == (1, 0) for scale in scales):
        return slices
    if not np.isfinite(scales).all():
        raise FormatError("A DICOM image has a scale that is no number; mend its header first.")
    if all(slope == 1 and shift.is_integer() and abs(shift) < 2**15 for slope, shift in scales):
        moved = [part.astype(np.int32) + int(shift) for part, (_, shift) in zip(slices, scales, strict=True)]
        small = all(-(2**15) <= part.min() and part.max() < 2**15 for part in moved)
        return [part.astype(np.int16) for part in moved] if small else moved
    return [(part * slope + shift).astype(np.float32) for part, (slope, shift) in zip(slices, scales, strict=True)]


# ------------------------------------------------------------------ geometry


def _planes(header: Any, frames: int) -> list[NDArray[np.float64]] | None:
    """Of every frame: columns of its axes y and x and its first pixel, (3, 3); None when the file does not say."""
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    if groups and len(groups) != frames:
        raise ValueError
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    planes = []
    for frame in range(frames):
        own = groups[frame] if groups else {}

        def find(sequence: str, name: str, own: Any = own) -> Any:
            for place in (own, shared):
                if place.get(sequence):
                    return place.get(sequence)[0].get(name)
            return header.get(name)

        position = find("PlanePositionSequence", "ImagePositionPatient")
        directions = find("PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = find("PixelMeasuresSequence", "PixelSpacing")
        if position is None or directions is None or spacing is None or (frames > 1 and not groups):
            return None
        cosines = np.array(directions, dtype=np.float64).reshape(2, 3)
        down, right = (float(side) for side in spacing)
        columns = [cosines[1] * down, cosines[0] * right, np.array(position, dtype=np.float64)]
        planes.append(np.stack(columns, axis=1))
    return planes


def _lie(path: Path, planes: Sequence[NDArray[np.float64]]) -> tuple[list[int], Grid]:
    """The order of slices along their normal, and the grid they make."""
    first = planes[0]
    if max(np.abs(plane[:, :2] - first[:, :2]).max() for plane in planes) > 1e-3:
        raise FormatError(f"{path} holds DICOM slices of different direction or spacing; expected one stack.")
    normal = np.cross(first[:, 1], first[:, 0])
    normal = normal / np.linalg.norm(normal)
    heights = np.array([plane[:, 2] @ normal for plane in planes])
    order = [int(k) for k in np.argsort(heights, kind="stable")]
    matrix = np.eye(4)
    matrix[:3, 1:3], matrix[:3, 3] = first[:, :2], planes[order[0]][:, 2]
    step = (planes[order[-1]][:, 2] - matrix[:3, 3]) / (len(planes) - 1) if len(planes) > 1 else normal
    matrix[:3, 0] = step
    distance = float(np.linalg.norm(step))
    for place, k in enumerate(order):
        if np.linalg.norm(planes[k][:, 2] - matrix[:3, 3] - place * step) > max(UNEVEN * distance, 1e-3):
            raise FormatError(
                f"{path} holds DICOM slices at uneven distances, or some are missing or double; expected one stack."
            )
    return order, grid_of(LPS @ matrix, path)


def _spacing_only(path: Path, header: Any) -> Grid:
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if not spacing:
        return Grid(spacing=(1.0, 1.0, 1.0))
    distance = header.get("SpacingBetweenSlices") or header.get("SliceThickness") or 1
    return Grid(spacing=check_spacing((abs(float(distance)), float(spacing[0]), float(spacing[1])), path), unit="mm")


def write(path: Path, pixels: NDArray[Any], *, mode: str = "L", extra: Mapping[str, Any]) -> None:
    """Write a segmentation as the one that ``extra`` was read from.

    Raises
    ------
    InputError
        If that one is not there any more.
    """
    if "segments" not in extra:
        raise InputError(f"{path} cannot be written: new masks are not written as DICOM; export them as NIfTI.")
    from src_core.io import dicom_seg

    dicom_seg.write(path, pixels, extra)
