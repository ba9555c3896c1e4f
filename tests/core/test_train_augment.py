"""Crops and the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from src_core.data.case import IGNORE
from src_core.train.augment import back_to_case, cut, jitter, random_matrix, sample
from src_core.train.cases import WorkCase
from src_core.train.working import normalise, resize_labels, work_shape


def make_case(height: int = 40, width: int = 50, seed: int = 0) -> WorkCase:
    rng = np.random.default_rng(seed)
    label = torch.from_numpy(rng.integers(0, 3, (height, width)).astype(np.uint8))
    given = torch.from_numpy(rng.integers(0, 3, (height, width)).astype(np.uint8))
    verified = torch.from_numpy((rng.random((height, width)) < 0.5).astype(np.uint8))
    image = torch.from_numpy(rng.normal(size=(1, height, width)).astype(np.float32))
    return WorkCase(None, image, label, given, verified)


SHIFT = np.array([[1.0, 0, 5], [0, 1.0, 7]])


def test_a_plain_shift_cuts_exactly():
    case = make_case()
    crop = cut(case, 0, SHIFT, (16, 16))
    window = (slice(5, 21), slice(7, 23))
    assert torch.allclose(crop.image_IX[0], case.image_IX[0][window], atol=1e-5)
    assert torch.equal(crop.label_X, case.label_X[window].long())
    assert torch.equal(crop.kinds_X, case.verified_X[window].long())


def test_the_label_in_question_is_the_given_one_where_a_person_decided():
    case = make_case()
    crop = cut(case, 0, SHIFT, (16, 16))
    verified = crop.kinds_X > 0
    window = (slice(5, 21), slice(7, 23))
    assert torch.equal(crop.candidate_X[verified], case.given_X[window].long()[verified])
    assert torch.equal(crop.candidate_X[~verified], case.label_X[window].long()[~verified])


def test_outside_of_the_case_there_is_no_label():
    crop = cut(make_case(), 0, np.array([[1.0, 0, -4], [0, 1.0, 0]]), (16, 16))
    assert (crop.label_X[:4] == IGNORE).all()
    assert (crop.label_X[4:] != IGNORE).all()
    assert torch.isfinite(crop.image_IX).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_way_back_finds_the_same_place(seed):
    rng = np.random.default_rng(seed)
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    place = torch.stack([rows, columns])
    matrix = random_matrix(rng, (30, 40), 32)
    cropped = sample(place, matrix, (32, 32), nearest=False, border=False)
    back, covered, window = back_to_case(cropped, matrix, (60, 80))
    assert covered.sum() > 300
    assert (back - place[:, *window])[:, covered].abs().max() < 0.01


def test_mirroring_and_turning_happen():
    rng = np.random.default_rng(0)
    signs = {np.sign(np.linalg.det(random_matrix(rng, (0, 0), 8)[:, :2])) for _ in range(20)}
    assert signs == {-1.0, 1.0}


def test_jitter_keeps_the_shape_and_is_repeatable():
    image = torch.randn(2, 8, 8)
    first = jitter(image, np.random.default_rng(3))
    assert first.shape == image.shape
    assert torch.equal(first, jitter(image, np.random.default_rng(3)))
    assert not torch.equal(first, image)
    assert torch.isfinite(jitter(torch.zeros(1, 4, 4), np.random.default_rng(0))).all()


def test_working_resolution():
    assert work_shape((512, 256), 128) == (128, 64)
    assert work_shape((60, 50), 128) == (60, 50)
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert resize_labels(labels, (2, 2)).tolist() == [[5, 7], [13, 15]]
    assert resize_labels(labels, (8, 8))[::2, ::2].tolist() == labels.tolist()


def test_normalised_images_have_zero_mean_and_unit_spread():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    values = normalise(image, 3)
    assert values.shape == (3, 20, 30)
    assert values.mean() == pytest.approx(0, abs=1e-4)
    assert values.std() == pytest.approx(1, abs=1e-3)
    assert np.isfinite(normalise(np.full((8, 8), 7, np.uint8), 1)).all()
    assert normalise(image[..., 0], 3).shape == (3, 20, 30)
