"""The dialog that makes a project from folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_metadcseg.widgets.parts import button, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
                "Your files are only read."
            )
        )
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.images = PathField("Folder of the images: PNG, JPEG, BMP or TIFF", lambda: self._folder("Images"))
        self.masks = PathField("Folder of the masks of these images", lambda: self._folder("Masks"))
        self.clean = PathField(
            "Masks that you trust already, of some of the images", lambda: self._folder("Trusted masks")
        )
        self.classes = PathField("CSV with lines 'value,name'; 'ignore' means not labelled", self._classes_file)
        self.target = PathField("Where the project is kept; everything you do is saved there", self._target_file)
        form.addRow("Images", self.images)
        form.addRow("Masks", self.masks)
        form.addRow("Trusted masks (optional)", self.clean)
        form.addRow("Classes file (optional)", self.classes)
        form.addRow("Save project as", self.target)
        layout.addLayout(form)
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
        lacking = [name for name, field in needed.items() if not field.path]
        return f"Please choose {', '.join(lacking)}." if lacking else ""

    def show_problem(self, words: str) -> None:
        """Say what is wrong."""
        lines = words.splitlines()
        shown = lines[:12] + ([f"  … and {len(lines) - 12} more"] if len(lines) > 12 else [])
        self.problem.setText("Problem: " + "\n".join(shown))
        self.problem.show()

    def set_busy(self, busy: bool) -> None:
        """While the project is made, it cannot be made twice."""
        self.create_button.setEnabled(not busy)
        self.create_button.setText("Reading…" if busy else "Create project")

    def values(self) -> dict[str, str | Path | None]:
        """Arguments of :func:`~src_core.store.create.create_from_folders`."""
        return {
            "path": self.target.path,
            "images": self.images.path,
            "masks": self.masks.path,
            "clean_masks": self.clean.path or None,
            "classes_file": self.classes.path or None,
        }
