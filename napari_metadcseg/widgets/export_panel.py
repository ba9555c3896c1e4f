"""Export: what, where, go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QVBoxLayout, QWidget

from napari_metadcseg.widgets.pairs_dialog import PathField
from napari_metadcseg.widgets.parts import button, heading, text

if TYPE_CHECKING:
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.state import UiState

CHOICES = (
    (
        "cleaned",
        "Cleaned masks",
        "The current masks, in the format and with the values of the masks you gave",
        True,
    ),
    (
        "provenance",
        "Where each pixel comes from",
        "0 original, 1 confirmed, 2 accepted, 3 background confirmed, 4 changed but not confirmed, 5 unsure, 6 edited, "
        "7 from a trusted mask",
        False,
    ),
    (
        "proposed",
        "The model's proposals",
        "Masks as the model would draw them; what you decided is kept",
        False,
    ),
    ("trust", "Trust maps", "float32, 0 (doubted) to 1 (trusted)", False),
    ("uncertainty", "Uncertainty maps", "float32, 0 to 1", False),
    (
        "report",
        "Report (HTML and JSON)",
        "What was found and changed, by whom, with pictures: a page to read and hand on, and its figures for programs. "
        "It names images and people, but no folders",
        False,
    ),
)
NEEDS_SCORES = frozenset({"proposed", "trust", "uncertainty"})


class ExportPanel(QWidget):
    """The fourth section of the widget."""

    export_asked = Signal(str, object)

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        self.empty = text("Open a project first.")
        layout.addWidget(self.empty)
        layout.addWidget(heading("What"))
        self.boxes: dict[str, QCheckBox] = {}
        for key, words, tip, on in CHOICES:
            box = QCheckBox(words)
            box.setToolTip(tip)
            box.setChecked(on)
            self.boxes[key] = box
            layout.addWidget(box)
        layout.addWidget(heading("Where"))
        self.folder = PathField(
            "A folder of your choice; each kind of file gets a folder of its own in it",
            lambda: QFileDialog.getExistingDirectory(self, "Export to"),
        )
        layout.addWidget(self.folder)
        self.export_button = button(
            "Export", "Write the files; your own files stay as they are", self._export, "export"
        )
        layout.addWidget(self.export_button)
        self.result = text()
        self.result.setObjectName("exported")
        layout.addWidget(self.result)
        layout.addStretch(1)
        self.show_state(controller.state)

    def _export(self) -> None:
        what = [key for key, box in self.boxes.items() if box.isChecked() and box.isEnabled()]
        self.export_asked.emit(self.folder.path, what)

    def show_state(self, state: UiState) -> None:
        """Draw the state."""
        there, scored = state.project is not None, bool(state.review.run)
        self.empty.setVisible(not there)
        self.export_button.setEnabled(there)
        for key, box in self.boxes.items():
            box.setEnabled(there and (scored or key not in NEEDS_SCORES))

    def show_busy(self, busy: bool) -> None:
        """While files are written, the button waits."""
        self.export_button.setEnabled(not busy)
        self.export_button.setText("Writing…" if busy else "Export")
