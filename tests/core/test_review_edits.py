"""Edits around painting: worked by hand, and what holds for every label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from src_core.data.case import IGNORE, Box
from src_core.errors import InputError
from src_core.review.edits import fill_holes, grow, relabel, remove_islands, shrink, take_proposal, within
from src_core.review.smoothing import keep_objects, smooth

LABELS = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=8),
    elements=st.sampled_from([0, 1, 1, 2, IGNORE]),
)
quick = settings(max_examples=40, deadline=None)

TOOLS = {
    "fill": lambda label, **more: fill_holes(label, 1, **more),
    "islands": lambda label, **more: remove_islands(label, 1, 4, **more),
    "grow": lambda label, **more: grow(label, 1, 1.5, **more),
    "shrink": lambda label, **more: shrink(label, 1, 1, **more),
    "smooth": lambda label, **more: smooth(label, 1, 1, **more),
}


VALUES = {".": 0, "x": IGNORE, **{str(digit): digit for digit in range(10)}}


def picture(text):
    """A label from words of characters; '.' is background, 'x' has no label."""
    return np.array([[VALUES[letter] for letter in line] for line in text.split()], dtype=np.uint8)


def disc(side, radius):
    y, x = np.ogrid[:side, :side]
    return ((y - side // 2) ** 2 + (x - side // 2) ** 2 <= radius**2).astype(np.uint8)


# ------------------------------------------------------------------ by hand


def test_holes_of_the_class_are_filled_and_nothing_else():
    label = picture(
        """
        .........
        .11111...
        .1.1.122.
        .111112.2
        .1.....22
        .11111...
        """
    )
    filled = picture(
        """
        .........
        .11111...
        .1111122.
        .111112.2
        .1.....22
        .11111...
        """
    )
    assert np.array_equal(fill_holes(label, 1), filled)
    assert np.argwhere(fill_holes(label, 2) != label).tolist() == [[3, 7]], "an outline is closed over its corners"


def test_a_tumour_in_an_organ_keeps_its_pixels_and_its_own_hole():
    label = picture(
        """
        1111111
        1.....1
        1.222.1
        1.2.2.1
        1.222.1
        1.....1
        1111111
        """
    )
    organ = fill_holes(label, 1)
    assert np.array_equal(organ == 2, label == 2)
    assert organ[3, 3] == 0, "the tumour's hole is not the organ's"
    assert (organ[1, 1:6] == 1).all()
    assert fill_holes(label, 2)[3, 3] == 2


def test_unlabelled_pixels_are_filled_only_when_asked():
    label = picture("1111 1xx1 1.x1 1111")
    assert fill_holes(label, 1).tolist() == [[1, 1, 1, 1], [1, 255, 255, 1], [1, 1, 255, 1], [1, 1, 1, 1]]
    assert (fill_holes(label, 1, unlabelled=True) == 1).all()


def test_background_at_the_rim_of_the_image_is_no_hole():
    label = picture("1.11 1.11 1111")
    assert np.array_equal(fill_holes(label, 1), label)


def test_a_volume_has_a_cavity_where_its_slices_have_holes():
    label = np.ones((3, 3, 3), np.uint8)
    label[1, 1, 1] = 0
    label[:, 1, 0] = 0  # a groove at the side: the cavity is open
    assert (fill_holes(label, 1) == label).all()
    label[:, 1, 0] = 1
    assert fill_holes(label, 1)[1, 1, 1] == 1
    label[:, 1, 1] = 0  # a tunnel from end to end: no cavity, but a hole in each slice
    assert (fill_holes(label, 1) == label).all()
    assert (fill_holes(label, 1, axis=0) == 1).all()


def test_islands_become_what_surrounds_them():
    label = picture(
        """
        .1.......
        ....2222.
        .11.2122.
        .11.2222.
        .......xx
        1......x1
        """
    )
    done = remove_islands(label, 1, 4)
    assert done[0, 1] == 0
    assert (done[2:4, 1:3] == 1).all(), "four pixels are not fewer than four"
    assert done[2, 5] == 2
    assert done[5, 0] == 0
    assert done[5, 8] == IGNORE, "nobody said what is around it"
    assert (remove_islands(label, 1, 5)[2:4, 1:3] == 0).all()


def test_growing_by_hand():
    label = picture("..... ..... ..1.2 ....x ....x")
    assert grow(label, 1, 1).tolist() == picture("..... ..1.. .1112 ..1.x ....x").tolist()
    assert grow(label, 1, 1.5).tolist() == picture("..... .111. .1112 .111x ....x").tolist()
    assert grow(label, 1, 2.3, unlabelled=True).tolist() == picture(".111. 11111 11112 11111 .111x").tolist()


def test_distances_follow_the_size_of_pixels():
    label = np.zeros((5, 7, 7), np.uint8)
    label[2, 3, 3] = 1
    grown = np.argwhere(grow(label, 1, 0.9, spacing=(2.5, 0.9, 0.3))) - (2, 3, 3)
    assert {tuple(int(v) for v in p) for p in grown} == {
        (0, 0, 0),
        (0, 1, 0),
        (0, -1, 0),
        *((0, 0, step) for step in (-3, -2, -1, 1, 2, 3)),
    }
    flat = np.zeros((5, 40), np.uint8)
    flat[2, 20] = 1
    assert (grow(flat, 1, 3, spacing=(9, 0.1))[2] == 1).sum() == 40
    assert (grow(flat, 1, 0.3, spacing=(9, 0.1))[2] == 1).sum() == 7, "0.3 mm is three pixels of 0.1 mm"


def test_shrinking_by_hand():
    label = picture("1111. 1111. 111.. 11.22 xx.22")
    assert shrink(label, 1, 1).tolist() == picture("111.. 111.. 11... 1..22 xx.22").tolist()
    assert (shrink(np.ones((4, 4), np.uint8), 1, 3) == 1).all(), "a class that fills the image has no outline"


def test_a_disc_that_is_grown_and_shrunk_is_nearly_the_same():
    label = disc(61, 18)
    back = shrink(grow(label, 1, 4), 1, 4)
    assert (back >= label).all(), "closing takes nothing away"
    assert (back != label).sum() <= 0.02 * label.sum()
    area = grow(label, 1, 4).sum()
    assert abs(area - np.pi * 22**2) < 0.03 * area


def test_the_proposal_is_taken_over_where_it_is_asked_for():
    label, proposed = picture("0112 x112 0000"), picture("1012 1221 00x1")
    where = np.ones((3, 4), bool)
    where[:, 3] = False
    assert take_proposal(label, proposed, where).tolist() == picture("1012 x222 0000").tolist()
    assert take_proposal(label, proposed, where, index=2).tolist() == picture("0112 x222 0000").tolist()
    assert take_proposal(label, proposed, where, unlabelled=True)[1, 0] == 1
    assert (take_proposal(label, proposed, ~where)[:, 3] == [2, 1, 1]).all()


def test_an_object_goes_to_another_class_or_to_its_surroundings():
    label = picture("11..2 1...2 .122. ..... 333..")
    assert relabel(label, (0, 0), to=2).tolist() == picture("22..2 2...2 .222. ..... 333..").tolist()
    assert relabel(label, (4, 1)).tolist() == picture("11..2 1...2 .122. ..... .....").tolist()
    inside = picture("2222 2112 2222")
    assert (relabel(inside, (1, 1)) == 2).all()
    assert relabel(label, (0, 0), to=IGNORE)[2, 1] == IGNORE
    for place in ((0, 2), (9, 0), (-1, 0)):
        with pytest.raises(InputError, match="There is no object at"):
            relabel(label, place)
    with pytest.raises(InputError, match="reaches beyond the part"):
        relabel(label, (0, 0), box=Box((0, 0), (2, 2)))
    assert relabel(label, (4, 1), to=1, box=Box((3, 0), (5, 4)))[4, 0] == 1


def test_what_reaches_beyond_the_box_is_left_whole():
    label = picture("11111 1...1 1...1 11111")
    box = Box((0, 0), (3, 4))
    assert (fill_holes(label, 1, box=Box((1, 1), (3, 3))) == label).all(), "half of a hole"
    assert (fill_holes(label, 1, box=Box((1, 1), (3, 4))) == 1).all()
    assert (fill_holes(label, 1, box=box) == 1).all()
    islands = picture("..... .11.. ..... ....1")
    assert (remove_islands(islands, 1, 9, box=Box((0, 0), (3, 2))) == islands).all(), "half of an island"
    assert remove_islands(islands, 1, 9, box=Box((0, 0), (2, 3))).tolist()[1] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"box": Box((0, 0), (9, 9))}, "expected one inside"),
        ({"box": Box((0,), (2,))}, "expected one inside"),
        ({"axis": 2}, "expected 0 to 1"),
        ({"spacing": (1, 0)}, "one above 0 an axis"),
        ({"spacing": (1, 1, 1)}, "one above 0 an axis"),
    ],
)
def test_what_cannot_be_is_refused_in_words(arguments, words):
    with pytest.raises(InputError, match=words):
        grow(np.zeros((4, 4), np.uint8), 1, 1, **arguments)


def test_other_arrays_are_refused():
    with pytest.raises(InputError, match="expected uint8"):
        fill_holes(np.zeros((4, 4)), 1)
    with pytest.raises(InputError, match="with 4 axes"):
        fill_holes(np.zeros((1, 1, 1, 1), np.uint8), 1)


# ------------------------------------------------------------------ for every label


@pytest.mark.parametrize("name", TOOLS)
@quick
@given(label=LABELS, data=st.data())
def test_every_tool_keeps_its_promises(name, label, data):
    starts = [data.draw(st.integers(0, edge - 1)) for edge in label.shape]
    stops = [data.draw(st.integers(start + 1, edge)) for start, edge in zip(starts, label.shape, strict=True)]
    box = Box(tuple(starts), tuple(stops))
    given_label = label.copy()
    whole, part = TOOLS[name](label), TOOLS[name](label, box=box)
    assert np.array_equal(label, given_label), "what was given is not touched"
    outside = np.ones(label.shape, bool)
    outside[box.slices] = False
    assert np.array_equal(part[outside], label[outside]), "nothing outside of the box changes"
    for done in (whole, part):
        assert np.array_equal(done[label == IGNORE], label[label == IGNORE]), "no label stays no label"
        assert (done[label == 2] == 2).all(), "other classes keep their pixels"
        assert not ((done == 1) & (label != 1) & (label != 0)).any()
    if name in ("grow", "shrink"):
        assert np.array_equal(part[box.slices], whole[box.slices]), "the box sees far enough"


@pytest.mark.parametrize("name", TOOLS)
@quick
@given(label=LABELS.filter(lambda label: label.ndim == 3), axis=st.integers(0, 2))
def test_slice_by_slice_is_what_each_slice_gives(name, label, axis):
    slices = [TOOLS[name](part) for part in np.moveaxis(label, axis, 0)]
    assert np.array_equal(TOOLS[name](label, axis=axis), np.moveaxis(np.array(slices), 0, axis))


@pytest.mark.parametrize("name", ["grow", "shrink"])
@quick
@given(label=LABELS.filter(lambda label: label.ndim == 3))
def test_slices_far_apart_do_not_reach_each_other(name, label):
    assert np.array_equal(TOOLS[name](label, spacing=(9, 1, 1)), TOOLS[name](label, axis=0))


@quick
@given(LABELS)
def test_filling_and_clearing_twice_is_like_once(label):
    for name in ("fill", "islands"):
        once = TOOLS[name](label)
        assert np.array_equal(TOOLS[name](once), once)


@quick
@given(LABELS)
def test_filling_agrees_with_scipy_on_two_classes(label):
    label = (label == 1).astype(np.uint8)
    assert np.array_equal(fill_holes(label, 1) > 0, ndimage.binary_fill_holes(label))


@quick
@given(LABELS, st.sampled_from([0.5, 1, 1.5, 2, 3.7]), st.tuples(*[st.sampled_from([0.5, 1, 2.5])] * 3))
def test_distances_agree_with_measuring_every_pair(label, by, sizes):
    sizes = sizes[: label.ndim]
    mask = label == 1
    points = np.argwhere(mask)
    every = np.moveaxis(np.indices(mask.shape), 0, -1)
    near = np.zeros(mask.shape, bool)
    for point in points:
        near |= (((every - point) * sizes) ** 2).sum(-1) <= by**2 + 1e-5
    assert np.array_equal(within(mask, by, sizes), near)


# ------------------------------------------------------------------ smoothing


def parts(mask):
    """How many objects, and how many pieces of background."""
    objects = ndimage.label(mask, np.ones((3,) * mask.ndim))[1]
    return objects, ndimage.label(~mask)[1]


def test_corners_are_rounded_and_bumps_go():
    label = np.zeros((40, 40), np.uint8)
    label[10:30, 10:30] = 1
    label[9, 20] = 1
    label[29, 20] = 0
    done = smooth(label, 1, 2)
    assert done[9, 20] == 0
    assert done[29, 20] == 1
    assert [done[corner] for corner in ((10, 10), (10, 29), (29, 10), (29, 29))] == [0, 0, 0, 0]
    assert (done[13:27, 10:30] == 1).all()
    assert abs(int(done.sum()) - 400) < 20


def test_what_is_given_up_goes_to_the_class_that_is_nearest():
    label = np.zeros((30, 30), np.uint8)
    label[:, :15], label[:, 15:] = 1, 2
    label[14:16, 15:18] = 1  # a finger into the other class
    done = smooth(label, 1, 2)
    assert (done[:, 16:] == 2).all()
    assert (done[label == 2] == 2).all()


@pytest.mark.parametrize("thin", ["neck", "slit", "speck", "hole"])
def test_no_object_is_lost_split_or_joined(thin):
    label = np.zeros((40, 60), np.uint8)
    label[10:30, 5:25] = label[10:30, 35:55] = 1
    if thin == "neck":
        label[20, 25:35] = 1
    if thin == "slit":
        label[10:30, 25:35] = 1
        label[:, 30] = 0
    if thin == "speck":
        label[2, 2] = 1
    if thin == "hole":
        label[20, 15] = 0
    done = smooth(label, 1, 3)
    assert (done != label).any()
    assert parts(done == 1) == parts(label == 1)


def test_unlabelled_pixels_pull_on_no_outline():
    label = np.zeros((30, 30), np.uint8)
    label[:, :15] = 1
    label[:, 10:20] = IGNORE
    assert np.array_equal(smooth(label, 1, 3), label)


@quick
@given(
    arrays(np.bool_, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)),
    st.randoms(use_true_random=False),
    st.floats(0, 0.6),
)
def test_objects_and_background_stay_as_many_as_they_are(mask, random, share):
    flips = np.array([random.random() < share for _ in range(mask.size)]).reshape(mask.shape)
    wanted = mask ^ flips
    kept = keep_objects(mask, wanted)
    assert parts(kept) == parts(mask)
    assert not ((kept != mask) & (wanted == mask)).any(), "it changes nothing that was not asked for"


def test_a_leaf_may_change():
    mask = disc(21, 7) > 0
    for wanted in (disc(21, 6) > 0, disc(21, 8) > 0):
        assert np.array_equal(keep_objects(mask, wanted), wanted)
