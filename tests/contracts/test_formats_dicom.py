"""DICOM: series, files of many frames and segmentations, made by pydicom and highdicom."""

from __future__ import annotations

import json

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from src_core.errors import FormatError
from src_core.io.formats import read, stem_of, suffix_of, write
from src_core.io.geometry import turn_back
from src_core.io.sources import place
from src_core.store.create import create_from_folders
from src_core.store.export import export
from tests.contracts.samples import AFFINE, SPACING, TILTED

LPS = np.diag([-1.0, -1, 1, 1])
SHAPE = (5, 12, 10)
SECRET = "Doe^Jane"


def series(folder, pixels, affine=AFFINE, *, study="1.2.3", positions=None, **changes):
    """A CT series, its files named so that their order by name is not that in space."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = LPS @ affine
    sides = np.linalg.norm(lps[:3, :3], axis=0)
    uid, frame = generate_uid(), generate_uid()
    for z in range(len(pixels)):
        made = pydicom.Dataset()
        made.file_meta = pydicom.dataset.FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = CTImageStorage
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = study, uid, frame
        made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = SECRET, "4711", "19700101", "F"
        made.Modality, made.StudyID, made.SeriesNumber, made.InstanceNumber = "CT", "9", 1, z + 1
        made.StudyDate = made.StudyTime = made.AccessionNumber = made.ReferringPhysicianName = ""
        made.PositionReferenceIndicator = made.Manufacturer = ""
        made.Rows, made.Columns = pixels.shape[1:]
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated = made.BitsStored = 16
        made.HighBit, made.PixelRepresentation = 15, 1
        made.RescaleSlope, made.RescaleIntercept = 1, -1024
        made.PixelSpacing = [sides[1], sides[2]]
        made.SliceThickness = sides[0]
        place = z if positions is None else positions[z]
        made.ImagePositionPatient = [round(float(side), 6) for side in lps[:3, 3] + place * lps[:3, 0]]
        made.ImageOrientationPatient = [*(lps[:3, 2] / sides[2]), *(lps[:3, 1] / sides[1])]
        made.PixelData = (pixels[z] + 1024).astype("<i2").tobytes()
        for name, value in changes.items():
            setattr(made, name, value)
        made.save_as(folder / f"{(z * 7) % 11:02d}.dcm", enforce_file_format=True)
    return folder


def segmentation(path, folder, label, omit=True, kind="BINARY"):
    """A segmentation of two segments on a series."""
    images = sorted((pydicom.dcmread(file) for file in folder.iterdir()), key=lambda image: image.InstanceNumber)
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Heart,
            algorithm_type="MANUAL",
        )
        for number, name in ((1, "atrium"), (2, "scar"))
    ]
    made = Segmentation(
        source_images=images,
        pixel_array=label,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=omit,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return path


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(-1000, 3000, SHAPE).astype(np.int16)


@pytest.fixture
def label():
    label = np.zeros(SHAPE, np.uint8)
    label[1:3, 3:8, 2:6] = 1
    label[2, 6:9, 5:9] = 2
    return label


@pytest.mark.parametrize("affine", [AFFINE, TILTED], ids=["straight", "tilted"])
def test_a_series_is_put_in_order_and_where_it_lies(tmp_path, pixels, affine):
    folder = series(tmp_path / "images" / "case", pixels, affine)
    found = read(folder)
    assert np.array_equal(found.pixels, pixels)  # in Hounsfield units
    assert found.pixels.dtype == np.int16
    assert np.allclose(found.grid.affine, affine, atol=1e-5)
    assert found.grid.spacing == pytest.approx(SPACING, rel=1e-6)
    assert suffix_of(folder) == ""
    assert stem_of(folder) == "case"
    assert SECRET not in json.dumps(found.extra)


def test_slices_that_make_no_stack_are_refused(tmp_path, pixels):
    series(tmp_path / "gap", pixels, positions=[0, 1, 2, 4, 5])
    with pytest.raises(FormatError, match="uneven distances"):
        read(tmp_path / "gap")
    series(tmp_path / "double", pixels, positions=[0, 1, 1, 2, 3])
    with pytest.raises(FormatError, match="uneven distances"):
        read(tmp_path / "double")
    series(tmp_path / "two", pixels[:2])
    (tmp_path / "two" / "00.dcm").rename(tmp_path / "two" / "90.dcm")
    series(tmp_path / "two", pixels[:1])
    with pytest.raises(FormatError, match="2 DICOM series") as caught:
        read(tmp_path / "two")
    assert SECRET not in str(caught.value)


def test_a_series_is_no_mask(tmp_path, pixels):
    with pytest.raises(FormatError, match="no segmentation"):
        read(series(tmp_path / "a", pixels), mask=True)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("omit", [True, False])
def test_a_segmentation_is_given_back(tmp_path, pixels, label, kind, omit):
    folder = series(tmp_path / "images" / "case", pixels, TILTED)
    source = segmentation(tmp_path / "masks" / "case.dcm", folder, label, omit, kind)
    project, _ = create_from_folders(tmp_path / "p", folder.parent, source.parent)
    with project:
        (case,) = project.cases
        assert case.shape == SHAPE
        assert np.array_equal(project.read_label(case), label)
        assert [info.name.lower() for info in project.classes] == ["background", "atrium", "scar"]
        (back,) = export(project, tmp_path / "out", ["cleaned"])
    one, two = highdicom.seg.segread(source), highdicom.seg.segread(back)
    assert two.SOPInstanceUID != one.SOPInstanceUID
    assert two.SegmentSequence == one.SegmentSequence
    assert two.ReferencedSeriesSequence == one.ReferencedSeriesSequence
    volumes = [file.get_volume(combine_segments=True) for file in (one, two)]
    assert np.array_equal(volumes[0].array, volumes[1].array)
    assert np.allclose(volumes[0].affine, volumes[1].affine)
    assert SECRET.encode() not in back.read_bytes()
    assert b"4711" not in back.read_bytes()


def test_a_segment_that_grows_into_other_slices_gets_frames_there(tmp_path, pixels, label):
    folder = series(tmp_path / "case", pixels, TILTED)
    source = segmentation(tmp_path / "case.dcm", folder, label)
    placed = place(read(source, mask=True), read(folder), source, folder)
    grown = label.copy()
    grown[0, 1:4, 1:4] = 2
    grown[4, 1:4, 1:4] = 1
    write(tmp_path / "out.dcm", turn_back(grown, placed.turn), extra=placed.file.extra)
    again = place(read(tmp_path / "out.dcm", mask=True), read(folder), source, folder)
    assert np.array_equal(again.values, grown)


def test_a_nifti_mask_lies_on_a_series(tmp_path, pixels, label):
    import nibabel

    series(tmp_path / "images" / "case", pixels)
    (tmp_path / "masks").mkdir()
    turned = nibabel.Nifti1Image(label.T, AFFINE[:, [2, 1, 0, 3]])
    turned = turned.as_reoriented(
        nibabel.orientations.axcodes2ornt(("P", "I", "L"), (("R", "L"), ("A", "P"), ("S", "I")))
    )
    nibabel.save(nibabel.as_closest_canonical(turned), tmp_path / "masks" / "case.nii.gz")
    project, _ = create_from_folders(tmp_path / "p", tmp_path / "images", tmp_path / "masks")
    with project:
        assert np.array_equal(project.read_label(project.cases[0]), label)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_palette.dcm", "rtplan.dcm", "liver.dcm"])
def test_files_of_other_makers_are_read_or_refused(name):
    from pathlib import Path

    path = Path(pydicom.data.get_testdata_file(name, download=False) or "missing")
    if not path.is_file():
        pytest.skip(f"pydicom does not ship {name}")
    if name in ("CT_small.dcm", "MR_small.dcm"):
        found = read(path)
        assert found.grid.unit == "mm"
        assert found.shape[0] == 1
        return
    try:
        read(path)
    except FormatError:
        return
