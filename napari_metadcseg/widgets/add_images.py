"""The dialog that adds images to a project."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QDialog, QDialogButtonBox, QFileDialog, QFormLayout, QVBoxLayout, QWidget

from napari_metadcseg.widgets.found_panel import WITHOUT_MASK, FoundPanel
from napari_metadcseg.widgets.new_project import IMAGES, MASKS, PathField, brings_masks, problem_text
from napari_metadcseg.widgets.parts import text
from src_core.io.preview import preview_addition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from src_core.data.case import CaseInfo
    from src_core.io.additions import Expected


class AddImagesDialog(QDialog):
    """Asks for images and masks. What is found is shown, problems are listed, and nothing is added then.

    Parameters
    ----------
    expected : Expected
        What the project has.
    """

    def __init__(self, expected: Expected, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Add images to {expected.project}")
        self.setMinimumWidth(560)
        layout = QVBoxLayout(self)
        classes = ", ".join(f"{info.name} ({info.value})" for info in expected.table.classes)
        words = (
            f"The masks have the classes and values of the project: {classes}. All images are added, or none of them."
        )
        layout.addWidget(text(f"{words} Your files are only read."))
        layout.addLayout(self._form())
        self.found = FoundPanel(self._looked_for, partial(preview_addition, expected))
        layout.addWidget(self.found, 1)
        self.problem = text()
        self.problem.setObjectName("problem")
        self.problem.hide()
        layout.addWidget(self.problem)
        self.buttons = QDialogButtonBox()
        self.add_button = self.buttons.addButton("Add images", QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)
        for field in (self.images, self.masks, self.clean):
            field.line.textChanged.connect(lambda _text: self.found.ask())
        for box in (self.unlabelled, self.skip):
            box.toggled.connect(lambda _on: self.found.ask())
        self.finished.connect(lambda _result: self.found.stop())

    def _form(self) -> QFormLayout:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.images = PathField(IMAGES, lambda: self._folder("Images"))
        self.masks = PathField(MASKS, lambda: self._folder("Masks"))
        self.clean = PathField(
            "Masks that you trust already, of some of the images", lambda: self._folder("Trusted masks")
        )
        form.addRow("Images", self.images)
        form.addRow("Masks", self.masks)
        form.addRow("Trusted masks (optional)", self.clean)
        self.unlabelled = QCheckBox(WITHOUT_MASK)
        self.unlabelled.setToolTip("They have no label anywhere; the trained model proposes one")
        self.skip = QCheckBox("Leave out images that the project has by name")
        self.skip.setToolTip("Otherwise nothing is added when there is one")
        form.addRow("", self.unlabelled)
        form.addRow("", self.skip)
        return form

    def _folder(self, what: str) -> str:
        return QFileDialog.getExistingDirectory(self, what)

    def missing(self) -> str:
        """What is still to be filled in, in words; empty when nothing is."""
        if not self.images.path:
            return "Please choose images."
        enough = self.masks.path or self.unlabelled.isChecked() or brings_masks(self.images.path)
        return "" if enough else f"Please choose masks, or tick '{WITHOUT_MASK}'."

    def show_problem(self, words: str) -> None:
        """Say what is wrong."""
        self.problem.setText(problem_text(words))
        self.problem.show()

    def set_busy(self, busy: bool) -> None:
        """While images are read, they cannot be added twice."""
        self.add_button.setEnabled(not busy)
        self.add_button.setText("Reading…" if busy else "Add images")

    def _looked_for(self) -> dict[str, object]:
        return self.values() if not self.missing() else {}

    def values(self) -> dict[str, object]:
        """Arguments of :meth:`~src_core.store.add.Addition.write_from`."""
        return {
            "images": self.images.path,
            "masks": self.masks.path or None,
            "clean_masks": self.clean.path or None,
            "unlabelled": self.unlabelled.isChecked(),
            "skip_existing": self.skip.isChecked(),
        }


def added_text(added: Sequence[CaseInfo], existing: Sequence[str]) -> str:
    """What was added, in words."""
    without = sum(case.without_mask for case in added)
    words = f"Added {len(added)} image{'s' * (len(added) != 1)}"
    words += f", {without} of them without a mask" if without else ""
    words += f"; {len(existing)} {'were' if len(existing) != 1 else 'was'} there already" if existing else ""
    return words + "."
