"""Where images and masks lie: turned, refused, kept in every exported file."""

from __future__ import annotations

import itertools
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.errors import FormatError, PairingError
from src_core.io.formats import read, write_new
from src_core.io.geometry import find_turn, grid_of, orientation, spread, turn_back, turn_to_image
from src_core.io.picture import Grid, Picture
from src_core.store.create import create_from_folders
from src_core.store.export import export
from tests.contracts.samples import AFFINE, TILTED

SHAPE = (4, 6, 5)


def picture(pixels, affine):
    grid = Grid(spacing=(1.0,) * pixels.ndim) if affine is None else grid_of(affine, "a")
    return Picture(pixels=pixels, space=pixels.ndim, grid=grid)


def turned(pixels, affine, axes, flips):
    """The same voxels stored along other axes, worked out index by index."""
    moved = np.eye(4)
    result = pixels
    for axis in flips:
        result = np.flip(result, axis)
        moved[axis, axis], moved[axis, 3] = -1, pixels.shape[axis] - 1
    swap = np.eye(4)[:, [*axes, 3]]
    return np.ascontiguousarray(result.transpose(axes)), affine @ moved @ swap


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(range(3)),
    st.sets(st.integers(0, 2)),
    st.sampled_from([AFFINE, TILTED]),
    st.floats(-0.03, 0.03),
)
def test_a_mask_along_other_axes_is_turned_and_turned_back(axes, flips, affine, shift):
    pixels = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    stored, where = turned(pixels, affine, axes, flips)
    where = where.copy()
    where[:3, 3] += shift
    turn = find_turn(picture(pixels, affine), picture(stored, where), "image.nii", "mask.nii")
    assert np.array_equal(turn_to_image(stored, turn), pixels)
    assert np.array_equal(turn_back(turn_to_image(stored, turn), turn), stored)
    assert (turn is None) == (list(axes) == [0, 1, 2] and not flips)


@pytest.mark.parametrize(
    "change",
    [
        lambda affine: affine @ np.diag([1, 1, 1.1, 1]),
        lambda affine: affine + np.array([[0, 0, 0, 0.2], *[[0] * 4] * 3]),
        lambda affine: TILTED,
    ],
    ids=["spacing", "shift", "tilt"],
)
def test_another_grid_is_refused_and_both_are_named(change):
    pixels = np.zeros((4, 5, 5), np.uint8)
    with pytest.raises(FormatError) as caught:
        find_turn(picture(pixels, AFFINE), picture(pixels, change(AFFINE)), "image.nii", "mask.nii")
    words = str(caught.value)
    assert "mask.nii lies on another grid" in words
    assert "its image image.nii" in words
    assert words.count(" mm") >= 4


def test_where_one_file_does_not_say_where_it_lies_sizes_agree():
    image = picture(np.zeros(SHAPE), AFFINE)
    assert find_turn(image, picture(np.zeros(SHAPE), None), "a", "b") is None
    with pytest.raises(FormatError, match="a is 5 x 6 x 4 px and its mask b 6 x 5 x 4 px"):
        find_turn(image, picture(np.zeros((4, 5, 6)), None), "a", "b")
    flat = picture(np.zeros((6, 5)), None)
    assert find_turn(picture(np.zeros((1, 6, 5)), AFFINE), flat, "a", "b") is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 1e12])
def test_positions_that_make_no_sense_are_refused(bad):
    affine = AFFINE.copy()
    affine[:3, 1] = bad
    with pytest.raises(FormatError, match="affine"):
        grid_of(affine, "a.nii")


def test_a_part_is_spread_over_the_whole():
    pixels = np.arange(1, 25).reshape(2, 4, 3)
    moved = np.eye(4)
    moved[:3, 3] = 1, 2, 0
    part = replace(picture(pixels, AFFINE @ moved), extra={"partial": True})
    whole = spread(picture(np.zeros(SHAPE), AFFINE), part)
    wanted = np.zeros(SHAPE, int)
    wanted[1:3, 2:6, 0:3] = pixels
    assert np.array_equal(whole.pixels, wanted)
    assert np.allclose(whole.grid.affine, AFFINE)
    beyond = picture(np.ones((5, 6, 5)), AFFINE)
    assert spread(picture(np.zeros(SHAPE), AFFINE), beyond) is beyond


