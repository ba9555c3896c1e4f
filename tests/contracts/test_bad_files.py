"""Files that mean harm: refused in one sentence before memory is taken or anything outside is read."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import zipfile

import nibabel
import numpy as np
import pytest
import tifffile

from src_core.errors import FormatError
from src_core.io import formats
from src_core.io.formats import ENTRIES, Entry, read, suffix_of
from tests.contracts.samples import AFFINE, SAMPLES, labels


def nifti_header(shape, kind=2, **fields):
    header = nibabel.Nifti1Header()
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header["datatype"], header["bitpix"], header["magic"], header["vox_offset"] = kind, 8, b"n+1", 352
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + bytes(4)


def refused(path, words, **kwargs):
    with pytest.raises(FormatError, match=words) as caught:
        read(path, **kwargs)
    assert "\n" not in str(caught.value)


def test_headers_that_claim_too_much_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti_header((32000, 32000, 32000)))
    refused(path, "claims to be 32000 x 32000 x 32000")
    path.write_bytes(nifti_header((500, 500, 500)))
    refused(path, "too short")
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(nifti_header((2000, 2000, 1000))))
    refused(packed, "too short")
    path.write_bytes(nifti_header((-5, 4, 4)))
    refused(path, "no pixels|broken")
    (tmp_path / "c.nrrd").write_bytes(
        b"NRRD0004\ntype: double\ndimension: 3\nsizes: 99999 99999 99999\nencoding: gzip\n\n" + bytes(50)
    )
    refused(tmp_path / "c.nrrd", "claims to be")
    (tmp_path / "d.mha").write_bytes(
        b"NDims = 3\nDimSize = 4000 4000 200\nElementType = MET_UCHAR\nCompressedData = True\nElementDataFile = LOCAL\n"
    )
    refused(tmp_path / "d.mha", "too short")
    text = str({"descr": "<f8", "fortran_order": False, "shape": (10**5, 10**5)}).ljust(117) + "\n"
    (tmp_path / "e.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
    refused(tmp_path / "e.npy", "claims to be")


def test_packed_files_never_give_more_than_their_header_says(tmp_path):
    """A bomb: a gigabyte of zeros behind a header of 64 voxels costs nothing."""
    path = tmp_path / "a.nii.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(nifti_header((4, 4, 4)))
        for _ in range(64):
            file.write(bytes(2**20))
    code = (
        "import resource, sys; from pathlib import Path; from src_core.io.formats import read; "
        "read(Path(sys.argv[1])); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "read(Path(sys.argv[1])); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8 * 1024  # KiB


def test_archives_lie_about_their_sizes_in_vain(tmp_path):
    path = tmp_path / "a.npz"
    inner = io.BytesIO()
    np.lib.format.write_array_header_1_0(inner, {"descr": "|u1", "fortran_order": False, "shape": (20000, 9000, 30)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../mask.npy", inner.getvalue())
    refused(path, "too short")
    assert list(tmp_path.parent.glob("mask.npy")) == []
    objects = np.array([{}], dtype=object)
    np.save(tmp_path / "o.npy", objects, allow_pickle=True)
    refused(tmp_path / "o.npy", "values of type object")


@pytest.mark.parametrize("name", ["nhdr", "mhd"])
@pytest.mark.parametrize("target", ["../secret.raw", "/etc/hostname", "LIST", "slice%03d.raw"])
def test_pixels_outside_of_the_folder_are_not_read(tmp_path, name, target):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(10**6))
    path = tmp_path / "in" / f"a{SAMPLES[name].suffix}"
    SAMPLES[name].make(path, labels(True), AFFINE)
    raw = "a.raw"
    path.write_bytes(path.read_bytes().replace(raw.encode(), target.encode()))
    refused(path, "leads out of|several files")


def test_links_out_of_a_store_are_not_followed(tmp_path):
    path = tmp_path / "a.ome.zarr"
    SAMPLES["zarr 0.5"].make(path, labels(True), AFFINE)
    (tmp_path / "secret").write_bytes(bytes(1000))
    chunk = next(file for file in (path / "0" / "c").rglob("*") if file.is_file())
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    refused(path, "link that leads out of")


def test_a_store_may_not_name_levels_outside(tmp_path):
    path = tmp_path / "a.ome.zarr"
    SAMPLES["zarr 0.5"].make(path, labels(True), AFFINE)
    facts = json.loads((path / "zarr.json").read_text())
    facts["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "../other"
    (path / "zarr.json").write_text(json.dumps(facts))
    refused(path, "leads out of")
    facts["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "9"
    (path / "zarr.json").write_text(json.dumps(facts))
    refused(path, "level '9' is missing")


def test_positions_and_spacings_that_make_no_sense(tmp_path):
    path = tmp_path / "a.nii"
    rows = {"srow_x": [np.nan, 0, 0, 0], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 1, 0]}
    path.write_bytes(nifti_header((4, 4, 4), sform_code=1, **rows) + bytes(64))
    refused(path, "affine")
    rows["srow_x"] = [0, 1, 0, 0]
    path.write_bytes(nifti_header((4, 4, 4), sform_code=1, **rows) + bytes(64))
    refused(path, "lie in each other")
    path = tmp_path / "b.mha"
    SAMPLES["metaimage"].make(path, labels(True), AFFINE)
    path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 0.", b"ElementSpacing = -."))
    refused(path, "spacing")


def test_films_and_layers_are_no_masks(tmp_path):
    tifffile.imwrite(tmp_path / "t.tif", np.zeros((3, 8, 9), np.uint8), imagej=True, metadata={"axes": "TYX"})
    refused(tmp_path / "t.tif", "3 time points")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 3), np.uint8), np.eye(4)), tmp_path / "c.nii")
    refused(tmp_path / "c.nii", "one value a voxel", mask=True)
    assert read(tmp_path / "c.nii").pixels.shape == (4, 4, 4, 3)


def test_tiff_files_do_not_lead_to_others(tmp_path):
    """OME-XML names files of a set; none but the file itself is opened."""
    (tmp_path / "in").mkdir()
    path, other = tmp_path / "in" / "a.ome.tif", tmp_path / "secret.ome.tif"
    tifffile.imwrite(other, np.full((2, 8, 9), 77, np.uint8), metadata={"axes": "ZYX"})
    tifffile.imwrite(path, np.ones((2, 8, 9), np.uint8), metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as file:
        own = file.ome_metadata
    found = re.search(r"<TiffData.*?(/>|</TiffData>)", own, re.DOTALL).group()
    with tifffile.TiffFile(other) as file:
        uid = re.search(r'UUID="(urn:uuid:[^"]+)"', file.ome_metadata).group(1)
    lead = f'<TiffData IFD="0" FirstZ="{{}}" PlaneCount="1"><UUID FileName="../secret.ome.tif">{uid}</UUID></TiffData>'
    text = own.replace(found, lead.format(0) + lead.format(1).replace('IFD="0"', 'IFD="1"'))
    tifffile.imwrite(path, np.ones((2, 8, 9), np.uint8), description=text.encode(), metadata=None)
    with tifffile.TiffFile(path) as file:
        assert (file.series[0].asarray() != 1).any()  # pages of the other file are looked up
    try:
        pixels = read(path).pixels
    except FormatError:
        pixels = np.ones(1)
    assert (pixels == 1).all()


def test_a_missing_package_is_named_with_its_cure(tmp_path, monkeypatch):
    gone = Entry(name="DICOM", suffixes=(".dcm",), module="dicom", extra="formats")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.delitem(sys.modules, "src_core.io.dicom", raising=False)
    with pytest.raises(FormatError, match=r"pydicom, which is not installed; .*napari-metadcseg\[formats\]"):
        gone.load()


def test_every_ending_has_one_format():
    endings = [suffix for entry in ENTRIES for suffix in entry.suffixes]
    assert len(endings) == len(set(endings))
    assert set(endings) == set(formats.SUFFIXES)


def test_other_files_are_none_of_ours(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".nii.gz").touch()
    (tmp_path / "folder").mkdir()
    assert [suffix_of(path) for path in sorted(tmp_path.iterdir())] == [None, None, None]
    refused(tmp_path / "notes.txt", "not supported; expected one of PNG, BMP, JPEG, TIFF, NIfTI")
    refused(tmp_path / "folder", "a folder of something else")
