"""The real window: real clicks, keys, and a stroke of the mouse on the canvas."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_metadcseg.layers.overlays import OVERLAYS
from napari_metadcseg.layers.strokes import painted_box, painted_label
from src_core.data.case import Box
from src_core.store.project import Project
from src_core.worker.states import WorkerState

from .test_controller_logic import add_scores

pytestmark = pytest.mark.gui


def canvas_of(window):
    """The native widget that draws; tests may look where the plugin may not."""
    return window.viewer.window._qt_viewer.canvas.native


def press(window, key, modifier=Qt.KeyboardModifier.NoModifier):
    canvas = canvas_of(window)
    canvas.setFocus()
    QTest.keyClick(canvas, key, modifier)
    QApplication.processEvents()


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    QApplication.processEvents()


def drag(window, world_from, world_to):
    """Draw with the left button from one point of the image to another."""
    canvas = canvas_of(window)
    camera = window.viewer.scene.camera
    middle = np.array([canvas.height() / 2, canvas.width() / 2])

    def at(point):
        y, x = (np.array(point) - np.array(camera.center[-2:])) * camera.zoom / canvas.devicePixelRatio() + middle
        return QPoint(round(x), round(y))

    QTest.mouseMove(canvas, at(world_from))
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at(world_from))
    for share in np.linspace(0, 1, 8):
        QTest.mouseMove(canvas, at((1 - share) * np.array(world_from) + share * np.array(world_to)))
        QApplication.processEvents()
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at(world_to))
    QApplication.processEvents()


def test_from_opening_to_exported_masks(window, make_folders, phantoms, tmp_path, wait_for, monkeypatch, tiny):
    """New project by its dialog, verify, train, review by keys, paint, undo, export by clicks."""
    folder = make_folders(6, 2)
    truth = {slice_.name: slice_.truth for slice_ in phantoms}
    monkeypatch.setattr("napari_metadcseg.training.make_preset", lambda _name, **_changes: tiny(epochs=4))
    controller = window.controller

    # ---- project
    click(window.project_panel.new_button)
    (dialog,) = (w for w in QApplication.topLevelWidgets() if w.objectName() == "new-project" and w.isVisible())
    click(dialog.yes_button)
    assert "Please choose images, masks" in dialog.problem.text()
    dialog.images.line.setText(str(folder / "images"))
    dialog.masks.line.setText(str(folder / "nothing"))
    dialog.target.line.setText(str(tmp_path / "study"))
    click(dialog.yes_button)
    wait_for(lambda: "does not exist" in dialog.problem.text())
    dialog.masks.line.setText(str(folder / "masks"))
    dialog.clean.line.setText(str(folder / "trusted"))
    click(dialog.yes_button)
    wait_for(lambda: controller.project is not None)
    assert not dialog.isVisible()
    assert "6 images, 2 verified" in window.project_panel.summary.text()
    table = window.project_panel.images
    QTest.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(table.model().index(2, 0)).center()
    )
    assert controller.case.name == "slice_03"
    click(window.project_panel.verify_button)
    assert controller.state.project.verified_images == 3

    # ---- train, in the real process
    window.show_section("Train")
    click(window.training_panel.train_button)
    wait_for(lambda: controller.state.training.worker is WorkerState.RUNNING)
    wait_for(lambda: controller.state.training.verified is not None)
    assert "Verified pixels in use: " in window.training_panel.verified.text()
    wait_for(lambda: not controller.state.training.worker.alive)
    assert controller.state.training.worker is WorkerState.FINISHED, controller.state.training.error
    assert "Finished" in window.training_panel.status.text()

    # ---- review: scores that know the truth, so that what should happen is known
    add_scores(controller.project.path, truth, run=controller.state.review.run)
    controller.load_scores()
    window.show_section("Review")
    press(window, Qt.Key.Key_N)
    region = controller.state.review.region
    assert region is not None
    assert "Probable error" in window.review_panel.place.text()
    press(window, Qt.Key.Key_A)
    case = controller.project.case(region.case_id)
    inside = controller.run.read_map(case.id, "regions") == region.number
    assert (controller.project.read_label(case)[inside] == truth[case.name][inside]).all()
    assert "Saved: Proposal accepted" in window.review_panel.last.text()
    press(window, Qt.Key.Key_U)
    assert controller.state.review.region == region
    click(window.review_panel.buttons["accept"])
    press(window, Qt.Key.Key_S)
    press(window, Qt.Key.Key_K)
    assert [row.action for row in controller.project.history(3)] == ["keep", "skip", "accept"]

    # ---- paint with the mouse, then confirm
    shown = controller.case
    layer = window.scene.label_layer
    layer.mode = "paint"
    layer.selected_label = 1
    layer.brush_size = 6
    before = controller.project.read_label(shown)
    window.viewer.reset_view()
    QApplication.processEvents()
    drag(window, (5, 5), (5, 25))
    painted = controller.project.read_label(shown)
    assert (painted != before).sum() > 50
    assert (painted[5, 8:22] == 1).all()
    assert controller.project.history(1)[0].action == "edit"
    assert np.array_equal(layer.data, painted)
    layer.mode = "pan_zoom"
    press(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(controller.project.read_label(shown), before)
    assert np.array_equal(layer.data, before)
    press(window, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    assert np.array_equal(controller.project.read_label(shown), painted)
    if controller.state.review.region is None:
        press(window, Qt.Key.Key_N)
    press(window, Qt.Key.Key_D)
    assert controller.project.history(1)[0].action == "confirm"

    # ---- export
    window.show_section("Export")
    window.export_panel.folder.line.setText(str(tmp_path / "out"))
    click(window.export_panel.export_button)
    wait_for(lambda: "Wrote 6 files" in window.export_panel.result.text())
    for case in controller.project.cases:
        written = np.array(Image.open(tmp_path / "out" / "cleaned" / f"{case.name}.png"))
        assert np.array_equal(written, controller.project.read_label(case) * 255)


def test_the_painted_box_by_hand():
    steps = [(np.array([3, 5]), np.array([7, 2])), (slice(4, 9), slice(0, 3)), (np.array([], int), np.array([], int))]
    assert painted_box(steps, (20, 20)) == Box((3, 0), (9, 8))
    assert painted_box([], (20, 20)) is None


def test_strokes_that_are_told_before_they_are_carried_out_by_hand():
    data = np.zeros((10, 10), np.uint8)
    atoms = [((np.array([3, 4]), np.array([5, 6])), 0, 1), ((slice(6, 8), slice(5, 7)), None, 0, 2)]
    label = painted_label(data, atoms, Box((3, 5), (8, 7)))
    assert label.tolist() == [[1, 0], [0, 1], [0, 0], [2, 2], [2, 2]]
    assert not data.any()
    masked = [((slice(3, 5), slice(5, 7)), np.array([[True, False], [True, True]]), np.zeros(3), 3)]
    assert painted_label(data, masked, Box((3, 5), (5, 7))).tolist() == [[3, 0], [3, 3]]


@pytest.fixture
def scored(make_project, phantoms):
    path = make_project(6, trusted=2)
    add_scores(path, {slice_.name: slice_.truth for slice_ in phantoms})
    return path


def test_overlays_have_switches_and_legends(window, scored):
    window.open_project(scored)
    layers = window.viewer.layers
    assert {layer.name for layer in layers} == {"image", "label", "trust", "proposal", "region"}
    boxes = window.review_panel.legend.boxes
    assert not boxes["cleanlab"].isEnabled()  # nobody asked for a second opinion
    active = layers.selection.active
    for overlay in OVERLAYS:
        box = boxes[overlay.key]
        if overlay.key == "cleanlab":
            continue
        assert box.isEnabled()
        if not box.isChecked():
            box.click()
        layer = layers[overlay.title]
        assert layer.visible
        assert layers.index(layer) < layers.index("proposal") < layers.index("region") == len(layers) - 1
        assert layer.data.shape == window.controller.case.shape
        box.click()
        assert not layer.visible
        assert layers.selection.active is active


def test_an_overlay_that_is_hidden_is_brought_up_to_date_when_it_is_seen_again(window, scored):
    window.open_project(scored)
    first = window.controller.case.id
    layer, box = window.viewer.layers["trust"], window.review_panel.legend.boxes["trust"]
    seen = layer.data.copy()
    box.click()
    window.controller.show(next(case.id for case in window.controller.project.cases if case.id != first))
    assert layer.data.shape == (1, 1)  # nothing of the image before is left
    layer.visible = True  # by napari's own list
    np.testing.assert_array_equal(layer.data, window.controller.read_map("trust"))
    assert not np.array_equal(layer.data, seen)
    window.controller.show(first)
    np.testing.assert_array_equal(layer.data, seen)


def test_new_scores_are_drawn_layer_by_layer_and_leave_the_brush_alone(window, make_project, phantoms, qtbot):
    path = make_project(6, trusted=2)
    window.open_project(path)
    layers = window.viewer.layers
    assert {layer.name for layer in layers} == {"image", "label"}
    layers["label"].mode = "paint"
    add_scores(path, {slice_.name: slice_.truth for slice_ in phantoms})
    window.controller.review.take_scores()
    window.controller._refresh()
    assert "trust" not in layers  # not in the turn that brings the scores
    qtbot.waitUntil(lambda: "proposal" in layers)
    np.testing.assert_array_equal(layers["trust"].data, window.controller.read_map("trust"))
    assert layers.selection.active is layers["label"]
    assert layers["label"].mode == "paint"


def test_a_layer_that_was_removed_comes_back_with_the_next_image(window, scored):
    window.open_project(scored)
    window.viewer.layers.remove("trust")  # a person may; the next image brings it back
    window.controller.next()
    window.controller.next()
    assert "trust" in window.viewer.layers


def test_a_polygon_is_recorded_as_it_is_drawn(window, scored):
    window.open_project(scored)
    layer, case = window.scene.label_layer, window.controller.case
    window.controller.verify_image()
    layer.paint_polygon([[2, 2], [2, 12], [12, 12], [12, 2]], 1)
    assert np.array_equal(layer.data, window.controller.project.read_label(case))
    assert (layer.data[4:10, 4:10] == 1).all()


def test_painting_is_the_active_layer_and_read_only_projects_cannot_be_painted(window, scored, monkeypatch):
    with Project.open(scored, write=True):
        monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
        window.open_project(scored)
    assert not window.controller.project.writable
    assert "Read-only" in window.project_panel.summary.text()
    assert not window.scene.label_layer.editable
    assert not window.review_panel.buttons["accept"].isEnabled()
    window.open_project(scored)
    assert window.controller.project.writable
    assert window.viewer.layers.selection.active is window.scene.label_layer


def test_nothing_is_cut_off_at_1280_by_800(window, scored):
    window.open_project(scored)
    for index in range(window.tabs.count()):
        window.tabs.setCurrentIndex(index)
        for _ in range(3):
            QApplication.processEvents()
        area = window.tabs.widget(index)
        if not hasattr(area, "viewport"):  # a list, which scrolls itself
            assert area.minimumSizeHint().width() <= area.width(), index
            continue
        assert area.widget().minimumSizeHint().width() <= area.viewport().width(), index
        assert area.widget().sizeHint().height() <= area.viewport().height(), index


def test_a_killed_training_is_said_in_the_window_and_continues(window, make_project, monkeypatch, tiny, wait_for):
    monkeypatch.setattr("napari_metadcseg.training.make_preset", lambda _name, **_changes: tiny(epochs=8))
    window.open_project(make_project())
    window.show_section("Train")
    click(window.training_panel.train_button)
    training = lambda: window.controller.state.training  # noqa: E731
    wait_for(lambda: training().step >= 6)
    os.kill(window.controller.desk._client.pid, signal.SIGKILL)
    wait_for(lambda: training().worker is WorkerState.CRASHED)
    assert "Your decisions are safe; press Continue" in window.training_panel.status.text()
    assert window.training_panel.continue_button.isEnabled()
    click(window.training_panel.continue_button)
    wait_for(lambda: training().worker is WorkerState.FINISHED)
    assert len(window.controller.project.run().history()) == 8


def test_a_project_from_open_layers(window, phantoms, tmp_path, monkeypatch, wait_for):
    from qtpy.QtWidgets import QFileDialog

    click(window.project_panel.layers_button)
    assert "No image layer has a label layer of its size" in window.message_bar.label.text()
    for slice_ in phantoms[:2]:
        window.viewer.add_image(slice_.image, name=slice_.name)
        window.viewer.add_labels(slice_.truth, name=f"{slice_.name} mask")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / "layers"), ""))
    click(window.project_panel.layers_button)
    wait_for(lambda: window.controller.project is not None)
    project = window.controller.project
    assert [case.name for case in project.cases] == ["slice_01", "slice_02"]
    assert np.array_equal(project.read_given(project.cases[0]), phantoms[0].truth)


def test_the_plugin_is_in_the_menu_and_so_are_the_samples(qapp, scored):
    import napari

    viewer = napari.Viewer(show=False)
    try:
        _, widget = viewer.window.add_plugin_dock_widget("napari-metadcseg", "MetaDCSeg: clean masks")
        assert widget.tabs.count() == 8
        viewer.open_sample("napari-metadcseg", "planted-errors")
        assert len(viewer.layers) == 12
        widget.open_project(scored)  # napari hands a guarded viewer to widgets of its menu
        region = widget.controller.state.review.region
        widget.controller.accept()
        widget.scene.switch("trust", False)
        assert not viewer.layers["trust"].visible
        assert widget.controller.state.review.region != region
        assert viewer.layers.selection.active == viewer.layers["label"]
        widget.shut_down()
    finally:
        viewer.close()