def test_axes_have_letters():
    assert orientation(grid_of(AFFINE, "").affine) == "SAR"
    assert [orientation(grid_of(AFFINE[:, [*order, 3]], "").affine) for order in itertools.permutations(range(3))][
        1
    ] == "SRA"


# ------------------------------------------------------------------ through a project


@pytest.fixture
def volumes(tmp_path):
    """A project of a NIfTI image whose mask is stored along other axes."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, SHAPE).astype(np.uint8)
    stored, where = turned(label, TILTED, (2, 0, 1), (0, 2))
    for folder, pixels, affine in (
        ("images", rng.normal(size=SHAPE).astype(np.float32), TILTED),
        ("masks", stored, where),
    ):
        (tmp_path / folder).mkdir()
        file = nibabel.Nifti1Image(pixels.T, affine[:, [2, 1, 0, 3]])
        nibabel.save(file, tmp_path / folder / "heart.nii.gz")
    return tmp_path, label


def test_a_turned_mask_comes_back_as_it_was_stored(volumes):
    folder, label = volumes
    project, _ = create_from_folders(folder / "p", folder / "images", folder / "masks")
    with project:
        (case,) = project.cases
        assert np.array_equal(project.read_label(case), label)
        assert case.spacing == pytest.approx(np.linalg.norm(TILTED[:3, :3], axis=0))
        (back,) = export(project, folder / "out", ["cleaned"])
    before, after = nibabel.load(folder / "masks" / "heart.nii.gz"), nibabel.load(back)
    assert after.header == before.header
    assert np.array_equal(np.asanyarray(after.dataobj), np.asanyarray(before.dataobj))


@pytest.mark.parametrize("format", ["same", "nifti", "nrrd", "ome-zarr", "tiff", "npy"])
def test_maps_lie_where_the_image_lies(volumes, format):
    folder, label = volumes
    project, _ = create_from_folders(folder / "p", folder / "images", folder / "masks")
    with project:
        spacing = project.cases[0].spacing
        (path,) = export(project, folder / "out", ["provenance"], format)
        if format != "same":
            (mask,) = export(project, folder / "out", ["cleaned"], format)
            assert np.array_equal(read(mask, mask=True).pixels, label)
    found = read(path)
    assert found.shape == SHAPE
    if format in ("same", "nifti"):
        assert np.allclose(nibabel.load(path).affine, TILTED[:, [2, 1, 0, 3]], atol=1e-5)
    if format == "nrrd":
        image = SimpleITK.ReadImage(str(path))
        assert image.TransformIndexToPhysicalPoint((4, 5, 3)) == pytest.approx(
            tuple((np.diag([-1, -1, 1, 1]) @ TILTED @ [3, 5, 4, 1])[:3]), abs=1e-4
        )
    if format == "ome-zarr":
        level = zarr.open_group(str(path), mode="r").attrs["ome"]["multiscales"][0]["datasets"][0]
        assert level["coordinateTransformations"][0]["scale"] == pytest.approx(spacing)
    if format == "tiff":
        assert tifffile.imread(path).shape == SHAPE


def test_a_mask_on_another_grid_makes_no_project(volumes):
    folder, _ = volumes
    file = nibabel.load(folder / "masks" / "heart.nii.gz")
    moved = file.affine.copy()
    moved[0, 3] += 3
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(file.dataobj), moved), folder / "masks" / "heart.nii.gz")
    with pytest.raises(PairingError, match=r"heart.nii.gz lies on another grid .* than its image heart.nii.gz"):
        create_from_folders(folder / "p", folder / "images", folder / "masks")
    assert not (folder / "p.metadcseg").exists()


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16", "int16"])
@pytest.mark.parametrize("format", ["nifti", "nrrd", "ome-zarr", "tiff", "npy", "png"])
def test_new_files_hold_what_was_written(tmp_path, dtype, format):
    pixels = np.arange(30).reshape(6, 5).astype(dtype)
    grid = Grid(spacing=(0.5, 0.25), unit="mm")
    if format == "png" and dtype == "float32":
        pytest.skip("PNG holds whole numbers")
    found = read(write_new(tmp_path, "a.b", format, pixels, grid))
    assert np.array_equal(np.squeeze(found.pixels), pixels)
    if format != "png":
        assert found.pixels.dtype == dtype
    if format in ("nifti", "nrrd", "ome-zarr"):
        assert found.grid.spacing[-2:] == pytest.approx((0.5, 0.25))
