"""Arrays by image name, from every kind of place."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from src_core.errors import FormatError, InputError
from src_core.io.score_files import open_scores

VALUES = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4) / 24


def group(path, format):
    store = zarr.open_group(str(path), mode="w", zarr_format=format)
    for name in ("a", "b"):
        store.create_array(name, data=VALUES + (name == "b"))
    return path


def stack(path, format, names=("a", "b")):
    array = zarr.create_array(str(path), data=np.stack([VALUES, VALUES + 1]), zarr_format=format)
    if names is not None:
        array.attrs["names"] = list(names)
    return path


def archive(path):
    np.savez(path, a=VALUES, b=VALUES + 1)
    return path


def folder(path, write):
    path.mkdir()
    for name in ("a", "b"):
        write(path / name, VALUES + (name == "b"))
    (path / ".hidden.npy").write_bytes(b"")
    (path / "dataset.json").write_text("{}", encoding="utf-8")
    return path


PLACES = {
    "npy": lambda path: folder(path, lambda p, v: np.save(p.with_suffix(".npy"), v)),
    "npz": lambda path: folder(path, lambda p, v: np.savez(p.with_suffix(".npz"), v)),
    "npz of several": lambda path: folder(path, lambda p, v: np.savez(p.with_suffix(".npz"), probabilities=v, k=0)),
    "tif": lambda path: folder(path, lambda p, v: tifffile.imwrite(p.with_suffix(".tif"), v, photometric="minisblack")),
    "tiff of pages": lambda path: folder(path, pages),
    "npz archive": lambda path: archive(path.with_suffix(".npz")),
    "zarr 2 group": lambda path: group(path, 2),
    "zarr 3 group": lambda path: group(path, 3),
    "zarr 2 array": lambda path: stack(path, 2),
    "zarr 3 array": lambda path: stack(path, 3),
    "at hand": lambda _path: {"a": VALUES, "b": VALUES + 1},
}


def pages(path, values):
    """Page by page, as many programs write."""
    with tifffile.TiffWriter(path.with_suffix(".tiff")) as file:
        for page in values:
            file.write(page, photometric="minisblack")


@pytest.mark.parametrize("kind", PLACES)
def test_every_place_gives_the_same(tmp_path, kind):
    files = open_scores(PLACES[kind](tmp_path / "scores"), "probabilities")
    assert set(files.names) == {"a", "b"}
    np.testing.assert_array_equal(files.read("a"), VALUES)
    np.testing.assert_array_equal(files.read("b"), VALUES + 1)
    assert "b" in files.where("b")


def test_grey_png(tmp_path):
    Image.fromarray(np.array([[0, 255], [7, 9]], np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_scores(tmp_path, "trust maps").read("a"), [[0, 255], [7, 9]])


def refused(path, words, what="probabilities"):
    with pytest.raises(InputError) as caught:
        open_scores(path, what)
    assert words in str(caught.value)


def test_what_is_no_place_of_scores(tmp_path):
    refused(tmp_path / "none", "There are no probabilities at")
    refused(tmp_path, ".nii.gz, .npy, .npz, .nrrd, .png, .tif, .tiff files")
    single = tmp_path / "one.npy"
    np.save(single, VALUES)
    refused(single, "are one file; expected a folder")
    np.savez(tmp_path / "one.npz", VALUES)
    refused(tmp_path, "have the same stem; remove one")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 and no more")
    refused(broken, "broken or no .npz file")
    np.savez(tmp_path / "empty.npz")
    refused(tmp_path / "empty.npz", "hold no arrays")


def test_zarr_stores_that_cannot_be_used(tmp_path):
    refused(stack(tmp_path / "nameless.zarr", 3, None), "has 2 entries and no attribute 'names'")
    refused(stack(tmp_path / "short.zarr", 3, ["a"]), "has 2 entries and no attribute 'names'")
    refused(stack(tmp_path / "twice.zarr", 3, ["a", "a"]), "as many different image names")
    zarr.create_array(str(tmp_path / "point.zarr"), data=np.array(1.0), zarr_format=3)
    refused(tmp_path / "point.zarr", "has 0 entries")
    zarr.open_group(str(tmp_path / "empty.zarr"), mode="w")
    refused(tmp_path / "empty.zarr", "hold no arrays")
    damaged = tmp_path / "damaged.zarr"
    damaged.mkdir()
    (damaged / "zarr.json").write_text("{", encoding="utf-8")
    refused(damaged, "damaged or of an unknown kind")


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"no numpy")
    (tmp_path / "b.npz").write_bytes(b"PK no zip")
    (tmp_path / "c.tif").write_bytes(b"II* no tiff")
    (tmp_path / "d.png").write_bytes(b"no png")
    np.savez(tmp_path / "e.npz", one=VALUES, two=VALUES)
    np.save(tmp_path / "f.npy", np.array([{}], dtype=object), allow_pickle=True)
    with tifffile.TiffWriter(tmp_path / "g.tif") as file:
        file.write(np.zeros((4, 4), np.float32))
        file.write(np.zeros((5, 4), np.float32))
    files = open_scores(tmp_path, "probabilities")
    for name in "abcdf":
        with pytest.raises(FormatError, match=f"{name}.[a-z]+ cannot be read: the file is broken"):
            files.read(name)
    with pytest.raises(FormatError, match=r"holds 2 arrays \(one, two\); expected one"):
        files.read("e")
    with pytest.raises(FormatError, match="pages of different sizes"):
        files.read("g")


def test_an_array_that_vanishes_is_said(tmp_path):
    path = archive(tmp_path / "x.npz")
    files = open_scores(path, "probabilities")
    np.savez(path, b=VALUES)
    with pytest.raises(FormatError, match=r"array a, cannot be read"):
        files.read("a")
