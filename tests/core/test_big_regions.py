"""Regions that are found block by block are those of the whole image."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.data.case import IGNORE, Box, CaseInfo, MaskEncoding, Verified
from src_core.review.region_blocks import RegionBlocks
from src_core.review.regions import REACH, find_regions, image_score
from tests.region_parts import classes_in_patches, found_in_parts

ENCODING = MaskEncoding(suffix=".png", dtype="uint8", values={0: 0, 1: 255})


def case_of(shape):
    return CaseInfo(
        id=3,
        name="slide",
        shape=shape,
        channels=1,
        spacing=(1.0, 1.0),
        unit="px",
        image_path="",
        mask_path="",
        encoding=ENCODING,
    )


def blocks_of(shape, edge):
    return [
        Box((y, x), (min(y + edge, shape[0]), min(x + edge, shape[1])))
        for y in range(0, shape[0], edge)
        for x in range(0, shape[1], edge)
    ]


def by_blocks(case, maps, edge, min_pixels):
    finder = RegionBlocks(case, min_pixels=min_pixels)
    boxes = blocks_of(case.shape, edge)
    return found_in_parts(finder, boxes, boxes, maps)


@st.composite
def scored(draw):
    shape = draw(st.tuples(st.integers(3, 40), st.integers(3, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    smooth = draw(st.sampled_from([0, 1, 2]))

    classes = partial(classes_in_patches, rng, shape, smooth)
    label = classes(3)
    label[rng.random(shape) < 0.03] = IGNORE
    verified = np.where(rng.random(shape) < 0.05, rng.choice([Verified.CONFIRMED, Verified.UNSURE], shape), 0)
    maps = {
        "trust": rng.random(shape).astype(np.float32),
        "uncertainty": rng.random(shape).astype(np.float32),
        "label": label,
        "proposed": classes(draw(st.sampled_from([2, 3]))),
        "verified": verified.astype(np.uint8),
    }
    return maps


@settings(max_examples=150, deadline=None)
@given(scored(), st.integers(REACH, 17), st.integers(1, 25))
def test_blocks_give_the_regions_of_the_whole(maps, edge, min_pixels):
    case = case_of(maps["label"].shape)
    expected, whole = find_regions(case, **maps, min_pixels=min_pixels)
    found, numbers, quality = by_blocks(case, maps, edge, min_pixels)
    assert np.array_equal(numbers, whole)
    for one, other in zip(
        sorted(found, key=lambda region: region.number), sorted(expected, key=lambda region: region.number), strict=True
    ):
        for name in ("id", "number", "kind", "pixels", "given", "proposed", "box", "case_id", "image"):
            assert getattr(one, name) == getattr(other, name), name
        for name in ("score", "trust", "uncertainty"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-5, abs=1e-6), name
    del maps["uncertainty"]
    told = image_score(case, **maps, numbers=whole, row=7)
    assert quality.score == pytest.approx(told.score)
    assert quality.estimated_wrong_pixels == pytest.approx(told.estimated_wrong_pixels)
    assert quality.row == told.row
    for name in ("doubted_pixels", "trusted_pixels", "foreground"):
        assert getattr(quality.rest, name) == getattr(told.rest, name)
    for name in ("doubted_wrong", "trusted_wrong"):
        assert getattr(quality.rest, name) == pytest.approx(getattr(told.rest, name), abs=2e-3)


def test_a_region_across_a_corner_of_four_blocks_is_one():
    """Two squares that meet at one corner only, which is where four blocks meet."""
    maps = {
        "trust": np.full((8, 8), 0.2, np.float32),
        "uncertainty": np.zeros((8, 8), np.float32),
        "label": np.zeros((8, 8), np.uint8),
        "proposed": np.kron(np.eye(2, dtype=np.uint8), np.ones((4, 4), np.uint8)),
        "verified": np.zeros((8, 8), np.uint8),
    }
    found, numbers, _ = by_blocks(case_of((8, 8)), maps, 4, 20)
    assert [(region.pixels, region.box) for region in found] == [(32, Box((0, 0), (8, 8)))]
    assert np.array_equal(numbers, maps["proposed"])


def test_what_is_kept_does_not_grow_with_the_image():
    """Specks inside of blocks are forgotten at once."""
    finder = RegionBlocks(case_of((64, 64)))
    speck = np.zeros((32, 32), np.uint8)
    speck[10:12, 10:12] = 1
    blank = np.zeros((32, 32), np.float32)
    for box in blocks_of((64, 64), 32):
        finder.add(
            box,
            trust=blank,
            uncertainty=blank,
            label=np.zeros_like(speck),
            proposed=speck,
            verified=np.zeros_like(speck),
        )
    assert finder._groups == {}
