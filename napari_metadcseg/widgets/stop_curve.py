"""A small curve of what is left over a review, with its interval as a band, and of the hit rate below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from src_core.review.advice import rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtGui import QPaintEvent

    from src_core.review.stopping import Estimate

LINE = QColor("#56B4E9")
BAND = QColor(86, 180, 233, 80)
HITS = QColor("#E69F00")
LIMIT = QColor("#D55E00")


class StopCurve(QWidget):
    """Wrong pixels left, and below it how many of the last regions were really wrong, over the regions decided."""

    def __init__(self) -> None:
        super().__init__()
        self._points: tuple[Estimate, ...] = ()
        self._limit: float | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Blue: wrong pixels left, the band holds the truth nine times in ten. Dashed: your limit; stop when the "
            "band is below it. Orange: share of the last regions that were really wrong."
        )

    def sizeHint(self) -> QSize:
        """Preferred size, by the height of the letters."""
        return QSize(280, 11 * self.fontMetrics().height())

    def show_points(self, points: Sequence[Estimate], limit: float | None) -> None:
        """Draw another curve.

        Parameters
        ----------
        points : sequence of Estimate
            Over the review, oldest first.
        limit : float or None
            Where the person wants to stop, px.
        """
        self._points, self._limit = tuple(points), limit
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw both plots."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        letters = self.fontMetrics()
        line = letters.height()
        left = letters.horizontalAdvance("000,000,") + 4
        width = self.width() - left - 6
        upper = QRectF(left, line / 2, width, self.height() - 5.6 * line)
        lower = QRectF(left, upper.bottom() + 1.1 * line, width, 1.9 * line)
        for frame, words in ((upper, "wrong pixels left"), (lower, "last regions really wrong")):
            self._draw_frame(painter, frame, words)
        bottom = QRectF(left, lower.bottom() + 0.1 * line, width, line)
        painter.drawText(bottom, Qt.AlignmentFlag.AlignHCenter, "regions decided")
        if not self._points:
            return
        last = self._points[-1].decided
        painter.drawText(bottom, Qt.AlignmentFlag.AlignLeft, f"{self._points[0].decided:,}")
        painter.drawText(bottom, Qt.AlignmentFlag.AlignRight, f"{last:,}")
        self._draw_left(painter, upper)
        self._draw_hits(painter, lower)

    def _draw_frame(self, painter: QPainter, frame: QRectF, words: str) -> None:
        ink = self.palette().text().color()
        faint = QColor(ink)
        faint.setAlpha(90)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(frame)
        painter.setPen(ink)
        above = QRectF(frame.left() + 4, frame.top(), frame.width() - 8, self.fontMetrics().height())
        painter.drawText(above, Qt.AlignmentFlag.AlignRight, words)

    def _draw_left(self, painter: QPainter, frame: QRectF) -> None:
        most = max(max(point.wrong.high for point in self._points), 1.0)
        place = self._placer(frame, most)
        upper = [place(point.decided, point.wrong.high) for point in self._points]
        lower = [place(point.decided, point.wrong.low) for point in self._points]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(BAND)
        painter.drawPolygon(QPolygonF([*upper, *reversed(lower)]))
        painter.setPen(QPen(LINE, 2))
        _draw_line(painter, [place(point.decided, point.wrong.value) for point in self._points])
        if len(self._points) == 1:
            painter.drawLine(upper[0], lower[0])
        if self._limit is not None and self._limit <= most:
            painter.setPen(QPen(LIMIT, 1.5, Qt.PenStyle.DashLine))
            height = place(0, self._limit).y()
            painter.drawLine(QPointF(frame.left(), height), QPointF(frame.right(), height))
        self._draw_ends(painter, frame, f"{rounded(most):,}", "0")

    def _draw_hits(self, painter: QPainter, frame: QRectF) -> None:
        place = self._placer(frame, 1.0)
        rates = [(point.decided, rate) for point in self._points if (rate := point.hit_rate) is not None]
        painter.setPen(QPen(HITS, 2))
        _draw_line(painter, [place(decided, rate) for decided, rate in rates])
        self._draw_ends(painter, frame, "100 %", "0 %")

    def _draw_ends(self, painter: QPainter, frame: QRectF, high: str, low: str) -> None:
        painter.setPen(self.palette().text().color())
        height = self.fontMetrics().height()
        for words, y in ((high, frame.top() - height / 2), (low, frame.bottom() - height / 2)):
            painter.drawText(QRectF(0, y, frame.left() - 4, height), Qt.AlignmentFlag.AlignRight, words)

    def _placer(self, frame: QRectF, most: float) -> Callable[[float, float], QPointF]:
        first, last = self._points[0].decided, self._points[-1].decided
        span = max(last - first, 1)

        def place(decided: float, value: float) -> QPointF:
            return QPointF(
                frame.left() + frame.width() * (decided - first) / span,
                frame.bottom() - frame.height() * min(max(value / most, 0.0), 1.0),
            )

        return place


def _draw_line(painter: QPainter, points: list[QPointF]) -> None:
    if len(points) == 1:
        painter.drawEllipse(points[0], 1.5, 1.5)
    elif points:
        painter.drawPolyline(QPolygonF(points))
