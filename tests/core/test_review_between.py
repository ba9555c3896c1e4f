"""Labels from other slices, lassos, stacks told by names, and the table of tools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from src_core.data.case import IGNORE, Box, CaseInfo, MaskEncoding
from src_core.errors import InputError
from src_core.review.between import copy_slice, gap, interpolate, interpolate_slices, lay
from src_core.review.lasso import lasso_mask
from src_core.review.stacks import neighbours, stack_of
from src_core.review.tools import PARAMETERS, TOOLS, checked_values, limits, note, tool

from .test_review_edits import disc, picture

quick = settings(max_examples=40, deadline=None)


# ------------------------------------------------------------------ laying and copying


def test_a_class_is_laid_over_background_only():
    label, source = picture("0112x 33300"), picture("1102x 1x110")
    assert lay(label, source, [1]).tolist() == picture("1102x 33310").tolist()
    assert lay(label, source, [1, 2, 3]).tolist() == picture("1102x 13110").tolist()
    assert lay(label, source, [2]).tolist() == label.tolist()
    assert lay(label, source, [1], box=Box((0, 0), (1, 2))).tolist() == picture("1112x 33300").tolist()
    filled = picture("11111 11111")
    assert lay(label, filled, [1]).tolist() == picture("1112x 33311").tolist()
    assert lay(label, filled, [1], unlabelled=True).tolist() == picture("11121 33311").tolist()
    with pytest.raises(InputError, match="take one of the same size"):
        lay(label, filled[:, :3], [1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_copied_and_no_other_changes(axis):
    rng = np.random.default_rng(axis)
    label = rng.choice(np.array([0, 1, 2, IGNORE], np.uint8), (4, 5, 6))
    done = copy_slice(label, 3, 2, [1, 2], axis=axis)
    slices, before = np.moveaxis(done, axis, 0), np.moveaxis(label, axis, 0)
    assert np.array_equal(slices[3], lay(before[3], before[2], [1, 2]))
    assert np.array_equal(np.delete(slices, 3, 0), np.delete(before, 3, 0))
    with pytest.raises(InputError, match="There is no slice 9"):
        copy_slice(label, 9, 2, [1], axis=axis)
    with pytest.raises(InputError, match="expected a volume"):
        copy_slice(label[0], 1, 0, [1], axis=axis % 2)


# ------------------------------------------------------------------ interpolation


def test_between_two_discs_lies_the_disc_of_the_mean_radius():
    small, large = disc(61, 8), disc(61, 20)
    for share, radius in ((0.25, 11), (0.5, 14), (0.75, 17)):
        between = interpolate(small, large, share, [1])
        exact = disc(61, radius)
        assert (between != exact).sum() <= 0.03 * exact.sum()
    assert np.array_equal(interpolate(small, large, 0.0, [1]), small)
    assert np.array_equal(interpolate(small, large, 1.0, [1]), large)


def test_rows_between_by_hand():
    before, after = picture("0111111100"), picture("0001110000")
    assert interpolate(before, after, 0.5, [1]).tolist() == picture("0011111000").tolist()
    wide = interpolate(before, after, 0.5, [1], spacing=(1, 0.1))
    assert np.array_equal(wide, interpolate(before, after, 0.5, [1]))


def test_what_does_not_overlap_moves_from_one_place_to_the_other():
    before, after = np.zeros((20, 60), np.uint8), np.zeros((20, 60), np.uint8)
    before[5:12, 5:12] = after[5:12, 41:48] = 1
    between = interpolate(before, after, 0.5, [1])
    assert between[5:12, 23:30].all()
    assert between.sum() == 49


def test_classes_share_what_is_between_without_overlap_or_gap():
    before, after = np.zeros((10, 21), np.uint8), np.zeros((10, 21), np.uint8)
    before[:, :5], before[:, 5:], after[:, :15], after[:, 15:] = 1, 2, 1, 2
    between = interpolate(before, after, 0.5, [1, 2])
    assert (between[:, :10] == 1).all()
    assert (between[:, 10:] == 2).all()
    assert (interpolate(before, after, 0.5, [1]) == np.where(between == 1, 1, 0)).all()
    assert not interpolate(before, np.zeros_like(after), 0.5, [1, 2]).any()


@pytest.mark.parametrize("axis", [0, 2])
def test_slices_are_drawn_between_two_that_stay(axis):
    slices = np.zeros((7, 40, 40), np.uint8)
    slices[1], slices[5] = disc(40, 6), disc(40, 14)
    slices[3, :, 20:] = 2
    slices[2, 0, 0] = 1  # of the class, and not between the two shapes
    label = np.ascontiguousarray(np.moveaxis(slices, 0, axis))
    done = np.moveaxis(interpolate_slices(label, 1, 5, [1], axis=axis), axis, 0)
    assert np.array_equal(done[[0, 1, 5, 6]], slices[[0, 1, 5, 6]])
    assert done[2, 0, 0] == 0
    areas = [(part == 1).sum() for part in done]
    assert areas[1] < areas[2] < areas[4] < areas[5]
    assert (done[3][:, 20:] == 2).all(), "other classes keep their pixels"
    assert done[3][20, 15:20].all()
    flat = Box.whole(label.shape)
    side = [*flat.stop]
    side[1 if axis == 0 else 0] = 20
    kept = np.moveaxis(interpolate_slices(label, 1, 5, [1], axis=axis, box=Box(flat.start, tuple(side))), axis, 0)
    assert np.array_equal(kept[:, 20:], slices[:, 20:])
    assert np.array_equal(kept[:, :20], done[:, :20])
    with pytest.raises(InputError, match="not neighbours"):
        interpolate_slices(label, 1, 2, [1], axis=axis)


@quick
@given(arrays(np.uint8, (2, 7, 9), elements=st.sampled_from([0, 1])), st.floats(0, 1))
def test_what_is_between_agrees_with_measuring_every_pair(pair, share):
    before, after = pair
    between = interpolate(before, after, share, [1])
    if not (before & after).any():
        return
    every = np.moveaxis(np.indices(before.shape), 0, -1)

    def depth(mask):
        far = [
            np.min([np.linalg.norm(every - point, axis=-1) for point in np.argwhere(mask == side)], axis=0)
            if (mask == side).any()
            else np.full(mask.shape, 1e3)
            for side in (0, 1)
        ]
        return np.where(mask, far[0] - 0.5, 0.5 - far[1])

    mean = (1 - share) * depth(before) + share * depth(after)
    if before.all() or after.all():
        assert (between[mean > 0] == 1).all()
    else:
        sure = np.abs(mean) > 1e-4
        assert np.array_equal(between[sure] > 0, mean[sure] > 0)


def test_the_gap_that_a_person_means():
    label = np.zeros((12, 3, 3), np.uint8)
    label[[2, 3, 7, 10], 1, 1] = 1
    label[5] = 2
    expected = {5: (3, 7), 7: (3, 7), 3: (3, 7), 10: (7, 10), 8: (7, 10), 2: None, 0: None, 11: None}
    assert {at: gap(label, 1, at) for at in expected} == expected
    assert gap(np.moveaxis(label, 0, 2), 1, 5, axis=2) == (3, 7)


# ------------------------------------------------------------------ lasso


def test_a_lasso_holds_the_pixels_whose_centres_it_encloses():
    box, mask = lasso_mask([(0.5, 0.5), (0.5, 3.5), (2.5, 3.5), (2.5, 0.5)], (5, 6))
    assert box == Box((1, 1), (3, 4))
    assert mask.all()
    box, mask = lasso_mask([(0, 0), (0, 4), (4, 0)], (5, 6))
    assert mask[0, 0]
    assert not mask[-1, -1]


def test_a_lasso_that_leaves_the_image_is_cut_and_one_around_nothing_is_refused():
    box, mask = lasso_mask([(-9, -9), (-9, 50), (50, 50), (50, -9)], (5, 6))
    assert (box, mask.all()) == (Box((0, 0), (5, 6)), True)
    for vertices in ([(0, 0), (1, 1)], [(0, 0, 0), (1, 1, 1), (2, 2, 2)], [(0, 0), (1, np.nan), (2, 2)]):
        with pytest.raises(InputError, match="at least three points"):
            lasso_mask(vertices, (5, 6))
    with pytest.raises(InputError, match="encloses no pixel"):
        lasso_mask([(7, 8), (7, 9), (9, 9)], (5, 6))


def test_in_a_volume_a_lasso_lies_in_one_slice():
    vertices = [(0.5, 9.0, 0.5), (0.5, 9.0, 3.5), (2.5, 9.0, 3.5), (2.5, 9.0, 0.5)]
    box, mask = lasso_mask(vertices, (5, 20, 6), axis=1, at=9)
    assert box == Box((1, 9, 1), (3, 10, 4))
    assert mask.shape == (2, 1, 3)
    assert mask.all()


# ------------------------------------------------------------------ stacks


def case(number, name, shape=(8, 9)):
    encoding = MaskEncoding(suffix=".png", dtype="uint8", values={0: 0, 1: 255})
    return CaseInfo(id=number, name=name, shape=shape, channels=1, spacing=(1.0,) * len(shape), encoding=encoding)


def test_images_of_a_stack_differ_in_their_last_number_only():
    names = ["anna_z9", "anna_z10", "anna_z12", "bert_z11", "anna2_z11", "anna_z011_left", "plain"]
    cases = [case(number, name) for number, name in enumerate(names)]
    by_name = {one.name: one for one in cases}
    assert [one.name for one in stack_of(cases, by_name["anna_z10"])] == ["anna_z9", "anna_z10", "anna_z12"]
    expected = {
        "anna_z9": (None, "anna_z10"),
        "anna_z10": ("anna_z9", "anna_z12"),
        "anna_z12": ("anna_z10", None),
        "bert_z11": (None, None),
        "anna2_z11": (None, None),
        "anna_z011_left": (None, None),
        "plain": (None, None),
    }
    found = {name: tuple(side and side.name for side in neighbours(cases, one)) for name, one in by_name.items()}
    assert found == expected


def test_images_of_other_shape_and_volumes_are_of_no_stack():
    cases = [case(0, "a_1"), case(1, "a_2", (8, 8)), case(2, "a_3"), case(3, "a_4", (4, 8, 9))]
    assert neighbours(cases, cases[0]) == (None, cases[2])
    assert neighbours(cases, cases[1]) == (None, None)
    assert neighbours(cases, cases[3]) == (None, None)


# ------------------------------------------------------------------ the table


def test_the_table_says_everything_about_a_tool():
    assert list(TOOLS) == [entry.name for entry in TOOLS.values()]
    for entry in TOOLS.values():
        assert set(entry.parameters) <= set(PARAMETERS)
        assert len(entry.label) <= 22, "a button of three in a row"
        assert entry.tip
        assert entry.nothing.format(name="organ", where="here")
    for parameter in PARAMETERS.values():
        assert parameter.low <= parameter.default <= parameter.high


def test_values_are_checked_in_the_unit_of_the_image():
    assert checked_values("grow", {}) == {"by": 2}
    assert checked_values("grow", {"by": 0.7}, pixel=0.35) == {"by": 0.7}
    assert checked_values("remove_islands", {"smaller": 12}) == {"smaller": 12}
    assert limits(PARAMETERS["by"], 0.5) == (1, 0.5, 50, 0.5)
    assert limits(PARAMETERS["smaller"], 0.5)[0] == 50
    with pytest.raises(InputError, match=r"By is 0\.2 for grow; expected 0\.35 to 35"):
        checked_values("grow", {"by": 0.2}, pixel=0.35)
    with pytest.raises(InputError, match="The tool fill_holes takes no parameter, not by"):
        checked_values("fill_holes", {"by": 2})
    with pytest.raises(InputError, match="There is no tool 'melt'; expected one of fill_holes"):
        tool("melt")


def test_notes_name_tool_and_settings():
    assert note("grow", {"by": 2.0, "unit": "px", "class": "1"}) == "grow by=2 unit=px class=1"
    assert note("copy_before", {"from": "anna z011"}) == 'copy_before from="anna z011"'
