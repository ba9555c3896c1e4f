"""DICOM: series, files of many frames and segmentations, made by pydicom and highdicom."""

from __future__ import annotations

import json
from contextlib import suppress

import highdicom
import numpy as np
import pydicom
import pytest

from src_core.errors import FormatError
from src_core.io.formats import read, stem_of, suffix_of, write
from src_core.io.geometry import turn_back
from src_core.io.sources import place
from src_core.store.create import create_from_folders
from src_core.store.export import export
from tests.contracts.samples import AFFINE, SPACING, TILTED
from tests.contracts.samples_dicom import SECRET, SHAPE, segmentation, series


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
        (named,) = export(project, tmp_path / "named", ["cleaned"], identifiers=True)
    assert SECRET.encode() in named.read_bytes()
    one, two = highdicom.seg.segread(source), highdicom.seg.segread(back)
    assert two.SOPInstanceUID != one.SOPInstanceUID
    assert two.SegmentSequence == one.SegmentSequence
    assert two.ReferencedSeriesSequence == one.ReferencedSeriesSequence
    volumes = [file.get_volume(combine_segments=True) for file in (one, two)]
    assert np.array_equal(volumes[0].array, volumes[1].array)
    assert np.allclose(volumes[0].affine, volumes[1].affine)
    assert SECRET.encode() not in back.read_bytes()
    assert b"number-4711" not in back.read_bytes()


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
    with suppress(FormatError):
        read(path)


def test_what_packs_in_a_way_that_nobody_here_unpacks_names_what_to_install(tmp_path):
    facts = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm", download=False))
    facts.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    facts.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + bytes(64)])
    facts["PixelData"].VR = "OB"
    facts.save_as(tmp_path / "a.dcm")
    with pytest.raises(FormatError, match=r"pip install 'napari-metadcseg\[dicom-codecs\]'") as caught:
        read(tmp_path / "a.dcm")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["series", "segmentation"])
def test_damaged_files_are_read_or_refused(tmp_path, pixels, label, name):
    folder = series(tmp_path / "case", pixels)
    segmentation(tmp_path / "seg" / "a.dcm", folder, label)
    path = folder if name == "series" else tmp_path / "seg" / "a.dcm"
    files = sorted(folder.iterdir()) if name == "series" else [path]
    rng = np.random.default_rng(0)
    for _ in range(40):
        target = files[rng.integers(len(files))]
        kept = target.read_bytes()
        data = bytearray(kept[: rng.integers(len(kept))] if rng.random() < 0.3 else kept)
        for k in rng.integers(0, max(len(data), 1), rng.integers(1, 6)) if data else ():
            data[k] = rng.integers(256)
        target.write_bytes(bytes(data))
        with suppress(FormatError):
            read(path, mask=name == "segmentation")
        target.write_bytes(kept)
