"""Figures and pictures of large images are made band by band, and are those of the whole."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from src_core.data.case import Box
from src_core.report import views
from src_core.report.gather import gather
from src_core.report.image import count_image
from src_core.report.record import Ledger
from src_core.report.views import view_of
from src_core.review import decisions
from src_core.store import chunks, pieces
from tests.core.test_big_record import made, region, stroke

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
