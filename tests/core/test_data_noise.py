"""Planted mask errors: each recipe by hand, by property, and by its target."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from src_core.data.noise import (
    ANNOTATORS,
    RECIPES,
    NoiseOptions,
    Origin,
    annotator_of,
    corrupt,
    corrupted,
    drop_and_add,
    ellipse,
    grow_or_shrink,
    markov,
    noise_levels,
    overlap,
)
from src_core.data.phantoms import phantom_set
from src_core.errors import InputError

# seeds of these recipes are in use: their draws must never change
CHECKSUMS = {
    ("quality", 0, "p1"): 419685893,
    ("quality", 1, "p1"): 550269091,
    ("markov", 0, "p1"): 807393027,
    ("markov", 1, "p1"): 106927054,
    ("biased", 0, "p1"): 261512972,
    ("biased", 1, "p1"): 550269091,
    ("biased", 0, "p2"): 950468264,
}
# reach of a target Dice, as far as the pixels of a disc of 20 px or a ball of 12 px radius allow
TARGETED = {"markov": 0.02, "affine": 0.04, "elastic": 0.02, "contour-dots": 0.02}


def rng(seed=0):
    return np.random.default_rng(seed)


def disc(radius=20, size=96):
    y, x = np.indices((size, size)) - size / 2
    return np.hypot(y, x) <= radius


def ball(radius=12, size=48):
    return np.sqrt(((np.indices((size,) * 3) - size / 2) ** 2).sum(0)) <= radius


def scene():
    """Two classes in two objects each, and an unused class in between."""
    labels = np.zeros((64, 72), np.uint8)
    y, x = np.indices(labels.shape)
    labels[np.hypot(y - 20, x - 22) <= 12] = 1
    labels[40:56, 10:30] = 3
    labels[44:60, 40:66] = 1
    labels[5:9, 60:66] = 3
    return labels


# ------------------------------------------------------------------ the three that came first


@pytest.mark.parametrize(("recipe", "seed", "case"), CHECKSUMS)
def test_old_draws_stay(recipe, seed, case):
    noisy = corrupt(scene(), recipe=recipe, ratio=0.4, seed=seed, name="hand", case=case)
    assert zlib.crc32(noisy.tobytes()) == CHECKSUMS[recipe, seed, case]


@pytest.mark.parametrize("grow", [True, False])
@pytest.mark.parametrize("dice", [0.8, 0.6])
def test_growing_and_shrinking_reach_the_overlap(grow, dice):
    changed = grow_or_shrink(disc(), dice, grow=grow)
    assert overlap(disc(), changed) == pytest.approx(dice, abs=0.05)
    assert (changed.sum() > disc().sum()) == grow


def test_markov_noise_reaches_the_overlap_from_either_side():
    for outwards in (0.8, 0.2):
        changed = markov(disc(), 0.7, rng(), outwards=outwards)
        assert overlap(disc(), changed) == pytest.approx(0.7, abs=0.06)
        assert (changed.sum() > disc().sum()) == (outwards > 0.5)


@pytest.mark.parametrize("recipe", ["quality", "markov", "biased"])
def test_recipes_hit_their_ratio_on_average_and_repeat(recipe):
    slices = phantom_set(0, 24, (96, 96))
    noisy = [corrupt(s.truth, recipe=recipe, ratio=0.4, seed=1, name=s.name) for s in slices]
    dice = np.mean([overlap(s.truth > 0, n > 0) for s, n in zip(slices, noisy, strict=True)])
    assert dice == pytest.approx(0.6, abs=0.06)
    again = corrupt(slices[0].truth, recipe=recipe, ratio=0.4, seed=1, name=slices[0].name)
    assert np.array_equal(again, noisy[0])
    other = corrupt(slices[0].truth, recipe=recipe, ratio=0.4, seed=2, name=slices[0].name)
    assert not np.array_equal(other, noisy[0])


def test_empty_masks_stay_empty_and_classes_stay_classes():
    empty = np.zeros((32, 32), np.uint8)
    for recipe in set(RECIPES) - {"slices"}:
        assert not corrupt(empty, recipe=recipe, ratio=0.4, seed=0, name="a").any()
        assert set(np.unique(corrupt(scene(), recipe=recipe, ratio=0.3, seed=0, name="a"))) <= {0, 1, 2, 3}
    assert not drop_and_add(empty > 0, 0.5, rng()).any()
    assert not ellipse(empty > 0).any()


def test_habits_show():
    over = [n for n in map(str, range(200)) if annotator_of(n, 0) == ANNOTATORS[0]]
    slices = phantom_set(1, 20, (96, 96))
    grown = [
        corrupt(s.truth, recipe="biased", ratio=0.4, seed=0, name=s.name, case=over[0]).sum() > s.truth.sum()
        for s in slices
    ]
    assert 0.5 < np.mean(grown) < 1.0
    assert {annotator_of(n, 0) for n in map(str, range(50))} == set(ANNOTATORS)


# ------------------------------------------------------------------ targets


@pytest.mark.parametrize("recipe", TARGETED)
@pytest.mark.parametrize("ratio", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("shape", [disc, ball])
def test_the_target_is_reached(recipe, ratio, shape):
    labels, options = shape().astype(np.uint8), NoiseOptions(dot_share=1.0)
    for seed in range(3):
        found = corrupted(labels, recipe=recipe, ratio=ratio, seed=seed, name="a", options=options)
        assert found.recipe["dice"]["1"] == pytest.approx(1 - ratio, abs=TARGETED[recipe])


def test_a_third_each_of_dots_growing_and_shrinking():
    labels = disc(8, 40).astype(np.uint8)
    kinds = [
        np.unique(corrupted(labels, recipe="contour-dots", ratio=0.3, seed=s, name="a").origin)[-1] for s in range(90)
    ]
    for code in (Origin.DOT, Origin.GROW, Origin.SHRINK):
        assert 15 <= kinds.count(code) <= 45


@pytest.mark.parametrize("recipe", ["quality", "biased"])
def test_drawn_targets_are_met_on_average_in_3d(recipe):
    dice = [
        corrupted(ball(8, 32).astype(np.uint8), recipe=recipe, ratio=0.4, seed=s, name="a", case=str(s)).recipe["dice"][
            "1"
        ]
        for s in range(40)
    ]
    # a lone object that the sloppy annotator loses has a Dice of 0
    assert np.mean(dice) == pytest.approx(0.6, abs=0.08)


# ------------------------------------------------------------------ properties

LABELS_2D = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14), elements=st.integers(0, 3)
)
LABELS_3D = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7), elements=st.integers(0, 3)
)


def blocky(labels):
    """Pixels made into blocks, so that there are objects with an inside."""
    return labels.repeat(3, axis=-1).repeat(3, axis=-2)


@pytest.mark.parametrize("recipe", RECIPES)
@settings(max_examples=25, deadline=None)
@given(labels=st.one_of(LABELS_2D, LABELS_3D).map(blocky), seed=st.integers(0, 99), ratio=st.floats(0.1, 0.7))
def test_what_all_recipes_promise(recipe, labels, seed, ratio):
    if recipe == "slices" and labels.ndim == 2:
        labels = labels[None]
    options, before = NoiseOptions(iid_chance=0.02, classes=3), labels.copy()
    found = corrupted(labels, recipe=recipe, ratio=ratio, seed=seed, name="x", options=options)
    assert np.array_equal(labels, before)
    assert found.labels.shape == found.origin.shape == labels.shape
    assert found.labels.dtype == found.origin.dtype == np.uint8
    assert np.array_equal(found.origin > 0, found.labels != labels)
    assert set(np.unique(found.origin)) <= set(Origin)
    assert labels.any() or not found.labels.any()
    assert json.loads(json.dumps(found.recipe)) == found.recipe
    again = corrupt(labels, recipe=recipe, ratio=ratio, seed=seed, name="x", options=options)
    assert np.array_equal(again, found.labels)


# ------------------------------------------------------------------ levels


def test_levels_by_hand():
    truth = [np.array([[1, 1, 0, 0]], np.uint8), np.array([[2, 2, 0, 0]], np.uint8)]
    given_ = [np.array([[1, 0, 0, 0]], np.uint8), np.array([[2, 2, 0, 0]], np.uint8)]
    levels = noise_levels(given_, truth)
    assert levels.quality == pytest.approx((2 / 3 + 1) / 2)
    assert levels.affected == 0.5
    assert levels.per_object == 0.25
    assert levels.flipped == 1 / 8
    empty = noise_levels([np.zeros((2, 2), np.uint8)], [np.zeros((2, 2), np.uint8)])
    assert (empty.quality, empty.affected, empty.flipped) == (1, 0, 0)
    assert np.isnan(empty.per_object)


def test_levels_follow_the_formula_of_growing():
    truth = disc(30, 200)
    grown = grow_or_shrink(truth, 0.8, grow=True)
    levels = noise_levels([grown.astype(np.uint8)], [truth.astype(np.uint8)])
    assert levels.quality == pytest.approx(2 / (2 + levels.per_object))


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("labels", "change", "words"),
    [
        (disc(), {}, "type bool and 2 axes"),
        (np.zeros((2, 2, 2, 2), np.uint8), {}, "uint8 and 4 axes"),
        (scene(), {"recipe": "magic"}, "'magic', expected one of quality"),
        (scene(), {"ratio": 40}, "ratio is 40, expected a number from 0 to 1"),
        (scene(), {"recipe": "slices"}, "2 axes, expected 3"),
        (np.minimum(scene(), 1), {"recipe": "class-flips"}, "expected 2 to 255"),
        (scene(), {"recipe": "class-flips", "options": NoiseOptions(classes=2)}, "labels up to 3 and 2 foreground"),
        (scene(), {"recipe": "class-flips", "options": NoiseOptions(pairs=((1, 4),))}, "pair of classes 1 and 4"),
        (scene(), {"options": NoiseOptions(image=np.zeros((2, 2)))}, "image for noise has the shape"),
        (scene(), {"options": NoiseOptions(donor=np.zeros((2, 2, 2)))}, "donor mask has 3 axes"),
    ],
)
def test_what_cannot_be_done_is_refused(labels, change, words):
    with pytest.raises(InputError, match=words):
        corrupt(labels, **{"recipe": "quality", "ratio": 0.4, "seed": 0, "name": "a", **change})


def test_bad_options_and_sets_are_refused():
    with pytest.raises(InputError, match="offset_px"):
        NoiseOptions(offset_px=(4, 2))
    with pytest.raises(InputError, match="iid_chance is 2"):
        NoiseOptions(iid_chance=2)
    with pytest.raises(InputError, match="asked for 1 given and 0 true"):
        noise_levels([scene()], [])
    with pytest.raises(InputError, match="Label image 1 has the shape"):
        noise_levels([scene()], [scene()[:5]])
    with pytest.raises(InputError, match="one slice at a time"):
        ellipse(ball())
