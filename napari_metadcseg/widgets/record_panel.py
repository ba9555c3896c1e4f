"""The record: what was done, by whom and when, and the way back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_metadcseg.widgets.parts import button, row, table, text
from napari_metadcseg.widgets.rows_model import RowsModel

if TYPE_CHECKING:
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.state import UiState
    from src_core.store.journal import Record

LIMIT = 1000
COLUMNS = (
    ("When", "Your local time"),
    ("What", "What was done; what was turned back is in brackets"),
    ("Image", "Double click or press Enter to see it"),
    ("px", "Pixels that got another label"),
    ("Who", "The author of the change"),
)
WORDS = {
    "import": "trusted mask",
    "add": "image added",
    "accept": "accepted",
    "keep": "kept",
    "edit": "stroke",
    "confirm": "painting confirmed",
    "skip": "skipped",
    "unsure": "unsure",
    "verify_image": "image verified",
    "undo": "undo",
    "redo": "redo",
}
EMPTY = "Nothing was done yet. Every decision and every stroke will be listed here, and each can be turned back."
HOW = "Everything is saved at once. Choose a line to go back to before it; nothing is ever erased from the record."


class RecordModel(RowsModel):
    """Rows of the record, newest first."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, frozenset({"px"}))
        self.standing: frozenset[int] = frozenset()
        self._names: dict[int, str] = {}

    def show_rows(self, rows: list[Record], standing: frozenset[int], names: dict[int, str]) -> None:
        """Take other rows."""
        self.standing, self._names = standing, names
        self.take(rows)

    def tip(self, place: int) -> str:
        """All of a row."""
        record = self.rows[place]
        scores = ", ".join(f"{name} {value}" for name, value in record.scores.items())
        return "\n".join(part for part in (f"Change {record.id}", record.note, record.region, scores) if part)

    def texts(self, place: int) -> tuple[str, ...]:
        """The cells of a row."""
        record = self.rows[place]
        when = datetime.fromisoformat(record.time).astimezone()
        words = record.note or WORDS.get(str(record.action), str(record.action))
        turned_back = record.id not in self.standing and str(record.action) not in ("undo", "redo", "import", "add")
        return (
            f"{when:%d %b %H:%M}",
            f"({words})" if turned_back else words,
            self._names.get(record.case_id, ""),
            f"{record.pixels:,}" if record.pixels else "",
            record.author,
        )


class RecordPanel(QWidget):
    """The section that shows the record."""

    second_asked = Signal()
    again_asked = Signal()

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self._shown: tuple[Any, ...] = ()
        layout = QVBoxLayout(self)
        self.words = text(EMPTY)
        self.words.setObjectName("record-words")
        layout.addWidget(self.words)
        self.model = RecordModel()
        self.table = table(self.model, "record")
        self.table.activated.connect(lambda index: controller.show(self.model.rows[index.row()].case_id))
        self.table.selectionModel().currentChanged.connect(lambda *_: self._enable())
        layout.addWidget(self.table, 1)
        self.back = button(
            "Go back to before this", "Turn back the chosen change and all after it", self._go_back, "back"
        )
        self.redo = button("Redo", "Repeat what was turned back last", controller.redo, "record-redo")
        layout.addWidget(row(self.back, self.redo))
        self.second = button(
            "Second rater…",
            "Another person judges a share of the decided regions anew, blind; then you see how far both agree",
            self.second_asked.emit,
            "second-rater",
        )
        self.again = button(
            "Disagreements",
            "Decide once more where a second rater differs; proposals are what the second one would have",
            self.again_asked.emit,
            "disagreements",
        )
        layout.addWidget(row(self.second, self.again))
        self.show_state(controller.state)

    def show_state(self, state: UiState) -> None:
        """Draw the state; the list only while it is in sight."""
        self.redo.setEnabled(state.review.can_redo)
        project = self._controller.project
        if project is None or state.project is None:
            self._shown = ()
            self.model.show_rows([], frozenset(), {})
        elif self.isVisible() and self._shown != (shown := (state.project.path, state.review.version)):
            self._shown = shown
            names = {row.case_id: row.name for row in state.project.rows}
            self.model.show_rows(project.history(LIMIT), frozenset(project.undoable()), names)
            self.table.stretch(1)
        self.words.setText(HOW if self.model.rows else EMPTY)
        self.table.setVisible(bool(self.model.rows))
        self._enable()

    def showEvent(self, event: Any) -> None:
        """Catch up with what happened out of sight."""
        super().showEvent(event)
        self.show_state(self._controller.state)

    def _chosen(self) -> Record | None:
        index = self.table.currentIndex()
        return self.model.rows[index.row()] if index.isValid() else None

    def _enable(self) -> None:
        chosen, state = self._chosen(), self._controller.state
        writable = state.project is not None and state.project.writable
        for widget in (self.second, self.again):
            widget.setEnabled(writable and bool(self.model.rows))
        self.back.setEnabled(writable and chosen is not None and chosen.id in self.model.standing)

    def _go_back(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            self._controller.undo_to(chosen.id)
