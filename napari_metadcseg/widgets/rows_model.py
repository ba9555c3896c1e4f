"""Plain rows as Qt's tables want them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

if TYPE_CHECKING:
    from collections.abc import Sequence

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class RowsModel(QAbstractTableModel):
    """A table over a sequence; what stands in a row is asked for when it is in sight.

    A subclass says it with :meth:`texts`, and more with :meth:`tip` and :meth:`sorted_by`; without one a row is its
    cells.

    Parameters
    ----------
    columns : sequence of (head, tooltip)
    right : set of str
        Heads of the columns whose cells are figures.

    Attributes
    ----------
    rows : sequence
    """

    def __init__(self, columns: Sequence[tuple[str, str]], right: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.rows: Sequence[Any] = ()
        self._right = right

    def take(self, rows: Sequence[Any], columns: Sequence[tuple[str, str]] | None = None) -> None:
        """Show other rows, and other columns if they are given."""
        self.beginResetModel()
        self.rows = rows
        self.columns = self.columns if columns is None else tuple(columns)
        self.endResetModel()

    def texts(self, place: int) -> Sequence[str]:
        """The cells of a row."""
        cells: Sequence[str] = self.rows[place]
        return cells

    def tip(self, place: int) -> str | None:
        """What stands behind a row, as a tooltip."""
        return None

    def sorted_by(self, place: int) -> Sequence[Any]:
        """By what the cells of a row are sorted."""
        return self.texts(place)

    # ---------------------------------------------------------------- what Qt asks

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, _parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell: its text, tooltip, side, or what it is sorted by."""
        place, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.texts(place)[column]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT if self.columns[column][0] in self._right else LEFT
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.tip(place)
        return self.sorted_by(place)[column] if role == Qt.ItemDataRole.UserRole else None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Heads of the columns, and their tooltips."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        words, help_ = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return words
        return help_ if role == Qt.ItemDataRole.ToolTipRole and help_ else None
