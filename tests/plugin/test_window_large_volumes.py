"""Large volumes in the real window: read in blocks, edited in them, and shown as coarser bodies."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_metadcseg import hand as hands
from napari_metadcseg.editing import Request
from napari_metadcseg.layers import bodies
from napari_metadcseg.layers.ahead import Ahead
from napari_metadcseg.layers.blocks import Blocks
from napari_metadcseg.layers.locating import LOCATING
from src_core.data.case import Box
from src_core.store import chunks, pieces
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project

from .test_controller_logic import add_scores
from .test_window_review import drag, press
from .test_window_volumes import CLASSES, layer, read_in_blocks

pytestmark = pytest.mark.gui

EDGE = 8
SHAPE = (40, 44, 36)
BLOCKS = (5, 6, 5)
SLAB = 30  # blocks across the slices
MISSING = (np.s_[3:6, 10:20, 10:20], np.s_[25:31, 20:30, 12:24])


def truth():
    organ = np.zeros(SHAPE, np.uint8)
    organ[2:34, 8:36, 6:30] = 1
    return organ


def given():
    label = truth()
    for part in MISSING:
        label[part] = 0
    label[25:27, 20:24, 12:24] = 1  # so the second is no box
    return label


def image(seed=0):
    noise = np.random.default_rng(seed).integers(-500, 500, SHAPE)
    return (noise + 1000 * truth().astype(int)).astype(np.int16)


@pytest.fixture
def project_path(tmp_path, monkeypatch):
    """Two volumes in small chunks, whose organ lacks two parts."""
    monkeypatch.setattr(chunks, "_EDGES", {**chunks._EDGES, 3: EDGE})
    read_in_blocks(monkeypatch, EDGE)
    monkeypatch.setattr(bodies, "HELD_WHOLE", 10_000)
    cases = [NewCase(name=name, image=image(seed), given=given()) for seed, name in enumerate(("a", "b"))]
    project = build_project(tmp_path / "volumes", cases, CLASSES, author="ada")
    project.close()
    add_scores(project.path, {"a": truth(), "b": truth()})
    return project.path


@pytest.fixture
def read(monkeypatch):
    """Blocks that are read from the disk in the window's thread, by array."""
    counts, block = Counter(), chunks.ChunkedArray._block

    def counted(self, place):
        if threading.current_thread() is threading.main_thread():
            counts[self.folder.name] += 1
        return block(self, place)

    monkeypatch.setattr(chunks.ChunkedArray, "_block", counted)
    return counts


@pytest.fixture
def still(monkeypatch):
    """Nothing is read ahead."""
    monkeypatch.setattr(Ahead, "look", lambda *_parts: None)


@pytest.fixture
def opened(window, project_path):
    assert window.controller.open(project_path)
    QApplication.processEvents()
    return window


def seen(window, name):
    """The slice as napari has it."""
    return layer(window, name)._slice.image.raw


def recorded(window):
    """What the project holds, by the layer that shows it."""
    controller = window.controller
    project, case, run = controller.project, controller.case, controller.run
    return {
        "image": project.read_image(case),
        "label": project.read_label(case),
        "trust": controller.read_map("trust"),
        "proposal": run.read_map(case.id, "proposed"),
    }


def go(window, at, axis=0):
    window.viewer.dims.set_current_step(axis, at)
    QApplication.processEvents()


def assert_as_recorded(window, axis=0, places=None):
    expected = recorded(window)
    for at in places if places is not None else range(0, SHAPE[axis], 3):
        go(window, at, axis)
        for name, values in expected.items():
            assert np.array_equal(seen(window, name), values.take(at, axis)), (name, at)


# ------------------------------------------------------------------ what is shown


def test_every_slice_is_shown_as_it_is_recorded(opened):
    for name in ("image", "label", "trust", "proposal"):
        assert isinstance(layer(opened, name).data, Blocks)
    assert_as_recorded(opened)
    opened.viewer.dims.order = (2, 0, 1)
    assert_as_recorded(opened, axis=2)
    assert all(blocks.kept <= 3 * SLAB * EDGE**3 * 4 for blocks, _ in opened.scene._pixels.shown.values())


