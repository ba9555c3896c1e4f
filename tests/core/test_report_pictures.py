"""Pictures of a report: what is drawn where, on arrays that can be drawn by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from src_core.data.case import OKABE_ITO
from src_core.report.figures import ClassFigures
from src_core.report.gather import gather
from src_core.report.pictures import ADDED, OTHER, REMOVED, SIDE, outlined, pictures, shown
from src_core.report.record import Ledger
from src_core.report.views import window_of
from src_core.review import decisions
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from tests.reviewed import CLASSES, reviewed_project

SKY, ORANGE = (0x56, 0xB4, 0xE9), (0xE6, 0x9F, 0x00)
FIGURES = tuple(
    ClassFigures(
        index=index, name="", color=OKABE_ITO[index], pixels_before=0, pixels_after=0, mm2_before=None, mm2_after=None
    )
    for index in range(3)
)


def decoded(uri):
    head, body = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def rgb(color):
    return tuple(bytes.fromhex(color[1:]))


def where(pixels, color):
    return (pixels == np.array(color, np.uint8)).all(axis=2)


def drawn(project, count=12):
    ledger = Ledger.read(project)
    return pictures(project, ledger, gather(project, ledger=ledger), count)


def test_an_outline_by_hand():
    label = np.zeros((12, 12), np.uint8)
    label[3:9, 3:9] = 1
    label[5:7, 5:7] = 2
    picture = outlined(np.full((12, 12, 3), 90, np.uint8), label, FIGURES)
    sky = np.zeros((12, 12), bool)
    sky[3:9, 3:9] = True
    sky[5:7, 5:7] = False  # two pixels wide on both sides, so nothing is left in between
    assert np.array_equal(where(picture, SKY), sky)
    assert where(picture, ORANGE)[5:7, 5:7].all()
    assert (picture[2, 3:9] == 30).all()  # the dark edge
    assert (picture[0] == 90).all()


def test_an_object_that_goes_on_beyond_the_picture_has_no_line_there():
    label = np.ones((10, 10), np.uint8)
    label[:, 7:] = 0
    lines = where(outlined(np.zeros((10, 10, 3), np.uint8), label, FIGURES), SKY)
    assert lines[:, 5:7].all()
    assert not lines[:, :5].any()
    assert not lines[:, 7:].any()


def test_the_images_that_changed_most_are_shown(tmp_path):
    path = reviewed_project(tmp_path)
    with Project.open(path) as project:
        found = drawn(project)
        assert [picture.figures.name for picture in found] == ["a", "b", "c"]  # d is as it was
        assert [picture.figures.name for picture in drawn(project, 1)] == ["a"]
        assert drawn(project, 0) == []
    for picture in found:
        for uri in (picture.given, picture.cleaned, picture.changed):
            assert decoded(uri).shape == (SIDE, SIDE, 3)
    changed = decoded(found[0].changed)
    cell = SIDE / 10
    assert where(changed, rgb(REMOVED))[: int(2 * cell) - 1].all()  # the 20 px of organ that are background now
    assert where(changed, rgb(ADDED))[int(8 * cell) + 1 : int(9 * cell) - 1, : int(2 * cell) - 1].all()
    assert not where(changed, rgb(OTHER)).any()
    given_, cleaned = (where(decoded(uri), SKY) for uri in (found[0].given, found[0].cleaned))
    assert given_[int(4 * cell) - 2 : int(4 * cell)].all()
    assert not np.array_equal(given_, cleaned)


def test_a_change_of_class_has_its_own_colour_and_a_small_change_a_detail(tmp_path):
    label = np.zeros((400, 300), np.uint8)
    label[100:110, 200:210] = 1
    turned = np.where(label == 1, 2, label).astype(np.uint8)
    image = np.tile(np.arange(300, dtype=np.uint16) * 50, (400, 1))
    with build_project(tmp_path / "p", [NewCase(name="a", image=image, given=label)], CLASSES) as project:
        case = project.cases[0]
        change = decisions.edit(project, case, decisions.Box.whole(case.shape), turned)
        project.commit(change)
        (picture,) = drawn(project)
    assert picture.detail == "rows 73–136, columns 173–236"
    assert (picture.width, picture.height) == (SIDE, SIDE)
    changed = where(decoded(picture.changed), rgb(OTHER))
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (27 * 4, 37 * 4 - 1, 27 * 4, 37 * 4 - 1)


def test_one_changed_pixel_of_a_large_image_is_seen(tmp_path):
    """Two far apart, so that the whole image is shown, at a seventh of its size."""
    label = np.zeros((1800, 900), np.uint8)
    after = label.copy()
    after[5, 5] = after[1790, 890] = 1
    with build_project(tmp_path / "p", [NewCase(name="a", image=label, given=label)], CLASSES) as project:
        project.commit(decisions.edit(project, project.cases[0], decisions.Box.whole(label.shape), after))
        (picture,) = drawn(project)
    assert (picture.width, picture.height, picture.detail) == (128, SIDE, "")
    assert where(decoded(picture.changed), rgb(ADDED)).sum() >= 2


@pytest.mark.parametrize(
    "image",
    [
        np.arange(12, dtype=np.uint16).reshape(3, 4) * 4000,
        np.linspace(-1, 1, 12).reshape(3, 4),
        np.array([[np.nan, np.inf, 0, 1]] * 3),
        np.zeros((3, 4), np.int32),
        np.zeros((3, 4), bool),
        np.zeros((3, 4, 3), np.uint8),
        np.full((3, 4, 4), 7, np.uint8),
        np.zeros((3, 4, 7), np.float32),
        np.zeros((3, 4, 2), np.uint8),
    ],
)
def test_any_image_can_be_shown(image):
    picture = shown(image)
    assert (picture.shape, picture.dtype) == ((3, 4, 3), np.uint8)
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] > 2:
        assert np.array_equal(picture, image[..., :3])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.data())
def test_the_window_holds_every_changed_pixel(height, width, data):
    changed = np.zeros((height, width), bool)
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True
    window = window_of(changed)
    assert changed[window].sum() == changed.sum()
    assert all(0 <= part.start < part.stop <= edge for part, edge in zip(window, changed.shape, strict=True))


def test_of_a_volume_the_layer_that_changed_most_is_shown(tmp_path):
    label = np.zeros((3, 20, 20), np.uint8)
    after = label.copy()
    after[0, 0, 0] = after[2, :10] = 1
    image = np.zeros_like(label)
    image[2] = 255
    case = NewCase(name="v", image=image, given=label, clean=after, spacing=(1.0, 1.0, 1.0))
    with build_project(tmp_path / "p", [case], CLASSES) as project:
        (picture,) = drawn(project)
    assert (picture.width, picture.height, picture.detail) == (SIDE, SIDE, "slice 2")
    assert where(decoded(picture.changed), rgb(ADDED))[: SIDE // 2].all()
    assert (decoded(picture.given) == 255).all()  # nothing was there to be outlined
