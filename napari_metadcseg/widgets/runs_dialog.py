"""All runs in a table: which one is reviewed, how well each did, what it takes on the disk, what can be done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QDialog, QDialogButtonBox, QHeaderView, QVBoxLayout, QWidget

from napari_metadcseg.widgets.parts import button, row, table, text
from napari_metadcseg.widgets.rows_model import RowsModel
from src_core.store.run_files import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from src_core.store.run_table import RunRow

COLUMNS = (
    ("Run", "● the proposals come from it; ◌ it is being trained or scored"),
    ("Started", "Time of this machine"),
    ("How", "Preset and method; the tooltip has the note in full"),
    ("Images", "Of the project when it was started"),
    ("Epochs", "Trained, of those that were planned"),
    (
        "Held-out Dice",
        "On verified images that the helpers did not learn from: 1 is perfect. Compare two runs to be fair",
    ),
    ("Scored", "When its proposals were made"),
    ("On disk", "Model and maps together"),
    ("Note", "Yours"),
)
LEFT = ("Run", "Started", "How", "Scored", "Note")
EMPTY = "No run yet. Press Train in the section Train: a run is what one training leaves, and it is listed here."


class RunsModel(RowsModel):
    """Rows of runs."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, frozenset(head for head, _ in COLUMNS) - frozenset(LEFT))

    def texts(self, place: int) -> tuple[str, ...]:
        """The cells of a run."""
        return texts(self.rows[place])

    def tip(self, place: int) -> str:
        """What else there is to say of a run."""
        return tip(self.rows[place])


def texts(entry: RunRow) -> tuple[str, ...]:
    """The cells of a run."""
    mark = "● " if entry.reviewed else "◌ " if entry.busy else "   "
    return (
        mark + entry.name,
        when(entry.started),
        "damaged" if entry.damage else entry.what,
        "" if entry.images is None else f"{entry.images:,}",
        f"{entry.epochs_done} of {entry.epochs}" if entry.epochs else "",
        "" if entry.dice is None else f"{entry.dice:.3f}",
        when(entry.scored) or "not yet",
        in_words(entry.disk.total),
        entry.note,
    )


def tip(entry: RunRow) -> str:
    """What else there is to say of a run."""
    parts = [entry.damage, entry.note, entry.comparison.sentence() + "." if entry.comparison else ""]
    if entry.fell:
        parts.append(
            f"Its held-out Dice was better after epoch {entry.best_epoch} ({entry.best_dice:.3f}) than at the end; "
            "fewer epochs may do."
        )
    parts.append(f"Model {in_words(entry.disk.model)}, maps {in_words(entry.disk.maps)}.")
    return "\n".join(part for part in parts if part)


def when(time: datetime | None) -> str:
    """A time as a person here reads it."""
    return "" if time is None else f"{time.astimezone():%d %b %Y, %H:%M}"


