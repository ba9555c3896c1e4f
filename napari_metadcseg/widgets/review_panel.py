"""Review: the region in hand, and the decision on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFrame, QVBoxLayout, QWidget

from napari_metadcseg.keybindings import key_of
from napari_metadcseg.widgets.legend import Legend
from napari_metadcseg.widgets.parts import button, heading, row, text

if TYPE_CHECKING:
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.layers.scene import Scene
    from napari_metadcseg.state import UiState
    from src_core.data.case import ClassInfo
    from src_core.data.scores import Region

BUTTONS = (
    (("accept", "Accept proposal"), ("keep", "Keep label")),
    (("confirm", "Confirm painting"), ("skip", "Skip")),
    (("previous", "◀ Previous"), ("next", "Next ▶")),
    (("undo", "Undo"), ("redo", "Redo")),
)
TIPS = {
    "accept": "The model is right: its proposal becomes the label of this region",
    "keep": "The label is right as it is; the model learns that, too",
    "confirm": "Paint the fix on the layer 'label' first (key 2), then confirm it",
    "skip": "No decision now; the region comes again at the end",
    "previous": "The region before",
    "next": "The next region",
    "undo": "Turn back the last decision or stroke, also of another image or day",
    "redo": "Repeat what was undone",
}
DECISIONS = ("accept", "keep", "confirm", "skip")
EMPTY = (
    "Nothing to review yet. Train first: the queue of suspect regions fills by itself. You can already paint on the "
    "layer 'label'; every stroke is saved."
)
DONE = "All regions of this queue are settled. Train again to look for more, or export the cleaned masks."


class ReviewPanel(QWidget):
    """The third section of the widget."""

    help_asked = Signal()

    def __init__(self, controller: Controller, scene: Scene) -> None:
        super().__init__()
        self._controller = controller
        layout = QVBoxLayout(self)
        self.filter = QComboBox()
        self.filter.setToolTip(
            "Probable errors: low trust away from uncertain boundaries. Ambiguous boundaries: could go either way."
        )
        for key in ("all", "error", "ambiguous"):
            self.filter.addItem(key, key)
        self.filter.activated.connect(lambda _index: controller.show_kind(self.filter.currentData()))
        layout.addWidget(self.filter)
        self.card = QFrame()
        self.card.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(self.card)
        self.place = heading("")
        self.place.setObjectName("position")
        self.words = text()
        self.words.setObjectName("region")
        inside.addWidget(self.place)
        inside.addWidget(self.words)
        layout.addWidget(self.card)
        self.buttons = {}
        for pair in BUTTONS:
            made = [
                button(
                    f"{words} ({key_of(action)})",
                    f"{TIPS[action]}. Key: {key_of(action)}",
                    getattr(controller, action),
                    action,
                )
                for action, words in pair
            ]
            self.buttons |= dict(zip((action for action, _ in pair), made, strict=True))
            layout.addWidget(row(*made))
        self.last = text()
        self.last.setObjectName("last")
        layout.addWidget(self.last)
        layout.addWidget(heading("Overlays"))
        self.legend = Legend(scene)
        layout.addWidget(self.legend)
        layout.addStretch(1)
        layout.addWidget(button("Keys (H)", "Show all keys", self.help_asked.emit, "help"))
        self.show_state(controller.state)

    def show_state(self, state: UiState) -> None:
        """Draw the state."""
        review, writable = state.review, state.project is not None and state.project.writable
        labels = (
            f"All suspect regions ({review.errors + review.ambiguous})",
            f"Probable errors ({review.errors})",
            f"Ambiguous boundaries ({review.ambiguous})",
        )
        for index, words in enumerate(labels):
            self.filter.setItemText(index, words)
        self.filter.setCurrentIndex(("all", "error", "ambiguous").index(review.filter))
        region = review.region
        if region is not None and state.project is not None:
            self.place.setText(f"Region {review.position} of {review.open}" if review.position else "Settled region")
            self.words.setText(region_text(region, state.project.classes))
        else:
            self.place.setText("No region in hand")
            self.words.setText(self._why_empty(state))
        for action in DECISIONS:
            self.buttons[action].setEnabled(writable and region is not None)
        for action in ("next", "previous"):
            self.buttons[action].setEnabled(review.open > 0)
        self.buttons["undo"].setEnabled(review.can_undo)
        self.buttons["redo"].setEnabled(review.can_redo)
        self.last.setText(f"Saved: {review.last}" if review.last else "")

    @staticmethod
    def _why_empty(state: UiState) -> str:
        if not state.review.run:
            return EMPTY
        return "Press Next (N) to take the most suspect one." if state.review.open else DONE


def region_text(region: Region, classes: tuple[ClassInfo, ...]) -> str:
    """Why a region is suspect, in words and figures."""
    names = {info.index: info.name for info in classes}
    given, proposed = names.get(region.given, "?"), names.get(region.proposed, "?")
    kind = (
        "Probable error: the model is sure that the label is wrong."
        if region.kind == "error"
        else "Ambiguous boundary: it can be drawn in more than one way."
    )
    return (
        f"{kind}\nImage {region.image}, {region.pixels:,} px.\n"
        f"Labelled {given}, the model proposes {proposed}.\n"
        f"Trust in the label: {100 * region.trust:.0f} %."
    )
