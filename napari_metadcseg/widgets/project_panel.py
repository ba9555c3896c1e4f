"""Project: open, make, choose an image, mark it as verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_metadcseg.widgets.image_list import ImageList
from napari_metadcseg.widgets.parts import button, row, text

if TYPE_CHECKING:
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.keybindings import KeyTable
    from napari_metadcseg.state import UiState

WELCOME = (
    "<b>Start here.</b><ol style='margin-left:-20px'>"
    "<li>Make a project from a folder of images and a folder of masks, or open one.</li>"
    "<li>Look at a few masks and mark those that are right as verified.</li>"
    "<li>Go to <i>Train</i> and press Train.</li>"
    "<li>Go through the suspect regions in <i>Review</i>.</li>"
    "<li><i>Export</i> the cleaned masks.</li></ol>"
    "Your own files are only read. Everything you do is saved at once."
)


class ProjectPanel(QWidget):
    """The first section of the widget."""

    open_asked = Signal()
    folders_asked = Signal()
    layers_asked = Signal()
    images_asked = Signal()
    scores_asked = Signal()

    def __init__(self, controller: Controller, keys: KeyTable) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        self.open_button = button(
            "Open project…", "Open a project folder (NAME.metadcseg)", self.open_asked.emit, "open"
        )
        self.new_button = button(
            "New from folders…",
            "Make a project from a folder of images and one of masks",
            self.folders_asked.emit,
            "new",
        )
        self.layers_button = button(
            "New from open layers",
            "Make a project from the image and label layers that are open in napari",
            self.layers_asked.emit,
            "new-from-layers",
        )
        layout.addWidget(row(self.open_button, self.new_button))
        layout.addWidget(self.layers_button)
        self.welcome = text(WELCOME, rich=True)
        layout.addWidget(self.welcome)
        self.summary = text()
        self.summary.setObjectName("summary")
        layout.addWidget(self.summary)
        self.add_button = button(
            "Add images…",
            "Add images to this project, with masks or without; runs and decisions stay as they are",
            self.images_asked.emit,
            "add-images",
        )
        self.score_button = button(
            "Score new images",
            "Let the model whose scores you review look at the images that have none yet",
            self.scores_asked.emit,
            "score-new",
        )
        self.unscored = text()
        self.unscored.setObjectName("unscored")
        layout.addWidget(self.add_button)
        layout.addWidget(self.unscored)
        layout.addWidget(self.score_button)
        self.images = ImageList()
        self.images.chosen.connect(controller.show)
        layout.addWidget(self.images, 1)
        self.verify_button = button("", "", controller.verify_image, "verify")
        layout.addWidget(self.verify_button)
        layout.addStretch(0)
        self.show_keys(keys)
        self.show_state(controller.state)

    def show_keys(self, keys: KeyTable) -> None:
        """Write the key on the button and into its tooltip."""
        key = keys.of("verify_image")
        self.verify_button.setText(f"This whole mask is right ({key})")
        self.verify_button.setToolTip(
            f"Mark the image as verified: its mask becomes clean data that judges the others. Key: {key}"
        )

    def show_state(self, state: UiState) -> None:
        """Draw the state."""
        project = state.project
        for widget in (self.summary, self.images, self.add_button, self.verify_button):
            widget.setVisible(project is not None)
        self.welcome.setVisible(project is None)
        self._show_unscored(state)
        if project is None:
            return
        self.add_button.setEnabled(project.writable)
        self.images.show_rows(project.rows, state.case_id)
        self.verify_button.setEnabled(project.writable and state.case_id is not None)
        classes = ", ".join(info.name for info in project.classes[1:])
        mode = "" if project.writable else " Read-only: nothing can be changed."
        self.summary.setText(
            f"{project.name}: {len(project.rows)} images, {project.verified_images} verified ({classes}).{mode}"
        )

    def _show_unscored(self, state: UiState) -> None:
        """How many images the run has not scored, and what to do about it."""
        count = len(state.review.unscored) if state.project is not None else 0
        self.unscored.setVisible(count > 0)
        self.score_button.setVisible(count > 0)
        words = "1 image is" if count == 1 else f"{count} images are"
        self.unscored.setText(f"{words} not scored yet: nothing of {'it' if count == 1 else 'them'} is in the queue.")

    def show_scoring(self, busy: bool) -> None:
        """While images are scored, the button waits."""
        self.score_button.setEnabled(not busy)
        self.score_button.setText("Scoring…" if busy else "Score new images")
