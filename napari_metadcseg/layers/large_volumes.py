"""What the scene does for large volumes beyond others: reading at the right time, and coarser copies in 3-D."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_metadcseg.layers.ahead import Ahead
from napari_metadcseg.layers.bodies import SLICES_ONLY, Bodies
from napari_metadcseg.layers.lasso import slice_in_view
from napari_metadcseg.layers.volume_pixels import VolumePixels

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_metadcseg.controller import Controller
    from src_core.data.case import Box, CaseInfo
    from src_core.store.project import Project

BODIES = ("image", "label")
"""Layers that coarser copies stand for in 3-D."""


class LargeVolumes:
    """Keeps the large volume that is shown.

    Parameters
    ----------
    viewer : napari.Viewer
    controller : Controller
    layer : callable
        The layer of an array by its name, as in :attr:`VolumePixels.shown`; None when it is not there.
    """

    def __init__(self, viewer: napari.Viewer, controller: Controller, layer: Callable[[str], Any | None]) -> None:
        self._viewer, self._controller, self._layer = viewer, controller, layer
        self._pixels: VolumePixels | None = None
        self._where: tuple[Project, CaseInfo] | None = None
        self._ahead, self._bodies = Ahead(), Bodies(viewer, controller)
        self._seen: dict[str, bool] = {}
        self._coming = False
        viewer.dims.events.current_step.connect(self.look)

    def pixels(self, project: Project, case: CaseInfo) -> VolumePixels:
        """What is shown of a volume; nothing is read for it until :meth:`has_come`."""
        self.leave()
        dims = self._viewer.dims
        self._pixels = VolumePixels(self._controller, project, case, lambda: dims.ndisplay == 3)
        self._where, self._coming = (project, case), True
        return self._pixels

    def leave(self) -> None:
        """Let go of the volume that is shown; nothing of the project is in use afterwards."""
        self._ahead.stop()
        self._bodies.end()
        if self._pixels is not None:
            self._pixels.close()
        self._pixels, self._where = None, None

    def close(self) -> None:
        """Let go, for good."""
        self.leave()
        self._viewer.dims.events.current_step.disconnect(self.look)

    @property
    def shown(self) -> bool:
        """True when a large volume is shown."""
        return self._pixels is not None

    @property
    def solid(self) -> bool:
        """True when it is shown in 3-D."""
        return self.shown and self._viewer.dims.ndisplay == 3

    def has_come(self) -> None:
        """Draw what has just come up, as it is known now which slice of it is shown."""
        self._coming = False
        self.arrived()

    def arrived(self) -> None:
        """Draw layers that have other arrays; napari would read more than one slice while it makes them."""
        if self._pixels is None or self._coming:
            return
        names = self._pixels.arrived()
        for layer in map(self._layer, names):
            if layer is not None:
                layer.refresh(extent=False)
        if names:
            self.look()

    def changed(self, box: Box | None) -> None:
        """Another label is recorded."""
        self._ahead.again()
        if box is not None and not self._bodies.reading:
            self._bodies.changed(box)
        elif self._pixels is not None and self.solid:
            self.show_bodies()

    # ---------------------------------------------------------------- reading ahead

    def look(self, _event: object = None) -> None:
        """Somebody looks at another slice, or another region comes next."""
        layer, dims = self._layer("label"), self._viewer.dims
        if self._pixels is None or self._where is None or layer is None or len(dims.not_displayed) != 1:
            return
        (project, case), (axis, at) = self._where, slice_in_view(self._viewer, layer)
        arrays = [found for name, found in self._pixels.shown.items() if self._is_seen(name)]
        self._ahead.look(project.path, arrays, case.shape, axis, at, self._later(case, axis))

    def _is_seen(self, name: str) -> bool:
        layer = self._layer(name)
        return layer is not None and bool(layer.visible)

    def _later(self, case: CaseInfo, axis: int) -> int | None:
        """The slice of the region that comes next in the queue."""
        queue = self._controller.queue
        waiting = queue.open
        region = waiting[queue.position % len(waiting)] if waiting else None
        if region is None or region.case_id != case.id:
            return None
        return (region.box.start[axis] + region.box.stop[axis]) // 2

    # ---------------------------------------------------------------- in 3-D

    def put_away(self) -> None:
        """Hide the layers that are read in blocks; they show nothing in 3-D."""
        self._ahead.stop()
        for name in BODIES:
            layer = self._layer(name)
            if layer is not None:
                self._seen[name] = layer.visible
                layer.visible = False

    def show_bodies(self) -> None:
        """Draw coarser copies of them, as soon as they are read."""
        image = self._layer("image")
        if self._pixels is not None and self._where is not None and image is not None:
            self._bodies.begin(self._where[0].path, self._where[1], self._pixels, image)

    def show_slices(self) -> None:
        """Draw slices again."""
        self._bodies.end()
        self._show(self._seen)

    def _show(self, seen: dict[str, bool]) -> None:
        self._seen = {}
        for name, visible in seen.items():
            layer = self._layer(name)
            if layer is not None:
                layer.visible = visible

    def refuse_map(self, layer: Any | None) -> None:
        """Maps are not drawn in 3-D."""
        if layer is not None and layer.visible:
            layer.visible = False
        self._controller.say(SLICES_ONLY)
