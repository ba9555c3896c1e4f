"""What dialogs have in common that ask for images and their masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

from napari_metadcseg.widgets.found_panel import WITHOUT_MASK
from napari_metadcseg.widgets.parts import button, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QPushButton

    from napari_metadcseg.widgets.found_panel import FoundPanel

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


class PairsDialog(QDialog):
    """Asks for images and masks; shows what is found, lists problems, and nothing is done then.

    Parameters
    ----------
    title, words, yes : str
        Of the window, at its top, and on the button that does it.

    Attributes
    ----------
    form : QFormLayout
        Has rows for images, masks and trusted masks; those of the subclass come after them.
    yes_button : QPushButton
    """

    def __init__(self, title: str, words: str, yes: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setMinimumWidth(560)
        self._layout = QVBoxLayout(self)
        self._layout.addWidget(text(words))
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.images = PathField(IMAGES, lambda: self._folder("Images"))
        self.masks = PathField(MASKS, lambda: self._folder("Masks"))
        self.clean = PathField(
            "Masks that you trust already, of some of the images", lambda: self._folder("Trusted masks")
        )
        self.form.addRow("Images", self.images)
        self.form.addRow("Masks", self.masks)
        self.form.addRow("Trusted masks (optional)", self.clean)
        self.unlabelled = QCheckBox(WITHOUT_MASK)
        self.unlabelled.setToolTip("They have no label anywhere; the trained model proposes one")
        self._layout.addLayout(self.form)
        self.problem = text()
        self.problem.setObjectName("problem")
        self.problem.hide()
        self._yes = yes
        self.buttons = QDialogButtonBox()
        self.yes_button: QPushButton = self.buttons.addButton(yes, QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.rejected.connect(self.reject)

    def _show_found(self, found: FoundPanel, *more: Any) -> None:
        """Fill the rest of the window; it is looked anew at any change, also when one of ``more`` signals comes."""
        self.found = found
        for widget in (found, self.problem, self.buttons):
            self._layout.addWidget(widget, int(widget is found))
        fields = [field.line.textChanged for field in (self.images, self.masks, self.clean)]
        for changed in (*fields, self.unlabelled.toggled, *more):
            changed.connect(lambda _value: found.ask())
        self.finished.connect(lambda _result: found.stop())

    def _folder(self, what: str) -> str:
        return QFileDialog.getExistingDirectory(self, what)

    @property
    def has_masks(self) -> bool:
        """True once it is known where masks are, or that there need not be any."""
        return bool(self.masks.path) or self.unlabelled.isChecked() or brings_masks(self.images.path)

    def show_problem(self, words: str) -> None:
        """Say what is wrong."""
        self.problem.setText(problem_text(words))
        self.problem.show()

    def set_busy(self, busy: bool) -> None:
        """While images are read, it cannot be done twice."""
        self.yes_button.setEnabled(not busy)
        self.yes_button.setText("Reading…" if busy else self._yes)

    def values(self) -> dict[str, object]:
        """What was asked for, by name."""
        return {
            "images": self.images.path,
            "masks": self.masks.path or None,
            "clean_masks": self.clean.path or None,
            "unlabelled": self.unlabelled.isChecked(),
        }
