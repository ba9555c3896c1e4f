"""Probabilities of others: every form they may have, and every form they may not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from src_core.data.case import IGNORE
from src_core.data.probabilities import Whole, as_map, as_probabilities, normalised_entropy, packed, probability_of
from src_core.dcd.centers import entropy
from src_core.errors import FormatError

SHAPE = (4, 5)


def softmax(seed, classes, shape=SHAPE):
    odds = np.random.default_rng(seed).normal(size=(classes, *shape))
    return (np.exp(odds) / np.exp(odds).sum(0)).astype(np.float32)


forms = st.tuples(st.integers(0, 99), st.sampled_from([2, 3, 4, 7]))


@settings(max_examples=40, deadline=None)
@given(
    forms, st.sampled_from(["first", "last", "page", "batch"]), st.sampled_from(["f2", "f4", "f8", "<u1", "<u2", ">u2"])
)
def test_every_form_means_the_same(form, layout, dtype):
    seed, classes = form
    true = softmax(seed, classes)
    scale = {"u1": 255, "u2": 65535}.get(dtype[1:], 1)
    stored = np.rint(true * scale).astype(dtype) if scale > 1 else true.astype(dtype)
    laid = {
        "first": stored,
        "last": np.moveaxis(stored, 0, -1),
        "page": stored[:, None],
        "batch": stored[None],
    }[layout]
    read = as_probabilities(laid, SHAPE, classes, "x")
    assert read.dtype == np.float32
    assert read.shape == (classes, *SHAPE)
    np.testing.assert_allclose(read.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(read, true, atol={"f2": 2e-3, "<u1": 0.02}.get(dtype, 1e-4))


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32)), st.sampled_from(["bare", "first", "last"]))
def test_the_foreground_alone_is_enough_for_two_classes(foreground, layout):
    laid = {"bare": foreground, "first": foreground[None], "last": foreground[..., None]}[layout]
    read = as_probabilities(laid, SHAPE, 2, "x")
    np.testing.assert_array_equal(read[1], foreground)
    np.testing.assert_array_equal(read[0], 1 - foreground)


@settings(max_examples=40, deadline=None)
@given(forms)
def test_what_is_kept_comes_back(form):
    true = softmax(*form)
    back = as_probabilities(packed(true), SHAPE, len(true), "x")
    np.testing.assert_allclose(back, true, atol=1e-5 if len(true) == 2 else 1e-4)


def test_classes_that_are_as_many_as_rows_stand_first():
    cube = np.zeros((3, 3, 3), np.float32)
    cube[1] = 1
    assert (as_probabilities(cube, (3, 3), 3, "x")[1] == 1).all()


def nan(values):
    values = values.copy()
    values[0, 1, 1] = np.nan
    return values


@pytest.mark.parametrize(
    ("spoil", "classes", "words"),
    [
        (nan, 2, "f.npy holds 1 values that are no numbers"),
        (lambda v: np.log(v), 2, "Are these logits?"),
        (lambda v: v * 0.9, 2, "add up to between 0.9 and 0.9 at a pixel; expected 1"),
        (lambda v: v[:, :-1], 2, "array of 2 x 3 x 5; expected 2 x 4 x 5 (2 classes, background first"),
        (lambda v: v, 3, "array of 2 x 4 x 5; expected 3 x 4 x 5"),
        (lambda v: v[0], 3, "array of 4 x 5; expected 3 x 4 x 5"),
        (lambda v: v[..., 0].ravel(), 2, "or 4 x 5 for the foreground alone"),
        (lambda v: np.float32(0.5) * np.ones(()), 2, "array of one number"),
        (lambda v: v > 0.5, 2, "values of type bool; expected floats from 0 to 1"),
        (lambda v: v.astype(np.int64), 2, "values of type int64"),
        (lambda v: v.astype(complex), 2, "values of type complex128"),
        (lambda v: (v * 200).astype(np.uint8), 2, "add up to between 0.7"),
        (lambda v: v.swapaxes(1, 2), 2, "array of 2 x 5 x 4"),
    ],
)
def test_what_cannot_be_used_is_said(spoil, classes, words):
    with pytest.raises(FormatError) as caught:
        as_probabilities(spoil(softmax(0, 2)), SHAPE, classes, "f.npy")
    assert words in str(caught.value)


def test_the_foreground_alone_does_not_do_for_three_classes():
    with pytest.raises(FormatError) as caught:
        as_probabilities(np.zeros(SHAPE, np.float32), SHAPE, 3, "f.npy")
    assert "foreground alone" not in str(caught.value)


def test_rounding_is_forgiven_and_no_more():
    near = np.full(SHAPE, 1.0005, np.float32)
    assert as_map(near, SHAPE, "x").max() == 1
    with pytest.raises(FormatError, match="0 to 1"):
        as_map(near + 0.001, SHAPE, "x")
    assert np.isclose(as_probabilities(softmax(0, 2) * 1.015, SHAPE, 2, "x").sum(0), 1).all()
    with pytest.raises(FormatError, match="add up"):
        as_probabilities(softmax(0, 2) * 0.975, SHAPE, 2, "x")


def test_maps_have_the_shape_of_their_image():
    values = np.full((1, *SHAPE), 128, np.uint8)
    np.testing.assert_allclose(as_map(values, SHAPE, "x"), 128 / 255)
    with pytest.raises(FormatError, match="array of 2 x 4 x 5; expected 4 x 5, as its image"):
        as_map(softmax(0, 2), SHAPE, "m.tif")
    with pytest.raises(FormatError, match=r"m\.tif holds 2 values that are no numbers"):
        as_map(np.where(np.arange(20).reshape(SHAPE) < 2, np.inf, 0.5), SHAPE, "m.tif")
    assert as_map(np.ones((1, 4), np.float32), (1, 4), "x").shape == (1, 4)


def test_masks_that_are_taken_for_probabilities_are_found_over_all_files():
    whole = Whole()
    whole.note(np.array([0, 1], np.uint8))
    assert "look like masks" in whole.problems("probabilities")[0]
    whole.note(np.array([0, 2], np.uint8))
    assert whole.problems("probabilities") == []
    whole.note(np.array([0, 255], np.uint16))
    assert "at most 255 in 16 bits" in whole.problems("probabilities")[0]
    whole.note(np.array([256], np.uint16))
    whole.note(np.array([0.1]))
    assert whole.problems("probabilities") == []


# ------------------------------------------------------------------ what follows


def test_entropy_by_hand():
    four = np.array([[1, 0.25, 0.5], [0, 0.25, 0.5], [0, 0.25, 0], [0, 0.25, 0]], np.float32)
    np.testing.assert_allclose(normalised_entropy(four), [0, 1, 0.5], atol=1e-7)
    two = normalised_entropy(np.array([[0.9], [0.1]]))
    assert two[0] == pytest.approx(-(0.9 * math.log2(0.9) + 0.1 * math.log2(0.1)))


@settings(max_examples=40, deadline=None)
@given(forms)
def test_entropy_is_that_of_training(form):
    true = softmax(*form)
    np.testing.assert_allclose(normalised_entropy(true), entropy(torch.from_numpy(true)[None])[0].numpy(), atol=1e-5)


def test_probability_of_a_label_by_hand():
    values = np.array([[[0.2, 0.7, 0.1]], [[0.5, 0.2, 0.3]], [[0.3, 0.1, 0.6]]], np.float32)
    label = np.array([[1, 0, IGNORE]], np.uint8)
    np.testing.assert_allclose(probability_of(values, label), [[0.5, 0.7, 0]])
