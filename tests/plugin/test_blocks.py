"""Blocks of a large volume against a plain array: indexing, painting, what is kept, and changes from elsewhere."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_metadcseg.layers import blocks as blocks_module
from napari_metadcseg.layers.blocks import Blocks, located
from src_core.data.case import Box

EDGE = 4
SHAPE = (9, 13, 6)


@pytest.fixture(autouse=True)
def small_blocks():
    before, blocks_module.EDGE = blocks_module.EDGE, EDGE
    yield
    blocks_module.EDGE = before


class Source:
    """A volume that counts what is read of it."""

    def __init__(self, values):
        self.values, self.boxes = values, []

    def __call__(self, box):
        self.boxes.append(box)
        return self.values[box.slices]

    @property
    def voxels(self):
        return sum(np.prod(box.shape) for box in self.boxes)


def volume(shape=SHAPE, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def opened(values=None):
    source = Source(volume() if values is None else values)
    return Blocks(source.values.shape, source.values.dtype, source), source


def never():
    return False


# ------------------------------------------------------------------ as an array


@pytest.mark.parametrize(
    "place",
    [
        5,
        -1,
        np.int64(3),
        (5, 2, 1),
        (slice(None), 4),
        (Ellipsis, 2),
        (slice(2, 9, 3), slice(None, None, -1), 0),
        slice(4, 4),
        (slice(20, 30), 1),
        (np.array([1, 8, 1]), np.array([12, 0, 3]), np.array([0, 5, -1])),
        (np.array([], int), np.array([], int), np.array([], int)),
        (slice(1, 3), np.array([2, 7])),
        volume() > 150,
    ],
    ids=str,
)
def test_a_part_is_what_numpy_gives(place):
    blocks, source = opened()
    assert np.array_equal(blocks[place], source.values[place])
    assert blocks[place].dtype == np.uint8


@pytest.mark.parametrize("place", [9, -10, (0, 13), (np.array([0, 9]), 0, 0)])
def test_what_lies_outside_is_an_error(place):
    blocks, source = opened()
    with pytest.raises(IndexError):
        source.values[place]
    with pytest.raises(IndexError, match="outside"):
        blocks[place]


def test_it_looks_like_an_array():
    blocks, source = opened()
    assert (blocks.ndim, blocks.size, len(blocks)) == (3, 702, 9)
    assert np.array_equal(np.asarray(blocks), source.values)
    assert np.asarray(blocks, dtype=float).dtype == float
    with pytest.raises(ValueError, match="copy"):
        np.asarray(blocks, copy=False)


def test_colours_stay_together():
    values = volume((9, 13, 6, 3))
    blocks, _ = opened(values)
    assert np.array_equal(blocks[4], values[4])
    assert np.array_equal(blocks[:, :, 2], values[:, :, 2])
    assert np.array_equal(blocks[3, 4, 5, 1], values[3, 4, 5, 1])


indices = st.one_of(st.integers(-6, 5), st.slices(6), st.just(Ellipsis))


@settings(max_examples=150, deadline=None)
@given(st.lists(indices, min_size=1, max_size=3), st.integers(0, 255))
def test_reading_and_painting_are_what_numpy_does(parts, value):
    place = tuple(part for at, part in enumerate(parts) if part is not Ellipsis or Ellipsis not in parts[:at])
    values = volume((6, 6, 6))
    blocks, _ = opened(values.copy())
    assert np.array_equal(blocks[place], values[place])
    values[place] = value
    blocks[place] = value
    assert np.array_equal(np.asarray(blocks), values)
    box, _ = located(place, values.shape)
    assert box.is_inside(Box.whole(values.shape))


# ------------------------------------------------------------------ what is read and kept


def test_a_slice_is_read_once_with_those_beside_it():
    blocks, source = opened()
    for at in (1, 0, 3, 2, 1):
        blocks[at]
    assert source.voxels == 4 * 13 * 6
    assert source.boxes[0] == Box((0, 0, 0), (4, 4, 6))  # a row of blocks at once
    blocks[4]
    assert source.voxels == 8 * 13 * 6
    blocks[0], blocks[7]  # they are kept
    assert source.voxels == 8 * 13 * 6


def test_memory_is_bounded_whatever_is_looked_at():
    blocks, source = opened(volume((40, 16, 8), np.float32))
    most = 3 * 10 * 4 * EDGE**3 * 4  # thrice the 10 x 4 blocks of the widest cut
    for axis in range(3):
        for at in range(blocks.shape[axis]):
            assert np.array_equal(blocks[(slice(None),) * axis + (at,)], source.values[(slice(None),) * axis + (at,)])
            assert blocks.kept <= most
    before = blocks.kept
    assert np.array_equal(np.asarray(blocks), source.values)  # as when it is saved
    assert blocks.kept <= before


@pytest.mark.parametrize(("most", "ahead"), [(1, 0), (2 * 40 * 256 - 1, 0), (2 * 40 * 256, 1), (2**29, 2)])
def test_less_is_kept_where_a_slab_takes_much(monkeypatch, most, ahead):
    monkeypatch.setattr(blocks_module, "MOST_BYTES", most)
    blocks, source = opened(volume((40, 16, 8), np.float32))  # a slab: 10 x 4 blocks of 256 bytes
    assert blocks.ahead == ahead
    for at in (0, 5, 11, 18):
        blocks[:, 0]
        blocks[at]
    assert blocks.kept <= (1 + ahead) * 40 * 256
    source.boxes.clear()
    blocks[:, 1], blocks[:, 2]  # the slab in view is there in any case
    blocks[:, 3]
    assert source.voxels <= 40 * 64


# ------------------------------------------------------------------ painting


def test_what_is_painted_stays_until_it_is_recorded():
    blocks, source = opened()
    blocks[2, 3:6, 1] = 201
    for at in range(9):
        blocks[at]
    blocks[:, 12]
    assert (blocks[2, 3:6, 1] == 201).all()
    assert (np.asarray(blocks) == 201).sum() == 3
    source.values[2, 3:6, 1] = 201  # recorded
    blocks.recorded()
    for at in (0, 4, 8):
        blocks[at], blocks[:, at], blocks[:, :, at % 6]
    assert np.array_equal(np.asarray(blocks), source.values)
    assert not np.shares_memory(blocks[2], blocks[2])


def test_a_change_from_elsewhere_leaves_what_is_painted_beside_it():
    blocks, source = opened()
    blocks[0, 0, 0] = 201
    source.values[0, 1, :] = 202
    source.values[8, 8, 5] = 203
    blocks[8]
    blocks.changed(Box((0, 1, 0), (1, 2, 6)))
    assert blocks[0, 0, 0] == 201
    assert (blocks[0, 1] == 202).all()
    blocks.changed(Box((8, 8, 5), (9, 9, 6)))
    assert blocks[8, 8, 5] == 203
    source.values[...] = 7
    blocks.changed()
    assert (np.asarray(blocks) == 7).all()


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.uint8, (6, 7, 5), elements=st.integers(0, 3)), st.data())
def test_strokes_changes_and_looks_in_any_order(values, data):
    """What is seen is always what was recorded, with what was painted since over it."""
    recorded = values.copy()
    blocks, seen = Blocks(values.shape, np.uint8, lambda box: recorded[box.slices]), values.copy()
    for _ in range(data.draw(st.integers(1, 8))):
        start = tuple(data.draw(st.integers(0, side - 1)) for side in values.shape)
        stop = tuple(min(a + data.draw(st.integers(1, 3)), side) for a, side in zip(start, values.shape, strict=True))
        box, value = Box(start, stop), data.draw(st.integers(4, 9))
        what = data.draw(st.sampled_from(["paint", "record", "change", "look", "ahead"]))
        if what == "paint":
            blocks[box.slices] = seen[box.slices] = value
        elif what == "record":
            recorded[...] = seen
            blocks.recorded()
        elif what == "change":
            recorded[box.slices] = seen[box.slices] = value
            blocks.changed(box)
        elif what == "ahead":
            blocks.fetch(box, lambda box: recorded[box.slices], never)
        assert np.array_equal(blocks[:, start[1]], seen[:, start[1]])
    assert np.array_equal(np.asarray(blocks), seen)


# ------------------------------------------------------------------ in another thread


def test_what_was_read_ahead_is_not_read_again():
    blocks, source = opened()
    ahead = Source(source.values)
    blocks.fetch(Box((4, 0, 0), (12, 13, 6)), ahead, never)  # reaches further than the volume
    assert ahead.voxels == 5 * 13 * 6
    assert np.array_equal(blocks[5], source.values[5])
    assert source.boxes == []
    blocks.fetch(Box((4, 0, 0), (8, 13, 6)), ahead, never)
    assert ahead.voxels == 5 * 13 * 6


def test_what_is_there_already_and_comes_next_is_kept():
    """Four slabs, of which three are kept: the one that comes next was looked at first, and is not pushed out."""
    blocks, source = opened(volume((16, 16, 16)))
    for at in (0, 4, 8):
        blocks[at]
    source.boxes.clear()
    blocks.fetch(Box((0, 0, 0), (4, 16, 16)), source, never)
    assert source.boxes == []
    blocks[12]
    source.boxes.clear()
    blocks[3]
    assert source.boxes == []
    blocks[4]
    assert source.boxes


def test_reading_ahead_stops_when_told():
    blocks, source = opened()
    blocks.fetch(Box.whole(SHAPE), source, lambda: len(source.boxes) > 1)
    assert len(source.boxes) == 2


def test_what_was_read_before_a_change_is_not_kept():
    """A thread reads, a decision changes the volume, and only then does the thread hand over what it has."""
    blocks, source = opened()
    reading, changed = threading.Event(), threading.Event()

    def slow(box):
        values = source.values[box.slices].copy()
        reading.set()
        assert changed.wait(30)
        return values

    thread = threading.Thread(target=blocks.fetch, args=(Box((0, 0, 0), (4, 13, 6)), slow, never))
    thread.start()
    assert reading.wait(30)
    source.values[1] = 99
    blocks.changed(Box((1, 0, 0), (2, 13, 6)))
    changed.set()
    thread.join(30)
    assert (blocks[1] == 99).all()
