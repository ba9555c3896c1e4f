"""The queue as a list: search, sort, sums by image and by class, and what the last scores changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_metadcseg.widgets.parts import row, table, text
from napari_metadcseg.widgets.rows_model import RowsModel
from src_core.review.rollup import RollUp, by_class, by_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtCore import QModelIndex

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.state import UiState
    from src_core.data.scores import Region
    from src_core.review.arrival import Arrival

EMPTY = "Nothing to review yet. Train first, or import the scores of another model; both are on the tab Train."
NONE_LEFT = "No region fits. Clear the search, or show all kinds on the tab Review."
ORDERS = (
    ("learned", "Most wrong pixels, as learned", "As the next, corrected by what your answers have found so far"),
    ("worth", "Most wrong pixels", "Regions by the number of wrong pixels that one decision is expected to settle"),
    ("trust", "Least trusted", "Regions by the mean trust in their labels"),
    ("size", "Largest", "Regions by their area"),
    ("image", "By image", "Regions image by image, so that you see each image once"),
)
VIEWS = (
    ("regions", "Regions", "One row a region"),
    ("images", "Images", "Sums by image: where most of the work is"),
    ("classes", "Classes", "Sums by what the label says and what the model proposes"),
)
REGION_COLUMNS = (
    ("#", "Place in the queue"),
    ("Image", "Double click or press Enter to go there"),
    ("Kind", "▲ probable error, ◆ ambiguous boundary, □ no label yet"),
    ("Trust", "Mean trust in the labels of its pixels"),
    ("Wrong px", "Wrong pixels expected in it"),
)
SUM_COLUMNS = (
    ("Name", "Double click or press Enter to go to the region that is worth most"),
    ("Regions", "Waiting for a decision"),
    ("Errors", "Probable errors among them"),
    ("Wrong px", "Wrong pixels expected in them"),
)
KINDS = {"error": "▲ error", "ambiguous": "◆ ambiguous", "unlabelled": "□ no label"}
SEARCH_DELAY = 200


class QueueModel(RowsModel):
    """Regions, or sums of them."""

    def __init__(self) -> None:
        super().__init__(REGION_COLUMNS, frozenset({"#", "Trust", "Wrong px", "Regions", "Errors"}))

    def show_rows(self, rows: Sequence[Region] | Sequence[RollUp], columns: tuple[tuple[str, str], ...]) -> bool:
        """Take other rows; False when they are the same."""
        if rows == self.rows and columns == self.columns:
            return False
        self.take(rows, columns)
        return True

    def texts(self, place: int) -> tuple[str, ...]:
        """The cells of a row."""
        entry = self.rows[place]
        if isinstance(entry, RollUp):
            return entry.name, f"{entry.regions:,}", f"{entry.errors:,}", f"{entry.wrong_pixels:,.0f}"
        figures = (f"{100 * entry.trust:.0f} %", f"{entry.score:,.0f}") if entry.labelled else ("–", "–")
        return str(place + 1), entry.image, KINDS[entry.kind], *figures


class QueuePanel(QWidget):
    """The section that lists what waits for a decision."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        layout = QVBoxLayout(self)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search image names")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Show regions of images whose name contains this")
        self._typed = QTimer(self)
        self._typed.setSingleShot(True)
        self._typed.setInterval(SEARCH_DELAY)
        self._typed.timeout.connect(lambda: controller.search(self.search.text()))
        self.search.textEdited.connect(lambda _text: self._typed.start())
        self.view = _choice(VIEWS, "view")
        self.view.activated.connect(lambda _index: self.show_state(controller.state))
        self.order = _choice(ORDERS, "order")
        self.order.activated.connect(lambda _index: controller.sort(self.order.currentData()))
        layout.addWidget(self.search)
        layout.addWidget(row(self.view, self.order))
        self.sum = text()
        self.sum.setObjectName("queue-sum")
        layout.addWidget(self.sum)
        self.model = QueueModel()
        self.table = table(self.model, "queue")
        self.table.activated.connect(self._on_activated)
        layout.addWidget(self.table, 1)
        self.changes = text()
        self.changes.setObjectName("arrival")
        layout.addWidget(self.changes)
        self.show_state(controller.state)

    def show_state(self, state: UiState) -> None:
        """Draw the state; the list only while it is in sight."""
        review = state.review
        self.order.setCurrentIndex([key for key, _, _ in ORDERS].index(review.order))
        self.order.setEnabled(self.view.currentData() == "regions")
        for widget in (self.search, self.view, self.table):
            widget.setVisible(bool(review.run))
        self.order.setVisible(bool(review.run))
        self.sum.setText(_sum_text(state))
        self.changes.setText("" if review.arrival is None else arrival_lines(review.arrival))
        if not self.isVisible():
            return
        rows, columns = self._rows(state)
        if self.model.show_rows(rows, columns):
            self.table.stretch(1 if columns is REGION_COLUMNS else 0)
        if columns == REGION_COLUMNS and review.position:
            self.table.setCurrentIndex(self.model.index(review.position - 1, 0))

    def _rows(self, state: UiState) -> tuple[Any, tuple[tuple[str, str], ...]]:
        view, regions = self.view.currentData(), state.review.regions
        if view == "regions" or state.project is None:
            return regions, REGION_COLUMNS
        return (by_image(regions) if view == "images" else by_class(regions, state.project.classes)), SUM_COLUMNS

    def showEvent(self, event: Any) -> None:
        """Catch up with what happened out of sight."""
        super().showEvent(event)
        self.show_state(self._controller.state)

    def _on_activated(self, index: QModelIndex) -> None:
        entry = self.model.rows[index.row()]
        self._controller.go_to(entry.first if isinstance(entry, RollUp) else entry.id)


def _choice(entries: tuple[tuple[str, str, str], ...], name: str) -> QComboBox:
    made = QComboBox()
    made.setObjectName(name)
    for place, (key, words, tip) in enumerate(entries):
        made.addItem(words, key)
        made.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
    return made


def _sum_text(state: UiState) -> str:
    review = state.review
    if not review.run:
        return EMPTY
    if not review.regions:
        return NONE_LEFT if review.searched or review.filter != "all" else "No region is left."
    return f"{review.open:,} regions, about {review.undecided:,.0f} wrong pixels expected in them."


def arrival_lines(arrival: Arrival) -> str:
    """What the newest scores changed, in words: because of corrections, and of more training."""
    text = (
        f"Since the scores before: {arrival.new:,} new regions, {arrival.gone:,} gone, {arrival.stayed:,} as they were."
    )
    if arrival.moved:
        moves = ", ".join(f"{move.image} {move.before:,.0f} → {move.after:,.0f}" for move in arrival.moved)
        text += f" Wrong pixels expected changed most in {moves}."
    return text
