"""A small curve of the loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

LINE = QColor("#56B4E9")
SMOOTH = 0.1


class LossPlot(QWidget):
    """Loss a step, smoothed, over the steps of the run."""

    def __init__(self) -> None:
        super().__init__()
        self._losses: tuple[float, ...] = ()
        self._steps = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Loss of each training step, smoothed: it should fall and level out.")

    def sizeHint(self) -> QSize:
        """Preferred size."""
        return QSize(280, 110)

    def show_losses(self, losses: tuple[float, ...], steps: int) -> None:
        """Draw other values; ``steps`` is the length of the whole run."""
        if losses is not self._losses:
            self._losses, self._steps = losses, steps
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw frame, curve and the two ends of the axis."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().text().color()
        frame = QRectF(40, 6, self.width() - 48, self.height() - 26)
        faint = QColor(ink)
        faint.setAlpha(90)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(frame)
        painter.setPen(ink)
        below = QRectF(frame.left(), frame.bottom() + 2, frame.width(), 16)
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "training step" if self._losses else "loss appears here")
        values = smoothed(self._losses)
        if len(values) < 2:
            return
        low, high = float(values.min()), float(values.max())
        high = high if high > low else low + 1e-6
        for value, y in ((high, frame.top()), (low, frame.bottom() - 14)):
            label = QRectF(0, y, 36, 14)
            painter.drawText(label, Qt.AlignmentFlag.AlignRight, f"{value:.2f}" if math.isfinite(value) else "")
        span = max(self._steps, len(values)) - 1
        points = [
            QPointF(
                frame.left() + frame.width() * index / max(span, 1),
                frame.bottom() - (frame.height() - 4) * (value - low) / (high - low) - 2,
            )
            for index, value in enumerate(values)
        ]
        painter.setPen(QPen(LINE, 2))
        painter.drawPolyline(QPolygonF(points))


def smoothed(losses: tuple[float, ...]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Exponential mean, unbiased at the start."""
    result = np.empty(len(losses))
    mean = weight = 0.0
    for index, value in enumerate(losses):
        mean = (1 - SMOOTH) * mean + SMOOTH * value
        weight = (1 - SMOOTH) * weight + SMOOTH
        result[index] = mean / weight
    return result
