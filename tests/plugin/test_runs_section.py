"""Runs and settings in a real window."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QInputDialog, QMessageBox

from napari_metadcseg.widgets.advanced_settings import MARK, AdvancedSettings
from src_core.config import PRESETS, preset
from src_core.config_fields import setting_fields
from src_core.store.project import Project
from src_core.store.run_choice import Comparison, write_comparison
from src_core.train.autoconfig import MachineFacts, ProjectFacts, suggest

from .test_controller_logic import add_scores

pytestmark = pytest.mark.gui


@pytest.fixture
def truth(phantoms):
    return {slice_.name: slice_.truth for slice_ in phantoms}


@pytest.fixture
def study(make_project, truth):
    """A project with two scored runs; the newer one is told to be worse."""
    path = make_project(6, trusted=2)
    for day, name in enumerate(("run-001", "run-002"), start=1):
        add_scores(path, truth, name)
        record = {
            "run": name,
            "started": f"2026-01-0{day}T10:00:00+00:00",
            "settings": asdict(preset("quick", seed=day)),
        }
        (path / "runs" / name / "run.json").write_text(json.dumps({**record, "project": {"images": 6}}))
        rows = [{"epoch": n, "loss": 1 / (n + day), "val_dice": 0.5 + 0.03 * n, "held_out": True} for n in range(1, 13)]
        (path / "runs" / name / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Project.open(path) as project:
        second = project.run("run-002")
        numbers = {"generation": 1, "than_generation": 1, "dice": 0.81, "than_dice": 0.86, "images": 5, "pixels": 20480}
        write_comparison(second, Comparison(run="run-002", than="run-001", **numbers, worse=True))
    return path


def shown(name):
    found = [w for w in QApplication.topLevelWidgets() if w.objectName() == name and w.isVisible()]
    assert len(found) == 1
    return found[0]


def test_a_worse_run_waits_for_an_answer(window, study):
    window.open_project(study)
    banner = window.runs.banner
    assert window.controller.run.name == "run-001"
    assert banner.isVisible()
    assert "run-002 is worse on your verified pixels (0.810 < 0.860" in banner.words.text()
    banner.use_button.click()
    assert window.controller.run.name == "run-002"
    assert not banner.isVisible()
    window.runs.use("run-001")
    assert window.controller.run.name == "run-001"
    assert not banner.isVisible()


def test_keeping_is_remembered(window, study):
    window.open_project(study)
    window.runs.banner.keep_button.click()
    assert not window.runs.banner.isVisible()
    assert window.controller.run.name == "run-001"
    window.controller.load_scores()
    assert not window.runs.banner.isVisible()


def test_the_table_shows_acts_and_never_what_cannot_be(window, study, wait_for):
    window.open_project(study)
    window.show_section("Train")
    window.training_panel.runs_button.click()
    dialog = shown("runs")
    wait_for(lambda: dialog.model.rows)
    assert [row.name for row in dialog.model.rows] == ["run-002", "run-001"]
    assert dialog.model.index(1, 0).data().startswith("●")
    assert dialog.chosen() == ["run-002"]
    assert dialog.use_button.isEnabled()
    assert not dialog.compare_button.isEnabled()
    dialog.table.selectRow(1)
    assert not dialog.use_button.isEnabled()

    dialog.rename_button.click()
    asked = shown("run-line")
    assert isinstance(asked, QInputDialog)
    asked.setTextValue("spring")
    asked.accept()
    wait_for(lambda: "spring" in {row.name for row in dialog.model.rows})
    assert window.controller.run.name == "spring"

    dialog.table.selectAll()
    assert dialog.compare_button.isEnabled()
    assert not dialog.delete_button.isEnabled()
    dialog.compare_button.click()
    wait_for(lambda: any(w.objectName() == "compare-runs" for w in QApplication.topLevelWidgets()))
    compared = shown("compare-runs")
    assert compared.model.rows == (("seed", (2, 1)),)
    assert "too few verified pixels" in compared.words.text()
    compared.reject()

    dialog.table.selectRow([row.name for row in dialog.model.rows].index("run-002"))
    dialog.maps_button.click()
    box = shown("confirm-run")
    assert "Deleting the maps of run-002 frees" in box.text()
    box.button(QMessageBox.StandardButton.Yes).click()
    wait_for(lambda: not next(row.disk.maps for row in dialog.model.rows if row.name == "run-002"))
    assert window.controller.run.name == "spring"

    dialog.table.selectRow([row.name for row in dialog.model.rows].index("spring"))
    dialog.delete_button.click()
    wait_for(lambda: any(w.objectName() == "confirm-run" and w.isVisible() for w in QApplication.topLevelWidgets()))
    box = shown("confirm-run")
    assert "takes away its model and settings and its scores" in box.text()
    box.button(QMessageBox.StandardButton.Yes).click()
    wait_for(lambda: [row.name for row in dialog.model.rows] == ["run-002"])
    assert window.controller.run is None
    assert not (study / "runs" / "spring").exists()
    dialog.reject()


def test_presets_tell_their_time_and_settings_reach_the_worker(window, study, wait_for, monkeypatch):
    window.open_project(study)
    panel, started = window.training_panel, []
    wait_for(lambda: "," in panel.presets.itemText(0))
    assert panel.presets.itemText(0).startswith("Quick look, ")
    monkeypatch.setattr(
        window.controller.desk._client, "start", lambda path, settings, **more: started.append(settings)
    )
    panel.settings_button.click()
    dialog = shown("advanced-settings")
    dialog.editors["epochs"].put(7)
    dialog.editors["cross_fit"].widget.setChecked(False)
    dialog.buttons.button(QDialogButtonBox.StandardButton.Ok).click()
    assert "epochs 7, cross fit off" in panel.changed.text()
    QTest.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    assert started == [preset("quick", epochs=7, cross_fit=False)]
    panel.presets.setCurrentIndex(1)
    assert window.runs.changes == {}
    assert not panel.changed.isVisible()


# ------------------------------------------------------------------ the form by itself


FACTS = ProjectFacts(
    images=9, verified_images=1, axes=2, longest=1000, structure=20.0, foreground=0.1, seconds_a_unit=None
)
MACHINE = MachineFacts(memory=10**11, gpu=False, speed=60.0)


@pytest.fixture
def form(qtbot):
    made = AdvancedSettings(
        None, PRESETS["quick"], PRESETS["quick"], suggest(FACTS, MACHINE, PRESETS["quick"]), lambda _: "long"
    )
    qtbot.addWidget(made)
    return made


def test_every_setting_can_be_edited_and_is_explained(form):
    assert set(form.editors) == set(vars(PRESETS["quick"])) - {"preset"}
    assert form.settings() == PRESETS["quick"]
    for field in setting_fields():
        assert len(field.help) > 15, field.name
        assert "`" not in field.help


def another(editor):
    """A value that the setting may have and does not have."""
    if editor.field.kind == "choice":
        return next(choice for choice in editor.field.choices if choice != editor.base)
    return {"number": 0.4, "whole": 48, "switch": not editor.base, "text": "mine"}[editor.field.kind]


def test_a_change_is_marked_and_taken_back(form):
    for editor in form.editors.values():
        editor.put(another(editor))
        assert editor.value() == another(editor)
        assert editor.label.text().startswith(MARK)
        assert "1 setting differs" in form.words.text()
        editor.reset.click()
        assert MARK not in editor.label.text()
        assert form.settings() == PRESETS["quick"]


def test_what_cannot_be_is_said_at_once(form):
    form.editors["patch_size"].put(100)
    assert "expected a multiple of 16" in form.problem.text()
    assert not form.buttons.button(QDialogButtonBox.StandardButton.Ok).isEnabled()
    form.buttons.button(QDialogButtonBox.StandardButton.Reset).click()
    assert form.settings() == PRESETS["quick"]


def test_a_suggestion_is_taken_with_its_reason_shown(form):
    assert "Small structures are 20 px across" in form.reasons.text()
    form.take_suggestion()
    assert form.settings().max_side == 256
    assert np.isclose(form.settings().learning_rate, PRESETS["quick"].learning_rate)
