"""Volumes that are larger than memory are predicted in parts, which say what the whole says."""

from __future__ import annotations

import tracemalloc

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from src_core.data.case import ClassInfo
from src_core.data.slices import Sides
from src_core.errors import StorageError
from src_core.infer import predict, predict_volumes
from src_core.infer.predict import Predictor
from src_core.infer.predict_volumes import VolumePrediction
from src_core.io import lazy
from src_core.io.sources import open_image
from src_core.train import volume_parts
from src_core.train.intensities import Intensities
from src_core.train.parts import intensities_of_parts, needed, resized_planes, spans
from src_core.train.windows import in_windows, planes_in_windows
from src_core.train.working import Working, resize_image

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color="#000000"),
    ClassInfo(index=1, name="organ", value=7, color="#56B4E9"),
)

# ------------------------------------------------------------------ one scale

numbers = st.one_of(
    arrays.arrays(np.int16, st.integers(1, 300)),
    arrays.arrays(np.uint8, st.integers(1, 300)),
    arrays.arrays(np.float32, st.integers(1, 300), elements=st.floats(-1e6, 1e6, width=32)),
)


@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(1, 7))
def test_the_scale_of_parts_is_that_of_the_whole(values, count):
    told = intensities_of_parts(lambda: np.array_split(values, count))
    expected = Intensities.of(values.astype(np.float32))
    size = max(abs(expected.low), abs(expected.high), 1.0)
    for name in ("low", "high", "mean", "spread"):
        assert getattr(told, name) == pytest.approx(getattr(expected, name), rel=1e-4, abs=2e-6 * size), name


def test_the_scale_by_hand():
    values = np.arange(-100, 101, dtype=np.int16)  # percentiles: 1 and 199 steps from the least
    told = intensities_of_parts(lambda: [values[::2], values[1::2]])
    assert (told.low, told.high) == (-99, 99)
    assert told.mean == pytest.approx(0, abs=1e-12)
    assert told.spread == pytest.approx(np.clip(values, -99, 99).std())


# ------------------------------------------------------------------ another size


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*(st.integers(2, 24),) * 3), st.tuples(*(st.integers(1, 24),) * 3), st.integers(1, 9), st.integers(0, 99)
)
def test_planes_of_another_size_are_those_of_the_whole(shape, wanted, step, seed):
    values = np.random.default_rng(seed).random((2, *shape)).astype(np.float32)
    expected, found = resize_image(values, wanted), []
    for span in spans(wanted[0], step):
        source = needed(shape, wanted, span)
        found.append(resized_planes(values[:, source], source.start, shape, wanted, span))
    assert np.abs(np.concatenate(found, axis=1) - expected).max() < 1e-5


def test_few_planes_are_needed_of_many():
    assert needed((1000, 9, 9), (1000, 9, 9), slice(5, 7)) == slice(5, 8)
    assert needed((1000, 9, 9), (500, 9, 9), slice(100, 102)) == slice(197, 207)  # two, and what smoothing sees
    assert needed((1000, 9, 9), (500, 9, 9), slice(498, 500)) == slice(993, 1000)


# ------------------------------------------------------------------ windows


@pytest.mark.parametrize(
    ("sides", "window"), [((70, 50, 20), (32, 32, 32)), ((33, 20, 40), (32, 32, 32)), ((20, 70, 33), (32, 16, 32))]
)
def test_rows_of_windows_add_up_to_all_windows(sides, window):
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 2, 3, padding=1).eval()
    image, most = torch.randn(1, 1, *sides), []

    def read(planes):
        most.append(planes.stop - planes.start)
        return image[:, :, planes]

    with torch.no_grad():
        expected = in_windows(network, image, window)
        found = list(planes_in_windows(network, read, sides, window))
    assert [first for first, _ in found] == np.cumsum([0, *(each.shape[2] for _, each in found[:-1])]).tolist()
    assert torch.allclose(torch.cat([each for _, each in found], dim=2), expected, atol=1e-6)
    assert max(most) <= 32


def test_what_fits_into_a_window_is_asked_once():
    asked = []

    def double(image):
        asked.append(tuple(image.shape[2:]))
        return 2 * image

    ((first, found),) = planes_in_windows(
        double, lambda planes: torch.ones(1, 1, 9, 8, 7)[:, :, planes], (9, 8, 7), None
    )
    assert (first, asked, float(found.mean())) == (0, [(9, 8, 7)], 2.0)


# ------------------------------------------------------------------ the model


class Small(torch.nn.Module):
    """A network of one layer, whose sides have to be even."""

    stride, min_side = 2, 4

    def __init__(self, channels, axes):
        super().__init__()
        self.layer = (torch.nn.Conv3d if axes == 3 else torch.nn.Conv2d)(channels, 2, 3, padding=1)

    def laid_out(self, images):
        return images

    def with_features(self, images):
        assert all(side % 2 == 0 for side in images.shape[2:])
        return self(images), images

    def forward(self, images):
        return self.layer(images)


def predictor_of(dimensions, channels=1, **more):
    """A predictor with fresh weights."""
    torch.manual_seed(1)
    made = Predictor.__new__(Predictor)
    made._working = working = Working(channels=channels, max_side=24, dimensions=dimensions, **more)
    made._teacher = Small(working.input_channels, 3 if dimensions == "3d" else 2).eval()
    made._window = (16, 16, 16) if dimensions == "3d" else None
    made.channels, made.dimensions = channels, dimensions
    return made


