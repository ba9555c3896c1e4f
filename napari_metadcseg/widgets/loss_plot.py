"""A small picture of the run: its loss, and the Dice on verified pixels beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent

Points = tuple[tuple[int, float], ...]

SMOOTH = 0.1
LOSS_COLOURS = ("#56B4E9", "#0072B2")
DICE_COLOURS = ("#E69F00", "#D55E00")
"""On dark and on light ground."""


class LossPlot(QWidget):
    """Loss a step, smoothed, and Dice an epoch, over the steps of the run; told apart by colour, line and marks."""

    def __init__(self) -> None:
        super().__init__()
        self._losses: Points = ()
        self._dice: Points = ()
        self._steps = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Loss of each training step, smoothed (left scale): it should fall and level out.\n"
            "Dice on verified pixels after each epoch (right scale, 1 is perfect): it should rise."
        )

    def sizeHint(self) -> QSize:
        """Preferred size, by the height of the letters."""
        line = self.fontMetrics().height()
        return QSize(line * 18, line * 8)

    def show_losses(self, losses: Points, steps: int, dice: Points = ()) -> None:
        """Draw other values; ``steps`` is the length of the whole run."""
        if losses is not self._losses or dice is not self._dice or steps != self._steps:
            self._losses, self._dice, self._steps = losses, dice, steps
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw legend, frame, scales and curves."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink, line = self.palette().text().color(), self.fontMetrics().height()
        side = self.fontMetrics().horizontalAdvance("00.00") + 6
        frame = QRectF(side, line + 4, self.width() - 2 * side, self.height() - 2 * line - 8)
        faint = QColor(ink)
        faint.setAlpha(90)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(frame)
        below = QRectF(frame.left(), frame.bottom() + 2, frame.width(), line)
        painter.setPen(ink)
        words = f"step 0 to {self._steps:,}" if self._losses else "the curves appear here"
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, words)
        self._draw_legend(painter, frame, ink)
        losses = smoothed(self._losses)
        if len(losses) > 1:
            self._draw_loss(painter, frame, losses, ink)
        if self._dice:
            self._draw_dice(painter, frame, ink)

    def _colour(self, pair: tuple[str, str]) -> QColor:
        dark = self.palette().window().color().lightness() < 128
        return QColor(pair[0] if dark else pair[1])

    def _draw_legend(self, painter: QPainter, frame: QRectF, ink: QColor) -> None:
        metrics = self.fontMetrics()
        x, y = frame.left(), metrics.height() / 2
        for words, pair, marks in (("Loss", LOSS_COLOURS, False), ("Dice on verified pixels", DICE_COLOURS, True)):
            if marks and not self._dice:
                continue
            pen = QPen(self._colour(pair), 2, Qt.PenStyle.DashLine if marks else Qt.PenStyle.SolidLine)
            painter.setPen(pen)
            painter.drawLine(QPointF(x, y), QPointF(x + 20, y))
            if marks:
                _mark(painter, QPointF(x + 10, y), self._colour(pair))
            painter.setPen(ink)
            painter.drawText(QPointF(x + 25, y + metrics.ascent() / 2 - 1), words)
            x += 25 + metrics.horizontalAdvance(words) + 14

    def _draw_loss(self, painter: QPainter, frame: QRectF, points: NDArray[np.float64], ink: QColor) -> None:
        low, high = float(points[:, 1].min()), float(points[:, 1].max())
        high = high if high > low else low + 1e-6
        self._draw_scale(painter, frame, (low, high), ink, right=False)
        painter.setPen(QPen(self._colour(LOSS_COLOURS), 2))
        painter.drawPolyline(QPolygonF([self._place(frame, step, (y - low) / (high - low)) for step, y in points]))

    def _draw_dice(self, painter: QPainter, frame: QRectF, ink: QColor) -> None:
        self._draw_scale(painter, frame, (0.0, 1.0), ink, right=True)
        colour = self._colour(DICE_COLOURS)
        places = [self._place(frame, step, value) for step, value in self._dice]
        painter.setPen(QPen(colour, 2, Qt.PenStyle.DashLine))
        painter.drawPolyline(QPolygonF(places))
        for place in places[:: max(len(places) // 20, 1)]:
            _mark(painter, place, colour)

    def _draw_scale(
        self, painter: QPainter, frame: QRectF, ends: tuple[float, float], ink: QColor, *, right: bool
    ) -> None:
        painter.setPen(ink)
        line, margin = self.fontMetrics().height(), 3
        for value, y in ((ends[1], frame.top()), (ends[0], frame.bottom() - line)):
            left, width = (
                (frame.right() + margin, self.width() - frame.right()) if right else (0, frame.left() - margin)
            )
            side = Qt.AlignmentFlag.AlignLeft if right else Qt.AlignmentFlag.AlignRight
            number = f"{value:.0f}" if right else f"{value:.2f}"
            painter.drawText(QRectF(left, y, width, line), side, number if math.isfinite(value) else "")

    def _place(self, frame: QRectF, step: float, height: float) -> QPointF:
        last = max(self._steps, self._losses[-1][0] if self._losses else 0, 1)
        return QPointF(frame.left() + frame.width() * step / last, frame.bottom() - 2 - (frame.height() - 4) * height)


def _mark(painter: QPainter, place: QPointF, colour: QColor) -> None:
    painter.save()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawEllipse(place, 3, 3)
    painter.restore()


def smoothed(points: Points) -> NDArray[np.float64]:
    """Exponential mean, unbiased at the start; rows of step and value, those that are no numbers left out."""
    result = np.array([point for point in points if math.isfinite(point[1])], dtype=np.float64).reshape(-1, 2)
    mean = weight = 0.0
    for index, value in enumerate(result[:, 1].copy()):
        mean = (1 - SMOOTH) * mean + SMOOTH * value
        weight = (1 - SMOOTH) * weight + SMOOTH
        result[index, 1] = mean / weight
    return result
