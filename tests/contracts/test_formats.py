"""What every format promises, over files that other libraries wrote."""

from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile

from src_core.errors import FormatError, InputError
from src_core.io.formats import read, stem_of, suffix_of, write
from src_core.store.create import create_from_folders
from src_core.store.export import export
from tests.contracts.samples import AFFINE, SAMPLES, SPACING, TILTED, TURNED, content, labels

EVERY = pytest.mark.parametrize("name", SAMPLES)
KINDS = pytest.mark.parametrize("where", [AFFINE, TURNED, TILTED], ids=["straight", "turned", "tilted"])


@pytest.fixture
def made(tmp_path):
    """Function that writes a sample and gives its path and pixels."""

    def make(name, folder="masks", where=AFFINE, pixels=None):
        sample = SAMPLES[name]
        pixels = labels(sample.volume) if pixels is None else pixels
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / f"case.one{sample.suffix}"
        sample.make(path, pixels, where)
        return path, pixels

    return make


def read_or_refused(path):
    """A picture, or None when it was refused in one line."""
    words, found = "", None
    try:
        found = read(path, mask=True)
    except FormatError as error:
        words = str(error)
    assert bool(words) == (found is None)
    assert "\n" not in words
    return found


def expected(name, pixels):
    return pixels * 2.0 - 3 if name == "nifti scaled" else pixels


@EVERY
def test_a_file_is_read_as_it_was_written(made, name):
    path, pixels = made(name)
    sample = SAMPLES[name]
    found = read(path, mask=True)
    assert found.pixels.dtype == sample.dtype
    assert found.pixels.dtype.isnative
    assert np.array_equal(found.pixels, expected(name, pixels))
    assert found.shape == pixels.shape
    assert suffix_of(path) == sample.suffix
    assert stem_of(path) == "case.one"
    if sample.keeps != "nothing":
        assert found.grid.unit == "mm"
        assert found.grid.spacing == pytest.approx(SPACING[-pixels.ndim :], rel=1e-5)
    else:
        assert found.grid.unit == "px"


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.keeps == "affine"])
@KINDS
def test_a_place_is_read_as_it_was_written(made, name, where):
    path, _ = made(name, where=where)
    assert np.allclose(read(path, mask=True).grid.affine, where, atol=1e-4)


@EVERY
def test_a_mask_is_given_back_as_it_was(made, tmp_path, name):
    path, pixels = made(name, where=TILTED)
    found = read(path, mask=True)
    extra = json.loads(json.dumps(found.extra))
    (tmp_path / "out").mkdir()
    back = tmp_path / "out" / path.name
    written = write(back, found.pixels, mode=found.mode, extra=extra)
    assert sorted(written) == sorted((tmp_path / "out").iterdir())
    again = read(back, mask=True)
    assert np.array_equal(again.pixels, expected(name, pixels))
    assert again.pixels.dtype == found.pixels.dtype
    assert (again.grid, again.mode, again.labels) == (found.grid, found.mode, found.labels)
    told = SAMPLES[name].suffix in (".mhd", ".nhdr") or name == "metaimage packed"  # the size and name of their pixels
    differs = {"header"} if told else set()
    assert {key: value for key, value in again.extra.items() if key not in differs} == {
        key: value for key, value in found.extra.items() if key not in differs
    }
    if SAMPLES[name].same_bytes or path.suffix == ".gz" or path.is_dir():
        assert content(back) == content(path)


@EVERY
def test_a_project_gives_untouched_masks_back(made, tmp_path, name):
    path, pixels = made(name)
    (tmp_path / "images").mkdir()
    shape = "volume" if pixels.ndim == 3 else "plane"
    image = tmp_path / "images" / f"case.one{'.npy' if shape == 'volume' else '.png'}"
    write(image, np.random.default_rng(1).integers(0, 255, pixels.shape).astype(np.uint8))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    classes = tmp_path / "classes.csv"
    classes.write_text(
        "".join(f"{value},class{value:g}\n" for value in sorted({*map(int, expected(name, pixels).flat)}))
    )
    project, _ = create_from_folders(tmp_path / "p", image.parent, path.parent, classes_file=classes)
    with project:
        written = export(project, tmp_path / "out", ["cleaned"])
    assert {file: file.read_bytes() for file in before} == before
    back = tmp_path / "out" / "cleaned" / path.name
    assert back in written
    assert np.array_equal(read(back, mask=True).pixels, expected(name, pixels))
    if SAMPLES[name].same_bytes or path.suffix == ".gz" or path.is_dir():
        assert content(back) == content(path)
    else:
        kept = [file.name for file in path.parent.iterdir()]
        assert sorted(kept) == sorted(file.name for file in back.parent.iterdir())


@EVERY
def test_only_what_was_changed_is_changed(made, tmp_path, name):
    path, pixels = made(name)
    found = read(path, mask=True)
    changed = found.pixels.copy()
    changed[..., 3:9, 4:7] = expected(name, np.array(1))
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / path.name, changed, mode=found.mode, extra=found.extra)
    wanted = pixels.copy()
    wanted[..., 3:9, 4:7] = 1
    again = read(tmp_path / "out" / path.name, mask=True)
    assert np.array_equal(again.pixels, expected(name, wanted))
    assert again.grid == found.grid


