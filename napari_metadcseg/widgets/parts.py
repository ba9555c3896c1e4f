"""Pieces that several panels use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable


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