class RunsDialog(QDialog):
    """Shows the runs; what is asked of one goes out as a signal with its name.

    Attributes
    ----------
    compare_asked : Signal(list of str)
        Two runs or more, as they stand in the table.
    """

    use_asked = Signal(str)
    compare_asked = Signal(list)
    rename_asked = Signal(str)
    note_asked = Signal(str)
    maps_asked = Signal(list)
    delete_asked = Signal(str)

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setObjectName("runs")
        self.setWindowTitle("Runs")
        layout = QVBoxLayout(self)
        self.words = text()
        layout.addWidget(self.words)
        self.model = RunsModel()
        self._fitted = False
        self.table = table(self.model, "runs-table")
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.table.setWordWrap(False)
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._follow())
        layout.addWidget(self.table, 1)
        self._make_buttons()
        layout.addWidget(row(*self._buttons[:3]))
        layout.addWidget(row(*self._buttons[3:]))
        self.problem = text()
        self.problem.setObjectName("problem")
        layout.addWidget(self.problem)
        closing = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        closing.rejected.connect(self.reject)
        layout.addWidget(closing)
        self.show_rows((), 0)

    def _make_buttons(self) -> None:
        one = lambda signal: lambda: signal.emit(self.chosen()[0])  # noqa: E731
        self.use_button = button("Use for review", "Let the proposals come from this run", one(self.use_asked), "use")
        self.compare_button = button(
            "Compare",
            "Curves over each other, settings that differ, and who is better on the same verified pixels; choose two "
            "runs or more (with Ctrl)",
            lambda: self.compare_asked.emit(self.chosen()),
            "compare",
        )
        self.note_button = button("Note…", "Write down what this run was for", one(self.note_asked), "note")
        self.rename_button = button("Rename…", "Both names find it afterwards", one(self.rename_asked), "rename")
        self.maps_button = button(
            "Delete maps…",
            "Free most of their space; scoring makes them again. Choose one run or more",
            lambda: self.maps_asked.emit(self.chosen()),
            "delete-maps",
        )
        self.delete_button = button("Delete…", "You are told first what is lost", one(self.delete_asked), "delete")
        self._buttons = (
            *(self.use_button, self.compare_button, self.note_button),
            *(self.rename_button, self.maps_button, self.delete_button),
        )

    def show_rows(self, rows: Sequence[RunRow], total: int, *, writable: bool = True) -> None:
        """Show other runs; those that were chosen stay chosen.

        Parameters
        ----------
        rows : sequence of RunRow
        total : int
            What all take on the disk, bytes.
        writable : bool
            False where the project is open read-only.
        """
        chosen, self._writable = self.chosen(), writable
        self.model.take(rows)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.table.resizeColumnsToContents()
        header.setStretchLastSection(True)
        if rows and not self._fitted:
            self._fit()
        for place, entry in enumerate(rows):
            if entry.name in chosen:
                self.table.selectRow(place)
        if rows and not self.chosen():
            self.table.selectRow(0)
        maps = sum(entry.disk.maps for entry in rows if not entry.reviewed and not entry.imported)
        spare = f" {in_words(maps)} of that are maps of runs that are not reviewed." if maps else ""
        self.words.setText(f"{len(rows)} runs, {in_words(total)} on disk.{spare}" if rows else EMPTY)
        self.table.setVisible(bool(rows))
        self._follow()

    def _fit(self) -> None:
        """Be as wide as the table, as far as the screen is."""
        self._fitted = True
        letters = self.fontMetrics()
        note = min(self.table.columnWidth(len(COLUMNS) - 1), 30 * letters.averageCharWidth())
        wide = sum(self.table.columnWidth(column) for column in range(len(COLUMNS) - 1)) + note
        most = self.screen().availableGeometry().width() * 9 // 10
        self.resize(min(wide + 10 * letters.averageCharWidth(), most), 24 * letters.height())

    def chosen(self) -> list[str]:
        """Names of the runs that are chosen, as they stand in the table."""
        places = sorted({index.row() for index in self.table.selectionModel().selectedRows()})
        return [self.model.rows[place].name for place in places if place < len(self.model.rows)]

    def _follow(self) -> None:
        """Only what is possible can be pressed."""
        names = set(self.chosen())
        entries = [entry for entry in self.model.rows if entry.name in names]
        single = entries[0] if len(entries) == 1 else None
        free = single is not None and self._writable and not single.busy
        self.use_button.setEnabled(bool(free and single and single.scored and not single.reviewed))
        self.compare_button.setEnabled(len(entries) > 1)
        self.note_button.setEnabled(single is not None and self._writable)
        self.rename_button.setEnabled(bool(free))
        spare = [entry for entry in entries if entry.disk.maps and not entry.imported and not entry.busy]
        self.maps_button.setEnabled(self._writable and bool(spare) and len(spare) == len(entries))
        self.delete_button.setEnabled(bool(free))