# ------------------------------------------------------------------ what others read


@pytest.mark.parametrize("name", ["nrrd", "nrrd packed", "nhdr", "metaimage", "metaimage packed", "mhd", "mhd packed"])
@KINDS
def test_itk_reads_what_is_given_back(made, tmp_path, name, where):
    path, pixels = made(name, where=where)
    found = read(path, mask=True)
    pixels = pixels.copy()
    pixels[1, 2, 3] = 2 - pixels[1, 2, 3]
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / f"other{SAMPLES[name].suffix}", pixels.astype(found.pixels.dtype), extra=found.extra)
    before = SimpleITK.ReadImage(str(path))
    after = SimpleITK.ReadImage(str(tmp_path / "out" / f"other{SAMPLES[name].suffix}"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(after), pixels)
    assert after.GetPixelID() == before.GetPixelID()
    assert after.GetDirection() == before.GetDirection()
    assert after.GetOrigin() == before.GetOrigin()
    assert after.GetSpacing() == before.GetSpacing()
    for key in before.GetMetaDataKeys():
        assert after.GetMetaData(key) == before.GetMetaData(key)


@pytest.mark.parametrize("name", ["nifti", "nifti packed", "nifti-2", "nifti big-endian", "nifti scaled"])
def test_nibabel_reads_what_is_given_back(made, tmp_path, name):
    path, pixels = made(name, where=TILTED)
    found = read(path, mask=True)
    back = tmp_path / path.name
    write(back, found.pixels, extra=found.extra)
    before, after = nibabel.load(path), nibabel.load(back)
    assert after.header == before.header
    assert after.header.extensions == before.header.extensions
    assert np.array_equal(np.asanyarray(after.dataobj).T, expected(name, pixels))


@pytest.mark.parametrize(
    "name", [name for name, sample in SAMPLES.items() if sample.suffix.endswith((".tif", ".tiff"))]
)
def test_tifffile_reads_what_is_given_back(made, tmp_path, name):
    path, pixels = made(name)
    found = read(path, mask=True)
    back = tmp_path / path.name
    write(back, found.pixels, mode=found.mode, extra=found.extra)
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(back) as after:
        one, two = before.series[0], after.series[0]
        assert (two.axes, two.shape, two.dtype) == (one.axes, one.shape, one.dtype)
        assert np.array_equal(two.asarray(), pixels)
        assert after.byteorder == before.byteorder
        assert after.is_bigtiff == before.is_bigtiff
        assert after.ome_metadata == before.ome_metadata
        for tag in ("Compression", "TileWidth", "TileLength", "XResolution", "ResolutionUnit", "Predictor"):
            values = [file.pages[0].tags[tag].value if tag in file.pages[0].tags else None for file in (before, after)]
            assert values[0] == values[1], tag
        assert [level.shape for level in two.levels] == [level.shape for level in one.levels]


@pytest.mark.parametrize("name", ["zarr 0.4", "zarr 0.5", "zarr tczyx"])
def test_ome_zarr_reads_what_is_given_back(made, tmp_path, name):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    path, pixels = made(name)
    found = read(path, mask=True)
    back = tmp_path / "back.ome.zarr"
    write(back, found.pixels, extra=found.extra)
    data = next(iter(Reader(parse_url(str(back), mode="r"))())).data
    assert np.array_equal(np.asarray(data[0]).reshape(pixels.shape), pixels)
    assert np.array_equal(np.asarray(data[1]).reshape(5, 20, 18), pixels[:, ::2, ::2])


# ------------------------------------------------------------------ bad files


@EVERY
def test_truncated_files_are_refused_in_a_sentence(made, name):
    path, pixels = made(name)
    target = max((file for file in [path, *path.parent.rglob("*")] if file.is_file()), key=lambda f: f.stat().st_size)
    if path.is_dir():
        target = path / ("zarr.json" if (path / "zarr.json").is_file() else ".zattrs")
    data = target.read_bytes()
    for part in (0, 10, len(data) // 3, len(data) // 2, len(data) - 20):
        target.write_bytes(data[:part])
        found = read_or_refused(path)
        # what a library leaves at the end of a file need not matter
        assert found is None or (part == len(data) - 20 and np.array_equal(found.pixels, expected(name, pixels)))


@EVERY
def test_flipped_bits_are_read_or_refused(made, name):
    path, _ = made(name)
    files = [file for file in path.parent.rglob("*") if file.is_file()]
    rng = np.random.default_rng(len(name))
    for _ in range(12):
        target = files[rng.integers(len(files))]
        data = bytearray(target.read_bytes())
        kept = bytes(data)
        for place in rng.integers(0, min(len(data), 400), rng.integers(1, 5)):
            data[place] ^= 1 << rng.integers(8)
        target.write_bytes(bytes(data))
        read_or_refused(path)
        target.write_bytes(kept)


@EVERY
def test_what_cannot_be_written_leaves_nothing(made, tmp_path, name):
    path, _ = made(name)
    found = read(path, mask=True)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises((ValueError, TypeError, IndexError, KeyError, OSError, AttributeError, InputError)):
        write(out / path.name, np.array(["x"] * 3, dtype=object), mode=found.mode, extra=found.extra)
    assert list(out.iterdir()) == []
    shutil.rmtree(out)
