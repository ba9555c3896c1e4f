"""The sections of the window: queue, record, preferences; and the whole review by keyboard alone."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QInputDialog

from napari_metadcseg import preferences
from napari_metadcseg.preferences import Preferences
from src_core.store.project import Project

from .test_controller_logic import add_scores, wrong
from .test_window_review import canvas_of, click, press

pytestmark = pytest.mark.gui


@pytest.fixture
def truth(phantoms):
    return {slice_.name: slice_.truth for slice_ in phantoms}


@pytest.fixture
def scored(make_project, truth):
    path = make_project(8, trusted=1)
    add_scores(path, truth)
    return path


def type_in(widget, text):
    widget.setFocus()
    QTest.keyClicks(widget, text)
    QApplication.processEvents()


def shown_dialog(name):
    (found,) = (w for w in QApplication.topLevelWidgets() if w.objectName() == name and w.isVisible())
    return found


def test_the_queue_is_searched_sorted_summed_and_entered(window, scored, wait_for):
    window.open_project(scored)
    window.show_section("Queue")
    panel, controller = window.queue_panel, window.controller
    everything = controller.state.review.regions
    assert panel.model.rowCount() == len(everything) > 4
    assert f"{len(everything):,} regions" in panel.sum.text()
    name = everything[-1].image
    type_in(panel.search, name)
    wait_for(lambda: controller.state.review.searched == name)
    assert {region.image for region in panel.model.rows} == {name}
    for _ in panel.model.rows:
        QTest.keyClick(panel.table, Qt.Key.Key_Down)
    QTest.keyClick(panel.table, Qt.Key.Key_Return)
    assert controller.state.review.region == panel.model.rows[-1]
    panel.search.clear()
    controller.search("")
    panel.order.setCurrentIndex(panel.order.findData("trust"))
    panel.order.activated.emit(panel.order.currentIndex())
    trusts = [region.trust for region in panel.model.rows]
    assert trusts == sorted(trusts)
    panel.view.setCurrentIndex(panel.view.findData("images"))
    panel.view.activated.emit(panel.view.currentIndex())
    assert sum(row.regions for row in panel.model.rows) == len(everything)
    assert panel.model.headerData(0, Qt.Orientation.Horizontal) == "Name"
    panel.table.setCurrentIndex(panel.model.index(0, 0))
    QTest.keyClick(panel.table, Qt.Key.Key_Return)
    assert controller.state.review.region.image == panel.model.rows[0].name


def test_new_scores_are_announced_and_the_region_in_hand_stays(window, scored, phantoms):
    window.open_project(scored)
    region = window.controller.state.review.region
    window.show_section("Queue")
    add_scores(scored, {slice_.name: np.roll(slice_.truth, 9, 0) for slice_ in phantoms})
    window.controller.load_scores()
    assert window.controller.state.review.region == region
    assert "stays" in window.message_bar.label.text()
    assert "Since the scores before" in window.queue_panel.changes.text()
    assert "→" in window.queue_panel.changes.text()
    window.controller.accept()
    assert window.controller.project.decisions() == {region.id: "accept"}


def test_the_record_leads_back(window, scored):
    window.open_project(scored)
    controller = window.controller
    before = [controller.project.read_label(case).copy() for case in controller.project.cases]
    for action in (controller.accept, controller.keep, controller.unsure, controller.accept, controller.skip):
        action()
    window.show_section("Record")
    panel = window.record_panel
    done = [panel.model.data(panel.model.index(row, 1)) for row in range(5)]
    assert done == ["skipped", "accepted", "unsure", "kept", "accepted"]
    assert not panel.back.isEnabled()
    panel.table.setCurrentIndex(panel.model.index(3, 0))
    click(panel.back)
    assert (
        controller.project.decisions() == {controller.queue.regions[0].id: "accept"}
        or len(controller.project.decisions()) == 1
    )
    assert "4 changes were turned back" in window.message_bar.label.text()
    assert panel.model.data(panel.model.index(4, 1)) == "(skipped)"
    assert [panel.model.data(panel.model.index(row, 1)) for row in range(4)] == ["undo"] * 4
    panel.table.setCurrentIndex(panel.model.index(8, 0))
    click(panel.back)
    after = [controller.project.read_label(case) for case in controller.project.cases]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    click(panel.redo)
    assert len(controller.project.decisions()) == 1


def test_what_is_left_follows_the_review_and_an_audit_narrows_the_queue(window, scored, wait_for):
    window.open_project(scored)
    controller, panel = window.controller, window.stop.panel
    assert "Train first" in panel.sentence.text()
    window.show_section("Stop")
    wait_for(lambda: "wrong pixels left" in panel.sentence.text())
    before = panel.sentence.text()
    assert "No region was decided yet" in before
    controller.accept()
    wait_for(lambda: panel.sentence.text() != before)
    assert "The one region that was decided was really wrong" in panel.sentence.text()
    everything = len(controller.queue.open)
    click(panel.audit)
    assert "Audit" in panel.audited.text()
    drawn = {region.id for region in controller.queue.open}
    assert 0 < len(drawn) <= everything
    assert controller.state.review.region.id in drawn
    for _ in range(len(drawn)):
        controller.accept()
    assert controller.queue.open == []
    controller.show_kind("all")
    assert len(controller.queue.open) == everything - len(drawn)
    wait_for(lambda: "whatever trust says" in panel.audited.text())


def test_a_second_rater_answers_blind_and_hears_of_the_agreement(window, scored):
    window.open_project(scored)
    controller = window.controller
    for action in (controller.accept, controller.keep, controller.accept, controller.unsure, controller.accept):
        action()
    version, labels = controller.project.version(), controller.project.read_label(controller.project.cases[3])
    window.show_section("Record")
    click(window.record_panel.second)
    dialog = shown_dialog("second-rater")
    click(dialog.start_button)
    assert "Type the name" in dialog.problem.text()
    type_in(dialog.author, controller.project.author)
    click(dialog.start_button)
    assert "cannot be their own second rater" in dialog.problem.text()
    dialog.author.setText("Grace")
    dialog.share.setValue(100)
    click(dialog.start_button)
    assert dialog.problem.text() == ""
    assert len(dialog.preview.pictures) == 2
    total = dialog.bar.maximum()
    assert total >= 4
    click(dialog.answers["accept"])
    assert dialog.place.text() == f"2 of {total}"
    QTest.keyClick(dialog, Qt.Key.Key_U)
    assert dialog.place.text() == f"1 of {total}"
    for _ in range(total):
        QTest.keyClick(dialog, Qt.Key.Key_A)
    assert dialog.place.text().startswith("All regions are answered")
    assert "Grace answered" in dialog.words.text()
    assert "kappa" in dialog.words.text()
    assert controller.project.version() == version  # nothing of it is in the record of the masks
    assert np.array_equal(controller.project.read_label(controller.project.cases[3]), labels)
    click(dialog.again_button)  # one was kept, and Grace would accept it
    assert window.tabs.tabText(window.tabs.currentIndex()) == "Review"
    review = controller.state.review
    assert (review.position, review.open) == (1, 1)
    assert "Grace would (accepted the proposal)" in window.review_panel.words.text()
    case = controller.project.case(review.region.case_id)
    before = controller.project.read_label(case)
    click(window.review_panel.buttons["accept"])
    assert np.count_nonzero(controller.project.read_label(case) != before) == review.region.pixels
    assert controller.queue.open == []
    window.show_section("Record")
    click(window.record_panel.again)
    assert "nothing to look at again" in controller.state.message.text
    controller.show_kind("all")
    assert controller.queue.open


def test_preferences_are_asked_checked_kept_and_used(window, scored):
    click(window.review_panel.preferences)
    dialog = shown_dialog("preferences-dialog")
    ok = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
    dialog.edits["accept"].setKeySequence(QKeySequence("K"))
    assert "choose another" in dialog.problem.text()
    assert not ok.isEnabled()
    dialog.edits["accept"].setKeySequence(QKeySequence("G"))
    assert dialog.problem.text() == ""
    type_in(dialog.author, "Ada")
    click(ok)
    assert preferences.load(preferences.default_path()) == Preferences(author="Ada", keys={"accept": "G"})
    assert window.review_panel.buttons["accept"].text() == "Accept proposal (G)"
    window.open_project(scored)
    version = window.controller.project.version()
    press(window, Qt.Key.Key_A)
    assert window.controller.project.version() == version
    press(window, Qt.Key.Key_G)
    record = window.controller.project.history(1)[0]
    assert (record.action, record.author) == ("accept", "Ada")
    window.prefer(Preferences())
    press(window, Qt.Key.Key_A)
    assert window.controller.project.version()[0] == version[0] + 2


def test_the_whole_review_by_keyboard_alone(window, scored, truth, wait_for):
    """From the first region to the last, with the focus wherever the keys have put it."""
    window.open_project(scored)
    window.show_section("Review")
    controller = window.controller
    before = wrong(controller, truth)
    press(window, Qt.Key.Key_H)
    keys = shown_dialog("keys")
    assert "Unsure" in keys.text()
    QTest.keyClick(keys, Qt.Key.Key_Escape)
    press(window, Qt.Key.Key_J)
    dialog = shown_dialog("jump")
    assert isinstance(dialog, QInputDialog)
    dialog.setIntValue(3)
    QTest.keyClick(dialog, Qt.Key.Key_Return)
    QApplication.processEvents()
    assert controller.state.review.position == 3
    third = controller.state.review.region
    press(window, Qt.Key.Key_Q)
    assert controller.project.decisions()[third.id] == "unsure"
    press(window, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    press(window, Qt.Key.Key_N)
    press(window, Qt.Key.Key_S)
    press(window, Qt.Key.Key_K)
    press(window, Qt.Key.Key_U)
    press(window, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    press(window, Qt.Key.Key_U)
    for _ in range(200):
        if controller.state.review.region is None:
            break
        press(window, Qt.Key.Key_A)
    assert controller.state.review.open == 0
    assert wrong(controller, truth) < before / 2
    with Project.open(scored) as reader:
        actions = {str(record.action) for record in reader.history()}
    assert {"accept", "keep", "unsure", "skip", "undo", "redo"} <= actions
    press(window, Qt.Key.Key_I)
    assert controller.project.history(1)[0].action == "verify_image"


def test_keys_work_from_the_panel_and_not_from_a_text_field(window, scored):
    window.open_project(scored)
    window.show_section("Queue")
    window.activateWindow()
    version = window.controller.project.version()[0]
    type_in(window.queue_panel.search, "skin")
    assert window.controller.project.version()[0] == version
    window.queue_panel.table.setFocus()
    QTest.keyClick(window.queue_panel.table, Qt.Key.Key_K)
    QApplication.processEvents()
    assert window.controller.project.history(1)[0].action == "keep"


def test_the_card_shows_before_and_after(window, scored):
    window.open_project(scored)
    window.show_section("Review")
    now, then = window.review_panel.preview.pictures
    assert now != then
    region = window.controller.state.review.region
    assert f"{region.pixels:,} px" in window.review_panel.words.text()
    press(window, Qt.Key.Key_K)
    assert window.review_panel.preview.pictures != (now, then)
    assert canvas_of(window) is not None
