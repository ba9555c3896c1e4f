"""Adding images in the real window, and the review of one that came without a mask."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from src_core.data.case import IGNORE
from src_core.store.journal import Action
from src_core.store.project import Project

from .test_controller_logic import add_scores
from .test_window_review import click, press

pytestmark = pytest.mark.gui


@pytest.fixture
def places(make_project, phantoms, tmp_path):
    """A scored project of four images, and a folder with three more, of which one has a mask."""
    path = make_project(4, trusted=2)
    add_scores(path, {slice_.name: slice_.truth for slice_ in phantoms})
    for folder, pixels, some in (("images", "image", phantoms[5:]), ("masks", "truth", phantoms[5:6])):
        (tmp_path / folder).mkdir()
        for slice_ in some:
            values = getattr(slice_, pixels) * (255 if folder == "masks" else 1)
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / folder / f"{slice_.name}.png")
    return path


def ask(window):
    click(window.project_panel.add_button)
    (dialog,) = (w for w in QApplication.topLevelWidgets() if w.objectName() == "add-images-dialog" and w.isVisible())
    return dialog


def test_images_are_added_and_reviewed(window, places, phantoms, tmp_path, wait_for, monkeypatch):
    controller, panel = window.controller, window.project_panel
    assert not panel.add_button.isVisible()
    window.open_project(places)
    assert panel.add_button.isVisible()
    assert not panel.score_button.isVisible()
    in_hand = controller.state.review.region

    # ---- the dialog says what is wrong before anything is added
    dialog = ask(window)
    click(dialog.yes_button)
    assert dialog.problem.text() == "Problem: Please choose images."
    dialog.images.line.setText(str(tmp_path / "images"))
    dialog.masks.line.setText(str(tmp_path / "masks"))
    wait_for(lambda: "2 of the images have no mask" in dialog.found.label.text())
    assert "tick <i>Take images without a mask, too</i>" in dialog.found.label.text()
    click(dialog.yes_button)
    wait_for(lambda: "has no mask" in dialog.problem.text())
    assert len(controller.project.cases) == 4
    dialog.unlabelled.setChecked(True)
    wait_for(lambda: "2 without a mask" in dialog.found.label.text())
    click(dialog.yes_button)
    wait_for(lambda: not dialog.isVisible())

    # ---- the open project shows them, and says that they have no scores
    assert "Added 3 images, 2 of them without a mask." in window.message_bar.label.text()
    assert panel.images.model().rowCount() == 7
    assert [row.status for row in controller.state.project.rows][-2:] == ["unlabelled"] * 2
    assert controller.state.review.region == in_hand
    assert panel.unscored.text().startswith("3 images are not scored yet")
    assert panel.score_button.isVisible()
    new = controller.project.case(phantoms[6].name)
    controller.show(new.id)
    assert "This image is not scored yet: press 'Score new images'" in window.review_panel.words.text()

    # ---- a name that is there is refused, or left out
    dialog = ask(window)
    dialog.unlabelled.setChecked(True)
    dialog.images.line.setText(str(tmp_path / "images"))
    dialog.masks.line.setText(str(tmp_path / "masks"))
    wait_for(lambda: "already, so nothing was added" in dialog.found.label.text())
    dialog.skip.setChecked(True)
    wait_for(lambda: "Nothing new" in dialog.found.label.text())
    dialog.reject()

    # ---- scored, they are in the queue, after what is suspect
    def scored(*arguments):
        assert arguments == ("score", str(places), "--run", "run-001")
        add_scores(places, {slice_.name: slice_.truth for slice_ in phantoms})

    monkeypatch.setattr("napari_metadcseg.scoring.said_by", scored)
    click(panel.score_button)
    wait_for(lambda: not controller.state.review.unscored)
    assert not panel.score_button.isVisible()
    review = window.review_panel
    assert review.filter.itemText(3) == "□ No label yet (2)"
    assert [region.labelled for region in controller.state.review.regions][-2:] == [False, False]

    # ---- its card, and the decision
    controller.show_kind("unlabelled")
    controller.next()
    region = controller.state.review.region
    assert review.place.text() == "Region 1 of 2 · No label yet"
    assert "this image has no mask; the model proposes the outlined one" in review.words.text()
    assert "what you do not paint is background" in review.words.text()
    assert (controller.read_map("trust") == 1).all()  # there is no label to doubt
    case = controller.project.case(region.case_id)
    press(window, Qt.Key.Key_I)
    assert "has no mask yet, so there is nothing to verify" in window.message_bar.label.text()
    press(window, Qt.Key.Key_A)
    truth = next(slice_.truth for slice_ in phantoms if slice_.name == case.name)
    assert np.array_equal(controller.project.read_label(case), truth)
    assert controller.project.is_wholly_verified(case)
    press(window, Qt.Key.Key_U)
    assert (controller.project.read_label(case) == IGNORE).all()
    assert controller.state.review.region.id == region.id
    press(window, Qt.Key.Key_K)
    assert (controller.project.read_label(case) == IGNORE).all()
    assert len(controller.state.review.regions) == 1

    # ---- no mask is made up for it
    window.export_to(str(tmp_path / "out"), ["cleaned"])
    wait_for(lambda: "Wrote 5 files" in window.export_panel.result.text())
    assert "No cleaned mask of 2 images" in window.export_panel.result.text()


def test_a_window_that_is_closed_on_the_way_adds_nothing(window, places, tmp_path, wait_for):
    """The project is closed while images are read; the next opening sweeps away what was written."""
    window.open_project(places)
    dialog = ask(window)
    dialog.unlabelled.setChecked(True)
    dialog.images.line.setText(str(tmp_path / "images"))
    click(dialog.yes_button)
    assert dialog.yes_button.text() == "Reading…"
    dialog.reject()
    wait_for(lambda: "Nothing was added" in window.message_bar.label.text())
    assert len(window.controller.project.cases) == 4
    window.controller.close()
    with Project.open(places, write=True) as project:
        assert len(project.cases) == 4
        assert Action.ADD not in {row.action for row in project.history()}
        assert len(list((project.path / "arrays.zarr/cases").iterdir())) == 4 + 1  # and the group's own file
