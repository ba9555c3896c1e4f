"""Large files are read box by box, and make the same project as if they were read whole."""

from __future__ import annotations

import json
import tracemalloc

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.data.case import Box
from src_core.errors import FormatError, PairingError
from src_core.io import formats, guard, lazy, nifti, numpy_files, ome_zarr, tiff
from src_core.io.lazy import LazyArray, arranged
from src_core.store.create import create_from_folders
from src_core.store.project import Project
from src_core.store.verify import problems_of

MODULES = (ome_zarr, numpy_files, nifti, tiff)


@pytest.fixture
def all_lazily(monkeypatch):
    """Read whatever can be read lazily, however small it is, in strips of few rows."""
    for module in MODULES:
        monkeypatch.setattr(module, "LAZY_FROM", 0 if module is not tiff else 1)
    monkeypatch.setattr(tiff, "LAZY_FROM", 2**20)
    monkeypatch.setattr(lazy, "STRIP_ROWS", {2: 7, 3: 3})


def ome(path, values, axes, *, labels=None, chunks=16):
    """A store of one level, by hand, with labels beside it."""

    def write(folder, array, names, more):
        group = zarr.create_group(str(folder), zarr_format=3, overwrite=False)
        scale = {"type": "scale", "scale": [1.0] * array.ndim}
        multiscale = {
            "axes": [{"name": name, "type": "channel" if name == "c" else "space"} for name in names],
            "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
        }
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **more}
        sizes = tuple(min(chunks, side) for side in array.shape)
        zarr.create_array(str(folder / "0"), shape=array.shape, chunks=sizes, dtype=array.dtype)[...] = array

    write(path, values, axes, {})
    if labels is not None:
        zarr.create_group(str(path / "labels")).attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
        write(path / "labels" / "cells", labels, axes.replace("c", ""), {"image-label": {}})


RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 255, (33, 41, 3), dtype=np.uint8)
VOLUME = RNG.integers(0, 4000, (9, 20, 17), dtype=np.uint16)
MASK = (RNG.random((33, 41)) > 0.7).astype(np.uint8)


def write_examples(folder):
    ome(folder / "a.ome.zarr", np.moveaxis(IMAGE, -1, 0)[None], "zcyx")
    ome(folder / "b.ome.zarr", IMAGE, "yxc")
    np.save(folder / "c.npy", IMAGE)
    np.save(folder / "d.npy", np.asfortranarray(VOLUME.astype(">u2")))
    nibabel.save(nibabel.Nifti1Image(VOLUME.T, np.diag([2.0, 1, 3, 1])), folder / "e.nii")
    tifffile.imwrite(folder / "f.tif", IMAGE, tile=(16, 16), photometric="rgb", compression="deflate")
    four = np.concatenate([IMAGE, np.full_like(IMAGE[..., :1], 255)], axis=-1)
    tifffile.imwrite(folder / "g.tif", four, tile=(16, 16), photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(folder / "h.ome.tif", VOLUME, metadata={"axes": "ZYX"}, ome=True)


def test_what_is_read_lazily_is_what_is_read_whole(tmp_path, all_lazily, monkeypatch):
    monkeypatch.setattr(tiff, "LAZY_FROM", 1500)  # pieces of 16 x 16 x 3 fit
    write_examples(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        whole, lazily = formats.read(path), formats.opened(path)
        assert isinstance(lazily.pixels, LazyArray), path
        assert lazily.pixels.dtype == whole.pixels.dtype
        assert (lazily.space, lazily.grid, lazily.mode) == (whole.space, whole.grid, whole.mode)
        assert json.loads(json.dumps(lazily.extra)) == json.loads(json.dumps(whole.extra))
        assert np.array_equal(lazily.pixels, whole.pixels)
        part = (slice(3, 8), slice(5, 16))
        assert np.array_equal(lazily.pixels[part], whole.pixels[part])


def test_small_files_are_read_whole(tmp_path):
    write_examples(tmp_path)
    for path in tmp_path.iterdir():
        assert isinstance(formats.opened(path).pixels, np.ndarray)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(3)), st.data())
def test_any_box_of_any_order_of_axes(order, data):
    values = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    moved = values.transpose(order)
    found = arranged(values, order, values.dtype, "here")
    box = tuple(slice(*sorted(data.draw(st.tuples(*[st.integers(0, side)] * 2)))) for side in moved.shape)
    assert np.array_equal(found[box], moved[box])


