"""Finds where a region is that is too large to be held, in a thread; its box is drawn until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_metadcseg.background import Background, check

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.hand import Hand

LOCATING = "Where this region lies is being read; until then its box is drawn."


class Locating:
    """One region at a time.

    Parameters
    ----------
    controller : Controller
    found : callable
        Called when the hand of the controller knows where its region is.
    """

    def __init__(self, controller: Controller, found: Callable[[], None]) -> None:
        self._controller, self._found = controller, found
        self._background: Background | None = None
        self._hand: Hand | None = None

    def begin(self, hand: Hand) -> None:
        """Look for the region in hand, unless that is done, or under way."""
        locate = hand.locate
        if hand is self._hand:
            return
        self.stop()
        if locate is None:
            return
        self._hand, self._background = hand, Background()
        self._controller.say(LOCATING)
        self._background.run(lambda: locate(check), lambda coarse: self._done(hand, coarse), self._failed)

    def _done(self, hand: Hand, coarse: NDArray[np.bool_]) -> None:
        if self._controller.state.message.text == LOCATING:
            self._controller.say("")
        if self._controller.review.located(hand, coarse):
            self._found()

    def _failed(self, words: str) -> None:
        self._controller.say(words, "error")

    def stop(self) -> None:
        """Look no further; nothing of the run is in use afterwards."""
        if self._background is not None:
            self._background.close()
        self._background, self._hand = None, None