def volume(shape, channels=(), seed=0):
    return np.random.default_rng(seed).normal(200, 60, (*shape, *channels)).astype(np.int16)


HOW = [
    ("2d", (20, 30, 18), (3.0, 1.0, 1.0), {}),
    ("2d", (20, 30, 18), (1.0, 1.0, 2.0), {"channels": 2}),
    ("2.5d", (18, 20, 30), (1.0, 2.0, 1.0), {}),
    ("2.5d", (2, 20, 30), (2.0, 1.0, 1.0), {}),
    ("2.5d", (20, 18, 20), (2.0, 1.0, 1.0), {"intensities": Intensities(100, 300, 200, 50)}),
    ("3d", (40, 20, 18), (1.0, 1.0, 1.0), {}),  # as it is
    ("3d", (20, 44, 30), (2.0, 1.0, 1.0), {"spacing": 1.3}),  # larger along one axis, smaller along the others
    ("3d", (12, 12, 12), (1.0, 1.0, 1.0), {}),  # in one window
]


@pytest.fixture
def few(monkeypatch):
    """Little is read, and little is made, at a time."""
    monkeypatch.setattr(volume_parts, "AT_ONCE", 2000)
    monkeypatch.setattr(predict_volumes, "SLAB_VOXELS", 2000)
    monkeypatch.setattr("src_core.train.working.SLAB_VOXELS", 2000)


@pytest.mark.parametrize(("dimensions", "shape", "spacing", "more"), HOW)
def test_what_is_said_in_parts_is_what_is_said_of_the_whole(few, dimensions, shape, spacing, more):
    channels = more.get("channels", 1)
    made = predictor_of(dimensions, **more)
    image = volume(shape, () if channels == 1 else (channels,))
    expected = made(image, spacing)
    most, found = [], np.full_like(expected, np.nan)

    def read(box):
        most.append(np.prod(box.shape))
        return image[box.slices]

    for box, values in made.in_parts(read, Sides(shape, spacing)):
        assert np.isnan(found[:, *box.slices]).all()
        found[:, *box.slices] = values
    assert np.abs(found - expected).max() < 1e-5
    assert np.ptp(expected[0]) > 1e-3  # it says something
    assert max(most) < np.prod(shape) or shape[0] in (2, 12)


def test_a_large_file_is_predicted_as_a_small_one(few, tmp_path, monkeypatch):
    """NIfTI, read and written part by part; the label in between is gone afterwards."""
    made = predictor_of("2.5d")
    image = volume((24, 30, 20))
    affine = np.array([[0, 2.0, 0, 5], [1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(image.T, affine), tmp_path / "a.nii")
    whole = predict._write_mask(tmp_path / "whole" / "a", made, open_image(tmp_path / "a.nii"), CLASSES)
    monkeypatch.setattr(lazy, "LAZY_FROM", 1000)
    monkeypatch.setattr("src_core.io.nifti.LAZY_FROM", 1000, raising=False)
    calls = []
    monkeypatch.setattr(Predictor, "__call__", lambda *_words: calls.append(1))
    opened = open_image(tmp_path / "a.nii")
    assert isinstance(opened.pixels, lazy.LazyArray)
    parts = predict._write_mask(tmp_path / "parts" / "a", made, opened, CLASSES)
    assert not calls
    one, other = (nibabel.load(path) for path in (whole, parts))
    assert np.array_equal(one.get_fdata(), other.get_fdata())
    assert set(np.unique(other.get_fdata())) == {0, 7}
    assert np.array_equal(one.affine, other.affine)
    assert one.header.get_data_dtype() == other.header.get_data_dtype()
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [parts.name]


def test_a_full_disk_leaves_nothing(few, tmp_path, monkeypatch):
    made, image = predictor_of("2d"), volume((4, 20, 20))

    def full(*_words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("src_core.store.chunks.ChunkedArray.write", full)
    prediction = made.in_parts(lambda box: image[box.slices], Sides(image.shape, (2.0, 1.0, 1.0)))
    with pytest.raises(StorageError, match="No mask was written"), prediction.label(tmp_path / "out"):
        pass
    assert list((tmp_path / "out").iterdir()) == []


def test_memory_does_not_follow_the_number_of_slices(tmp_path, monkeypatch):
    """A model that costs nothing, so that what is counted is what is read, scaled, resized and kept."""
    monkeypatch.setattr(volume_parts, "AT_ONCE", 2**18)
    peaks = []
    for depth in (128, 384):
        grid = Sides((depth, 256, 256), (2.0, 1.0, 1.0))

        def at_size(image, size):
            values = torch.nn.functional.interpolate(image[None], size=size)[0, :1].numpy()
            return np.concatenate([-values, values])

        def read(box):
            plane = np.arange(256, dtype=np.int16)
            return np.broadcast_to(plane, box.shape)

        made = VolumePrediction(None, at_size, read, grid, Working(channels=1, max_side=64), None)
        tracemalloc.start()
        with made.label(tmp_path / str(depth)) as label:
            found = label[(slice(depth - 2, depth),)]
            assert found[:, :, :100].max() == 0
            assert found[:, :, -100:].min() == 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