def test_an_array_that_is_needed_whole_but_too_large_says_so(monkeypatch):
    monkeypatch.setattr(lazy, "MAX_BYTES", 99)
    with pytest.raises(FormatError, match=r"slide.tif is 10 x 10 px.*needed whole"):
        np.asarray(LazyArray((10, 10), np.uint8, lambda place: np.zeros((10, 10)), "slide.tif"))


def make(tmp_path, name, clean=False):
    images, masks = tmp_path / "images", tmp_path / "masks"
    if not images.exists():
        images.mkdir()
        masks.mkdir()
        ome(images / "one.ome.zarr", IMAGE, "yxc")
        ome(masks / "one.ome.zarr", MASK, "yx")
        np.save(images / "two.npy", VOLUME.astype(np.float32))
        np.save(masks / "two.npy", (VOLUME > 2000).astype(np.uint8))
    return create_from_folders(tmp_path / name, images, masks, clean_masks=masks if clean else None)[0]


@pytest.mark.parametrize("clean", [False, True])
def test_a_project_of_lazy_files_is_that_of_whole_ones(tmp_path, monkeypatch, all_lazily, clean):
    with make(tmp_path, "lazily", clean) as one:
        for module in MODULES:
            monkeypatch.setattr(module, "LAZY_FROM", 2**26)
        with make(tmp_path, "whole", clean) as other:
            for case in one.cases:
                twin = other.case(case.name)
                assert case == twin
                assert one.digests(case) == other.digests(twin)
                assert one.verified_count(case) == other.verified_count(twin)
                for read in ("read_image", "read_given", "read_label", "read_verified"):
                    assert np.array_equal(getattr(one, read)(case), getattr(other, read)(twin))
        assert problems_of(one) == []


def test_a_damaged_chunk_makes_no_project(tmp_path, all_lazily):
    make(tmp_path, "first").close()
    chunk = next(path for path in (tmp_path / "images/one.ome.zarr/0/c").rglob("*") if path.is_file())
    chunk.write_bytes(b"nonsense")
    with pytest.raises(FormatError, match=r"one.ome.zarr cannot be read"):
        make(tmp_path, "second")
    assert not [path for path in tmp_path.iterdir() if "second" in path.name]


def test_a_value_of_no_class_in_a_later_strip_is_told(tmp_path, all_lazily):
    make(tmp_path, "first").close()
    classes = tmp_path / "classes.csv"
    classes.write_text("0,background\n1,cell\n")
    bad = MASK.copy()
    bad[30, 30] = 9
    store = zarr.open_array(str(tmp_path / "masks/one.ome.zarr/0"), mode="r+")
    store[...] = bad
    with pytest.raises(PairingError, match="value 9"):
        create_from_folders(tmp_path / "second", tmp_path / "images", tmp_path / "masks", classes_file=classes)


def test_limits_of_size_are_those_of_what_is_read_whole(tmp_path):
    with pytest.raises(FormatError, match="200 megapixels"):
        guard.check_claim(tmp_path, (30_000, 30_000, 3), 1)
    assert guard.check_claim(tmp_path, (30_000, 30_000, 3), 1, lazily=True) == 2_700_000_000
    with pytest.raises(FormatError, match="1024 GiB"):
        guard.check_claim(tmp_path, (3_000_000, 3_000_000), 1, lazily=True)


def test_memory_does_not_follow_the_size(tmp_path, monkeypatch):
    """Four times the pixels take no more than a wider strip: twice as much, where all at once would take four times."""
    monkeypatch.setattr(numpy_files, "LAZY_FROM", 0)
    peaks = []
    for side in (2048, 4096):
        folder = tmp_path / str(side)
        folder.mkdir()
        np.save(folder / "image.npy", np.zeros((side, side), np.uint8))
        np.save(folder / "mask.npy", np.eye(side, dtype=np.uint8))
        tracemalloc.start()
        create_from_folders(folder / "p", folder / "image.npy", folder / "mask.npy")[0].close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]
    with Project.open(tmp_path / "4096/p") as project:
        assert project.read_label(project.cases[0], Box((4000, 3990), (4096, 4096))).sum() == 96
