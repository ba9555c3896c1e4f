"""Drawing a lasso or clicking on an object, on a layer of its own that is only there for that.

napari draws the lasso on its Shapes layer, and tells of its end by the data event. What it keeps of the line is
simplified, and may lack a corner; so the places of the mouse are kept here, in px of the label layer. What follows
waits until napari has finished with the mouse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_metadcseg.layers.overlays import YELLOW
from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from napari.layers import Labels, Shapes
    from numpy.typing import NDArray

    Done = Callable[[NDArray[np.float64]], object]

NAME = "lasso"
STILL = 4
"""A press that moves less than this, px of the screen, is a click."""


class Lasso:
    """Lets a person show where.

    Parameters
    ----------
    viewer : napari.Viewer
    label_layer : callable
        The layer that is edited, or None.
    """

    def __init__(self, viewer: napari.Viewer, label_layer: Callable[[], Labels | None]) -> None:
        self._viewer, self._label_layer = viewer, label_layer
        self._layer: Shapes | None = None
        self._done: Done | None = None
        self._path: list[tuple[float, ...]] = []
        viewer.layers.selection.events.active.connect(self._on_active)

    def disconnect(self) -> None:
        """Stop following the viewer."""
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._done = None

    @property
    def waiting(self) -> bool:
        """True while a person is asked to draw or click."""
        return self._done is not None

    # ---------------------------------------------------------------- asking

    def draw(self, done: Done) -> None:
        """Ask for a lasso; ``done`` gets its vertices, (N, axes), px of the label.

        Raises
        ------
        InputError
            If nothing is shown, or in 3-D.
        """
        self._ask(done, "add_polygon_lasso")

    def click(self, done: Done) -> None:
        """Ask for a click; ``done`` gets its place, (axes,), px of the label. Dragging moves the view as always.

        Raises
        ------
        InputError
            If nothing is shown, or in 3-D.
        """
        self._ask(done, "pan_zoom")

    def cancel(self) -> None:
        """Ask no more; the label is active again."""
        self._finish()

    def _ask(self, done: Done, mode: str) -> None:
        label = self._label_layer()
        if label is None:
            raise InputError("No mask is shown; open a project and choose an image.")
        if self._viewer.dims.ndisplay != 2:
            raise InputError("In the 3-D view it cannot be told where you point; switch to 2-D slices first.")
        self._done = None
        self._path.clear()
        layer = self._ready(label)
        self._viewer.layers.selection.active = layer
        layer.mode = mode
        layer.cursor = "cross"
        self._done = done

    def _ready(self, label: Labels) -> Shapes:
        """The layer for lassos, over the label: made when there is none, or none that fits."""
        layer = self._layer
        if layer is None or layer not in self._viewer.layers or layer.ndim != label.ndim:
            self.remove()
            layer = self._viewer.add_shapes(
                ndim=label.ndim, name=NAME, scale=label.scale, translate=label.translate, units=label.units
            )
            layer.events.data.connect(self._on_data)
            layer.mouse_drag_callbacks.append(self._on_press)
            layer.mouse_move_callbacks.append(self._on_move)
            layer.bind_key("Escape", lambda _layer: self.cancel(), overwrite=True)
            self._layer = layer
        layer.data = []
        layer.scale, layer.translate, layer.units, layer.visible = label.scale, label.translate, label.units, True
        layer.current_edge_width = 2 / (self._viewer.scene.camera.zoom * float(np.min(label.scale)))
        layer.current_edge_color, layer.current_face_color = YELLOW, "transparent"
        return layer

    def remove(self) -> None:
        """Take the layer away, as when the project is closed."""
        self._done = None
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None

    # ---------------------------------------------------------------- being told

    def _on_data(self, event: Any) -> None:
        if self._layer is not None and self._layer.mode == "add_polygon_lasso" and str(event.action) == "added":
            self._later(lambda: np.array(self._path, dtype=float))

    def _on_press(self, layer: Shapes, event: Any) -> Iterator[None]:
        start = np.array(event.pos)
        self._path.append(layer.world_to_data(event.position))
        yield
        while event.type == "mouse_move":
            self._path.append(layer.world_to_data(event.position))
            yield
        place = np.array(layer.world_to_data(event.position), dtype=float)
        if layer.mode == "pan_zoom" and np.abs(np.array(event.pos) - start).max() < STILL:
            self._later(lambda: place)

    def _on_move(self, layer: Shapes, event: Any) -> None:
        """Follow a lasso that was begun by a click."""
        if self._path:
            self._path.append(layer.world_to_data(event.position))

    def _later(self, place: Callable[[], NDArray[np.float64]]) -> None:
        """Hand on what was shown, once napari has finished with the mouse."""
        done = self._done

        def hand_on() -> None:
            if done is not None and self._done is done:
                shown = place()
                self._finish()
                done(shown)

        QTimer.singleShot(0, hand_on)

    def _on_active(self, _event: object) -> None:
        """Give up when the person turns to another layer."""
        if self._done is not None and self._viewer.layers.selection.active != self._layer:
            self._finish()

    def _finish(self) -> None:
        self._done = None
        self._path.clear()
        layer, label = self._layer, self._label_layer()
        if layer is None or layer not in self._viewer.layers:
            return
        layer.mode = "pan_zoom"
        layer.data = []
        layer.visible = False  # hidden, not removed: napari takes a third of a second to remove a layer
        if label is not None and self._viewer.layers.selection.active == layer:
            self._viewer.layers.selection.active = label


def slice_in_view(viewer: napari.Viewer, layer: Labels) -> tuple[int, int]:
    """The axis across the slices that are shown, and the slice in view; (0, 0) for an image."""
    if layer.ndim < 3:
        return 0, 0
    axis = int(viewer.dims.not_displayed[0]) if viewer.dims.not_displayed else 0
    at = round(float(layer.world_to_data(viewer.dims.point)[axis]))
    return axis, min(max(at, 0), layer.data.shape[axis] - 1)
