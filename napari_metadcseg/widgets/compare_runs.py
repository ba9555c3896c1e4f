"""Runs over each other: curves of held-out Dice and loss, the verdict on the same pixels, settings that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QSizePolicy, QVBoxLayout, QWidget

from napari_metadcseg.widgets.parts import heading, table, text
from napari_metadcseg.widgets.rows_model import RowsModel
from src_core.data.case import OKABE_ITO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

    from src_core.store.run_table import Curves

PENS = tuple(OKABE_ITO[index] for index in (1, 2, 3, 7, 6, 5, 4))
DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)


def pen_of(place: int) -> QPen:
    """Colour and dashes of a run; both differ, for eyes that do not tell colours."""
    return QPen(QColor(PENS[place % len(PENS)]), 2, DASHES[place % len(DASHES)])


class RunCurves(QWidget):
    """One quantity of several runs over the epochs."""

    def __init__(self, words: str, nothing: str) -> None:
        super().__init__()
        self._words, self._nothing = words, nothing
        self._lines: tuple[tuple[tuple[int, float], ...], ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """Preferred size, by the letters."""
        letters = self.fontMetrics()
        return QSize(60 * letters.averageCharWidth(), 9 * letters.height())

    def minimumSizeHint(self) -> QSize:
        """Still to be read."""
        return QSize(self.sizeHint().width() // 2, 6 * self.fontMetrics().height())

    def show_lines(self, lines: Sequence[tuple[tuple[int, float], ...]]) -> None:
        """Draw other curves, in the order of the runs."""
        self._lines = tuple(lines)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw frame, ends of the axes and a line a run."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        letters, ink = self.fontMetrics(), self.palette().text().color()
        line = letters.height()
        left = letters.horizontalAdvance("0.0000") + 10
        frame = QRectF(left, 1.2 * line, self.width() - left - 8, self.height() - 2.5 * line)
        faint = QColor(ink)
        faint.setAlpha(90)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(frame)
        painter.setPen(ink)
        top = QRectF(frame.left(), 0, frame.width(), line)
        bottom = QRectF(frame.left(), frame.bottom() + 0.2 * line, frame.width(), line)
        painter.drawText(top, Qt.AlignmentFlag.AlignLeft, self._words)
        values = [value for points in self._lines for _, value in points]
        if not values:
            painter.drawText(frame, Qt.AlignmentFlag.AlignCenter, self._nothing)
            return
        low, high = min(values), max(values)
        last = max(epoch for points in self._lines for epoch, _ in points)
        painter.drawText(bottom, Qt.AlignmentFlag.AlignLeft, "1")
        painter.drawText(bottom, Qt.AlignmentFlag.AlignHCenter, "epoch")
        painter.drawText(bottom, Qt.AlignmentFlag.AlignRight, f"{last}")
        for value, y in ((high, frame.top()), (low, frame.bottom() - line)):
            painter.drawText(QRectF(0, y, left - 5, line), Qt.AlignmentFlag.AlignRight, f"{value:.3g}")
        self._draw(painter, frame.adjusted(2, 4, -2, -4), low, max(high - low, 1e-6), max(last - 1, 1))

    def _draw(self, painter: QPainter, frame: QRectF, low: float, span: float, epochs: int) -> None:
        for place, points in enumerate(self._lines):
            painter.setPen(pen_of(place))
            places = [
                QPointF(
                    frame.left() + frame.width() * (epoch - 1) / epochs,
                    frame.bottom() - frame.height() * (value - low) / span,
                )
                for epoch, value in points
            ]
            if len(places) == 1:
                painter.drawEllipse(places[0], 2, 2)
            else:
                painter.drawPolyline(QPolygonF(places))


class _Names(QWidget):
    """The runs, each with a piece of its line."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names
        self.setFixedHeight(round(1.4 * self.fontMetrics().height()))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        letters, x = self.fontMetrics(), 2
        for place, name in enumerate(self._names):
            painter.setPen(pen_of(place))
            painter.drawLine(x, self.height() // 2, x + 26, self.height() // 2)
            painter.setPen(self.palette().text().color())
            painter.drawText(x + 32, (self.height() + letters.ascent() - letters.descent()) // 2, name)
            x += 32 + letters.horizontalAdvance(name) + 20


class SettingsModel(RowsModel):
    """Settings that differ: a row a setting, a column a run."""

    def __init__(self, names: Sequence[str], rows: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        super().__init__([(name, "") for name in ("Setting", *names)])
        self.take(tuple(rows))

    def texts(self, place: int) -> tuple[str, ...]:
        """The cells of a setting."""
        name, values = self.rows[place]
        return name.replace("_", " "), *map(str, values)


class CompareDialog(QDialog):
    """Shows what was found about two runs or more.

    Parameters
    ----------
    parent : QWidget
    curves : sequence of Curves
    verdicts : sequence of str
        Sentences on the same verified pixels.
    settings : sequence of (name, values)
        That differ.
    """

    def __init__(
        self,
        parent: QWidget | None,
        curves: Sequence[Curves],
        verdicts: Sequence[str],
        settings: Sequence[tuple[str, tuple[Any, ...]]],
    ) -> None:
        super().__init__(parent)
        self.setObjectName("compare-runs")
        self.setWindowTitle("Runs over each other")
        layout = QVBoxLayout(self)
        self.words = text("\n".join(verdicts))
        layout.addWidget(self.words)
        names = [each.name for each in curves]
        layout.addWidget(_Names(names))
        self.dice = RunCurves(
            "held-out Dice (higher is better)", "no image was held out: verify four or more before training"
        )
        self.dice.show_lines([each.dice for each in curves])
        self.dice.setToolTip(
            "Each run on the verified images that it held out; they need not be the same ones. The sentence above is "
            "on the same pixels."
        )
        self.loss = RunCurves("training loss (lower is better)", "nothing was trained")
        self.loss.show_lines([each.loss for each in curves])
        self.loss.setToolTip("Of the masks as they were given: a run that learns their errors has a low one, too")
        layout.addWidget(self.dice, 2)
        layout.addWidget(self.loss, 2)
        layout.addWidget(heading("Settings that differ" if settings else "Their settings are the same."))
        self.model = SettingsModel(names, settings)
        self.table = table(self.model, "differing-settings")
        self.table.stretch(0)
        self.table.setVisible(bool(settings))
        layout.addWidget(self.table, 2 if settings else 0)
        closing = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        closing.rejected.connect(self.reject)
        layout.addWidget(closing)
        letters = self.fontMetrics()
        self.resize(80 * letters.averageCharWidth(), 40 * letters.height())
