"""A new run is worse: its proposals wait until a person asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QVBoxLayout

from napari_metadcseg.widgets.parts import button, row, text

if TYPE_CHECKING:
    from src_core.store.run_choice import Comparison


class HeldBack(QFrame):
    """One sentence and two answers; hidden while there is nothing to ask.

    Attributes
    ----------
    answered : Signal(str)
        Name of the run to review.
    """

    answered = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("held-back")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._shown: Comparison | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        self.words = text()
        layout.addWidget(self.words)
        self.keep_button = button("", "Its proposals stay; this is not asked again", self._keep, "keep-run")
        self.use_button = button("", "Take the proposals of the new run all the same", self._use, "use-run")
        layout.addWidget(row(self.keep_button, self.use_button))
        self.hide()

    def show_comparison(self, comparison: Comparison | None) -> None:
        """Ask, or be gone."""
        self._shown = comparison
        self.setVisible(comparison is not None)
        if comparison is not None:
            self.words.setText(comparison.sentence() + ".")
            self.keep_button.setText(f"Keep using {comparison.than}")
            self.use_button.setText(f"Use {comparison.run} anyway")

    def _keep(self) -> None:
        if self._shown is not None:
            self.answered.emit(self._shown.than)

    def _use(self) -> None:
        if self._shown is not None:
            self.answered.emit(self._shown.run)
