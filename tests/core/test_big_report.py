"""Figures and pictures of large images are made band by band, and are those of the whole."""

from __future__ import annotations

import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest

from src_core.data.case import Box
from src_core.data.slices import best_slice, one_slice, slice_axis
from src_core.report import views
from src_core.report.gather import gather
from src_core.report.image import count_image, replayed
from src_core.report.record import Ledger
from src_core.report.views import view_of
from src_core.review import decisions
from src_core.store import chunks, pieces
from src_core.store.create import NewCase, build_project
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from tests.core.test_big_record import CLASSES, made, region, stroke

SHAPE = (90, 70)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "_EDGES", {1: 64, 2: 8, 3: 4})
    monkeypatch.setattr(pieces, "MOST", 200)
    monkeypatch.setattr(views, "SMALLEST_WINDOW", 6)
    with made(tmp_path / "p", SHAPE) as opened:
        yield opened


def reviewed(project, everywhere):
    stroke(project, Box((40, 30), (44, 36)))
    project.commit(decisions.confirm(project, region(Box((42, 31), (45, 33))), np.ones((3, 2), bool)))
    if everywhere:
        stroke(project, Box((2, 2), (3, 3)), 1 - int(project.read_given(project.cases[0])[2, 2]))
        project.commit(decisions.verify_image(project, project.cases[0]))


def in_bands(monkeypatch, act):
    """What comes of it whole, and in bands."""
    found = []
    for band in (10**6, 700):
        monkeypatch.setattr(chunks, "BAND", band)
        found.append(act())
    assert len(chunks.band_boxes(SHAPE)) > 5
    return found


@pytest.mark.parametrize("everywhere", [True, False])
def test_an_image_is_counted_alike(project, monkeypatch, everywhere):
    reviewed(project, everywhere)
    case = project.cases[0]
    rows = Ledger.read(project).rows[case.id]
    whole, bands = in_bands(monkeypatch, lambda: asdict(count_image(project, case, rows, None, 2)))
    for name, value in whole.items():
        assert np.array_equal(value, bands[name]) if isinstance(value, np.ndarray) else value == bands[name], name
    assert whole["corrected"] == {"a#1"}
    reports = in_bands(monkeypatch, lambda: gather(project).to_dict())
    assert reports[0]["totals"] == reports[1]["totals"]


def test_a_small_change_is_shown_from_its_box(project, monkeypatch):
    reviewed(project, everywhere=False)
    case = project.cases[0]
    rows = Ledger.read(project).rows[case.id]
    whole, bands = in_bands(monkeypatch, lambda: view_of(project, case, rows))
    assert whole.window == bands.window
    assert whole.label.shape < SHAPE
    for name in ("given", "label", "image"):
        assert np.array_equal(getattr(whole, name), getattr(bands, name))
    assert all(np.array_equal(*masks) for masks in zip(whole.changes, bands.changes, strict=True))
    assert (whole.sides, whole.at) == (bands.sides, bands.at) == (SHAPE, None)


def test_changes_all_over_are_shown_on_every_nth_pixel(project, monkeypatch):
    monkeypatch.setattr(views, "SEEN", 20)
    reviewed(project, everywhere=True)
    case = project.cases[0]
    rows = Ledger.read(project).rows[case.id]
    whole, bands = in_bands(monkeypatch, lambda: view_of(project, case, rows))
    assert bands.window == whole.window == (slice(0, 90), slice(0, 70))
    assert bands.label.shape == (23, 18)  # 90 px are four times 20 and more
    for name in ("given", "label", "image"):
        assert np.array_equal(getattr(bands, name), getattr(whole, name)[::4, ::4])
    for small, large in zip(bands.changes, whole.changes, strict=True):
        padded = np.pad(large, ((0, 2), (0, 2)))
        assert np.array_equal(small, padded.reshape(23, 4, 18, 4).any(axis=(1, 3)))  # not one is lost
    assert sum(mask.sum() for mask in bands.changes) >= 3


# ------------------------------------------------------------------ volumes

SIDES = (11, 20, 18)


def in_slices(project, case, rows):
    """The slow way: all of it in memory."""
    replay = replayed(project, case, rows)
    axis = slice_axis(case)
    at = best_slice(replay.given != replay.label, axis)
    return at, [one_slice(each, axis, at) for each in (replay.given, replay.label, project.read_image(case))]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_a_volume_only_bands_and_the_slice_that_is_shown_are_read(tmp_path, monkeypatch, axis, seed):
    monkeypatch.setattr(chunks, "_EDGES", {1: 64, 2: 8, 3: 4})
    monkeypatch.setattr(pieces, "MOST", 200)
    rng = np.random.default_rng(seed)
    spacing = tuple(2.0 if k == axis else 1.0 for k in range(3))
    image, mask = (rng.integers(0, high, SIDES).astype(np.uint8) for high in (255, 2))
    case = NewCase(name="a", image=image, given=mask, spacing=spacing, unit="mm")
    with build_project(tmp_path / "p", [case], CLASSES, author="ada") as project:
        for _ in range(4):
            start = [int(rng.integers(0, edge - 3)) for edge in SIDES]
            box = Box(tuple(start), tuple(a + int(rng.integers(1, 4)) for a in start))
            project.commit(Change(0, Action.EDIT, Patch(box, *rng.integers(0, 2, (2, *box.shape)).astype(np.uint8))))
        project.commit(decisions.verify_image(project, project.cases[0]))
        rows = Ledger.read(project).rows[0]
        expected, counts = (
            in_slices(project, project.cases[0], rows),
            count_image(project, project.cases[0], rows, None, 2),
        )
        monkeypatch.setattr(chunks, "BAND", 4 * 20 * 18)
        most = []
        for name in ("read_image", "read_given"):
            read = getattr(Project, name)

            def checked(self, case, box, read=read):
                most.append(np.prod(box.shape))
                return read(self, case, box)

            monkeypatch.setattr(Project, name, checked)
        view = view_of(project, project.cases[0], rows)
        bands = count_image(project, project.cases[0], rows, None, 2)
    at, planes = expected
    assert view.at == at
    assert view.sides == planes[0].shape
    for found, plane in zip((view.given, view.label, view.image), planes, strict=True):
        assert np.array_equal(found, plane[view.window])
    assert max(most) <= 4 * 20 * 18 < np.prod(SIDES)
    for name, value in asdict(counts).items():
        assert np.array_equal(value, asdict(bands)[name]) if isinstance(value, np.ndarray) else True


def test_the_picture_of_a_volume_takes_no_more_memory_for_more_slices(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "BAND", 2**20)
    peaks = []
    for depth in (128, 384):  # in bands of a chunk, 64 slices
        image = np.zeros((depth, 256, 256), np.uint8)
        with build_project(tmp_path / str(depth), [NewCase(name="a", image=image, given=image)], CLASSES) as project:
            stroke(project, Box((20, 100, 100), (22, 160, 150)))
            rows = Ledger.read(project).rows[0]
            tracemalloc.start()
            view = view_of(project, project.cases[0], rows)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert (view.at, view.label.shape) == (21, (120, 100))
            assert (view.label > 0).sum() == 60 * 50
    assert peaks[1] < 1.2 * peaks[0]
