"""Switches of the overlays, each with its legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, QSignalBlocker, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPen
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSizePolicy, QWidget

from napari_metadcseg.layers.overlays import OVERLAYS, Overlay

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_metadcseg.layers.scene import Scene


class ColorBar(QWidget):
    """The colours of an overlay from 0 to 1, over grey, as they look on an image."""

    def __init__(self, overlay: Overlay) -> None:
        super().__init__()
        self._overlay = overlay
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Preferred size."""
        return QSize(48, 12)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the bar, or an outline for a mask."""
        painter = QPainter(self)
        frame = QRectF(0.5, 0.5, self.width() - 1, self.height() - 1)
        if self._overlay.kind == "mask":
            painter.setPen(QPen(QColor(self._overlay.stops[0][0]), 2))
            painter.drawRect(frame.adjusted(1, 1, -1, -1))
            return
        gradient = QLinearGradient(frame.topLeft(), frame.topRight())
        stops = self._overlay.stops
        for index, (color, opacity) in enumerate(stops):
            shade = QColor(color)
            shade.setAlphaF(opacity)
            gradient.setColorAt(index / (len(stops) - 1), shade)
        painter.fillRect(frame, QColor("#606060"))
        painter.fillRect(frame, gradient)


class Legend(QWidget):
    """One line an overlay: switch, colour bar, words at its ends."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene
        self.boxes: dict[str, QCheckBox] = {}
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(5)
        layout.setVerticalSpacing(1)
        for line, overlay in enumerate(OVERLAYS):
            box = QCheckBox(overlay.title)
            box.setToolTip(overlay.tip)
            box.setChecked(scene.is_on(overlay.key))
            box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            box.toggled.connect(lambda on, key=overlay.key: scene.switch(key, on))
            self.boxes[overlay.key] = box
            layout.addWidget(box, line, 0)
            if overlay.ends[0]:
                layout.addWidget(QLabel(overlay.ends[0]), line, 1, Qt.AlignmentFlag.AlignRight)
            layout.addWidget(ColorBar(overlay), line, 2)
            layout.addWidget(QLabel(overlay.ends[1]), line, 3)
        layout.setColumnStretch(3, 1)

    def refresh(self) -> None:
        """Show which overlays are on, and which there are."""
        for overlay in OVERLAYS:
            box, lacks = self.boxes[overlay.key], self._scene.controller.review.lacks(overlay.key)
            with QSignalBlocker(box):
                box.setChecked(self._scene.is_on(overlay.key))
            box.setEnabled(not lacks)
            box.setToolTip("These scores have no such map. " * lacks + overlay.tip)
