"""Arrays on disk: zarr reads what is written here, and the other way round; what is damaged is noticed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec

from src_core.data.case import Box
from src_core.store import chunks
from src_core.store.chunks import ChunkedArray, chunk_shape, pack, unpack, write_array

TYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64", "bool", ">u2"]


def some(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 3, shape).astype(dtype)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "_EDGES", {1: 7, 2: 5, 3: 3})


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(1, 1), (12, 7), (5, 5, 3), (4, 7, 6), (9,)])
def test_zarr_reads_and_changes_what_is_written(tmp_path, small_chunks, dtype, shape):
    values = some(shape, dtype)
    write_array(tmp_path / "a", values)
    theirs = zarr.open_array(str(tmp_path / "a"), mode="r+")
    assert np.array_equal(theirs[...], values)
    assert theirs.dtype == values.dtype.newbyteorder("<")
    assert theirs.chunks == chunk_shape(shape)
    theirs[...] = values[::-1]
    assert np.array_equal(ChunkedArray(tmp_path / "a").read(), values[::-1])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "uint16"])
def test_it_describes_arrays_as_zarr_does(tmp_path, dtype):
    write_array(tmp_path / "ours", some((30, 20), dtype))
    zarr.create_array(
        str(tmp_path / "theirs"),
        shape=(30, 20),
        chunks=(30, 20),
        dtype=dtype,
        compressors=[BloscCodec(cname="zstd", clevel=3), Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        attributes={"complete": True},
    )
    ours, theirs = (json.loads((tmp_path / name / "zarr.json").read_text()) for name in ("ours", "theirs"))
    theirs.pop("storage_transformers", None)
    assert ours == theirs


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("checksum", [True, False])
def test_arrays_of_older_projects(tmp_path, separator, checksum):
    """Without checksums, in nested folders, and with no file for chunks that are all zeros."""
    theirs = zarr.create_array(
        str(tmp_path / "a"),
        shape=(10, 12),
        chunks=(4, 5),
        dtype="uint8",
        compressors=[BloscCodec(cname="zstd", clevel=3), *([Crc32cCodec()] if checksum else [])],
        chunk_key_encoding={"name": "default", "separator": separator},
    )
    values = np.zeros((10, 12), np.uint8)
    values[5:7, 2:9] = 3
    theirs[...] = values
    ours = ChunkedArray(tmp_path / "a")
    assert np.array_equal(ours.read(), values)
    values[0:9, 6:12] = 7
    touched = ours.write(Box((0, 6), (9, 12)), values[0:9, 6:12])
    assert np.array_equal(zarr.open_array(str(tmp_path / "a"), mode="r")[...], values)
    files = {path for path in touched if path.is_file()}
    assert len(files) == 6  # three rows of chunks, two columns
    assert all(file.parent in touched for file in files)
    assert touched <= {tmp_path / "a", *(tmp_path / "a").rglob("*")}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_boxes_equal_a_plain_array(tmp_path_factory, data):
    shape = tuple(data.draw(st.lists(st.integers(1, 14), min_size=2, max_size=3)))
    values = some(shape, "uint8", data.draw(st.integers(0, 9)))
    folder = tmp_path_factory.mktemp("a") / "a"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chunks, "_EDGES", {1: 7, 2: 5, 3: 3})
        write_array(folder, values)
    array = ChunkedArray(folder)
    for _ in range(4):
        start = [data.draw(st.integers(0, edge - 1)) for edge in shape]
        stop = [data.draw(st.integers(low + 1, edge)) for low, edge in zip(start, shape, strict=True)]
        box = Box(tuple(start), tuple(stop))
        if data.draw(st.booleans()):
            new = some(box.shape, "uint8", data.draw(st.integers(10, 19)))
            array.write(box, new)
            values[box.slices] = new
        assert np.array_equal(array.read(box), values[box.slices])
    assert np.array_equal(array.read(), values)


def test_a_box_may_leave_out_the_channels(tmp_path, small_chunks):
    values = some((12, 11, 3), "uint8")
    write_array(tmp_path / "a", values)
    assert np.array_equal(ChunkedArray(tmp_path / "a").read(Box((2, 3), (9, 11))), values[2:9, 3:11])


def test_chunks_of_images_and_volumes():
    assert chunk_shape((4096, 4096)) == (512, 512)
    assert chunk_shape((4096, 300, 3)) == (512, 300, 3)
    assert chunk_shape((40, 600, 600)) == (40, 64, 64)
    assert chunk_shape((40, 600, 600, 2)) == (40, 64, 64, 2)


def test_what_was_cut_short_is_noticed():
    packed = pack(some((5, 6), "uint8"))
    assert np.array_equal(np.frombuffer(unpack(packed), np.uint8).reshape(5, 6), some((5, 6), "uint8"))
    for keep in range(len(packed)):
        with pytest.raises(ValueError, match=r"checksum|short"):
            unpack(packed[:keep])
    for keep in range(len(packed) - 4):
        with pytest.raises(ValueError, match="short"):
            unpack(packed[:keep], sealed=False)


@given(st.integers(0, 10_000))
def test_every_flipped_bit_is_noticed(place):
    packed = bytearray(pack(some((20, 20), "uint8")))
    packed[place // 8 % len(packed)] ^= 1 << place % 8
    with pytest.raises(ValueError, match="checksum"):
        unpack(bytes(packed))


def test_a_chunk_that_is_missing_is_no_chunk_of_zeros(tmp_path):
    write_array(tmp_path / "a", np.zeros((4, 4), np.uint8))
    (tmp_path / "a" / "c.0.0").unlink()
    with pytest.raises(FileNotFoundError):
        ChunkedArray(tmp_path / "a").read()


@pytest.mark.parametrize(
    "change",
    [
        {"codecs": [{"name": "bytes"}, {"name": "gzip"}]},
        {"chunk_grid": {"name": "rectilinear"}},
        {"shape": None},
        {"data_type": "complex999"},
    ],
)
def test_other_kinds_of_arrays_are_refused(tmp_path, change):
    write_array(tmp_path / "a", some((4, 4), "uint8"))
    facts = json.loads((tmp_path / "a" / "zarr.json").read_text())
    (tmp_path / "a" / "zarr.json").write_text(json.dumps({**facts, **change}))
    with pytest.raises(ValueError, match=r"are not used in projects|makes no sense"):
        ChunkedArray(tmp_path / "a")


def test_what_cannot_be_written_leaves_the_chunk_as_it_was(tmp_path, monkeypatch):
    values = some((4, 4), "uint8")
    write_array(tmp_path / "a", values)
    array = ChunkedArray(tmp_path / "a")

    def full(*_args):
        raise OSError(28, "full")

    monkeypatch.setattr("src_core.store.chunks.os.replace", full)
    with pytest.raises(OSError, match="full"):
        array.write(Box((0, 0), (2, 2)), np.ones((2, 2), np.uint8))
    assert np.array_equal(array.read(), values)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"zarr.json", "c.0.0"}