def test_opening_reads_a_slab_or_two_and_no_map_that_is_off(window, project_path, read, still):
    assert window.controller.open(project_path)
    QApplication.processEvents()
    at = window.viewer.dims.current_step[0]
    assert window.controller.state.review.region.box.start[0] <= at < window.controller.state.review.region.box.stop[0]
    assert 0 < read["image"] <= 3 * SLAB + 1  # the middle, for its contrast; the region; a picture of it, as large here
    assert 0 < read["label"] <= 3 * SLAB
    assert 0 < read["trust"] <= 2 * SLAB + 1
    assert "uncertainty" not in read
    assert "alpha" not in read
    inside = layer(window, "image").contrast_limits
    middle = image()[16:24]  # the block that holds slice 20
    assert tuple(inside) == (middle.min(), middle.max())


def test_within_a_slab_nothing_is_read_again(still, opened, read):
    go(opened, 16)
    read.clear()
    for at in (17, 23, 20):
        go(opened, at)
    assert not read
    go(opened, 32)
    assert read["image"] == SLAB


def test_the_slabs_that_come_next_are_read_in_a_thread(opened, read, wait_for):
    ahead = opened.scene._volume._ahead
    for at, following in ((17, 25), (15, 7)):
        go(opened, 16)
        go(opened, at)
        wait_for(lambda: not ahead.busy)
        read.clear()
        go(opened, following)
        assert not read
    first, second = (region.box.start[0] + 2 for region in opened.controller.queue.open[:2])
    go(opened, first)
    wait_for(lambda: not ahead.busy)
    read.clear()
    go(opened, second)  # where the queue leads to
    assert not read
    assert_as_recorded(opened, places=(25, 7, 3))


def test_maps_are_read_when_they_are_switched_on(opened, read):
    scene, run, case = opened.scene, opened.controller.run, opened.controller.case
    read.clear()
    scene.switch("alpha", True)
    scene.switch("band", True)
    assert read["alpha"] == SLAB + 1  # one to see that it is there
    at = opened.viewer.dims.current_step[0]
    assert np.array_equal(seen(opened, "weight of given label"), run.read_map(case.id, "alpha")[at])
    assert np.array_equal(seen(opened, "uncertainty band"), run.read_map(case.id, "band")[at])
    scene.switch("alpha", False)
    scene.switch("alpha", True)
    go(opened, 35)
    assert np.array_equal(seen(opened, "weight of given label"), run.read_map(case.id, "alpha")[35])


def test_another_volume_comes_up(opened):
    opened.controller.show(opened.controller.project.case("b").id)
    QApplication.processEvents()
    assert np.array_equal(recorded(opened)["image"], image(1))
    assert_as_recorded(opened, places=(0, 20, 39))


def test_a_chunk_that_is_damaged_is_said_and_the_rest_is_shown(still, opened):
    project, case = opened.controller.project, opened.controller.case
    (project.path / f"arrays.zarr/cases/{case.id:06d}/image/c.0.1.0").write_bytes(b"no chunk")
    go(opened, 2)
    assert opened.controller.state.message.level == "error"
    assert "Array image of image 0 cannot be read" in opened.controller.state.message.text
    expected = image()[2]
    expected[8:16] = 0  # the row of chunks that are read together
    assert np.array_equal(seen(opened, "image"), expected)
    go(opened, 9)
    assert np.array_equal(seen(opened, "image"), image()[9])


# ------------------------------------------------------------------ what is changed


