"""On which part of an image a stroke began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from src_core.data.case import Box


class Pressed:
    """Remembers what was edited when the mouse button was pressed: a key may bring up another part before it is let go.

    Parameters
    ----------
    frame : callable
        Gives the part that is edited now.

    Attributes
    ----------
    on : Box or None
        The part that was edited then; None while no button is pressed.
    """

    def __init__(self, frame: Callable[[], Box | None]) -> None:
        self._frame = frame
        self.on: Box | None = None

    def follow(self, _layer: object, event: Any) -> Iterator[None]:
        """For the layer's callbacks of a drag."""
        self.on = self._frame()
        yield
        while event.type == "mouse_move":
            yield
        QTimer.singleShot(0, self._let_go)  # napari tells of the stroke when the button is let go, maybe after us

    def _let_go(self) -> None:
        self.on = None

    def elsewhere(self, frame: Box) -> bool:
        """True when the button was pressed on another part than this."""
        return self.on is not None and self.on != frame
