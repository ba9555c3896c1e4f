"""Review: the region in hand, and the decision on it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFrame, QVBoxLayout, QWidget

from napari_metadcseg.opinion import opinion_text
from napari_metadcseg.widgets.legend import Legend
from napari_metadcseg.widgets.parts import button, heading, row, text
from napari_metadcseg.widgets.preview import Preview, outlined
from src_core.data.slices import slices_text

if TYPE_CHECKING:
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.keybindings import KeyTable
    from napari_metadcseg.layers.scene import Scene
    from napari_metadcseg.state import UiState
    from src_core.data.case import CaseInfo, ClassInfo
    from src_core.data.scores import Region

BUTTONS = (
    (("accept", "Accept proposal"), ("keep", "Keep label")),
    (("confirm", "Confirm painting"), ("unsure", "Unsure")),
    (("skip", "Skip"), ("verify_image", "Image is right")),
    (("previous", "◀ Previous"), ("next", "Next ▶")),
    (("undo", "Undo"), ("redo", "Redo")),
)
TIPS = {
    "accept": "The model is right: its proposal becomes the label of this region",
    "keep": "The label is right as it is; the model learns that, too",
    "confirm": "Paint the fix on the layer 'label' first (key 2), then confirm it",
    "unsure": "Nobody can tell here: the label stays, teaches nothing, and is not asked again",
    "skip": "No decision now; the region comes again at the end",
    "verify_image": "The whole mask of this image is right as it looks now",
    "previous": "The region before",
    "next": "The next region",
    "undo": "Turn back the last decision or stroke, also of another image or day",
    "redo": "Repeat what was undone",
}
FILTERS = ("all", "error", "ambiguous", "unlabelled")
DECISIONS = ("accept", "keep", "confirm", "unsure", "skip")
KINDS = {
    "error": ("Probable error", "The model is sure that the label is wrong."),
    "ambiguous": ("Ambiguous boundary", "It can be drawn in more than one way."),
    "unlabelled": ("No label yet", "This image came without a mask; the model proposes one."),
}
EMPTY = (
    "Nothing to review yet. Train first, or import the scores of another model: the queue of suspect regions fills by "
    "itself. You can already paint on the layer 'label'; every stroke is saved."
)
UNSCORED = "This image is not scored yet: press 'Score new images' on the tab Project."
DONE = "All regions of this queue are settled. Train again to look for more, or export the cleaned masks."


class ReviewPanel(QWidget):
    """The section in which regions are decided."""

    help_asked = Signal()
    preferences_asked = Signal()

    def __init__(self, controller: Controller, scene: Scene, keys: KeyTable) -> None:
        super().__init__()
        self._controller = controller
        self._pictured: tuple[object, ...] = ()
        layout = QVBoxLayout(self)
        layout.setSpacing(4)
        self.filter = QComboBox()
        self.filter.setToolTip(
            "Probable errors: low trust away from uncertain boundaries. Ambiguous boundaries: could go either way. No "
            "label yet: images that came without a mask; they come last."
        )
        for key in FILTERS:
            self.filter.addItem(key, key)
        self.filter.activated.connect(lambda _index: controller.show_kind(self.filter.currentData()))
        layout.addWidget(self.filter)
        layout.addWidget(self._card())
        self.buttons = {}
        for pair in BUTTONS:
            made = [button("", "", getattr(controller, action), action) for action, _ in pair]
            self.buttons |= dict(zip((action for action, _ in pair), made, strict=True))
            layout.addWidget(row(*made))
        self.last = text()
        self.last.setObjectName("last")
        layout.addWidget(self.last)
        self.legend = Legend(scene)
        layout.addWidget(heading("Overlays"))
        layout.addWidget(self.legend)
        layout.addStretch(1)
        self.help = button("", "Show all keys", self.help_asked.emit, "help")
        self.preferences = button(
            "Preferences…", "Your name in the record, and your own keys", self.preferences_asked.emit, "preferences"
        )
        layout.addWidget(row(self.help, self.preferences))
        self.show_keys(keys)
        self.show_state(controller.state)

    def _card(self) -> QFrame:
        card = QFrame()
        card.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(card)
        inside.setSpacing(2)
        self.place = heading("")
        self.place.setObjectName("position")
        self.preview = Preview()
        self.words = text()
        self.words.setObjectName("region")
        for widget in (self.place, self.preview, self.words):
            inside.addWidget(widget)
        return card

    def show_keys(self, keys: KeyTable) -> None:
        """Write the keys on the buttons and into their tooltips."""
        for action, words in (entry for pair in BUTTONS for entry in pair):
            key = keys.of(action)
            self.buttons[action].setText(f"{words} ({key})")
            self.buttons[action].setToolTip(f"{TIPS[action]}. Key: {key}")
        self.help.setText(f"Keys ({keys.of('help')})")

    def show_state(self, state: UiState) -> None:
        """Draw the state."""
        review, writable = state.review, state.project is not None and state.project.writable
        self._show_filter(state)
        region = review.region
        self.place.setText(place_text(state))
        self.place.setToolTip("" if region is None else KINDS[region.kind][1])
        if region is not None and state.project is not None:
            case = None if self._controller.project is None else self._controller.project.case(region.case_id)
            opinion = opinion_text(review.opinion, trust=region.trust)
            words = (region_text(region, state.project.classes, case), opinion, review.note)
            self.words.setText("\n".join(filter(None, words)))
        else:
            self.words.setText(self._why_empty(state))
        self._show_preview(state)
        self.legend.refresh()
        for action in DECISIONS:
            self.buttons[action].setEnabled(writable and region is not None)
        for action in ("next", "previous"):
            self.buttons[action].setEnabled(review.open > 0)
        self.buttons["verify_image"].setEnabled(writable and state.case_id is not None)
        self.buttons["undo"].setEnabled(review.can_undo)
        self.buttons["redo"].setEnabled(review.can_redo)
        self.last.setText(f"Saved: {review.last}" if review.last else "")

    def _show_filter(self, state: UiState) -> None:
        review = state.review
        labels = (
            f"All regions ({review.errors + review.ambiguous + review.unlabelled})",
            f"▲ Probable errors ({review.errors})",
            f"◆ Ambiguous boundaries ({review.ambiguous})",
            f"□ No label yet ({review.unlabelled})",
        )
        for index, words in enumerate(labels):
            self.filter.setItemText(index, words)
        self.filter.setCurrentIndex(FILTERS.index(review.filter))

    def _show_preview(self, state: UiState) -> None:
        """Draw before and after anew when the region or the record has changed."""
        shown = (None if state.review.region is None else state.review.region.id, state.review.version)
        if shown == self._pictured:
            return
        self._pictured = shown
        around = self._controller.surroundings()
        if around is None or state.project is None:
            self.preview.show_pictures(())
            return
        image, before, after, inside = around
        self.preview.show_pictures([outlined(image, mask, inside, state.project.classes) for mask in (before, after)])

    @staticmethod
    def _why_empty(state: UiState) -> str:
        if not state.review.run:
            return EMPTY
        if state.case_id in state.review.unscored:
            return UNSCORED
        return "Press Next (N) to take the most suspect one." if state.review.open else DONE


def place_text(state: UiState) -> str:
    """Where the person is, and what kind of region it is."""
    review = state.review
    if review.region is None:
        return "No region in hand"
    place = f"Region {review.position} of {review.open}" if review.position else "Region from before"
    return f"{place} · {KINDS[review.region.kind][0]}"


def region_text(region: Region, classes: tuple[ClassInfo, ...], case: CaseInfo | None = None) -> str:
    """Why a region is suspect, in words and figures."""
    names = {info.index: info.name for info in classes}
    given, proposed = names.get(region.given, "?"), names.get(region.proposed, "?")
    where = "" if case is None else slices_text(region.box, case)
    if not region.labelled:
        part = "this image" if case is None or region.pixels == prod(case.shape) else "a part of this image"
        size = area_text(region.pixels, case)
        return (
            f"{region.image}, {size}: {part} has no mask; the model proposes the outlined one.\n"
            "Accept takes all of it over. Or paint, then confirm: what you do not paint is background. Keep leaves it "
            "without a label."
        )
    return (
        f"{region.image}{where and f', {where}'}: labelled {given}, proposed {proposed}.\n"
        f"{area_text(region.pixels, case)}, about {region.score:,.0f} px wrong; trust {100 * region.trust:.0f} %."
    )


def area_text(pixels: int, case: CaseInfo | None) -> str:
    """An area in pixels, and in mm² or mm³ where the size of a pixel is known."""
    if case is None or case.unit != "mm":
        return f"{pixels:,} px"
    size = pixels
    for edge in case.spacing:
        size *= edge  # type: ignore[assignment]
    return f"{pixels:,} px ({size:,.1f} mm{'²' if len(case.spacing) == 2 else '³'})"
