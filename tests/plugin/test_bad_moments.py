"""What a person, napari or another command may do at a bad moment."""

from __future__ import annotations

import napari
import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_metadcseg.app import dock
from napari_metadcseg.controller import Controller
from napari_metadcseg.training import TrainingDesk
from src_core.data.case import IGNORE, OKABE_ITO, Box, ClassInfo
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from tests.plugin.test_controller_logic import FakeClient, add_scores

CORNER = Box((0, 0), (4, 4))


@pytest.fixture
def scored(make_project, phantoms):
    path = make_project(6, trusted=2)
    add_scores(path, {slice_.name: slice_.truth for slice_ in phantoms})
    return path


@pytest.fixture
def controller(scored):
    made = Controller(TrainingDesk(FakeClient()))
    made.open(scored)
    yield made
    made.close()


@pytest.mark.parametrize("value", [2, 9, 254, 257, -1])
def test_a_label_that_is_no_class_is_taken_back(controller, value):
    case, before = controller.case, controller.project.version()
    assert not controller.stroke(case.id, CORNER, np.full((4, 4), value, dtype=np.int32))
    assert controller.project.version() == before
    assert f"Label {value} is no class" in controller.state.message.text


def test_unlabelled_may_be_painted(controller):
    case = controller.case
    assert controller.stroke(case.id, CORNER, np.full((4, 4), IGNORE, dtype=np.uint8))
    assert (controller.project.read_label(case, CORNER) == IGNORE).all()


def test_an_image_with_unlabelled_pixels_can_be_verified(controller):
    case = controller.case
    controller.stroke(case.id, CORNER, np.full((4, 4), IGNORE, dtype=np.uint8))
    row = lambda: next(row for row in controller.state.project.rows if row.case_id == case.id)  # noqa: E731
    assert row().status == "open"
    controller.verify_image()
    assert row().status == "verified"
    controller.undo()
    assert row().status == "open"


def test_new_scores_behind_our_back_are_looked_at_before_a_decision(controller, scored, phantoms):
    region = controller.queue.current
    shown = controller.hand().mask
    before = controller.project.version()
    add_scores(scored, {slice_.name: np.roll(slice_.truth, 25, 0) for slice_ in phantoms})
    controller.accept()  # what was shown is what is decided
    assert controller.project.version()[0] == before[0] + 1
    assert controller.project.decisions() == {region.id: "accept"}
    case = controller.project.case(region.case_id)
    truth = next(slice_.truth for slice_ in phantoms if slice_.name == case.name)
    where = region.box.slices
    assert (controller.project.read_label(case)[where][shown] == truth[where][shown]).all()
    assert controller.hand() is None  # the next one is of scores that are gone
    assert "New scores" in controller.state.message.text
    controller.accept()
    assert controller.project.version()[0] == before[0] + 1
    controller.next()
    controller.accept()
    assert controller.project.version()[0] == before[0] + 2


def test_undo_elsewhere_leaves_no_unseen_region_in_hand(controller):
    region = controller.queue.current
    other = next(case for case in controller.project.cases if case.id != region.case_id)
    controller.show(other.id)
    controller.stroke(other.id, CORNER, 1 - controller.project.read_label(other, CORNER))
    controller.go_to(region.id)
    controller.undo()
    assert controller.state.case_id == other.id
    assert controller.state.review.region is None
    version = controller.project.version()
    controller.accept()
    assert controller.project.version() == version


def test_a_verified_image_needs_no_more_review_until_that_is_undone(controller):
    region = controller.queue.current
    before = len(controller.queue.open)
    controller.verify_image()
    assert all(left.case_id != region.case_id for left in controller.queue.open)
    controller.undo()
    assert len(controller.queue.open) == before


def test_what_nobody_thought_of_is_said_too(controller, monkeypatch):
    monkeypatch.setattr("src_core.review.decisions.accept", lambda *_args, **_more: 1 / 0)
    controller.accept()
    assert controller.state.message.level == "error"
    assert "ZeroDivisionError" in controller.state.message.text


def test_a_running_training_is_not_ended_by_another_project(controller):
    controller.train("quick")
    controller.poll()
    assert not controller.may_switch()
    assert "Training is running" in controller.state.message.text


@pytest.mark.gui
def test_a_removed_image_layer_comes_back(window, scored):
    window.open_project(scored)
    window.viewer.layers.remove("image")
    shown = window.controller.state.case_id
    window.controller.show(next(row.case_id for row in window.controller.state.project.rows if row.case_id != shown))
    assert "image" in window.viewer.layers


@pytest.mark.gui
def test_two_channels_can_be_shown(window, tmp_path):
    classes = tuple(ClassInfo(index=k, name=f"c{k}", value=k, color=OKABE_ITO[k]) for k in range(2))
    case = NewCase(name="a", image=np.zeros((64, 64, 2), np.uint8), given=np.zeros((64, 64), np.uint8))
    with build_project(tmp_path / "two", [case], classes) as project:
        path = project.path
    window.open_project(path)
    assert "label" in window.viewer.layers


@pytest.mark.gui
def test_a_region_takes_about_a_third(window, scored):
    window.open_project(scored)
    region, case = window.controller.queue.current, window.controller.case
    zoom = window.viewer.scene.camera.zoom
    window.viewer.reset_view()
    whole = window.viewer.scene.camera.zoom
    share = max(max(edge, 16) / size for edge, size in zip(region.box.shape, case.shape, strict=True)) * zoom / whole
    assert share == pytest.approx(1 / 3, abs=0.02) or zoom == whole


@pytest.mark.gui
def test_closing_the_dock_frees_the_project(window, scored, wait_for):
    window.open_project(scored)
    parent = window.parent()
    while not isinstance(parent, QDockWidget):
        parent = parent.parent()
    parent.destroyOnClose()
    wait_for(lambda: window.closed, 10)
    Project.open(scored, write=True).close()


@pytest.mark.gui
def test_closing_napari_frees_the_project(qapp, scored, wait_for):
    viewer = napari.Viewer(show=True)
    widget = dock(viewer)
    widget.open_project(scored)
    viewer.close()
    QApplication.processEvents()
    widget.shut_down()
    assert widget.closed
    Project.open(scored, write=True).close()
