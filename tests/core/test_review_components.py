"""Groups of pixels that lie near to each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from src_core.data.case import CaseInfo, MaskEncoding
from src_core.review.components import gathered
from src_core.review.regions import reach_of


def test_pieces_by_hand():
    values = np.array(
        [
            [1, 0, 0, 1, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 0, 0],
            [2, 0, 0, 2, 0, 0, 0, 2],
        ],
        dtype=np.int32,
    )
    expected = [
        [1, 0, 0, 1, 0, 0, 0, 2],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [3, 0, 0, 3, 0, 0, 0, 4],
    ]
    assert gathered(values, (3, 3)).tolist() == expected
    assert gathered(values, (1, 1)).max() == 6
    assert gathered(values, (5, 5)).max() == 2
    assert not gathered(np.zeros((2, 2), np.int32), (3, 3)).any()


def by_distance(values: np.ndarray, reach: tuple[int, ...]) -> np.ndarray:
    """The same from the distances of all pairs of pixels."""
    points = np.argwhere(values)
    kinds = values[tuple(points.T)]
    near = (np.abs(points[:, None] - points[None]) <= np.array(reach)).all(axis=2) & (kinds[:, None] == kinds[None])
    _, found = connected_components(coo_array(near), directed=False)
    _, firsts, inverse = np.unique(found, return_index=True, return_inverse=True)
    numbers = np.zeros(values.shape, dtype=np.int32)
    numbers[tuple(points.T)] = np.argsort(np.argsort(firsts))[inverse] + 1
    return numbers


@settings(max_examples=100, deadline=None)
@given(
    arrays.arrays(
        np.int32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.sampled_from([0, 0, 0, 3, 7])
    ),
    st.sampled_from([(1, 1), (3, 3), (5, 5), (1, 3)]),
)
def test_groups_are_those_of_all_distances(values, reach):
    assert np.array_equal(gathered(values, reach), by_distance(values, reach) if values.any() else values)


@settings(max_examples=30, deadline=None)
@given(arrays.arrays(np.int32, (3, 6, 6), elements=st.sampled_from([0, 0, 0, 0, 2])))
def test_slices_of_a_volume_have_to_touch(values):
    assert np.array_equal(gathered(values, (1, 3, 3)), by_distance(values, (1, 3, 3)) if values.any() else values)


def test_the_reach_is_within_a_slice():
    encoding = MaskEncoding(suffix=".nii", dtype="uint8", values={0: 0, 1: 1})

    def case(shape, spacing):
        return CaseInfo(
            id=0, name="a", shape=shape, channels=1, spacing=spacing, unit="mm",
            image_path="", mask_path="", encoding=encoding,
        )  # fmt: skip

    assert reach_of(case((9, 9), (1.0, 1.0))) == (5, 5)
    assert reach_of(case((4, 9, 9), (3.0, 1.0, 1.0))) == (1, 5, 5)
    assert reach_of(case((9, 9, 4), (1.0, 1.0, 2.5))) == (5, 5, 1)
    assert reach_of(case((9, 9, 9), (1.0, 1.0, 1.0))) == (1, 5, 5)
