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
        for widget in (self.summary, self.images, self.verify_button):
            widget.setVisible(project is not None)
        self.welcome.setVisible(project is None)
        if project is None:
            return
        self.images.show_rows(project.rows, state.case_id)
        self.verify_button.setEnabled(project.writable and state.case_id is not None)
        classes = ", ".join(info.name for info in project.classes[1:])
        mode = "" if project.writable else " Read-only: nothing can be changed."
        self.summary.setText(
            f"{project.name}: {len(project.rows)} images, {project.verified_images} verified ({classes}).{mode}"
        )
