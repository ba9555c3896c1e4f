"""Planted mask errors: each step of a recipe by hand."""

from __future__ import annotations

import numpy as np
import pytest

from src_core.data.noise import (
    NoiseOptions,
    Origin,
    adele,
    affine,
    contour_dots,
    corrupted,
    elastic,
    flip_objects,
    iid_flips,
    offset,
    overlap,
    place_by_intensity,
    slice_block,
    swap_borders,
)
from src_core.data.noise.boundary import paint_discs
from src_core.data.noise.flips import wrong_class_of
from src_core.data.noise.moved import shifted, turned
from src_core.data.noise.record import Change, paint
from tests.core.test_data_noise import disc, rng, scene


def test_offset_moves_every_edge_by_the_distance():
    square = np.zeros((20, 20), bool)
    square[8:13, 8:13] = True
    grown = offset(square, 2, grow=True)
    assert np.flatnonzero(grown[10]).tolist() == list(range(6, 15))
    assert not grown[6, 6]  # a corner is 2.8 px away
    assert np.argwhere(offset(square, 2, grow=False)).tolist() == [[10, 10]]
    assert np.argwhere(offset(square, 50, grow=False)).tolist() == [[10, 10]]
    assert offset(np.ones((5, 5), bool), 1, grow=False).sum() == 9
    options = NoiseOptions(offset_px=(3, 3))
    for seed in range(4):
        found = corrupted(disc().astype(np.uint8), recipe="offset", ratio=0.4, seed=seed, name="a", options=options)
        drawn = found.recipe["drawn"]["classes"]["1"]
        assert drawn["offset_px"] == 3
        assert set(np.unique(found.origin)) == {0, Origin.GROW if drawn["grow"] else Origin.SHRINK}


def test_turning_and_shifting():
    bar = np.zeros((9, 9), bool)
    bar[4, 2:7] = True
    assert np.array_equal(turned(bar, 90), bar.T)
    assert np.argwhere(shifted(bar, -1, 2)).tolist() == [[3, c] for c in range(4, 9)]
    assert not shifted(bar, 20, 0).any()
    drawn, moved = affine(disc(), 0.6, rng())
    assert drawn["xor_share"] == pytest.approx(0.8, abs=0.05)
    assert moved.sum() == pytest.approx(disc().sum(), rel=0.02)
    deep = np.stack([bar, ~bar & False, bar])
    assert not affine(deep, 0.5, rng())[1][1].any()


def test_bending_keeps_about_the_area():
    drawn, bent = elastic(disc(), 0.8, rng(1))
    assert bent.sum() == pytest.approx(disc().sum(), rel=0.25)
    assert drawn["amplitude_px"] > 1
    assert np.array_equal(elastic(disc(), 1.0, rng(1))[1], disc())


def test_dots_are_painted_in_turn():
    mask = np.zeros((7, 7), bool)
    found = paint_discs(mask, [(3, 3), (3, 3), (0, 0)], np.array([1.0, 0.0, 1.5]), np.array([True, False, True]))
    assert np.argwhere(found).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 3], [3, 2], [3, 4], [4, 3]]
    largest, noisy = contour_dots(disc(), 0.8, rng())
    assert 1 < largest < 20
    assert (noisy & ~disc()).any()
    assert (disc() & ~noisy).any()


