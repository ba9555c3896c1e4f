"""A strip of small pictures of what the model doubts; a click goes to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_metadcseg.state import Preview

SIDE = 64


class PreviewStrip(QWidget):
    """Pictures side by side, as many as the training process makes."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Preview, ...] = ()
        self.buttons: list[QToolButton] = []
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.hide()

    def show_previews(self, previews: tuple[Preview, ...], name_of: Callable[[int], str]) -> None:
        """Show other pictures; ``name_of`` gives the name of an image by its id."""
        if previews == self._shown:
            return
        self._shown = previews
        while len(self.buttons) < len(previews):
            self._add()
        for button, preview in zip(self.buttons, previews, strict=False):
            button.setIcon(QIcon(QPixmap(str(preview.path))))
            button.setProperty("case_id", preview.case_id)
            button.setToolTip(
                f"{name_of(preview.case_id)} after epoch {preview.epoch}: the model doubts {preview.doubted:.1%} of "
                "the labels (orange); blue is the edge of the mask. Click to go there."
            )
        for index, button in enumerate(self.buttons):
            button.setVisible(index < len(previews))
        self.setVisible(bool(previews))

    def _add(self) -> None:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIconSize(QSize(SIDE, SIDE))
        button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda _checked=False: self.chosen.emit(int(button.property("case_id"))))
        self.layout().addWidget(button)
        self.buttons.append(button)
