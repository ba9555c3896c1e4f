"""Asks training to stand aside while the canvas is used: painted on, moved, or drawn anew."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QOpenGLWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

ASKED_EVERY = 0.1
"""Seconds between two requests."""

_USED = frozenset(
    {QEvent.Type.Paint, QEvent.Type.MouseButtonPress, QEvent.Type.Wheel, QEvent.Type.KeyPress, QEvent.Type.TouchBegin}
)


class Foreground(QObject):
    """Follows the canvases of a window.

    Parameters
    ----------
    ask : callable
        Called when a canvas is used, at most every 0.1 s.
    parent : QWidget
        Dies with it.
    """

    def __init__(self, ask: Callable[[], None], parent: QWidget) -> None:
        super().__init__(parent)
        self._ask = ask
        self._asked = 0.0

    def follow(self, window: QWidget) -> None:
        """Follow what there is of canvases in a window; may be called again."""
        for canvas in window.findChildren(QOpenGLWidget):
            canvas.installEventFilter(self)

    def eventFilter(self, _canvas: QObject, event: QEvent) -> bool:
        """See what reaches a canvas, and let it pass."""
        if event.type() in _USED:
            now = time.monotonic()
            if now - self._asked > ASKED_EVERY:
                self._asked = now
                self._ask()
        return False
