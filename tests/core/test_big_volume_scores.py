"""Large volumes are loaded and scored in parts, as small ones are whole."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from scipy import ndimage

from src_core.config import preset
from src_core.data.case import IGNORE, Box, ClassInfo
from src_core.data.slices import Sides
from src_core.errors import StorageError
from src_core.infer import held_out, score, score_volumes
from src_core.infer.score import score_run
from src_core.review import decisions, run_comparison
from src_core.review.run_comparison import compare_runs
from src_core.store.chunks import ChunkedArray, new_array
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.store.runs import HELD_OUT, Run, ScoreWriter
from src_core.train import cases, volume_parts
from src_core.train.cases import WorkingSet
from src_core.train.control import Control
from src_core.train.intensities import Intensities
from src_core.train.run import train
from src_core.train.volume_parts import VolumeReader, is_large, labels_in_parts, slab, slices_at_once
from src_core.train.working import Working

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color="#000000"),
    ClassInfo(index=1, name="organ", value=1, color="#56B4E9"),
)
MAPS = ("trust", "alpha", "beta", "uncertainty", "proposed", "regions")


def quiet(_message):
    pass


def settings(**changes):
    values = {"epochs": 1, "steps_per_epoch": 1, "base_width": 8, "patch_size": 32, "max_side": 32}
    values |= {"batch_size": 2, "meta_batch_size": 2, "threads": 1, "device": "cpu", "min_verified": 100}
    return preset("quick", **{**values, **changes})


def make(path, shape, spacing, count=4):
    """Volumes with a bright ball, half of whose mask was forgotten in half of the slices; some are trusted."""
    made = []
    for number in range(count):
        rng = np.random.default_rng(number)
        places = np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1))
        middle = np.reshape(np.array(shape) * spacing / 2 + rng.uniform(-2, 2, 3), (3, 1, 1, 1))
        truth = (np.sqrt(((places - middle) ** 2).sum(0)) < 8).astype(np.uint8)
        image = 100 + 60 * ndimage.gaussian_filter(truth.astype(float), 0.7) + rng.normal(0, 8, shape)
        given = truth.copy()
        given[shape[0] // 2 :, :, : shape[2] // 2] = 0
        clean = truth if number < 2 else None
        made.append(
            NewCase(name=f"v{number}", image=image.astype(np.float32), given=given, clean=clean, spacing=spacing)
        )
    with build_project(path, made, CLASSES) as project:
        return project.path


# ------------------------------------------------------------------ which, and how many at a time


def test_which_volumes_are_large():
    assert is_large((512, 512, 129))
    assert not is_large((512, 512, 128))
    assert not is_large((30_000, 30_000))


def test_as_many_slices_as_chunks_are_long_or_a_part_of_that():
    assert slices_at_once((600, 512, 512), 0, 2**24) == 64
    assert slices_at_once((600, 600, 600), 1, 2**24) == 32
    assert slices_at_once((100, 9000, 9000), 0, 2**24) == 1
    assert slices_at_once((20, 512, 512), 0, 2**24) == 20
    assert slab((5, 6, 7), 2, slice(3, 5)) == Box((0, 0, 3), (5, 6, 5))


# ------------------------------------------------------------------ loading

HOW = [
    ("2d", (20, 30, 18), (3.0, 1.0, 1.0), {}),
    ("2d", (20, 30, 18), (1.0, 1.0, 2.0), {"channels": 2}),
    ("2.5d", (18, 20, 30), (1.0, 2.0, 1.0), {}),
    ("2.5d", (20, 18, 20), (2.0, 1.0, 1.0), {"intensities": Intensities(100, 300, 200, 50)}),
    ("3d", (40, 20, 18), (1.0, 1.0, 1.0), {}),
    ("3d", (20, 44, 30), (2.0, 1.0, 1.0), {"spacing": 1.3}),
]


@pytest.mark.parametrize(("dimensions", "shape", "spacing", "more"), HOW)
def test_a_volume_that_is_loaded_in_parts_is_that_which_is_loaded_whole(monkeypatch, dimensions, shape, spacing, more):
    monkeypatch.setattr(volume_parts, "AT_ONCE", 2000)
    channels = more.get("channels", 1)
    working = Working(**{"channels": 1, "max_side": 24, "dimensions": dimensions, **more})
    image = np.random.default_rng(0).normal(200, 60, shape if channels == 1 else (*shape, channels)).astype(np.int16)
    grid, most = Sides(shape, spacing), []

    def read(box):
        most.append(np.prod(box.shape))
        return image[box.slices]

    expected = working.images(grid, image)
    found = VolumeReader(read, grid, working).images()
    assert len(found) == len(expected)
    assert all(torch.allclose(one, other, atol=2e-5) for one, other in zip(found, expected, strict=True))
    if "intensities" in more:
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert max(most) < image.size / channels
    label = (image if channels == 1 else image[..., 0]).astype(np.uint8)
    given, other = labels_in_parts(lambda box: (label[box.slices], 1 - label[box.slices]), grid, working)
    assert np.array_equal(given, working.labels(grid, label))
    assert np.array_equal(other, 1 - given)


@settings_of_hypothesis(max_examples=60, deadline=None)
@given(
    st.tuples(*(st.integers(1, 20),) * 3),
    st.sampled_from([(1.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 3.0)]),
    st.sampled_from(["2d", "3d"]),
    st.sampled_from([0.4, 1.0, 1.7, 6.0]),
    st.integers(1, 500),
)
def test_labels_in_parts_are_those_of_the_whole(shape, spacing, dimensions, voxel, at_once):
    working = Working(channels=1, max_side=9, dimensions=dimensions, spacing=voxel)
    label = np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)
    grid = Sides(shape, spacing)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(volume_parts, "AT_ONCE", at_once)
        (found,) = labels_in_parts(lambda box: (label[box.slices],), grid, working)
    assert np.array_equal(found, working.labels(grid, label))


def same_cases(found, expected):
    for one, other in zip(found.cases, expected.cases, strict=True):
        assert torch.allclose(one.image_IX, other.image_IX, atol=2e-5)
        for name in ("label_X", "given_X", "verified_X"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        assert (one.at, one.info) == (other.at, other.info)


@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_a_working_set_of_large_volumes_is_that_of_small_ones(tmp_path, dimensions):
    """Also what is verified later, and what counts as not verified."""
    path = make(tmp_path / "p", (12, 28, 24), (2.0, 1.0, 1.0), count=2)
    with Project.open(path, write=True) as project, pytest.MonkeyPatch.context() as patched:
        before = WorkingSet(project, 20, dimensions)
        patched.setattr(volume_parts, "LARGE", 1000)
        patched.setattr(volume_parts, "AT_ONCE", 2000)
        patched.setattr(Working, "images", None)
        patched.setattr(Working, "labels", None)
        parts = WorkingSet(project, 20, dimensions)
        same_cases(parts, before)
        case = project.cases[1]
        label = project.read_label(case)
        label[4:6], label[7, :9] = 1, IGNORE
        project.commit(decisions.edit(project, case, Box.whole(case.shape), label))
        assert parts.refresh()
        patched.undo()
        after = WorkingSet(project, 20, dimensions)
        same_cases(parts, after)
        assert parts.verified_summary() == after.verified_summary() != before.verified_summary()


def test_memory_of_loading_does_not_follow_the_size_of_slices(monkeypatch):
    """Beside what is kept, which is at working resolution."""
    monkeypatch.setattr(volume_parts, "AT_ONCE", 2**18)
    peaks = []
    for depth in (64, 256):
        working, grid = Working(channels=1, max_side=32), Sides((depth, 256, 256), (2.0, 1.0, 1.0))
        reader = VolumeReader(lambda box: np.broadcast_to(np.arange(256, dtype=np.int16), box.shape), grid, working)
        tracemalloc.start()
        kept = sum(each.nbytes for each in reader.images())
        peaks.append(tracemalloc.get_traced_memory()[1] - kept)
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


# ------------------------------------------------------------------ scoring


def scores_of(path, name):
    with Project.open(path) as project:
        run = project.run(name)
        maps = {(case.id, kind): run.read_map(case.id, kind) for case in project.cases for kind in MAPS}
        told = {case.id: run.held_out_by(case.id) for case in project.cases}
        maps |= {(id_, HELD_OUT): run.read_held_out(id_) for id_, by in told.items() if by == HELD_OUT}
        return maps, told, run.images(), run.regions(), run.generation


def check(found, expected):
    maps, told, images, regions, _ = found
    for key, values in expected[0].items():
        assert maps[key].dtype == values.dtype
        if values.dtype == np.float32:
            np.testing.assert_allclose(maps[key], values, atol=2e-6, err_msg=str(key))
        else:
            np.testing.assert_array_equal(maps[key], values, err_msg=str(key))
    assert maps.keys() == expected[0].keys()
    assert told == expected[1]
    assert [image.case_id for image in images] == [image.case_id for image in expected[2]]
    for one, other in zip(images, expected[2], strict=True):
        assert (one.row, one.rest.foreground) == (other.row, other.rest.foreground)
        assert one.score == pytest.approx(other.score, rel=1e-4)
        assert one.estimated_wrong_pixels == pytest.approx(other.estimated_wrong_pixels, rel=1e-4)
    assert [region.id for region in regions] == [region.id for region in expected[3]]
    for one, other in zip(regions, expected[3], strict=True):
        assert (one.number, one.box, one.pixels, one.kind) == (other.number, other.box, other.pixels, other.kind)
        assert one.score == pytest.approx(other.score, rel=1e-4)


@pytest.fixture
def in_parts(monkeypatch):
    """From now on volumes are scored in parts of a few slices, and looked at for regions in still smaller ones."""

    def begin(at_once):
        monkeypatch.setattr(score, "is_large", lambda shape: len(shape) == 3)
        monkeypatch.setattr(score_volumes, "AT_ONCE", at_once)
        monkeypatch.setattr(score_volumes, "SLAB_VOXELS", at_once // 2)

    return begin


@pytest.mark.parametrize(
    ("dimensions", "shape", "spacing", "at_once", "parts"),
    [
        ("2d", (12, 40, 28), (2.0, 1.0, 1.0), 4000, 12),
        ("2d", (24, 28, 12), (1.0, 1.0, 2.0), 4000, 6),
        ("2d", (70, 14, 12), (1.0, 1.0, 1.0), 12000, 3),  # parts are as long as chunks
        ("2.5d", (28, 12, 24), (1.0, 2.0, 1.0), 4000, 6),
        ("3d", (12, 36, 28), (2.0, 1.0, 1.0), 4000, 12),
        ("3d", (36, 24, 12), (1.0, 1.0, 2.0), 4000, 9),  # parts are not across the slices
    ],
)
def test_scores_in_parts_are_those_of_the_whole(
    tmp_path, in_parts, monkeypatch, dimensions, shape, spacing, at_once, parts
):
    """The network itself stands for a helper that has held the first volume out."""
    path = make(tmp_path / "p", shape, spacing, count=3)
    name = train(path, None, settings(dimensions=dimensions), listener=quiet, control=Control())
    tell = held_out.HeldOut.network
    monkeypatch.setattr(
        held_out.HeldOut,
        "network",
        lambda self, members: tell(self, members) if members[0] else (HELD_OUT, self._learner),
    )
    score_run(path, name, device="cpu", threads=1, quick=True, listener=quiet)
    expected, heard = scores_of(path, name), []
    assert list(expected[1].values()) == [HELD_OUT, "", "proposed"]
    assert expected[3]
    in_parts(at_once)
    assert score_run(path, name, device="cpu", threads=1, quick=True, listener=heard.append) == 2
    check(scores_of(path, name), expected)
    told = [message.data for message in heard if message.type == "scoring"]
    assert [each["done"] for each in told] == list(range(1, 3 * parts + 1))
    assert {each["total"] for each in told} == {3 * parts}
    with Project.open(path) as project:
        folder = project.run(name).case_folder(0)
        next((folder / "trust").glob("c.*")).unlink()
        with pytest.raises(OSError, match="c"):  # a chunk that is lost is none of zeros
            ChunkedArray(folder / "trust").read()


def test_large_and_small_volumes_are_scored_side_by_side(tmp_path, in_parts, monkeypatch):
    path = make(tmp_path / "p", (10, 24, 20), (2.0, 1.0, 1.0))
    with Project.open(path, write=True) as project:
        project.commit(decisions.verify_image(project, project.cases[3]))
    name = train(path, None, settings(), listener=quiet, control=Control())
    score_run(path, name, device="cpu", threads=1, listener=quiet)
    expected = scores_of(path, name)
    in_parts(2000)
    seen = iter([False, True, False, True] * 2)
    monkeypatch.setattr(score, "is_large", lambda _shape: next(seen))
    assert score_run(path, name, device="cpu", threads=1, listener=quiet) == 2
    check(scores_of(path, name), expected)


def test_a_stop_between_two_parts_leaves_the_scores_before(tmp_path, in_parts):
    path = make(tmp_path / "p", (12, 24, 20), (2.0, 1.0, 1.0), count=2)
    name = train(path, None, settings(), listener=quiet, control=Control())
    score_run(path, name, device="cpu", threads=1, listener=quiet)
    before, control, done = scores_of(path, name), Control(), []
    in_parts(2000)

    def stop(message):
        assert message.type == "scoring"
        done.append(message.data["done"])
        if len(done) == 2:
            control.stop()

    assert score_run(path, name, device="cpu", threads=1, listener=stop, control=control) == 0
    assert done == [1, 2]
    now = scores_of(path, name)
    assert now[1:] == before[1:]
    assert all(np.array_equal(now[0][key], values) for key, values in before[0].items())
    assert not list((path / "runs" / name).glob("*.partial"))


def test_a_full_disk_leaves_the_scores_before(tmp_path, in_parts, monkeypatch):
    path = make(tmp_path / "p", (12, 24, 20), (2.0, 1.0, 1.0), count=2)
    name = train(path, None, settings(), listener=quiet, control=Control())
    score_run(path, name, device="cpu", threads=1, listener=quiet)
    before = scores_of(path, name)
    in_parts(2000)

    def full(*_words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("src_core.store.chunks.ChunkedArray.write", full)
    with pytest.raises(StorageError, match="The scores before are still there"):
        score_run(path, name, device="cpu", threads=1, listener=quiet)
    now = scores_of(path, name)
    assert now[1:] == before[1:]


def test_runs_are_compared_band_by_band(tmp_path, monkeypatch):
    path, runs = make(tmp_path / "p", (12, 24, 20), (2.0, 1.0, 1.0)), []
    for number, name in enumerate("ab"):
        (path / "runs" / name).mkdir(parents=True)
        writer = ScoreWriter(path / "runs" / name, name)
        for case_id in range(2):
            labels = np.random.default_rng(number).integers(0, 2, (12, 24, 20)).astype(np.uint8)
            writer.write(case_id, {HELD_OUT: labels}, held_out=HELD_OUT)
        writer.finish([], [])
        runs.append(Run(path / "runs" / name))
    with Project.open(path) as project:
        expected = compare_runs(project, *runs)
        assert expected is not None
        assert (expected.images, expected.pixels) == (2, 2 * 12 * 24 * 20)
        bands = [Box((0, 0, 0), (5, 24, 20)), Box((5, 0, 0), (12, 24, 20))]
        monkeypatch.setattr(run_comparison, "band_boxes", lambda _shape: bands)
        assert compare_runs(project, *runs) == expected


def test_an_array_may_be_begun_with_parts_of_chunks(tmp_path):
    array = new_array(tmp_path / "a", (6, 5), np.dtype(np.uint8), complete=False)
    values = np.arange(30, dtype=np.uint8).reshape(6, 5)
    for start in (0, 2, 4):
        array.write(Box((start, 0), (start + 2, 5)), values[start : start + 2])
    array.finish()
    assert np.array_equal(ChunkedArray(tmp_path / "a").read(), values)
    (tmp_path / "a" / "c.0.0").unlink()
    for each in (array, ChunkedArray(tmp_path / "a")):
        with pytest.raises(FileNotFoundError):
            each.read()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["zarr.json"]


def test_one_constant_tells_all(monkeypatch):
    monkeypatch.setattr(volume_parts, "LARGE", 10)
    assert cases.is_large((3, 2, 2))
    assert score.is_large((3, 2, 2))
