"""Large images in the real window: levels, the frame, decisions and strokes in it, and projects without levels."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_metadcseg.editing import Request
from napari_metadcseg.layers import frame as frames
from napari_metadcseg.layers import level_pixels
from napari_metadcseg.layers.frame import common
from src_core.data.case import Box, is_verified
from src_core.review import decisions
from src_core.store import display, levels
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from tests.conftest import CLASSES

from .test_controller_logic import add_scores
from .test_window_edits import draw
from .test_window_review import canvas_of, click, drag, press

pytestmark = pytest.mark.gui

SHAPE = (600, 700)
DISCS = ((70, 80, 12), (128, 128, 10), (300, 350, 14), (520, 600, 12), (250, 64, 9))
"""Row, column, radius; the second lies across borders of blocks, the last at one."""


def disc(shape, y, x, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).astype(np.uint8)


@pytest.fixture
def low_limits(monkeypatch):
    """Images over 500 px are large, in blocks and frames of a few blocks."""
    monkeypatch.setattr(levels, "LARGE", 500)
    monkeypatch.setattr(levels, "COARSEST", 128)
    monkeypatch.setattr(levels, "BLOCK", 64)
    monkeypatch.setattr(level_pixels, "STEP", 32)
    for name, value in {"GRID": 64, "LEAST": 128, "MOST": 256, "MARGIN": 16}.items():
        monkeypatch.setattr(frames, name, value)


@pytest.fixture
def make_large(tmp_path, low_limits):
    """Function that builds a scored project of large images, given without some of their discs."""

    def make(count=1, *, small=0, scores=True, color=True):
        cases, truth = [], {}
        for index in range(count + small):
            shape = SHAPE if index < count else (90, 100)
            true = np.zeros(shape, np.uint8)
            for y, x, radius in DISCS:
                true |= disc(shape, y, x + 3 * index, radius)
            rng = np.random.default_rng(index)
            image = rng.integers(0, 60, (*shape, 3) if color else shape).astype(np.uint8 if color else np.uint16)
            image[true > 0] += 120 if color else 3000
            given = true.copy()
            for y, x, radius in (DISCS[1:4], DISCS[1:2], DISCS[:1])[index if index < count else 2]:
                given[disc(shape, y, x + 3 * index, radius) > 0] = 0
            given |= disc(shape, 400, 150, 11)
            name = f"slide_{index}"
            cases.append(NewCase(name=name, image=image, given=given))
            truth[name] = true
        project = build_project(tmp_path / "slides", cases, CLASSES, author="tester")
        project.close()
        if scores:
            add_scores(project.path, truth)
        return project.path, truth

    return make


def layer_named(window, name):
    return window.viewer.layers[name]


def level(layer, index):
    """All of a level, as napari gets it."""
    return np.asarray(layer.data[index][(slice(None), slice(None))])


def outside(values, frame, step):
    """Values of a level with those inside of the frame blanked."""
    found = values.copy()
    found[
        -(-frame.start[0] // step) : -(-frame.stop[0] // step), -(-frame.start[1] // step) : -(-frame.stop[1] // step)
    ] = 0
    return found


def assert_in_step(window):
    """What is shown, on every level, is what the project holds."""
    controller, scene = window.controller, window.scene
    project, case, frame = controller.project, controller.case, scene.frame
    label, verified = project.read_labels(case)
    layer, overview = scene.label_layer, layer_named(window, "label around the frame")
    assert np.array_equal(layer.data, label[frame.slices])
    assert tuple(layer.translate) == frame.start
    assert layer.editable
    assert not overview.editable
    for index in range(len(overview.data)):
        step = 2**index
        assert np.array_equal(level(overview, index), outside(label[::step, ::step], frame, step)), index
    if controller.run is not None:
        trust = layer_named(window, "trust")
        bare = controller.run.read_map(case.id, "trust")
        for index in range(len(trust.data)):
            assert np.allclose(level(trust, index), np.where(is_verified(verified[:: 2**index, :: 2**index]), 1, bare))
            bare = levels.halved(bare, "mean")


def in_step(window, wait_for):
    """Wait until smaller levels have followed, then compare."""
    scene, controller = window.scene, window.controller
    root, case = controller.project.path / display.NAME, controller.case
    version = controller.project.version()[0]
    wait_for(lambda: not scene.making and all(each.row == version for each in display.mask_levels(root, case).values()))
    assert_in_step(window)


def paint(window, start, stop):
    layer = window.scene.label_layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 1, 6
    window.viewer.layers.selection.active = layer
    QApplication.processEvents()
    drag(window, start, stop)
    layer.mode = "pan_zoom"


def test_a_large_image_is_shown_by_levels_with_a_frame(window, make_large, wait_for):
    path, truth = make_large(2)
    window.open_project(path)
    controller, scene = window.controller, window.scene
    controller.go_to(next(region.id for region in controller.queue.open if region.image == "slide_0"))
    QApplication.processEvents()
    image = layer_named(window, "image")
    assert [each.shape for each in image.data] == [(600, 700, 3), (300, 350, 3), (150, 175, 3), (75, 88, 3)]
    assert np.array_equal(level(image, 0), controller.project.read_image(controller.case))
    expected = controller.project.read_image(controller.case)
    for index in (1, 2, 3):
        expected = levels.halved(expected, "mean")
        assert np.array_equal(level(image, index), expected)
    proposed = truth["slide_0"]
    for index in range(4):
        assert np.array_equal(level(layer_named(window, "proposal"), index), proposed[:: 2**index, :: 2**index])
    assert "uncertainty band" not in window.viewer.layers
    scene.switch("band", True)
    assert level(layer_named(window, "uncertainty band"), 1).shape == (300, 350)
    scene.switch("band", False)
    region = controller.state.review.region
    assert common(region.box, scene.frame) == region.box
    assert max(scene.frame.shape) <= 256
    assert scene.label_layer.bounding_box.visible
    assert window.frame_bar.isVisible()
    assert "Editing the framed part (128 x 128 px); press W to edit what you see." in window.frame_bar.label.text()
    in_step(window, wait_for)
    assert scene.label_layer.name == "label"
    scene.label_layer.visible = False
    assert not layer_named(window, "label around the frame").visible
    scene.label_layer.visible = True
    other = controller.project.case("slide_1")
    controller.show(other.id)
    QApplication.processEvents()
    assert np.array_equal(level(image, 0), controller.project.read_image(other))
    assert layer_named(window, "uncertainty band").data.shape == (2, 2)
    scene.switch("band", True)
    assert level(layer_named(window, "uncertainty band"), 2).shape == (150, 175)
    window.controller.close()
    assert not window.frame_bar.isVisible()
    assert not len(window.viewer.layers)


def test_review_by_keys_across_large_images(window, make_large, wait_for):
    path, truth = make_large(2, small=1)
    window.open_project(path)
    controller, scene = window.controller, window.scene
    seen = set()
    while controller.state.review.region is not None:
        region = controller.state.review.region
        case = controller.project.case(region.case_id)
        assert controller.case == case
        if max(case.shape) > 500:
            assert common(region.box, scene.frame) == region.box
            assert_frame(window)
        else:
            assert scene.frame is None
            assert not window.frame_bar.isVisible()
            assert np.array_equal(scene.label_layer.data, controller.project.read_label(case))
            assert not layer_named(window, "image").multiscale
        seen.add(case.name)
        press(window, Qt.Key.Key_A)
    assert seen == {"slide_0", "slide_1", "slide_2"}
    for case in controller.project.cases:
        assert np.array_equal(controller.project.read_label(case), truth[case.name])
    controller.show(controller.project.case("slide_1").id)
    QApplication.processEvents()
    in_step(window, wait_for)
    press(window, Qt.Key.Key_U)
    assert controller.state.review.region is not None
    in_step(window, wait_for)


def assert_frame(window):
    controller, frame = window.controller, window.scene.frame
    assert np.array_equal(window.scene.label_layer.data, controller.project.read_label(controller.case, frame))


def test_decisions_undo_and_jumps_keep_all_levels_in_step(window, make_large, wait_for):
    path, _ = make_large()
    window.open_project(path)
    controller = window.controller
    for key in (Qt.Key.Key_A, Qt.Key.Key_K, Qt.Key.Key_U, Qt.Key.Key_A, Qt.Key.Key_Q):
        press(window, key)
        assert_frame(window)
    in_step(window, wait_for)
    frame = window.scene.frame
    controller.go_to_place(1)
    QApplication.processEvents()
    assert common(controller.state.review.region.box, window.scene.frame) == controller.state.review.region.box
    assert_frame(window)
    rows, _ = controller.project.stacks()
    controller.undo_to(rows[0])
    QApplication.processEvents()
    in_step(window, wait_for)
    assert np.array_equal(
        controller.project.read_label(controller.case), controller.project.read_given(controller.case)
    )
    assert frame is not None


def test_strokes_at_the_borders_of_frame_and_blocks(window, make_large, wait_for):
    path, _ = make_large(scores=False)
    window.open_project(path)
    controller, scene = window.controller, window.scene
    frame = scene.frame
    assert frame == Box((256, 256), (384, 384))  # around the middle, 300 and 350
    before = controller.project.read_label(controller.case)
    window.viewer.scene.camera.center = (0, 320, 320)
    window.viewer.scene.camera.zoom = 3
    QApplication.processEvents()
    paint(window, (320, 250), (320, 330))  # begins outside of the frame, and crosses blocks at 320
    after = controller.project.read_label(controller.case)
    changed = np.argwhere(after != before)
    assert controller.project.history(1)[0].action == "edit"
    assert changed[:, 1].min() == 256
    assert (after[320, 258:326] == 1).all()
    assert (after[316, 256:330] == before[316, 256:330]).all()
    in_step(window, wait_for)
    paint(window, (382, 300), (382, 330))
    assert controller.project.read_label(controller.case)[383, 305:325].all()
    assert not controller.project.read_label(controller.case)[384].any()
    in_step(window, wait_for)
    press(window, Qt.Key.Key_U)
    press(window, Qt.Key.Key_U)
    assert np.array_equal(controller.project.read_label(controller.case), before)
    in_step(window, wait_for)


def test_edit_here_moves_the_frame_to_what_is_in_view(window, make_large, wait_for):
    path, _ = make_large(scores=False)
    window.open_project(path)
    scene, viewer = window.scene, window.viewer
    viewer.scene.camera.center = (0, 520, 600)
    viewer.scene.camera.zoom = 6
    QApplication.processEvents()
    press(window, Qt.Key.Key_W)
    frame = scene.frame
    assert all(a <= at < b for a, at, b in zip(frame.start, (520, 600), frame.stop, strict=True))
    assert max(frame.shape) <= 256
    assert frame.start != (256, 256)
    assert_frame(window)
    paint(window, (510, 590), (510, 620))
    assert window.controller.project.read_label(window.controller.case)[510, 595:615].all()
    in_step(window, wait_for)
    viewer.scene.camera.center = (0, 70, 80)
    QApplication.processEvents()
    click(window.frame_bar.button)
    assert all(a <= at < b for a, at, b in zip(scene.frame.start, (70, 80), scene.frame.stop, strict=True))
    in_step(window, wait_for)


def test_what_is_seen_from_afar_is_not_edited(window, make_large):
    path, _ = make_large(scores=False)
    window.open_project(path)
    frame = window.scene.frame
    window.viewer.scene.camera.zoom = 0.2
    QApplication.processEvents()
    press(window, Qt.Key.Key_W)
    assert "Zoom in" in window.message_bar.label.text()
    assert window.scene.frame == frame
    window.controller.close()
    press(window, Qt.Key.Key_W)
    assert "Open a project" in window.message_bar.label.text()


@pytest.mark.parametrize("further", [0, 4])
def test_a_stroke_whose_frame_moved_meanwhile_is_not_recorded(window, make_large, further):
    path, _ = make_large(scores=False)
    window.open_project(path)
    controller, scene, canvas = window.controller, window.scene, canvas_of(window)
    layer = scene.label_layer
    layer.mode, layer.selected_label = "paint", 1
    before = controller.project.read_label(controller.case)
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    window.viewer.scene.camera.center = (0, 320, 320)
    QApplication.processEvents()
    QTest.mouseMove(canvas, middle)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(4):
        QTest.mouseMove(canvas, middle + QPoint(4 * step, 0))
        QApplication.processEvents()
    assert not np.array_equal(layer.data, before[scene.frame.slices])  # painted already, recorded when let go
    scene._move_frame(Box((256, 192), (448, 384)))
    for step in range(further):
        QTest.mouseMove(canvas, middle + QPoint(20, 4 * step))
        QApplication.processEvents()
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle)
    QApplication.processEvents()
    assert "not recorded" in window.message_bar.label.text()
    assert controller.project.history() == []
    assert_frame(window)
    paint(window, (320, 310), (320, 330))
    assert controller.project.read_label(controller.case)[320, 315:325].all()
    assert_frame(window)


def test_projects_without_levels_get_them(window, make_large, wait_for):
    path, _ = make_large(color=False)
    shutil.rmtree(path / display.NAME)
    for folder in path.glob(f"runs/*/scores.zarr/cases/*/{display.WITHIN}"):
        shutil.rmtree(folder)
    window.open_project(path)
    controller = window.controller
    assert_frame(window)
    press(window, Qt.Key.Key_A)  # also while they are made
    wait_for(lambda: display.is_complete(path / display.NAME, controller.case) and not window.scene.making)
    in_step(window, wait_for)
    image = layer_named(window, "image")
    assert np.array_equal(level(image, 1), levels.halved(controller.project.read_image(controller.case), "mean"))
    assert level(image, 3).any()
    assert image.contrast_limits[1] > 2000  # those of levels that were still empty do not stay
    assert "being made" not in window.frame_bar.label.text()


def test_a_project_that_is_only_read_is_not_written_to(window, make_large, wait_for):
    path, _ = make_large()
    shutil.rmtree(path / display.NAME)
    with Project.open(path, write=True):
        window.controller.open(path, write=False)
        wait_for(lambda: not window.scene.making)
        assert not (path / display.NAME).exists()
        image = layer_named(window, "image")
        assert level(image, 3).any()
        label = window.controller.project.read_label(window.controller.case)
        overview = layer_named(window, "label around the frame")
        wait_for(lambda: np.array_equal(level(overview, 1), outside(label[::2, ::2], window.scene.frame, 2)))
        assert not window.scene.label_layer.editable
        window.controller.close()


def test_levels_catch_up_with_what_was_decided_elsewhere(window, make_large, wait_for):
    path, _ = make_large()
    with Project.open(path, write=True) as project:
        case = project.cases[0]
        for place in range(level_pixels.MOST_ROWS + 5):
            box = Box((10 + place, 20), (14 + place, 60))
            change = decisions.edit(project, case, box, np.full(box.shape, place % 2, np.uint8))
            if change is not None:
                project.commit(change)
    window.open_project(path)
    in_step(window, wait_for)


def test_a_full_disk_stops_only_what_is_seen_from_afar(window, make_large, wait_for, monkeypatch):
    path, _ = make_large()
    shutil.rmtree(path / display.NAME)

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(levels.chunks, "new_array", full)
    window.open_project(path)
    wait_for(lambda: not window.scene.making)
    assert "disk is full" in window.message_bar.label.text().lower() or "could not write" in (
        window.message_bar.label.text().lower()
    )
    press(window, Qt.Key.Key_A)
    assert window.controller.project.history(1)[0].action == "accept"
    assert_frame(window)


def test_tools_keep_to_the_frame(window, make_large, wait_for):
    path, _ = make_large(scores=False)
    window.open_project(path)
    controller, scene = window.controller, window.scene
    project, case = controller.project, controller.case
    window.show_section("Edit")
    scene.label_layer.selected_label = 1
    holed = project.read_label(case).copy()
    y, x, radius = DISCS[0]
    holed[y - radius : y + radius, x - radius : x + radius] = 1
    holed[y, x] = 0
    box = Box((y - 20, x - 20), (y + 20, x + 20))
    assert controller.stroke(case.id, box, holed[box.slices])
    desk = window.edits.desk()
    outcome = desk.work(Request(tool="fill_holes", scope="image"))
    assert outcome.change is None
    assert "in the framed part" in outcome.text
    scene._move_frame(Box((0, 0), (128, 128)))
    controller.commit_edit(window.edits.desk().work(Request(tool="fill_holes", scope="image")))
    assert project.read_label(case)[y, x] == 1
    assert_frame(window)
    in_step(window, wait_for)


def test_a_lasso_means_places_in_the_image(window, make_large, wait_for):
    path, truth = make_large()
    window.open_project(path)
    controller, scene = window.controller, window.scene
    case, region = controller.case, controller.state.review.region
    assert scene.frame.start != (0, 0)
    scene.label_layer.selected_label = 1
    window.edits.tools.apply(Request(tool="take_lasso", scope="image"))
    (top, left), (bottom, right) = region.box.start, region.box.stop
    corners = [(top - 3, left - 3), (top - 3, right + 3), (bottom + 3, right + 3), (bottom + 3, left - 3)]
    draw(window, [*corners, corners[0]])
    wait_for(lambda: not window.edits.lasso.waiting)
    assert controller.project.history(1)[0].note.startswith("take_lasso")
    label = controller.project.read_label(case, region.box)
    assert np.array_equal(label, truth[case.name][region.box.slices])
    assert_frame(window)
