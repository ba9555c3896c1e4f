"""Drawing layers again whose values have changed, unless that has happened by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Redraw:
    """Draws layers of levels again, when the window has been drawn.

    A decision changes values and moves the view at once: then napari reads what has come into view anyway, and reading
    the place before again would be in vain.

    Parameters
    ----------
    layer : callable
        The layer of a name; None when it is not there.
    """

    def __init__(self, layer: Callable[[str], Any | None]) -> None:
        self._layer = layer
        self._seen: dict[str, tuple[Any, ...]] = {}
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)

    def soon(self, names: Iterable[str]) -> None:
        """Draw some layers again after the window was drawn."""
        for name in names:
            layer = self._layer(name)
            if layer is not None and name not in self._seen:
                self._seen[name] = _part(layer)
        self._timer.start(0)

    def stop(self) -> None:
        """Draw nothing any more."""
        self._timer.stop()
        self._seen = {}

    def _draw(self) -> None:
        seen, self._seen = self._seen, {}
        for name, part in seen.items():
            layer = self._layer(name)
            if layer is not None and _part(layer) == part:
                layer.refresh(extent=False, thumbnail=False, highlight=False)


def _part(layer: Any) -> tuple[Any, ...]:
    """What of a layer is drawn."""
    return layer.data_level, layer.corner_pixels.tobytes()
