"""Segmentations in DICOM (DICOM-SEG), one value a segment.

Frames of only background are often left out of such a file; they are background. A cleaned segmentation is written
from the one that it was read from, which has to be where it was: its segments, its references to images and its packing
stay, it gets a number of its own, and who it is of is left empty unless that is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import highdicom
import numpy as np
import pydicom
from pydicom.pixels import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from src_core.errors import FormatError, InputError
from src_core.io.geometry import LPS, grid_of
from src_core.io.guard import broken, check_claim, reading, whole
from src_core.io.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

IDENTITY = frozenset(
    {
        "AccessionNumber",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "StudyDescription",
        "SeriesDescription",
        "AdmissionID",
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "StationName",
        "RequestAttributesSequence",
        "OtherPatientIDsSequence",
    }
)
"""Beside all of the patient's group, and every name of a person."""


def read(path: Path) -> Picture:
    """Read a segmentation of whole segments that do not overlap.

    Raises
    ------
    FormatError
    """
    with reading(path):
        found = highdicom.seg.segread(path)
        frames = int(found.NumberOfFrames)
        check_claim(path, (frames, int(found.Rows), int(found.Columns)), 1)
        if str(found.SegmentationType) == "FRACTIONAL":
            raise FormatError(f"{path} holds fractions of segments; expected whole ones; save it as binary.")
        try:
            volume = found.get_volume(combine_segments=True, rescale_fractional=False)
        except RuntimeError as error:
            raise FormatError(
                f"{path} has segments that overlap or lie on no even stack of slices; expected one class a pixel."
            ) from error
        if volume.array.ndim != 3:
            raise broken(path)
        pixels = np.asarray(volume.array)
        grid = grid_of(LPS @ np.asarray(volume.affine), path)
        labels = {int(item.SegmentNumber): (str(item.SegmentLabel), "") for item in found.SegmentSequence}
    extra = {"segments": sorted(labels), "source": str(path.resolve()), "partial": True}
    pixels = pixels.astype(np.uint8 if max(labels, default=1) < 256 else np.uint16)
    return Picture(pixels=pixels, space=3, grid=grid, extra=extra, labels={0: ("background", ""), **labels})


def write(path: Path, pixels: NDArray[Any], extra: Mapping[str, Any]) -> None:
    """Write a mask ``(Z, H, W)``, on the grid in ``extra['lies']``, as the segmentation it was read from.

    Raises
    ------
    InputError
        If that one is missing.
    """
    source = Path(extra["source"])
    if not source.is_file():
        raise InputError(
            f"{path} cannot be written: it takes over the header of {source}, which is not there any more; put it "
            "back, or export as NIfTI."
        )
    with reading(source):
        dataset = pydicom.dcmread(source)
        _fill(dataset, *_frames(dataset, pixels, np.array(extra["lies"])))
    with whole(path) as partial:
        if not extra.get("identifiers"):
            _empty_identity(dataset)
        dataset.save_as(partial, enforce_file_format=True)


def _empty_identity(dataset: Any) -> None:
    """Leave out who it is of; UIDs stay, since they tie it to its images."""
    dataset.remove_private_tags()
    for element in list(dataset):
        if element.tag.group == 0x0010 or element.VR == "PN" or element.keyword in IDENTITY:
            element.value = [] if element.VR == "SQ" else None


def _frames(
    dataset: Any, pixels: NDArray[Any], affine: NDArray[np.float64]
) -> tuple[list[NDArray[np.uint8]], list[Any], list[tuple[int, int]]]:
    """Every segment of every slice that has it or had it before, what describes the frame, segment and slice."""
    inverse = np.linalg.inv(LPS @ affine)
    old: dict[tuple[int, int], Any] = {}
    for item in dataset.PerFrameFunctionalGroupsSequence:
        place = inverse @ [*(float(side) for side in item.PlanePositionSequence[0].ImagePositionPatient), 1]
        number = _number(item)
        old[number, round(float(place[0]))] = item
    labelmap = str(dataset.get("SegmentationType")) == "LABELMAP"
    numbers = [0] if labelmap else [int(item.SegmentNumber) for item in dataset.SegmentSequence]
    frames, items, places = [], [], []
    for number in numbers:
        for z, plane in enumerate(pixels):
            frame = plane.astype(np.uint8) if labelmap else (plane == number).astype(np.uint8)
            if frame.any() or (number, z) in old:
                frames.append(frame)
                items.append(old.get((number, z)) or _new_item(dataset, number, z, LPS @ affine))
                places.append((number, z))
    return frames, items, places


def _number(item: Any) -> int:
    found = item.get("SegmentIdentificationSequence")
    return int(found[0].ReferencedSegmentNumber) if found else 0


def _new_item(dataset: Any, number: int, z: int, affine: NDArray[np.float64]) -> Any:
    """What describes a frame that was not there before, after one that was."""
    groups = dataset.PerFrameFunctionalGroupsSequence
    like = next((item for item in groups if _number(item) == number), groups[0])
    item = pydicom.Dataset.from_json(like.to_json())
    position = affine[:3, 3] + z * affine[:3, 0]
    item.PlanePositionSequence[0].ImagePositionPatient = [round(float(side), 6) for side in position]
    if "DerivationImageSequence" in item:
        item.DerivationImageSequence = []
    if item.get("SegmentIdentificationSequence"):
        item.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number
    return item


def _fill(dataset: Any, frames: list[NDArray[np.uint8]], items: list[Any], places: list[tuple[int, int]]) -> None:
    packed = dataset.file_meta.TransferSyntaxUID
    stack = np.stack(frames)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.NumberOfFrames = len(frames)
    dataset.PerFrameFunctionalGroupsSequence = items
    heights = sorted({z for _, z in places})
    for (number, z), item in zip(places, items, strict=True):
        content = item.get("FrameContentSequence")
        if content and np.size(content[0].get("DimensionIndexValues", [])) in (1, 2):
            rank = heights.index(z) + 1
            content[0].DimensionIndexValues = [number, rank] if number else [rank]
    data = pack_bits(stack.ravel()) if int(dataset.BitsAllocated) == 1 else stack.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if int(dataset.BitsAllocated) <= 8 else "OW"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    if packed == RLELossless and int(dataset.BitsAllocated) == 8:
        dataset.compress(RLELossless, generate_instance_uid=False)
