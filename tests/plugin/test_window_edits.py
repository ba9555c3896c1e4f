"""Lassos and clicks in a real window, with a real mouse, and what they change."""

from __future__ import annotations

from argparse import Namespace
from itertools import pairwise

import napari
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_metadcseg.background import run_in_background
from napari_metadcseg.edit_state import edit_state
from napari_metadcseg.edit_tools import EditTools
from napari_metadcseg.editing import EditDesk
from napari_metadcseg.layers.lasso import Lasso, slice_in_view
from napari_metadcseg.widgets.edit_panel import EditPanel
from src_core.errors import InputError

from .test_controller_logic import add_scores
from .test_window_review import canvas_of, click, press

pytestmark = pytest.mark.gui


class Editing:
    """The panel, wired to the window as the widget does it."""

    def __init__(self, window):
        self.window, self.controller, self.scene = window, window.controller, window.scene
        self.lasso = Lasso(window.viewer, lambda: self.scene.label_layer)
        self.tools = EditTools(
            desk=self.desk,
            commit=self.commit,
            say=self.controller.say,
            ask_lasso=self.lasso.draw,
            ask_point=self.lasso.click,
            version=lambda: self.controller.project.version(),
            background=run_in_background,
        )
        self.panel = EditPanel(self.tools.apply)
        window.viewer.window.add_dock_widget(self.panel, area="right", name="edit tools")
        self.refresh()

    def desk(self):
        layer, case = self.scene.label_layer, self.controller.case
        if layer is None or case is None:
            return None
        axis, at = slice_in_view(self.window.viewer, layer)
        region = self.controller.state.review.region
        return EditDesk(
            self.controller.project, case, active=layer.selected_label, region=region, run=self.controller.run,
            axis=axis, at=at,
        )  # fmt: skip

    def commit(self, outcome):
        self.controller.project.commit(outcome.change)
        self.scene.reload_label()
        self.controller.say(outcome.text)

    def refresh(self):
        self.panel.show_state(edit_state(self.desk()))


@pytest.fixture
def editing(window, make_project, phantoms):
    path = make_project(3, trusted=0)
    add_scores(path, {slice_.name: slice_.truth for slice_ in phantoms})
    window.open_project(path)
    window.viewer.reset_view()
    QApplication.processEvents()
    made = Editing(window)
    window.scene.label_layer.selected_label = 1
    made.refresh()
    QApplication.processEvents()
    yield made
    made.lasso.disconnect()


def at(window, point):
    """A place of the image on the canvas."""
    canvas, camera = canvas_of(window), window.viewer.scene.camera
    middle = np.array([canvas.height() / 2, canvas.width() / 2])
    scale = window.scene.label_layer.scale[-2:]
    y, x = (np.array(point) * scale - np.array(camera.center[-2:])) * camera.zoom / canvas.devicePixelRatio() + middle
    return QPoint(round(x), round(y))


def draw(window, corners, *, held=True):
    """Move along corners, with the left button held, or by a click at the start and at the end."""
    canvas = canvas_of(window)
    path = [
        (1 - share) * np.array(a) + share * np.array(b) for a, b in pairwise(corners) for share in np.linspace(0, 1, 6)
    ]
    QTest.mouseMove(canvas, at(window, path[0]))
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at(window, path[0]))
    if not held:
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at(window, path[0]))
    for point in path:
        QTest.mouseMove(canvas, at(window, point))
        QApplication.processEvents()
    if not held:
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at(window, path[-1]))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at(window, path[-1]))
    QApplication.processEvents()


SQUARE = [(19.5, 14.5), (19.5, 44.5), (49.5, 44.5), (49.5, 14.5)]


def test_a_lasso_takes_the_proposal_over(editing, wait_for):
    for held in (True, False):
        take_over(editing, wait_for, held)


def take_over(editing, wait_for, held):
    window, controller = editing.window, editing.controller
    case, run, layer = controller.case, controller.run, window.scene.label_layer
    before, proposed = controller.project.read_label(case), run.read_map(case.id, "proposed")
    click(editing.panel.buttons["take_lasso"])
    assert "draw around the part" in window.message_bar.label.text()
    assert editing.lasso.waiting
    assert window.viewer.layers.selection.active is window.viewer.layers["lasso"]
    draw(window, SQUARE, held=held)
    wait_for(lambda: not editing.lasso.waiting)
    label = controller.project.read_label(case)
    record = controller.project.history(1)[0]
    assert (record.action, record.note, record.run) == ("edit", "take_lasso class=1", "run-001")
    inside = np.zeros(label.shape, bool)
    inside[22:48, 17:43] = True  # what is surely inside of a line drawn by hand
    outside = np.ones(label.shape, bool)
    outside[18:52, 13:47] = False
    assert (before != proposed)[inside].any()
    assert np.array_equal(label[inside], proposed[inside])
    assert np.array_equal(label[outside], before[outside])
    assert np.array_equal(layer.data, label)
    assert f"{record.pixels:,} px changed" in window.message_bar.label.text()
    assert window.viewer.layers.selection.active is layer
    assert not window.viewer.layers["lasso"].visible
    layer.mode = "pan_zoom"
    press(window, Qt.Key.Key_U)
    assert np.array_equal(controller.project.read_label(case), before)


