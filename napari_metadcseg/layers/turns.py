"""Things done one by one, so that what a person does meanwhile comes between them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Turns:
    """Does each thing in a turn of the event loop of its own.

    napari takes a tenth of a second to make a layer; new scores bring seven, and a brush must not stand still for that.
    """

    def __init__(self) -> None:
        self._todo: deque[Callable[[], None]] = deque()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._next)

    def begin(self, things: Iterable[Callable[[], None]]) -> None:
        """Do these from the next turn on, instead of what is still waiting."""
        self._todo = deque(things)
        self._timer.start(0)

    def stop(self) -> None:
        """Do none of what is still waiting."""
        self._todo.clear()

    def _next(self) -> None:
        if self._todo:
            self._todo.popleft()()
        if self._todo:
            self._timer.start(0)
