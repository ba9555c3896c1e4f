"""Where the frame of a large image lies."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_metadcseg.layers import frame as frames
from napari_metadcseg.layers.frame import at_level, common, frame_around, in_image
from src_core.data.case import Box


def test_frames_by_hand():
    assert frame_around(Box((700, 600), (720, 640)), (9000, 9000)) == Box((0, 0), (1024, 1024))
    assert frame_around(Box((5000, 8980), (5020, 9000)), (9000, 9000)) == Box((4608, 8192), (5632, 9000))
    assert frame_around(Box((10, 10), (8000, 20)), (9000, 700)) == Box((3072, 0), (5120, 700))
    assert frame_around(Box((0, 0), (5000, 5000)), (600, 5000), 0).shape == (600, 2048)


@given(edge=st.integers(1, 9000), data=st.data())
def test_a_frame_holds_its_region_and_lies_on_the_grid(edge, data):
    start = data.draw(st.integers(0, edge - 1))
    stop = data.draw(st.integers(start + 1, edge))
    frame = frame_around(Box((start, 0), (stop, 1)), (edge, 1))
    low, high = frame.start[0], frame.stop[0]
    assert 0 <= low < high <= edge
    assert low % frames.GRID == 0
    assert high % frames.GRID == 0 or high == edge
    assert high - low <= frames.MOST
    assert high - low >= min(edge, frames.LEAST - frames.GRID + 1)
    if stop - start <= frames.MOST - frames.GRID - 2 * frames.MARGIN:
        assert low <= start
        assert stop <= high
    else:
        assert low <= (start + stop) // 2 < high


boxes = st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2).map(
    lambda t: Box((t[0], t[1]), (t[0] + t[2], t[1] + t[3]))
)


@given(one=boxes, other=boxes, step=st.sampled_from([1, 2, 4, 8]))
def test_boxes_against_masks(one, other, step):
    masks = np.zeros((2, 104, 104), bool)
    masks[0][one.slices], masks[1][other.slices] = True, True
    both = common(one, other)
    assert (both is not None) == masks.all(axis=0).any()
    if both is not None:
        assert np.array_equal(np.argwhere(masks.all(axis=0))[[0, -1]], [both.start, np.array(both.stop) - 1])
    smaller = np.zeros((-(-104 // step),) * 2, bool)
    smaller[at_level(one, step).slices] = True
    assert np.array_equal(smaller, masks[0][::step, ::step])
    assert Box((1, 2), (3, 4)).moved(one.start).shape == (2, 2)


def test_places_in_the_frame_are_places_in_the_image():
    told = []
    in_image(Box((512, 1024), (1536, 2048)), told.append)(np.array([[1.5, 2.0], [0.0, 0.0]]))
    in_image(None, told.append)(np.array([1.0, 2.0, 3.0]))
    assert told[0].tolist() == [[513.5, 1026.0], [512.0, 1024.0]]
    assert told[1].tolist() == [1.0, 2.0, 3.0]
