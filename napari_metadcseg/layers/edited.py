"""The label that is edited: all of it, or of a large image a framed part of it at full resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_metadcseg.layers import looks, volumes
from napari_metadcseg.layers.blocks import Blocks
from napari_metadcseg.layers.frame import common, follow_switches, frame_around, place_frame
from napari_metadcseg.layers.large import LargeImages
from napari_metadcseg.layers.large_volumes import LargeVolumes
from napari_metadcseg.layers.level_pixels import LevelPixels
from napari_metadcseg.layers.pixels import give
from napari_metadcseg.layers.pressed import Pressed
from napari_metadcseg.layers.redraw import Redraw
from napari_metadcseg.layers.strokes import painted_box, painted_label
from napari_metadcseg.layers.view import part_in_view

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.layers.pixels import Pixels
    from src_core.data.case import Box, CaseInfo

IMAGE, LABEL, PROPOSAL, OVERVIEW = "image", "label", "proposal", "overview"
TOO_FAR = "Zoom in further on a part of the image: up to 2,048 px can be edited at once."
MOVED_AWAY = "The stroke was not recorded, since another part came up before it ended; paint it again."


class EditedLabel:
    """The layers of the image that is shown, and what is done with the one of them that is edited.

    Parameters
    ----------
    viewer : napari.Viewer
    controller : Controller

    Attributes
    ----------
    frame_changed : Signal()
        Another part can be edited, or something else is to be said of it, or other overlays are drawn.
    """

    frame_changed = Signal()

    def __init__(self, viewer: napari.Viewer, controller: Controller) -> None:
        self.viewer = viewer
        self.controller = controller
        self._ours: dict[str, Any] = {}
        self._pixels: Pixels | None = None
        self._pressed = Pressed(lambda: None if self._pixels is None else self._pixels.frame)
        self._redraw = Redraw(lambda name: self._ours[name] if self._alive(name) else None)
        self._large = LargeImages(controller, self._refresh_levels, self.frame_changed.emit)
        self._volume = LargeVolumes(viewer, controller, self._layer_of)

    @property
    def label_layer(self) -> Labels | None:
        """The layer that is painted on; None when nothing is shown."""
        return self._ours[LABEL] if self._alive(LABEL) else None

    def _alive(self, key: str) -> bool:
        """True when we have the layer and the person has not removed it."""
        return key in self._ours and self._ours[key] in self.viewer.layers

    def _layer_of(self, name: str) -> Any | None:
        """The layer of an array."""
        key = PROPOSAL if name == "proposed" else name
        return self._ours[key] if self._alive(key) else None

    def _drop(self, key: str) -> None:
        if self._alive(key):
            self.viewer.layers.remove(self._ours[key])
        self._ours.pop(key, None)

    @property
    def _grid(self) -> dict[str, Any]:
        """Where the pixels of the image that is shown lie."""
        case = self.controller.case
        return {} if case is None else volumes.grid_of(case)

    # ---------------------------------------------------------------- the layer

    def _show_label(self) -> None:
        state, pixels = self.controller.state.project, self._pixels
        assert state is not None
        assert pixels is not None
        if isinstance(pixels, LevelPixels):
            self._show_overview(pixels)
        if self._alive(LABEL):
            self._ours[LABEL].data = pixels.label()
        else:
            self._ours[LABEL] = layer = looks.add_label(self.viewer, pixels.label(), state.classes, LABEL, **self._grid)
            layer.events.paint.connect(self._on_paint)
            layer.mouse_drag_callbacks.append(self._pressed.follow)
            layer.bind_key("Control-Z", lambda _layer: self.controller.undo(), overwrite=True)
            layer.bind_key("Control-Shift-Z", lambda _layer: self.controller.redo(), overwrite=True)
            layer.brush_size = 8
            layer.n_edit_dimensions = 2  # a stroke is of one slice, also of a volume
            if pixels.large:
                follow_switches(layer, lambda: self._ours[OVERVIEW] if self._alive(OVERVIEW) else None)
        self._ours[LABEL].editable = state.writable
        if pixels.large:
            place_frame(self._ours[LABEL], pixels.frame, self._grid["scale"])

    def _show_overview(self, pixels: LevelPixels) -> None:
        """The label around the frame, which can only be looked at."""
        state = self.controller.state.project
        assert state is not None
        if self._alive(OVERVIEW):
            give(self._ours[OVERVIEW], pixels.overview())
        else:
            self._ours[OVERVIEW] = looks.add_label(
                self.viewer, pixels.overview(), state.classes, "label around the frame", multiscale=True, **self._grid
            )

    # ---------------------------------------------------------------- painting

    def _on_paint(self, event: Any) -> None:
        layer, case, pixels = self._ours.get(LABEL), self.controller.case, self._pixels
        if layer is None or case is None or pixels is None:
            return
        if self._pressed.elsewhere(pixels.frame):
            self.controller.say(MOVED_AWAY, "error")
            self.reload_label()
            return
        box = painted_box([atom[0] for atom in event.value], pixels.frame.shape)
        if box is None:
            return
        label = painted_label(layer.data, event.value, box)
        if not self.controller.stroke(case.id, box.moved(pixels.frame.start), label):
            self.reload_label()
        elif isinstance(layer.data, Blocks):
            layer.data.recorded()
            self._volume.changed(box)
        self._large.soon()

    def reload_label(self, box: Box | None = None) -> None:
        """Show the label as it is recorded, in a box or everywhere."""
        project, case, pixels = self.controller.project, self.controller.case, self._pixels
        if project is None or case is None or pixels is None or not self._alive(LABEL):
            return
        part = None if box is None else common(box, pixels.frame)
        if box is None:
            self._ours[LABEL].data = pixels.label()
            self._volume.arrived()
            self._volume.changed(None)
        elif part is not None:
            data = self._ours[LABEL].data
            if isinstance(data, Blocks):
                data.changed(part)
                self._volume.changed(part)
            else:
                data[part.within(pixels.frame)] = project.read_label(case, part)
            self._ours[LABEL].refresh()
        if pixels.large and (part is None or part != box):
            self._redraw.soon([OVERVIEW])
        self._large.soon()

    # ---------------------------------------------------------------- the framed part of a large image

    @property
    def frame(self) -> Box | None:
        """The part of a large image that can be edited; None for others, of which all can be."""
        return self._pixels.frame if self._pixels is not None and self._pixels.large and self._alive(LABEL) else None

    @property
    def making(self) -> bool:
        """True while what is seen of a large image from afar is being made."""
        return self._large.making

    def edit_here(self) -> None:
        """Move the frame to what is in view."""
        case = self.controller.case
        if self.frame is None or case is None:
            self.controller.say("All of this image can be edited." if case else "Open a project first.")
            return
        part = part_in_view(self.viewer, case)
        if part is None:
            self.controller.say(TOO_FAR)
            return
        self._move_frame(frame_around(part, case.shape, 0))

    def _frame_region(self, box: Box, case: CaseInfo) -> None:
        """See that a region is in the frame."""
        if self.frame is not None and common(box, self.frame) != box:
            self._move_frame(frame_around(box, case.shape))

    def _move_frame(self, frame: Box) -> None:
        if not isinstance(self._pixels, LevelPixels) or frame == self._pixels.frame:
            return
        if self._pressed.on is not None and self._ours[LABEL].mode != "pan_zoom":
            self.controller.say(MOVED_AWAY, "error")
        self._pixels.frame = frame
        self._ours[LABEL].data = self._pixels.label()
        self._ours[LABEL].editable = self.controller.project is not None and self.controller.project.writable
        place_frame(self._ours[LABEL], frame, self._grid["scale"])
        self._pixels.refill(OVERVIEW)
        self._redraw.soon([OVERVIEW])
        self.frame_changed.emit()

    def _refresh_levels(self, names: list[str]) -> None:
        """Draw again what is seen of smaller levels; what is seen at full resolution has not changed."""
        for key in (PROPOSAL if name == "proposed" else name for name in names):
            if self._alive(key) and self._ours[key].data_level > 0:
                self._ours[key].refresh(extent=False, highlight=False)
            if key == IMAGE and self._alive(IMAGE) and not self._ours[IMAGE].rgb:
                self._ours[IMAGE].reset_contrast_limits()
