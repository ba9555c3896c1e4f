"""The dialog that takes scores of another program: a review without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QProgressBar,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_metadcseg.background import check, run_in_background
from napari_metadcseg.widgets.pairs_dialog import PathField
from napari_metadcseg.widgets.parts import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_metadcseg.background import Run
    from src_core.infer.imported import Imported

INTRO = (
    "Take what another program says of these images and review it here, without training. A file belongs to the image "
    "of the same name (case7.npz to case7.png). Your files are only read, and what you have decided stays."
)
NO_LAYER = (
    "No open layer fits the image that is shown. A layer of probabilities has its size: one channel a class, or for "
    "two classes the foreground alone."
)
KINDS = (
    ("probabilities", "Probabilities of the classes"),
    ("trust", "Trust in the given masks"),
    ("layer", "An open layer, for the image that is shown"),
)
FILES = (
    "A .npz, .npy, .tif, .png or NIfTI file an image. "
    "A .npz file with an array an image, or a .zarr store, may be typed"
)
TIPS = {
    "probabilities": f"All classes, background first; for two classes the foreground alone will do. {FILES}",
    "trust": f"How far the given mask is right at each pixel, 0 to 1. {FILES}",
}
MAX_LINES = 12


class ImportScoresDialog(QDialog):
    """Asks what is to be imported, imports it in the background, and lists what is wrong with it.

    Parameters
    ----------
    work : callable
        The import; called in the background with keywords of :func:`~src_core.infer.imported.import_scores` and
        ``progress``.
    done : callable
        Called with what came of it, when the dialog has closed.
    classes : int
        Of the project, background included.
    image : str
        Name of the image that is shown.
    layers : mapping of name to array
        Open layers that may hold its probabilities.
    background : callable, optional
        That of the window.
    """

    _progressed = Signal(int, int)

    def __init__(
        self,
        work: Callable[..., Imported],
        done: Callable[[Imported], None],
        *,
        classes: int = 2,
        image: str = "",
        layers: Mapping[str, Any] | None = None,
        parent: QWidget | None = None,
        background: Run = run_in_background,
    ) -> None:
        super().__init__(parent)
        self._work, self._done, self._background = work, done, background
        self._classes, self._image, self._layers = classes, image, dict(layers or {})
        self._busy = False
        self.setObjectName("import-scores")
        self.setWindowTitle("Import scores")
        self._lay_out()
        self._progressed.connect(self._show_progress)
        self.kind.currentIndexChanged.connect(lambda _index: self._show_kind())
        self._show_kind()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.addWidget(text(INTRO))
        self._make_fields()
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        needed = "" if self._classes > 2 else " (optional)"
        for words, field in (
            ("What", self.kind),
            ("Folder", self.folder),
            ("Layer", self.layer),
            (f"Proposed masks{needed}", self.proposed),
            ("Uncertainty maps (optional)", self.uncertainty),
            ("Name of the run", self.run),
            ("", self.allow_missing),
        ):
            self._form.addRow(words, field)
        self._form.insertRow(1, self.no_layer)
        layout.addLayout(self._form)
        self.problem = text()
        self.problem.setObjectName("problem")
        self.problem.hide()
        layout.addWidget(self.problem)
        self.progress = QProgressBar()
        self.progress.hide()
        layout.addWidget(self.progress)
        layout.addStretch(1)
        self.buttons = QDialogButtonBox()
        self.import_button = self.buttons.addButton("Import", QDialogButtonBox.ButtonRole.AcceptRole)
        self.cancel_button = self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.start)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)
        self.setMinimumWidth(max(self.fontMetrics().averageCharWidth() * 80, self.sizeHint().width()))

    def _make_fields(self) -> None:
        self.kind = QComboBox()
        for key, words in KINDS:
            self.kind.addItem(words, key)
        self.kind.setToolTip("What you have: probabilities say more, since the proposals follow from them, too")
        self.folder = PathField("", lambda: self._ask("Scores"))
        self.layer = QComboBox()
        self.layer.addItems(list(self._layers))
        self.layer.setToolTip(f"Taken as the probabilities of image {self._image}; other images keep what they have")
        for box in (self.kind, self.layer):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.no_layer = text(NO_LAYER, faint=True)
        self.proposed = PathField(
            "Masks to propose, with the values of your own masks; without them the other class is proposed where trust "
            "is below 0.5",
            lambda: self._ask("Proposed masks"),
        )
        self.uncertainty = PathField(
            "How hard a pixel is to tell, 0 to 1; without them it follows from the scores",
            lambda: self._ask("Uncertainty maps"),
        )
        self.run = QLineEdit("imported")
        self.run.setToolTip("If there is an imported run of this name, it gets new scores")
        self.allow_missing = QCheckBox("Leave out images that have no file")
        self.allow_missing.setToolTip("Otherwise each image must have one; what is missing is listed")

    def _ask(self, what: str) -> str:
        return QFileDialog.getExistingDirectory(self, what)

    def _show_kind(self) -> None:
        """Show the fields of what is to be imported."""
        kind = self.kind.currentData()
        shown = {
            self.folder: kind != "layer",
            self.layer: kind == "layer" and bool(self._layers),
            self.no_layer: kind == "layer" and not self._layers,
            self.proposed: kind == "trust",
            self.uncertainty: kind != "layer",
            self.allow_missing: kind != "layer",
        }
        for field, on in shown.items():
            self._form.setRowVisible(field, on)
        self.folder.line.setToolTip(TIPS.get(kind, ""))
        self.problem.hide()
        self.import_button.setEnabled(kind != "layer" or bool(self._layers))

    # ---------------------------------------------------------------- what is asked for

    def missing(self) -> str:
        """What is still to be filled in, in words; empty when nothing is."""
        kind = self.kind.currentData()
        lacking = []
        if kind != "layer" and not self.folder.path:
            lacking.append("a folder")
        if kind == "trust" and self._classes > 2 and not self.proposed.path:
            lacking.append(f"proposed masks (trust does not say which of {self._classes} classes is right)")
        if not self.run.text().strip():
            lacking.append("a name for the run")
        return f"Please choose {' and '.join(lacking)}." if lacking else ""

    def values(self) -> dict[str, Any]:
        """Keywords of :func:`~src_core.infer.imported.import_scores`."""
        kind, run = self.kind.currentData(), self.run.text().strip()
        if kind == "layer":
            array = self._layers[self.layer.currentText()]
            return {"probabilities": {self._image: array}, "run": run, "allow_missing": True}
        values: dict[str, Any] = {
            kind: self.folder.path,
            "uncertainty": self.uncertainty.path or None,
            "run": run,
            "allow_missing": self.allow_missing.isChecked(),
        }
        return values | ({"proposed": self.proposed.path or None} if kind == "trust" else {})

    # ---------------------------------------------------------------- doing it

    def start(self) -> None:
        """Import in the background."""
        missing = self.missing()
        if missing:
            self.show_problem(missing)
            return
        self._set_busy(True)
        work, values = self._work, self.values()

        def progress(done: int, total: int) -> None:
            check()
            self._progressed.emit(done, total)

        self._background(lambda: work(**values, progress=progress), self._finished, self._failed)

    def _finished(self, imported: Imported) -> None:
        self._set_busy(False)
        self.accept()
        self._done(imported)

    def _failed(self, words: str) -> None:
        self._set_busy(False)
        self.show_problem(words)

    def show_problem(self, words: str) -> None:
        """Say what is wrong."""
        lines = words.splitlines()
        more = [f"  … and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
        self.problem.setText("Problem: " + "\n".join(lines[:MAX_LINES] + more))
        self.problem.show()

    def _show_progress(self, done: int, total: int) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self.problem.setVisible(False)
        if busy:
            self.progress.setRange(0, 0)
        self.progress.setVisible(busy)
        self.import_button.setText("Importing…" if busy else "Import")
        fields = (self.kind, self.folder, self.layer, self.proposed, self.uncertainty, self.run, self.allow_missing)
        for widget in (*fields, self.import_button, self.cancel_button):
            widget.setEnabled(not busy)

    def reject(self) -> None:
        """Close, but not while scores are being written: they would go on without a word."""
        if not self._busy:
            super().reject()