@pytest.mark.parametrize("size", [32, 64])
def test_a_small_copy_is_grown_by_its_pixels(size):
    square = np.zeros((160, 160), bool)
    square[40 : 40 + size, 40 : 40 + size] = True  # its copy has a side of sqrt(1000) = 31.6 px
    per_step = size / np.sqrt(1000)
    for iterations in (2, 4):
        for grow, sign in ((True, 1), (False, -1)):
            width = adele(square, iterations, grow=grow)[40 + size // 2].sum()
            assert width == pytest.approx(size + sign * 2 * iterations * per_step, abs=2.5)
    deep = np.stack([np.zeros_like(square), square, np.zeros_like(square)])
    assert np.array_equal(adele(deep, 3, grow=True)[1], adele(square, 3, grow=True))
    assert not adele(deep, 3, grow=True)[0].any()
    line = np.zeros((40, 400), bool)
    line[20] = True
    assert adele(line, 4, grow=False).any()


def test_independent_flips_go_where_they_may():
    labels = scene()
    flipped = iid_flips(labels, 0.05, np.array([1, 3], np.uint8), rng())
    changed = flipped != labels
    assert changed.mean() == pytest.approx(0.05, abs=0.01)
    assert not flipped[changed & (labels > 0)].any()
    assert set(np.unique(flipped[changed & (labels == 0)])) == {1, 3}
    options = NoiseOptions(iid_chance=0.05)
    found = corrupted(labels, recipe="adele", ratio=0.4, seed=0, name="a", options=options)
    assert {Origin.IID_FLIP, Origin.RESCALED} <= set(np.unique(found.origin))


def test_wrong_classes_and_borders():
    assert wrong_class_of(3, ()) == {1: 2, 2: 3, 3: 1}
    assert wrong_class_of(4, ((1, 3),)) == {1: 3, 3: 1}
    labels = np.zeros((6, 10), np.uint8)
    labels[1:5, 1:5], labels[1:5, 5:9] = 1, 2
    flipped = flip_objects(labels, 1.0, {1: 2, 2: 1}, rng())
    assert np.array_equal(flipped, np.array([0, 2, 1], np.uint8)[labels])
    swapped = swap_borders(labels, 1.0, (2, 2), rng())
    assert swapped[2].tolist() == [0, 1, 1, 2, 2, 1, 1, 2, 2, 0]
    assert np.array_equal(swap_borders(labels, 0.0, (2, 2), rng()), labels)
    row = np.array([[1, 1, 2, 3, 3]], np.uint8)
    assert swap_borders(row, 1.0, (1, 1), rng()).tolist() == [[1, 2, 1, 2, 3]]
    apart = np.zeros((6, 10), np.uint8)
    apart[1:5, 1:4], apart[1:5, 6:9] = 1, 2
    assert np.array_equal(swap_borders(apart, 1.0, (9, 9), rng()), apart)
    found = corrupted(labels, recipe="class-flips", ratio=1.0, seed=0, name="a")
    assert set(np.unique(found.origin)) <= {0, Origin.CLASS_FLIP, Origin.BORDER_SWAP}
    assert np.array_equal(found.labels > 0, labels > 0)


def test_objects_are_lost_and_false_ones_added():
    found = corrupted(scene(), recipe="instances", ratio=1.0, seed=0, name="a")
    assert set(np.unique(found.origin)) == {0, Origin.DROPPED, Origin.ADDED}
    assert found.recipe["drawn"]["classes"]["1"]["dropped"] == 2
    nothing = corrupted(scene(), recipe="instances", ratio=0.0, seed=0, name="a")
    assert np.array_equal(nothing.labels, scene())


def test_a_false_object_lies_where_the_image_looks_alike():
    image, mask = np.zeros((40, 40)), np.zeros((40, 40), bool)
    mask[5:10, 5:10] = True
    image[mask] = 100
    image[25:30, 30:35] = 98
    image[30:38, 5:15] = 200
    found = place_by_intensity(np.ones((5, 5), bool), image, mask, mask)
    assert np.argwhere(found)[[0, -1]].tolist() == [[25, 30], [29, 34]]
    hook = np.ones((5, 5), bool)
    hook[1:, 1:] = False
    image[25:30, 30:35] = np.where(hook, 100, 0)
    assert np.array_equal(place_by_intensity(hook, image, mask, mask)[25:30, 30:35], hook)
    image[25:30, 30:35] = 98
    assert not place_by_intensity(np.ones((50, 2), bool), image, mask, mask).any()
    assert not place_by_intensity(np.ones((5, 5), bool), image, mask, np.ones_like(mask)).any()
    donor = np.zeros((60, 20), np.uint8)
    donor[50:55, 1:6] = 1
    options = NoiseOptions(image=image, donor=donor)
    result = corrupted(mask.astype(np.uint8), recipe="instances", ratio=1.0, seed=0, name="a", options=options)
    assert np.array_equal(result.labels > 0, found)
    assert (result.origin[found] == Origin.ADDED).all()
    assert (result.origin[mask] == Origin.DROPPED).all()


def test_a_block_of_slices_is_small_or_missing():
    labels = np.zeros((12, 40, 40), np.uint8)
    labels[1:11, 10:30, 10:30] = 2
    emptied = slice_block(labels, 3, 4, empty=True)
    assert np.flatnonzero(emptied.any(axis=(1, 2))).tolist() == [1, 2, 7, 8, 9, 10]
    small = slice_block(labels, 3, 4, empty=False)
    dice = [overlap(a > 0, b > 0) for a, b in zip(small, labels, strict=True)]
    assert np.allclose(dice[3:7], 0.5, atol=0.1)
    assert dice[:3] + dice[7:] == [1.0] * 8
    kinds = set()
    for case in map(str, range(12)):
        found = corrupted(labels, recipe="slices", ratio=0.4, seed=0, name="a", case=case)
        drawn = found.recipe["drawn"]
        changed = np.flatnonzero(found.origin.any(axis=(1, 2)))
        assert changed.tolist() == list(range(drawn["first_slice"], drawn["first_slice"] + 4))
        assert drawn["emptied"] == (found.recipe["annotator"] != "under-drawer")
        kinds.add(drawn["emptied"])
    assert kinds == {True, False}


def test_a_pixel_remembers_the_last_step_that_changed_it():
    truth = np.array([[1, 1, 1, 0, 0, 0]], np.uint8)
    steps = [
        (Origin.DROPPED, [1, 0, 0, 0, 0, 0]),
        (Origin.ADDED, [1, 1, 0, 0, 1, 1]),
        (Origin.MARKOV, [1, 1, 0, 1, 0, 1]),
    ]
    change = Change([(code, np.array([mask], bool)) for code, mask in steps])
    painted = paint(truth, {1: change})
    assert painted.labels.tolist() == [[1, 1, 0, 1, 0, 1]]
    assert painted.origin.tolist() == [[0, 0, Origin.DROPPED, Origin.MARKOV, 0, Origin.ADDED]]
    other = Change([(Origin.GROW, np.array([[0, 0, 1, 1, 0, 0]], bool))])
    both = paint(truth, {1: change, 2: other})
    assert both.labels.tolist() == [[1, 1, 2, 2, 0, 1]]
    assert both.origin[0, 2:4].tolist() == [Origin.GROW, Origin.GROW]
