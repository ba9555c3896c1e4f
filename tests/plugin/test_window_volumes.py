"""Volumes in the real window: slices, units, regions, strokes and the view in 3-D."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_metadcseg.editing import Request
from napari_metadcseg.layers import ahead, blocks, volume_pixels
from src_core.data.case import OKABE_ITO, ClassInfo, Verified
from src_core.store.create import NewCase, build_project
from src_core.store.journal import Action

from .test_controller_logic import add_scores
from .test_window_review import drag, press

pytestmark = pytest.mark.gui

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=1, color=OKABE_ITO[1]),
)
SPACING = (3.0, 0.5, 0.5)


def read_in_blocks(monkeypatch, edge=4):
    """Every volume is large, and read in small blocks."""
    monkeypatch.setattr(volume_pixels, "HELD_WHOLE", 100)
    for module in (blocks, ahead, volume_pixels):
        monkeypatch.setattr(module, "EDGE", edge)


def truth_of(shape=(9, 60, 70)):
    """A box of organ, in slices 2 to 6."""
    truth = np.zeros(shape, np.uint8)
    truth[2:7, 15:45, 20:50] = 1
    return truth


@pytest.fixture(params=["held", "in blocks"])
def opened(window, tmp_path, request, monkeypatch):
    """A volume whose organ lacks a part in slices 4 to 6, most of it in slice 5; one that lies along its last axis;
    and an image."""
    if request.param == "in blocks":
        read_in_blocks(monkeypatch)
    truth = truth_of()
    given = truth.copy()
    given[4:7, 15:25, 20:40] = 0
    given[5, 15:30, 20:40] = 0
    image = (truth * 90 + np.random.default_rng(0).integers(60, 90, truth.shape)).astype(np.uint8)
    made = [
        NewCase(name="axial", image=image, given=given, spacing=SPACING, unit="mm"),
        NewCase(name="flat", image=image[4], given=given[4], spacing=SPACING[1:], unit="mm"),
        NewCase(
            name="turned",
            image=np.moveaxis(image, 0, 2),
            given=np.moveaxis(given, 0, 2),
            spacing=(0.5, 0.5, 3.0),
            unit="mm",
        ),
    ]
    project = build_project(tmp_path / "volumes", made, CLASSES, author="ada")
    project.close()
    add_scores(project.path, {"axial": truth, "flat": truth[4], "turned": np.moveaxis(truth, 0, 2)})
    assert window.controller.open(project.path)
    QApplication.processEvents()
    return window


def layer(window, name):
    return window.viewer.layers[name]


def region_of(window, name):
    controller = window.controller
    controller.go_to(next(region.id for region in controller.queue.regions if region.image == name))
    QApplication.processEvents()
    return controller.state.review.region


def test_a_region_of_a_volume_is_shown_in_its_slice_and_decided_in_all(opened):
    window, controller, viewer = opened, opened.controller, opened.viewer
    region = region_of(window, "axial")
    assert region.box.start[0] == 4
    assert region.box.stop[0] == 7
    assert viewer.dims.current_step[0] == 5  # most of it is there
    assert viewer.dims.axis_labels == ("z", "y", "x")
    for name in ("image", "label", "region", "trust"):
        assert tuple(layer(window, name).scale) == SPACING
        assert str(layer(window, name).units[0]) == "millimeter"
    assert np.allclose(viewer.scene.camera.center[-2:], [0.5 * (15 + 29) / 2, 0.5 * (20 + 39) / 2])
    window.show_section("Review")
    assert "axial, slices 4 to 6 of 0 to 8: labelled background" in window.review_panel.words.text()
    assert "700 px (525.0 mm³)" in window.review_panel.words.text()
    before, after = window.review_panel.preview.pictures
    assert before.size() == after.size()
    assert before != after

    press(window, Qt.Key.Key_A)
    case = controller.project.case("axial")
    assert np.array_equal(controller.project.read_label(case), truth_of())
    assert np.array_equal(layer(window, "label").data, truth_of()) or controller.case.name != "axial"
    assert (controller.project.read_verified(case)[4:7, 15:25, 20:40] == Verified.CORRECTED).all()
    assert "axial, slices 4 to 6 of 0 to 8, 700 px changed" in window.review_panel.last.text()
    press(window, Qt.Key.Key_U)
    assert controller.state.review.region == region
    assert not controller.project.read_label(case)[5, 20, 30]
    assert viewer.dims.current_step[0] == 5


def test_slices_lie_across_the_coarsest_axis(opened):
    region = region_of(opened, "turned")
    viewer = opened.viewer
    assert viewer.dims.order[0] == 2
    assert viewer.dims.current_step[2] == 5
    assert region.box.start[2] == 4
    region_of(opened, "flat")
    assert layer(opened, "label").ndim == 2
    assert "slice" not in opened.review_panel.words.text()
    region_of(opened, "axial")
    assert layer(opened, "label").ndim == 3
    assert viewer.dims.order == (0, 1, 2)


def test_a_stroke_is_of_one_slice(opened):
    window, project = opened, opened.controller.project
    region_of(window, "axial")
    window.viewer.dims.set_current_step(0, 6)
    label = layer(window, "label")
    assert label.n_edit_dimensions == 2
    label.mode, label.selected_label, label.brush_size = "paint", 1, 4
    drag(window, (10.0, 12.0), (10.0, 18.0))
    record = project.history()[0]
    after = project.read_label(project.case("axial"))
    assert after[6, 20, 30]
    assert not after[5, 20, 30]
    assert not after[4, 20, 30]
    assert record.action == Action.EDIT
    assert record.box.start[0] == 6
    assert record.box.stop[0] == 7
    assert "slice 6 of 0 to 8" in window.controller.state.review.last
    window.controller.undo()
    assert not project.read_label(project.case("axial"))[6, 20, 30]
    assert not layer(window, "label").data[6, 20, 30]


def test_labels_come_from_the_slice_before_and_from_between(opened):
    window, project = opened, opened.controller.project
    region_of(window, "axial")
    case, tools = project.case("axial"), window.edits.tools
    window.viewer.dims.set_current_step(0, 4)
    layer(window, "label").selected_label = 1
    tools.apply(Request(tool="copy_before", scope="slice"))
    now = project.read_label(case)
    assert np.array_equal(now[4], truth_of()[3])
    assert not now[5, 20, 30]
    window.controller.undo()
    window.viewer.dims.set_current_step(0, 6)
    tools.apply(Request(tool="interpolate", scope="image", values={"slices": 3}))
    assert "from slice 3 and slice 6" in window.controller.state.message.text
    assert not np.array_equal(project.read_label(case)[5], now[5])


def test_in_3d_label_and_region_are_bodies(opened):
    window, viewer = opened, opened.viewer
    region_of(window, "axial")
    layer(window, "trust").visible = True
    viewer.dims.ndisplay = 3
    QApplication.processEvents()
    assert layer(window, "region").contour == 0
    assert layer(window, "region").visible
    assert not layer(window, "trust").visible
    assert not layer(window, "proposal").visible
    assert tuple(viewer.scene.camera.angles) != (0.0, 0.0, 0.0)
    middle = [s * (a + b - 1) / 2 for s, a, b in zip(SPACING, (4, 15, 20), (7, 30, 40), strict=True)]
    region_of(window, "turned")
    region_of(window, "axial")
    assert np.allclose(viewer.scene.camera.center, middle)
    viewer.dims.ndisplay = 2
    QApplication.processEvents()
    assert layer(window, "region").contour == 2
    assert layer(window, "trust").visible
    assert layer(window, "proposal").visible
    assert viewer.dims.current_step[0] == 5
