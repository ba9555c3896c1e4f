"""Pieces that several panels use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTableView,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QAbstractItemModel
    from qtpy.QtGui import QKeyEvent


def button(text: str, tip: str, slot: Callable[[], object], name: str = "") -> QPushButton:
    """A push button; ``name`` is its object name."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setObjectName(name)
    made.clicked.connect(lambda _checked=False: slot())
    # keys belong to the canvas: a button that was clicked must not swallow the next key
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return made


def text(words: str = "", *, rich: bool = False, faint: bool = False) -> QLabel:
    """A label that wraps and can be selected."""
    made = QLabel(words)
    made.setWordWrap(True)
    made.setTextFormat(Qt.TextFormat.RichText if rich else Qt.TextFormat.PlainText)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    if faint:
        made.setStyleSheet("QLabel { font-style: italic; }")
    return made


def heading(words: str) -> QLabel:
    """A heading inside of a panel."""
    made = QLabel(words)
    made.setStyleSheet("QLabel { font-weight: bold; padding-top: 4px; }")
    return made


def row(*widgets: QWidget) -> QWidget:
    """Widgets side by side, sharing the width."""
    made = QWidget()
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget, 1)
    return made


class Table(QTableView):
    """A plain list of rows: one can be chosen, none can be edited; Enter and double click activate it."""

    def __init__(self, model: QAbstractItemModel, name: str) -> None:
        super().__init__()
        self.setModel(model)
        self.setObjectName(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.horizontalHeader().setHighlightSections(False)

    def stretch(self, column: int) -> None:
        """Let one column take the room that the others leave; they are as wide as what is in sight."""
        header = self.horizontalHeader()
        for other in range(self.model().columnCount()):
            header.setSectionResizeMode(other, QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(0)
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter goes there on every system."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self.activated.emit(self.currentIndex())
            return
        super().keyPressEvent(event)


def table(model: QAbstractItemModel, name: str) -> Table:
    """A table over a model; ``name`` is its object name."""
    return Table(model, name)
