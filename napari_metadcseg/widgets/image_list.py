"""The list of images: a table over plain rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_metadcseg.widgets.rows_model import RowsModel

if TYPE_CHECKING:
    from napari_metadcseg.state import ImageRow

COLUMNS = (
    ("Image", "Name of the image; click a row to see it"),
    ("Mask", "Verified: a person has said that the whole mask is right. No mask: the image came without one"),
    ("To do", "Suspect regions that wait for a decision"),
    ("Suspect", "Expected share of wrong pixels in the mask"),
)
WORDS = {"verified": "✓ verified", "partly": "◐ partly", "open": "○ open", "unlabelled": "□ no mask"}
WIDEST = (tuple(WORDS.values()), ("9999",), ("100 %",))
PADDING = 14

FEW = 100
"""So many rows are drawn anew one by one; of more, all from the first to the last."""


class ImageModel(RowsModel):
    """Rows of the state."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, frozenset({"To do", "Suspect"}))

    def show_rows(self, rows: tuple[ImageRow, ...]) -> None:
        """Take other rows; only what differs is drawn again."""
        if len(rows) != len(self.rows):
            self.take(rows)
            return
        changed = [i for i, (new, old) in enumerate(zip(rows, self.rows, strict=True)) if new is not old and new != old]
        self.rows = rows
        if len(changed) > FEW:
            self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], len(COLUMNS) - 1))
            return
        for place in changed:
            self.dataChanged.emit(self.index(place, 0), self.index(place, len(COLUMNS) - 1))

    def texts(self, place: int) -> tuple[str, ...]:
        """The cells of an image."""
        row = self.rows[place]
        score = "" if row.score is None else f"{100 * row.score:.0f} %"
        return row.name, WORDS[row.status], str(row.regions or ""), score

    def sorted_by(self, place: int) -> tuple[Any, ...]:
        """Images without scores come first."""
        row = self.rows[place]
        return row.name, row.status, row.regions, -1.0 if row.score is None else row.score


class ImageList(QTableView):
    """Shows the images; tells which one was clicked."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._model = ImageModel()
        proxy = QSortFilterProxyModel(self)
        proxy.setSourceModel(self._model)
        proxy.setSortRole(Qt.ItemDataRole.UserRole)
        self.setModel(proxy)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, words in enumerate(WIDEST, start=1):  # known, so that Qt need not measure thousands of rows
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, self._width(COLUMNS[column][0], words))
        self.setObjectName("images")
        self.clicked.connect(self._on_clicked)

    def show_rows(self, rows: tuple[ImageRow, ...], current: int | None) -> None:
        """Show rows and mark the current image."""
        self._model.show_rows(rows)
        for place, row in enumerate(rows):
            if row.case_id == current:
                index = self.model().mapFromSource(self._model.index(place, 0))
                if index.row() != self.currentIndex().row():
                    self.setCurrentIndex(index)
                return

    def _width(self, head: str, words: tuple[str, ...]) -> int:
        """Room for a head with its arrow, and for the widest words below it."""
        heads, cells = self.horizontalHeader().fontMetrics(), self.fontMetrics()
        return max(heads.horizontalAdvance(head + "  ▾"), *map(cells.horizontalAdvance, words)) + PADDING

    def _on_clicked(self, index: QModelIndex) -> None:
        self.chosen.emit(self._model.rows[self.model().mapToSource(index).row()].case_id)
