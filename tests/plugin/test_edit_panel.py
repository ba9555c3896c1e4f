"""The panel of edit tools: made from the table, shown for what is in hand; without napari."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_metadcseg.edit_state import EditState, edit_state
from napari_metadcseg.editing import EditDesk
from napari_metadcseg.widgets.edit_panel import EditPanel
from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.review.tools import PARAMETERS, TOOLS

from .test_editing import Box, Scores, blob, make, region_of

ORGAN = ClassInfo(index=1, name="organ", value=1, color=OKABE_ITO[1])
READY = EditState(ready=True, active=ORGAN)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def panel(qtbot, asked):
    made = EditPanel(asked.append)
    qtbot.addWidget(made)
    made.show()
    return made


def press(panel, name):
    QTest.mouseClick(panel.buttons[name], Qt.MouseButton.LeftButton)


def test_without_an_image_the_panel_says_what_to_do(panel):
    assert panel.empty.isVisible()
    assert not panel.body.isVisible()
    panel.show_state(READY)
    assert not panel.empty.isVisible()
    assert panel.body.isVisible()


def test_every_tool_has_a_button_and_every_parameter_a_box(panel, asked):
    panel.show_state(replace(READY, stacked=True, volume=True))
    assert list(panel.buttons) == list(TOOLS)
    assert list(panel.spins) == list(PARAMETERS)
    panel.scopes["image"].click()
    panel.spins["by"].setValue(7)
    panel.spins["smaller"].setValue(33)
    panel.spins["slices"].setValue(4)
    for name, entry in TOOLS.items():
        assert panel.buttons[name].toolTip() == f"{entry.tip}."
        press(panel, name)
    assert [request.tool for request in asked] == list(TOOLS)
    assert {request.scope for request in asked} == {"image"}
    assert {request.tool: request.values for request in asked if request.values} == {
        "remove_islands": {"smaller": 33},
        "smooth": {"by": 7},
        "grow": {"by": 7},
        "shrink": {"by": 7},
        "interpolate": {"slices": 4},
    }


def test_lengths_are_in_the_unit_of_the_image(panel, asked):
    panel.show_state(READY)
    assert (panel.spins["by"].text(), panel.spins["by"].minimum()) == ("2 px", 1)
    panel.show_state(replace(READY, unit="mm", pixel=0.35))
    assert (panel.spins["by"].text(), panel.spins["by"].minimum()) == ("0.70 mm", 0.35)
    panel.spins["by"].setValue(1.05)
    panel.show_state(replace(READY, unit="mm", pixel=0.35, stacked=True))
    assert panel.spins["by"].text() == "1.05 mm", "what was set stays while the unit does"
    press(panel, "grow")
    assert asked[0].values == {"by": pytest.approx(1.05)}
    panel.spins["smaller"].setValue(77)
    panel.show_state(READY)
    assert (panel.spins["by"].text(), panel.spins["smaller"].text()) == ("2 px", "77 px")


def test_a_number_that_is_typed_leaves_the_keys_to_the_canvas(panel, qtbot):
    panel.show_state(READY)
    spin = panel.spins["by"]
    panel.activateWindow()
    spin.setFocus()
    qtbot.waitUntil(spin.hasFocus)
    spin.lineEdit().selectAll()
    QTest.keyClicks(spin, "9")
    QTest.keyClick(spin, Qt.Key.Key_Return)
    assert spin.value() == 9
    assert not spin.hasFocus()


def test_slices_are_for_volumes_and_stacks_only(panel, asked):
    panel.show_state(READY)
    assert not panel.scopes["slice"].isVisible()
    assert not panel.buttons["interpolate"].isVisible()
    panel.show_state(replace(READY, stacked=True))
    assert panel.buttons["interpolate"].isVisible()
    assert not panel.spins["slices"].isVisible()
    press(panel, "interpolate")
    assert asked[-1].values == {}, "images of a stack have no number of slices"
    panel.show_state(replace(READY, stacked=True, volume=True))
    assert panel.spins["slices"].text() == "auto"
    panel.scopes["slice"].click()
    assert panel.scope == "slice"
    panel.show_state(READY)
    assert panel.scope == "region"


def test_all_classes_is_for_more_than_one_and_for_tools_that_can(panel, asked):
    panel.show_state(READY)
    assert not panel.all_classes.isVisible()
    panel.show_state(replace(READY, many=True))
    panel.all_classes.click()
    for name in ("take_lasso", "grow"):
        press(panel, name)
    assert [request.all_classes for request in asked] == [True, False]
    panel.show_state(READY)
    press(panel, "take_lasso")
    assert not asked[-1].all_classes


def test_the_class_that_is_edited_is_named_with_its_colour(panel):
    panel.show_state(READY)
    assert panel.class_name.text() == "Edits organ"
    assert panel.swatch.pixmap().toImage().pixelColor(2, 2).name().upper() == ORGAN.color
    panel.show_state(replace(READY, active=None))
    assert panel.class_name.text() == "No class is selected"
    assert not panel.swatch.isVisible()
    assert "Select a class in the controls" in panel.why.text()


def test_what_cannot_be_used_is_off_and_says_why(panel, asked):
    missing = {
        ("region", name): f"{entry.label}: no region is in hand; press Next (N)." for name, entry in TOOLS.items()
    }
    panel.show_state(replace(READY, missing=MappingProxyType(missing)))
    press(panel, "grow")
    assert asked == []
    assert panel.why.text() == "No region is in hand; press Next (N)."
    assert panel.buttons["grow"].toolTip().endswith("press Next (N).")
    heard = []
    panel.changed.connect(lambda: heard.append(panel.scope))
    panel.scopes["image"].click()
    assert heard == ["image"]
    press(panel, "grow")
    assert asked[0].tool == "grow"
    assert not panel.why.isVisible()


def test_buttons_are_wide_enough_for_their_words_in_400_px(panel):
    panel.show_state(replace(READY, stacked=True, volume=True, many=True))
    assert panel.minimumSizeHint().width() <= 400
    panel.resize(400, 300)
    for made in panel.buttons.values():
        assert made.width() >= made.fontMetrics().horizontalAdvance(made.text()) + 8


def test_the_state_is_derived_from_what_is_in_hand(tmp_path):
    assert edit_state(None) == EditState()
    with make(
        tmp_path, {"anna_z1": blob(), "anna_z2": blob(), "bert": blob()}, spacing=(0.5, 0.4), unit="mm"
    ) as project:
        first, last = project.case("anna_z1"), project.case("anna_z2")
        state = edit_state(EditDesk(project, first, active=1))
        assert (state.ready, state.volume, state.stacked, state.many) == (True, False, True, True)
        assert (state.unit, state.pixel, state.active.name) == ("mm", 0.4, "organ")
        assert ("region", "grow") in state.missing
        assert ("image", "grow") not in state.missing
        assert "image of the same stack before it" in state.missing["image", "copy_before"]
        assert ("image", "copy_before") not in edit_state(EditDesk(project, last, active=1)).missing
        run = Scores(proposed=np.zeros((80, 80), np.uint8))
        desk = EditDesk(project, last, active=0, region=region_of(last.id, Box((0, 0), (4, 4))), run=run)
        state = edit_state(desk)
        assert ("region", "take_region") not in state.missing
        assert "label 0 is selected" in state.missing["region", "copy_before"]
        assert ("region", "copy_before") not in edit_state(desk, all_classes=True).missing
        assert not edit_state(EditDesk(project, project.case("bert"), active=9)).stacked
        assert edit_state(EditDesk(project, last, active=9)).active is None