def test_a_lasso_can_be_given_up(editing, wait_for):
    window, controller = editing.window, editing.controller
    rows = len(controller.project.history())
    other = next(case for case in controller.project.cases if case.id != controller.case.id)
    for give_up in (
        lambda: press(window, Qt.Key.Key_Escape),
        lambda: setattr(window.viewer.layers.selection, "active", window.viewer.layers["image"]),
        lambda: controller.show(other.id),
    ):
        click(editing.panel.buttons["take_lasso"])
        assert editing.lasso.waiting
        give_up()
        QApplication.processEvents()
        assert not editing.lasso.waiting
        assert not window.viewer.layers["lasso"].visible
    assert len(controller.project.history()) == rows
    window.viewer.layers.remove("lasso")  # a person may; the next one makes it anew
    click(editing.panel.buttons["take_lasso"])
    draw(window, SQUARE)
    wait_for(lambda: not editing.lasso.waiting)
    assert len(controller.project.history()) == rows + 1
    editing.lasso.remove()
    assert "lasso" not in window.viewer.layers


def test_clicks_on_objects_and_slow_edits_beside_the_window(editing, wait_for, monkeypatch):
    window, controller = editing.window, editing.controller
    editing.panel.scopes["image"].click()
    case, layer = controller.case, window.scene.label_layer
    before = controller.project.read_label(case)
    place = tuple(int(axis) for axis in np.argwhere(before == 1)[len(np.argwhere(before == 1)) // 2])
    layer.mode = "paint"
    layer.selected_label = 0
    editing.refresh()
    click(editing.panel.buttons["relabel"])
    center = window.viewer.scene.camera.center
    draw(window, [(30, 30), (40, 40)])
    assert editing.lasso.waiting
    assert window.viewer.scene.camera.center != center
    QTest.mouseClick(canvas_of(window), Qt.MouseButton.LeftButton, pos=at(window, place))
    wait_for(lambda: not editing.lasso.waiting)
    label = controller.project.read_label(case)
    assert controller.project.history(1)[0].note == "relabel class=0 scope=image"
    assert label[place] == 0
    assert set(np.unique(before[label != before])) == {1}
    assert layer.mode == "paint"

    monkeypatch.setattr("napari_metadcseg.editing.SLOW", 10)
    controller.undo()
    layer.selected_label = 1
    editing.refresh()
    rows = len(controller.project.history())
    said = []
    controller.changed.connect(lambda new, _old: said.append(new.message.text))
    click(editing.panel.buttons["grow"])
    assert any("working on it" in words for words in said)
    wait_for(lambda: len(controller.project.history()) > rows)
    assert controller.project.history(1)[0].note == "grow by=2 unit=px class=1 scope=image"
    assert (controller.project.read_label(case) >= before).all()
    assert np.array_equal(layer.data, controller.project.read_label(case))


def test_a_lasso_in_the_viewer_that_napari_hands_to_widgets_of_its_menu(qapp, wait_for):
    """There it is guarded: layers come wrapped, and one is never the same object twice."""
    viewer = napari.Viewer(show=True)
    try:
        _, widget = viewer.window.add_plugin_dock_widget("napari-metadcseg", "MetaDCSeg: clean masks")
        assert type(widget.viewer) is not type(viewer)
        layer = widget.viewer.add_labels(np.zeros((40, 50), np.uint8))
        lasso = Lasso(widget.viewer, lambda: layer)
        found = []
        QApplication.processEvents()
        widget.scene._ours["label"] = layer
        lasso.draw(found.append)
        assert lasso.waiting
        draw(Namespace(viewer=viewer, scene=widget.scene), [(10, 10), (10, 30), (30, 30), (30, 10)])
        wait_for(lambda: found)
        assert viewer.layers.selection.active == layer
        lasso.click(found.append)
        viewer.layers.selection.active = viewer.layers["lasso"]
        assert lasso.waiting
        press(Namespace(viewer=viewer), Qt.Key.Key_Escape)
        assert not lasso.waiting
        lasso.disconnect()
        widget.scene._ours.pop("label")
        widget.shut_down()
    finally:
        viewer.close()


def test_in_a_volume_the_lasso_lies_in_the_slice_in_view(window, wait_for):
    viewer = window.viewer
    nowhere = Lasso(viewer, lambda: None)
    with pytest.raises(InputError, match="No mask is shown"):
        nowhere.click(print)
    nowhere.disconnect()
    layer = viewer.add_labels(np.zeros((9, 40, 50), np.uint8), scale=(3, 0.5, 0.5))
    window.scene._ours["label"] = layer
    lasso = Lasso(viewer, lambda: layer)
    found = []
    try:
        viewer.dims.set_current_step(0, 6)
        viewer.reset_view()
        QApplication.processEvents()
        assert slice_in_view(viewer, layer) == (0, 6)
        lasso.draw(found.append)
        draw(window, [(9.5, 9.5), (9.5, 29.5), (29.5, 29.5), (29.5, 9.5)])
        wait_for(lambda: found)
        assert (found[0][:, 0] == 6).all()
        assert np.abs(found[0][:, 1:].min(axis=0) - 9.5).max() < 1
        assert np.abs(found[0][:, 1:].max(axis=0) - 29.5).max() < 1
        viewer.dims.order = (2, 0, 1)
        viewer.dims.set_current_step(2, 11)
        assert slice_in_view(viewer, layer) == (2, 11)
        viewer.dims.ndisplay = 3
        with pytest.raises(InputError, match="switch to 2-D slices"):
            lasso.draw(found.append)
    finally:
        lasso.disconnect()
        window.scene._ours.pop("label")
