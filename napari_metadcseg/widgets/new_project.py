"""The dialog that makes a project from folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_metadcseg.widgets.found_panel import WITHOUT_MASK, FoundPanel
from napari_metadcseg.widgets.parts import button, text
from src_core.io.formats import names

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = (
    "Folder of the images (a DICOM series is a folder in it). Also: a pattern such as data/*_image.nii.gz, a CSV file "
    "with the columns image and mask, or the folder of an nnU-Net or Decathlon data set"
)
MASKS = "Folder of the masks of these images, or a pattern such as data/*_label.nii.gz"


def brings_masks(images: str) -> bool:
    """True for a list or a data set, which name their masks."""
    path = Path(images).expanduser()
    return path.suffix.lower() == ".csv" or (path / "dataset.json").is_file()


def problem_text(words: str) -> str:
    """What is wrong, no more of it than there is room for."""
    lines = words.splitlines()
    shown = lines[:12] + ([f"  … and {len(lines) - 12} more"] if len(lines) > 12 else [])
    return "Problem: " + "\n".join(shown)


class PathField(QWidget):
    """A line for a path, with a button that looks for it."""

    def __init__(self, tip: str, choose: Callable[[], str]) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.line = QLineEdit()
        self.line.setToolTip(tip)
        layout.addWidget(self.line, 1)
        layout.addWidget(button("Choose…", tip, lambda: self._take(choose())))

    def _take(self, path: str) -> None:
        if path:
            self.line.setText(path)

    @property
    def path(self) -> str:
        """What is in the line."""
        return self.line.text().strip()


class NewProjectDialog(QDialog):
    """Asks for the folders of a new project. Problems are listed in it, and nothing is created then."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New project from folders")
        self.setMinimumWidth(560)
        layout = QVBoxLayout(self)
        layout.addWidget(
            text(
                "Images and masks belong together when their file names are equal (the ending may differ). "
                "Your files are only read. Formats: " + names() + "."
            )
        )
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.images = PathField(IMAGES, lambda: self._folder("Images"))
        self.masks = PathField(MASKS, lambda: self._folder("Masks"))
        self.clean = PathField(
            "Masks that you trust already, of some of the images", lambda: self._folder("Trusted masks")
        )
        self.classes = PathField("CSV with lines 'value,name'; 'ignore' means not labelled", self._classes_file)
        self.target = PathField("Where the project is kept; everything you do is saved there", self._target_file)
        form.addRow("Images", self.images)
        form.addRow("Masks", self.masks)
        form.addRow("Trusted masks (optional)", self.clean)
        form.addRow("Classes file (optional)", self.classes)
        self.unlabelled = QCheckBox(WITHOUT_MASK)
        self.unlabelled.setToolTip("They have no label anywhere; the trained model proposes one")
        form.addRow("", self.unlabelled)
        form.addRow("Save project as", self.target)
        layout.addLayout(form)
        self.found = FoundPanel(self._looked_for)
        layout.addWidget(self.found, 1)
        for field in (self.images, self.masks, self.clean, self.classes):
            field.line.textChanged.connect(lambda _text: self.found.ask())
        self.unlabelled.toggled.connect(lambda _on: self.found.ask())
        self.finished.connect(lambda _result: self.found.stop())
        self.problem = text()
        self.problem.setObjectName("problem")
        self.problem.hide()
        layout.addWidget(self.problem)
        self.buttons = QDialogButtonBox()
        self.create_button = self.buttons.addButton("Create project", QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)

    def _folder(self, what: str) -> str:
        return QFileDialog.getExistingDirectory(self, what)

    def _classes_file(self) -> str:
        return QFileDialog.getOpenFileName(self, "Classes file", filter="Classes (*.csv *.json)")[0]

    def _target_file(self) -> str:
        return QFileDialog.getSaveFileName(self, "Save project as", filter="Project (*.metadcseg)")[0]

    def missing(self) -> str:
        """What is still to be filled in, in words; empty when nothing is."""
        needed = {"images": self.images, "masks": self.masks, "a place to save the project": self.target}
        if self.unlabelled.isChecked() or brings_masks(self.images.path):
            del needed["masks"]
        lacking = [name for name, field in needed.items() if not field.path]
        return f"Please choose {', '.join(lacking)}." if lacking else ""

    def show_problem(self, words: str) -> None:
        """Say what is wrong."""
        self.problem.setText(problem_text(words))
        self.problem.show()

    def set_busy(self, busy: bool) -> None:
        """While the project is made, it cannot be made twice."""
        self.create_button.setEnabled(not busy)
        self.create_button.setText("Reading…" if busy else "Create project")

    def _looked_for(self) -> dict[str, object]:
        """What is to be looked at, once there is enough of it."""
        ready = self.images.path and (self.masks.path or self.unlabelled.isChecked() or brings_masks(self.images.path))
        return {name: value for name, value in self.values().items() if name != "path"} if ready else {}

    def values(self) -> dict[str, object]:
        """Arguments of :func:`~src_core.store.create.create_from_folders`."""
        return {
            "path": self.target.path,
            "images": self.images.path,
            "masks": self.masks.path or None,
            "clean_masks": self.clean.path or None,
            "classes_file": self.classes.path or None,
            "unlabelled": self.unlabelled.isChecked(),
        }