def test_strokes_fills_and_undo(opened):
    window, label = opened, layer(opened, "label")
    go(window, 12)
    window.viewer.reset_view()
    QApplication.processEvents()
    label.mode, label.selected_label, label.brush_size = "paint", 1, 3
    drag(window, (3.0, 4.0), (3.0, 30.0))
    assert recorded(window)["label"][12, 3, 5:30].all()
    assert not recorded(window)["label"][13, 3].any()
    assert window.controller.project.history()[0].box.shape[0] == 1
    label.mode = "fill"
    drag(window, (40.0, 20.0), (40.0, 20.0))
    assert recorded(window)["label"][12].all()
    assert_as_recorded(window, places=(12, 39, 0, 12))
    press(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not recorded(window)["label"][12, 40, 20]
    window.controller.undo()
    QApplication.processEvents()
    assert np.array_equal(recorded(window)["label"], given())
    assert_as_recorded(window, places=(12, 13))
    window.controller.redo()
    assert_as_recorded(window, places=(12,))
    assert seen(window, "label")[3, 10] == 1


def test_edits_by_code_are_recorded(opened):
    label = layer(opened, "label")
    go(opened, 12)
    label.data_setitem((np.array([12, 12]), np.array([1, 2]), np.array([3, 9])), 1)
    label.data_setitem((np.array([13]), np.array([1]), np.array([3])), 1)
    assert list(recorded(opened)["label"][12:14, 1:3, [3, 9]].ravel()) == [1, 0, 0, 1, 1, 0, 0, 0]
    assert_as_recorded(opened, places=(12, 13))
    assert np.array_equal(np.asarray(label.data), recorded(opened)["label"])


def test_a_stroke_that_is_refused_is_taken_back(opened):
    label = layer(opened, "label")
    go(opened, 12)
    label.mode, label.selected_label, label.brush_size = "paint", 77, 3
    drag(opened, (3.0, 4.0), (3.0, 20.0))
    assert "Label 77 is no class" in opened.controller.state.message.text
    assert_as_recorded(opened, places=(12,))
    assert np.array_equal(np.asarray(label.data), given())


def test_decisions_and_new_scores_are_shown(opened):
    window, controller = opened, opened.controller
    region = controller.state.review.region
    before = controller.project.read_label(controller.case)[region.box.slices].copy()
    press(window, Qt.Key.Key_A)
    case = controller.project.case(region.case_id)
    after = controller.project.read_label(case)
    assert not np.array_equal(after[region.box.slices], before)
    controller.show(case.id)
    at = region.box.stop[0] - 1
    go(window, at)
    assert (seen(window, "trust")[region.box.slices[1:]] == 1).all()
    assert_as_recorded(window, places=(at, at - 5))
    controller.undo()
    assert_as_recorded(window, places=(at,))

    wrong = truth()
    wrong[10:14] = 0
    add_scores(controller.project.path, {"a": wrong, "b": wrong})
    controller.load_scores()
    for _ in range(20):
        QApplication.processEvents()
    assert not recorded(window)["proposal"][12].any()
    assert_as_recorded(window, places=(12, 5, 30))


def test_the_whole_volume_is_marked_as_right(opened, wait_for):
    opened.controller.verify_image()
    wait_for(lambda: opened.controller.state.project.verified_images == 1)
    case = opened.controller.project.cases[0]
    opened.controller.show(case.id)
    go(opened, 28)
    assert (seen(opened, "trust") == 1).all()
    assert_as_recorded(opened, places=(2, 28))


# ------------------------------------------------------------------ a large region


@pytest.fixture
def in_parts(monkeypatch):
    """Regions of more than 300 voxels are answered in parts of a chunk."""
    monkeypatch.setattr(hands, "HELD", 300)
    monkeypatch.setattr("napari_metadcseg.editing.HELD", 300)
    monkeypatch.setattr(pieces, "MOST", EDGE**3)


def test_a_large_region_is_drawn_as_its_box_until_it_is_known_where_it_is(
    in_parts, window, project_path, read, wait_for
):
    window.controller.open(project_path)
    region = window.controller.state.review.region
    hand = window.controller.hand()
    assert region.box == Box((25, 20, 12), (31, 30, 24))
    assert not hand.held
    assert (hand.axis, hand.at) == (0, 27)  # in its middle
    assert window.viewer.dims.current_step[0] == 27
    assert window.controller.state.message.text == LOCATING
    assert layer(window, "region").data.sum() == 6 * 10 * 12
    read.clear()
    wait_for(lambda: window.controller.hand().locate is None)
    assert not read["regions"]  # in the window's thread
    inside = window.controller.run.read_map(region.case_id, "regions", region.box) == region.number
    assert hand.step == 1
    assert np.array_equal(layer(window, "region").data, inside)
    assert tuple(layer(window, "region").translate) == (25, 20, 12)
    assert window.controller.state.message.text == ""
    window.show_section("Review")
    before, after = window.review_panel.preview.pictures
    assert before != after


@pytest.mark.parametrize("decision", ["accept", "keep", "unsure"])
def test_a_large_region_is_answered_in_a_thread(in_parts, window, project_path, wait_for, decision):
    controller = window.controller
    controller.open(project_path)
    region, case = controller.state.review.region, controller.project.cases[0]
    case = controller.project.case(region.case_id)
    getattr(controller, decision)()
    wait_for(lambda: controller.project.decision(region.id) == decision)
    wait_for(lambda: controller.state.review.region != region)
    now = controller.project.read_label(case)
    expected = given()
    if decision == "accept":
        expected[region.box.slices] = 1
    assert np.array_equal(now, expected)
    controller.show(case.id)
    assert_as_recorded(window, places=(25, 28))
    controller.undo()
    wait_for(lambda: controller.state.review.region == region)
    assert np.array_equal(controller.project.read_label(case), given())
    assert_as_recorded(window, places=(25, 28))


def test_a_proposal_is_taken_over_in_a_large_region(in_parts, window, project_path, wait_for):
    controller = window.controller
    controller.open(project_path)
    region = controller.state.review.region
    layer(window, "label").selected_label = 1
    window.edits.tools.apply(Request(tool="take_region"))
    assert "working on it" in controller.state.message.text
    wait_for(lambda: controller.project.version()[0] > 0)
    QApplication.processEvents()
    assert controller.project.read_label(controller.case)[region.box.slices].all()
    assert_as_recorded(window, places=(25, 28))


# ------------------------------------------------------------------ in 3-D


@pytest.fixture
def solid(opened, wait_for, read):
    read.clear()
    opened.viewer.dims.ndisplay = 3
    assert "A coarser copy of this volume is being read" in opened.controller.state.message.text
    wait_for(lambda: opened.scene._volume._bodies.layers)
    return opened


def test_in_3d_a_coarser_copy_stands_for_it(solid, read):
    assert not read["image"]  # in the window's thread
    assert not read["trust"]
    assert "one voxel in 2 along each axis" in solid.controller.state.message.text
    assert np.array_equal(layer(solid, "image, coarser").data, image()[::2, ::2, ::2])
    assert np.array_equal(layer(solid, "label, coarser").data, given()[::2, ::2, ::2])
    assert tuple(layer(solid, "label, coarser").scale) == (2, 2, 2)
    assert not layer(solid, "image").visible
    assert not layer(solid, "label").visible
    assert layer(solid, "region").visible
    solid.scene.switch("trust", True)
    assert "in slices only" in solid.controller.state.message.text
    assert not layer(solid, "trust").visible
    assert not solid.review_panel.legend.boxes["trust"].isChecked()
    assert solid.viewer.layers.selection.active is layer(solid, "label")


def test_decisions_in_3d_are_seen_there_and_in_slices(solid, wait_for):
    region = solid.controller.state.review.region
    solid.controller.accept()
    case = solid.controller.project.case(region.case_id)
    if solid.controller.case.id != case.id:
        solid.controller.show(case.id)
    wait_for(lambda: solid.scene._volume._bodies.layers)
    now = solid.controller.project.read_label(case)
    assert np.array_equal(layer(solid, "label, coarser").data, now[::2, ::2, ::2])
    solid.viewer.dims.ndisplay = 2
    QApplication.processEvents()
    assert "label, coarser" not in [each.name for each in solid.viewer.layers]
    for name in ("image", "label", "trust", "proposal"):
        assert layer(solid, name).visible
    assert solid.review_panel.legend.boxes["trust"].isChecked()
    assert_as_recorded(solid, places=(4, 28))


def test_going_to_another_volume_in_3d(solid, wait_for):
    solid.controller.show(solid.controller.project.case("b").id)
    wait_for(lambda: solid.scene._volume._bodies.layers)
    assert solid.viewer.dims.ndisplay == 3
    assert np.array_equal(layer(solid, "image, coarser").data, image(1)[::2, ::2, ::2])
    solid.viewer.dims.ndisplay = 2
    assert_as_recorded(solid, places=(4, 28))


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_copies_take_every_so_manieth_voxel(project_path, step):
    def reading(project):
        return lambda box: project.read_label(project.cases[0], box)

    found = bodies.coarser(project_path, SHAPE, {"label": reading}, step)["label"]
    assert np.array_equal(found, given()[::step, ::step, ::step])
    assert bodies.step_of((600, 512, 512)) == 26  # of the 10,000 voxels that count as small here


# ------------------------------------------------------------------ and goes


def test_closing_leaves_nothing_behind(opened, wait_for):
    ahead = opened.scene._volume._ahead
    for at in (16, 24, 8):
        go(opened, at)
    path = opened.controller.project.path
    assert ahead._reader is not None
    others = {"background", "levels"}  # these read the project, too, for other parts of the window
    wait_for(lambda: others.isdisjoint(thread.name for thread in threading.enumerate()))
    opened.controller.close()
    assert ahead._reader is None
    assert "ahead" not in [thread.name for thread in threading.enumerate()]
    assert not list(path.glob("*-wal"))  # the last one to close it may write, and leaves it whole
    assert [each.name for each in opened.viewer.layers if each.name in ("image", "label", "trust")] == []
    with Project.open(path, write=True) as project:
        assert project.read_label(project.cases[0], Box((0, 0, 0), (2, 2, 2))).shape == (2, 2, 2)
