"""Scores of another program in the window: the dialog, open layers, overlays of a run without all maps."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication

from napari_metadcseg.opinion import opinion_text
from napari_metadcseg.scores_from_layers import importer, probability_layers
from napari_metadcseg.widgets.import_scores import ImportScoresDialog
from src_core.infer.imported import import_scores
from src_core.infer.second_opinion import second_opinion
from src_core.store.project import Project
from tests.conftest import SIZE


def opinions(phantoms, count=6):
    """What a model says that knows the true masks."""
    return {slice_.name: 0.02 + 0.96 * slice_.truth.astype(np.float32) for slice_ in phantoms[:count]}


@pytest.fixture
def folder(tmp_path, phantoms):
    (tmp_path / "probs").mkdir()
    for name, values in opinions(phantoms).items():
        np.save(tmp_path / "probs" / f"{name}.npy", values)
    return tmp_path / "probs"


@pytest.fixture
def make_dialog(qtbot):
    def make(work, **more):
        finished = []
        dialog = ImportScoresDialog(work, finished.append, **more)
        qtbot.addWidget(dialog)
        dialog.show()
        return dialog, finished

    return make


def choose(dialog, kind):
    dialog.kind.setCurrentIndex(dialog.kind.findData(kind))


def shown(dialog):
    fields = ("folder", "layer", "no_layer", "proposed", "uncertainty", "run", "allow_missing")
    return {name for name in fields if getattr(dialog, name).isVisible()}


def test_each_kind_shows_what_it_needs(make_dialog):
    dialog, _ = make_dialog(print, layers={"softmax": np.zeros((2, 4, 4))}, image="im0")
    assert shown(dialog) == {"folder", "uncertainty", "run", "allow_missing"}
    choose(dialog, "trust")
    assert shown(dialog) == {"folder", "proposed", "uncertainty", "run", "allow_missing"}
    choose(dialog, "layer")
    assert shown(dialog) == {"layer", "run"}
    dialog, _ = make_dialog(print)
    choose(dialog, "layer")
    assert shown(dialog) == {"no_layer", "run"}
    assert not dialog.import_button.isEnabled()
    choose(dialog, "trust")
    assert dialog.import_button.isEnabled()


def test_what_is_asked_for(make_dialog):
    dialog, _ = make_dialog(print, layers={"softmax": "data"}, image="im0", classes=3)
    assert dialog.missing() == "Please choose a folder."
    dialog.folder.line.setText("probs")
    assert dialog.missing() == ""
    common = {"run": "imported", "uncertainty": None, "allow_missing": False}
    assert dialog.values() == {"probabilities": "probs", **common}
    choose(dialog, "trust")
    assert "which of 3 classes" in dialog.missing()
    dialog.proposed.line.setText("masks")
    dialog.uncertainty.line.setText("unsure")
    dialog.allow_missing.setChecked(True)
    dialog.run.setText(" other ")
    wanted = {"trust": "probs", "proposed": "masks", "uncertainty": "unsure", "run": "other", "allow_missing": True}
    assert dialog.values() == wanted
    choose(dialog, "layer")
    assert dialog.values() == {"probabilities": {"im0": "data"}, "run": "other", "allow_missing": True}
    dialog.run.clear()
    assert dialog.missing() == "Please choose a name for the run."


def test_an_import_in_the_background(make_dialog, make_project, folder, wait_for):
    path = make_project(6)
    dialog, finished = make_dialog(importer(path))
    dialog.import_button.click()
    assert dialog.problem.text() == "Problem: Please choose a folder."
    dialog.folder.line.setText(str(folder))
    dialog.import_button.click()
    assert not dialog.import_button.isEnabled()
    assert not dialog.problem.isVisible()
    wait_for(lambda: finished)
    assert not dialog.isVisible()
    assert finished[0].images == 6
    assert dialog.progress.value() == dialog.progress.maximum() == 12
    with Project.open(path) as project:
        assert project.run("imported").generation == 1


def test_problems_are_listed_and_nothing_is_closed(make_dialog, make_project, folder, wait_for):
    for path in folder.iterdir():
        np.save(path, np.full((SIZE, SIZE), 3.0))
    project = make_project(6)
    dialog, finished = make_dialog(importer(project))
    dialog.folder.line.setText(str(folder))
    dialog.import_button.click()
    wait_for(lambda: dialog.problem.isVisible())
    assert "6 problems were found, nothing was imported" in dialog.problem.text()
    assert dialog.isVisible()
    assert dialog.import_button.isEnabled()
    assert finished == []
    assert not (project / "runs").exists()
    dialog.show_problem("\n".join(map(str, range(20))))
    assert dialog.problem.text().endswith("and 8 more")


def test_it_stays_open_while_it_works(make_dialog, wait_for):
    go = threading.Event()
    dialog, finished = make_dialog(lambda **_values: go.wait(60))
    dialog.folder.line.setText("x")
    dialog.import_button.click()
    dialog.reject()
    dialog.close()
    assert dialog.isVisible()
    go.set()
    wait_for(lambda: finished)
    assert not dialog.isVisible()


# ------------------------------------------------------------------ layers


def test_layers_that_may_hold_probabilities():
    viewer = ViewerModel()
    random = np.random.default_rng(0)
    viewer.add_image(random.random((8, 9)), name="image")  # the plugin's own
    viewer.add_image(random.integers(0, 255, (8, 9)).astype(np.uint8), name="grey")
    viewer.add_image(random.random((8, 9)).astype(np.float32), name="foreground")
    viewer.add_image(random.random((2, 8, 9)), name="first")
    viewer.add_image(random.random((8, 9, 2)), name="last")
    viewer.add_image(random.random((3, 8, 9)), name="three")
    viewer.add_image(random.random((9, 8)), name="turned")
    viewer.add_image(random.random((8, 9, 3)), name="colour", rgb=True)
    viewer.add_image(random.integers(0, 9, (2, 8, 9)), name="numbers")
    viewer.add_labels(np.zeros((8, 9), int), name="labels")
    assert list(probability_layers(viewer.layers, (8, 9), 2)) == ["first", "last", "foreground", "grey"]
    assert list(probability_layers(viewer.layers, (8, 9), 3)) == ["three"]
    assert probability_layers(viewer.layers, (5, 5), 2) == {}


def test_a_layer_is_imported_for_the_image_that_is_shown(make_dialog, make_project, phantoms, wait_for):
    path = make_project(3, trusted=0)
    viewer = ViewerModel()
    for name, values in opinions(phantoms, 3).items():
        viewer.add_image(np.stack([1 - values, values]), name=name)
    layers = probability_layers(viewer.layers, (SIZE, SIZE), 2)
    names = list(layers)
    for number, name in enumerate(names[:2]):
        dialog, finished = make_dialog(importer(path), image=name, layers=layers)
        choose(dialog, "layer")
        dialog.layer.setCurrentText(name)
        dialog.import_button.click()
        wait_for(lambda finished=finished: finished)
        assert finished[0].images == number + 1  # the image before keeps its scores
    with Project.open(path) as project:
        truth = next(slice_.truth for slice_ in phantoms if slice_.name == names[0])
        np.testing.assert_array_equal(project.run().read_map(project.case(names[0]).id, "proposed"), truth)


# ------------------------------------------------------------------ the window


def test_an_imported_run_is_reviewed_in_the_window(window, make_project, phantoms):
    path = make_project(6, trusted=2)
    given = opinions(phantoms)
    left_out = max(given)
    import_scores(path, probabilities={n: v for n, v in given.items() if n != left_out}, allow_missing=True)
    window.open_project(path)
    controller = window.controller
    assert controller.run.imported
    assert controller.queue.open
    names = {layer.name for layer in window.viewer.layers}
    assert {"trust", "proposal"} <= names
    boxes = window.review_panel.legend.boxes
    assert {key for key, box in boxes.items() if box.isEnabled()} == {"trust", "uncertainty", "band"}
    assert not controller.desk.state.can_continue
    region = controller.queue.current
    controller.accept()
    assert controller.project.decisions()[region.id] == "accept"
    controller.show(controller.project.case(left_out).id)
    assert not {"trust", "proposal", "uncertainty"} & {layer.name for layer in window.viewer.layers}
    controller.next()
    assert "trust" in window.viewer.layers
    second_opinion(path)
    controller.take_opinion()
    assert boxes["cleanlab"].isEnabled()
    assert "second opinion" not in window.viewer.layers
    boxes["cleanlab"].click()
    QApplication.processEvents()
    layer = window.viewer.layers["second opinion"]
    assert layer.visible
    assert 0 < layer.data.max() <= 1


def test_the_second_opinion_in_words():
    assert opinion_text(None) == ""
    assert opinion_text(0.12) == "Second opinion (cleanlab): also doubts this label, 12 %."
    assert opinion_text(0.12, trust=0.8) == "Second opinion (cleanlab): doubts this label, 12 %."
    assert opinion_text(0.849) == "Second opinion (cleanlab): holds this label for right, 85 %."
    assert "also doubts" in opinion_text(0.69)
    assert "for right" in opinion_text(0.7)
    assert opinion_text(0.1, source="a colleague").startswith("Second opinion (a colleague):")
