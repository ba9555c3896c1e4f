"""The line at the bottom of the widget that says what happened, or what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame, QHBoxLayout

from napari_metadcseg.widgets.parts import text

if TYPE_CHECKING:
    from napari_metadcseg.state import Message


class MessageBar(QFrame):
    """Shows one sentence; a problem has a bar of its own colour and a word, so that colour is not all that tells."""

    def __init__(self) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        self.label = text()
        self.label.setObjectName("message")
        layout.addWidget(self.label)
        self.hide()

    def show_message(self, message: Message) -> None:
        """Show a message; an empty one hides the bar."""
        problem = message.level == "error"
        self.label.setText(("Problem: " if problem else "") + message.text)
        color = "#D55E00" if problem else "#0072B2"
        self.setStyleSheet(f"MessageBar {{ border-left: 4px solid {color}; }}")
        self.setVisible(bool(message.text))
