"""The report among what the export section offers."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from napari_metadcseg.exporting import export_all
from napari_metadcseg.state import UiState
from napari_metadcseg.summary import project_state
from napari_metadcseg.widgets.export_panel import ExportPanel
from src_core.errors import InputError
from src_core.review.queue import ReviewQueue
from src_core.store.project import Project
from tests.reviewed import reviewed_project


@pytest.fixture
def project(tmp_path):
    with Project.open(reviewed_project(tmp_path, scored=False)) as opened:
        yield opened


def names(written, folder):
    return [str(file.relative_to(folder)) for file in written]


def test_masks_and_report_are_written_together(project, tmp_path):
    out = tmp_path / "out"
    written = export_all(project, out, ["cleaned", "report"])
    assert names(written, out) == [*(f"cleaned/{name}.png" for name in "abcd"), "report.html", "report.json"]
    assert json.loads(written[-1].read_text(encoding="utf-8"))["totals"]["decisions"] == 6
    assert names(export_all(project, out, ["report"]), out) == ["report.html", "report.json"]
    assert names(export_all(project, out, ["cleaned"]), out) == [f"cleaned/{name}.png" for name in "abcd"]
    with pytest.raises(InputError, match="nothing"):
        export_all(project, out, [])


def test_the_panel_offers_it_with_and_without_scores(project, qtbot):
    state = UiState()
    panel = ExportPanel(SimpleNamespace(state=state))
    qtbot.addWidget(panel)
    box = panel.boxes["report"]
    assert box.toolTip()
    assert not box.isEnabled()
    panel.show_state(replace(state, project=project_state(None, project, (), ReviewQueue())))
    assert box.isEnabled()
    assert not panel.boxes["trust"].isEnabled()
    asked = []
    panel.export_asked.connect(lambda folder, what: asked.append((folder, what)))
    panel.boxes["cleaned"].setChecked(False)
    box.setChecked(True)
    panel.folder.line.setText("/somewhere")
    panel.export_button.click()
    assert asked == [("/somewhere", ["report"])]
