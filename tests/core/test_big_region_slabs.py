"""Regions that are found slab by slab are those of the whole volume."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.data.case import IGNORE, Box, CaseInfo, MaskEncoding, Verified
from src_core.data.slices import slice_axis
from src_core.review import region_groups
from src_core.review.region_slabs import RegionSlabs
from src_core.review.regions import find_regions, image_score, reach_of
from tests.region_parts import classes_in_patches, found_in_parts

CASE = CaseInfo(
    id=3,
    name="volume",
    shape=(9, 9, 9),
    channels=1,
    spacing=(1.0, 1.0, 1.0),
    unit="mm",
    image_path="",
    mask_path="mask.nii",
    encoding=MaskEncoding(suffix=".nii", dtype="uint8", values={0: 0, 1: 1}),
)


def slabs_of(shape, axis, edges):
    """Boxes across an axis, which end at the edges."""
    edges = sorted({edge for edge in edges if edge < shape[axis]} | {0, shape[axis]})
    for first, last in pairwise(edges):
        start, stop = [0] * 3, list(shape)
        start[axis], stop[axis] = first, last
        yield Box(tuple(start), tuple(stop))


def by_slabs(case, maps, axis, edges, min_pixels=20):
    finder = RegionSlabs(case, axis, min_pixels)
    boxes = list(slabs_of(case.shape, axis, edges))
    return found_in_parts(finder, boxes, slabs_of(case.shape, 0, range(3, 99, 3)), maps)  # whichever parts


@st.composite
def scored(draw):
    shape = draw(st.tuples(*(st.integers(1, 14),) * 3))
    spacing = draw(st.sampled_from([(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 3.0, 1.0), (1.0, 1.0, 2.5)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    smooth, density = draw(st.sampled_from([0, 1, 2])), draw(st.sampled_from([0.02, 0.2, 1.0]))

    classes = partial(classes_in_patches, rng, shape, smooth)
    label = classes(3)
    proposed = np.where(rng.random(shape) < density, classes(draw(st.sampled_from([2, 3]))), label)
    bare = draw(st.booleans())
    label[(rng.random(shape) < 0.5) if bare else (rng.random(shape) < 0.03)] = IGNORE
    verified = np.where(rng.random(shape) < 0.05, rng.choice([Verified.CONFIRMED, Verified.UNSURE], shape), 0)
    maps = {
        "trust": rng.random(shape).astype(np.float32),
        "uncertainty": rng.random(shape).astype(np.float32),
        "label": label,
        "proposed": proposed.astype(np.uint8),
        "verified": verified.astype(np.uint8),
    }
    return replace(CASE, shape=shape, spacing=spacing, mask_path="" if bare else "mask.nii"), maps


def check(found, expected):
    for one, other in zip(
        sorted(found, key=lambda region: region.number), sorted(expected, key=lambda region: region.number), strict=True
    ):
        for name in ("id", "number", "kind", "pixels", "given", "proposed", "box", "case_id", "image"):
            assert getattr(one, name) == getattr(other, name), name
        for name in ("score", "trust", "uncertainty"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-5, abs=1e-6), name


@settings(max_examples=120, deadline=None)
@given(scored(), st.integers(0, 2), st.sets(st.integers(1, 13), max_size=13), st.integers(1, 15))
def test_slabs_give_the_regions_of_the_whole(made, axis, edges, min_pixels):
    """Slabs of any thickness, also thinner than regions reach, across any axis, that of the slices or another one."""
    case, maps = made
    expected, whole = find_regions(case, **maps, min_pixels=min_pixels)
    found, numbers, quality = by_slabs(case, maps, axis, edges, min_pixels)
    assert np.array_equal(numbers, whole)
    check(found, expected)
    del maps["uncertainty"]
    told = image_score(case, **maps, numbers=whole, row=7)
    assert (quality.score, quality.row) == (pytest.approx(told.score), told.row)
    assert quality.estimated_wrong_pixels == pytest.approx(told.estimated_wrong_pixels)
    for name in ("doubted_pixels", "trusted_pixels", "foreground"):
        assert getattr(quality.rest, name) == getattr(told.rest, name)
    for name in ("doubted_wrong", "trusted_wrong"):
        assert getattr(quality.rest, name) == pytest.approx(getattr(told.rest, name), abs=2e-3)


def squares(*places, shape=(6, 30, 30)):
    """A volume that is trusted little, in which another class is proposed for squares of 3 px."""
    proposed = np.zeros(shape, np.uint8)
    for z, y, x in places:
        proposed[z, y : y + 3, x : x + 3] = 1
    blank = np.zeros(shape, np.uint8)
    low = np.full(shape, 0.2, np.float32)
    return {"trust": low, "uncertainty": 0 * low, "label": blank, "proposed": proposed, "verified": blank}


@pytest.mark.parametrize(
    ("places", "count"),
    [
        ([(2, 5, 5), (3, 12, 12)], 1),  # five away along both sides, in the next slice
        ([(2, 5, 5), (3, 13, 5)], 2),  # six away
        ([(2, 5, 5), (4, 5, 5)], 2),  # a slice between them
        ([(1, 5, 5), (2, 12, 5), (3, 19, 5), (4, 12, 5)], 1),  # over several borders
        ([(2, 2, 2), (2, 2, 20), (3, 2, 9), (3, 2, 14)], 1),  # joined only by what comes later
    ],
)
@pytest.mark.parametrize("edges", [(), (3,), (1, 2, 3, 4, 5)])
def test_what_belongs_together_across_a_border_by_hand(places, count, edges):
    case, maps = replace(CASE, shape=(6, 30, 30), spacing=(2.0, 1.0, 1.0)), squares(*places)
    assert reach_of(case) == (1, 5, 5)
    found, _, _ = by_slabs(case, maps, 0, edges, min_pixels=1)
    assert len(found) == count
    assert sum(region.pixels for region in found) == 9 * len(places)


def test_slices_across_the_last_axis():
    maps = {name: np.moveaxis(values, 0, 2) for name, values in squares((2, 5, 5), (3, 12, 12), (5, 5, 5)).items()}
    case = replace(CASE, shape=(30, 30, 6), spacing=(1.0, 1.0, 2.0))
    assert slice_axis(case) == 2
    found, numbers, _ = by_slabs(case, maps, 2, (3,), min_pixels=1)
    expected, whole = find_regions(case, **maps, min_pixels=1)
    assert len(found) == 2
    assert np.array_equal(numbers, whole)
    check(found, expected)


def test_ids_do_not_depend_on_how_much_is_hashed_at_a_time(monkeypatch):
    monkeypatch.setattr(region_groups, "AT_ONCE", 70)
    rng = np.random.default_rng(0)
    maps = squares()
    maps["proposed"] = (rng.random((6, 30, 30)) < 0.3).astype(np.uint8)
    case = replace(CASE, shape=(6, 30, 30), spacing=(2.0, 1.0, 1.0))
    found, _, _ = by_slabs(case, maps, 0, (2, 3))
    check(found, find_regions(case, **maps)[0])


def test_what_is_kept_does_not_grow_with_the_volume():
    """Specks are forgotten at once, or when the slab after theirs was seen."""
    case = replace(CASE, shape=(40, 30, 30), spacing=(2.0, 1.0, 1.0))
    finder = RegionSlabs(case, 0)
    speck = squares((0, 5, 5), (1, 20, 20), (3, 5, 20), shape=(4, 30, 30))
    for box in slabs_of(case.shape, 0, range(4, 40, 4)):
        finder.add(box, **speck)
        assert len(finder._groups) <= 1
    assert finder._groups == {}
    _, quality = finder.finish(lambda _name, box: np.zeros(box.shape))
    assert quality.rest.doubted_pixels == 40 * 30 * 30
