"""The dialog that makes a project from folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_metadcseg.background import run_in_background
from napari_metadcseg.widgets.found_panel import FoundPanel
from napari_metadcseg.widgets.pairs_dialog import PairsDialog, PathField
from src_core.io.formats import names

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_metadcseg.background import Run


class NewProjectDialog(PairsDialog):
    """Asks for the folders of a new project. Problems are listed in it, and nothing is created then.

    Parameters
    ----------
    background : callable, optional
        That of the window.
    """

    def __init__(self, parent: QWidget | None = None, background: Run = run_in_background) -> None:
        words = (
            "Images and masks belong together when their file names are equal (the ending may differ). "
            "Your files are only read. Formats: " + names() + "."
        )
        super().__init__("New project from folders", words, "Create project", parent)
        self.classes = PathField("CSV with lines 'value,name'; 'ignore' means not labelled", self._classes_file)
        self.target = PathField("Where the project is kept; everything you do is saved there", self._target_file)
        self.form.addRow("Classes file (optional)", self.classes)
        self.form.addRow("", self.unlabelled)
        self.form.addRow("Save project as", self.target)
        self._show_found(FoundPanel(self._looked_for, background=background), self.classes.line.textChanged)

    def _classes_file(self) -> str:
        return QFileDialog.getOpenFileName(self, "Classes file", filter="Classes (*.csv *.json)")[0]

    def _target_file(self) -> str:
        return QFileDialog.getSaveFileName(self, "Save project as", filter="Project (*.metadcseg)")[0]

    def missing(self) -> str:
        """What is still to be filled in, in words; empty when nothing is."""
        there = {
            "images": self.images.path,
            "masks": self.has_masks,
            "a place to save the project": self.target.path,
        }
        lacking = [name for name, known in there.items() if not known]
        return f"Please choose {', '.join(lacking)}." if lacking else ""

    def _looked_for(self) -> dict[str, object]:
        """What is to be looked at, once there is enough of it."""
        ready = self.images.path and self.has_masks
        return {name: value for name, value in self.values().items() if name != "path"} if ready else {}

    def values(self) -> dict[str, object]:
        """Arguments of :func:`~src_core.store.create.create_from_folders`."""
        return {**super().values(), "path": self.target.path, "classes_file": self.classes.path or None}
