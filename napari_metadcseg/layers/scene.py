"""The layers of the image that is shown, kept in step with the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_metadcseg.layers import looks, volumes
from napari_metadcseg.layers.frame import common, follow_switches, frame_around, moved, place_frame
from napari_metadcseg.layers.large import LargeImages
from napari_metadcseg.layers.level_pixels import LevelPixels
from napari_metadcseg.layers.overlays import OVERLAYS, REGION_COLORS, Overlay
from napari_metadcseg.layers.painting import Pressed, painted_box, painted_label
from napari_metadcseg.layers.pixels import WholePixels, give
from napari_metadcseg.layers.redraw import Redraw
from napari_metadcseg.layers.view import look_closely, part_in_view
from src_core.errors import MetaDCSegError
from src_core.store.levels import is_large

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.layers.pixels import Pixels
    from napari_metadcseg.state import UiState
    from src_core.data.case import Box, CaseInfo
    from src_core.store.project import Project

IMAGE, LABEL, PROPOSAL, REGION = "image", "label", "proposal", "region"
OVERVIEW = "overview"
TRUST = OVERLAYS[0]
TOO_FAR = "Zoom in further on a part of the image: up to 2,048 px can be edited at once."
MOVED_AWAY = "The stroke was not recorded, since another part came up before it ended; paint it again."
OUTLINES = {PROPOSAL: 1, "band": 1, REGION: 2}
"""Width of the lines around what is drawn as an outline in slices, px."""

COVERS = (PROPOSAL, *(overlay.key for overlay in OVERLAYS))
"""What would cover label and region in the 3-D view; each can be switched on again there."""


class Scene:
    """Shows one image of the project with its label, proposal, maps and the region in hand.

    Parameters
    ----------
    viewer : napari.Viewer
    controller : Controller

    Attributes
    ----------
    frame_changed : Signal()
        Another part can be edited, or something else is to be said of it.
    """

    frame_changed = Signal()

    def __init__(self, viewer: napari.Viewer, controller: Controller) -> None:
        self.viewer = viewer
        self.controller = controller
        self._ours: dict[str, Any] = {}
        self._visible = {overlay.key: overlay.visible for overlay in OVERLAYS}
        self._shown: tuple[Any, ...] = ()
        self._lies: tuple[int, str, bool] = (0, "", False)
        self._pixels: Pixels | None = None
        self._pressed = Pressed(lambda: None if self._pixels is None else self._pixels.frame)
        self._redraw = Redraw(lambda name: self._ours[name] if self._alive(name) else None)
        self._large = LargeImages(controller, self._refresh_levels, self.frame_changed.emit)
        self._seen_flat: dict[str, bool] = {}
        volumes.expect_bodies()
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        controller.changed.connect(self._on_changed)
        controller.labels_changed.connect(self._on_labels_changed)

    def disconnect(self) -> None:
        """Stop following the controller."""
        self.controller.changed.disconnect(self._on_changed)
        self.controller.labels_changed.disconnect(self._on_labels_changed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self._large.close()
        self._redraw.stop()

    # ---------------------------------------------------------------- following the state

    def _on_changed(self, new: UiState, old: UiState) -> None:
        if new.project is None:
            self._large.close()
            self._remove_all()
            self.frame_changed.emit()
            return
        run = self.controller.run
        shown = (new.project.path, new.case_id, None if run is None else (run.name, run.generation))
        if new.case_id is not None and shown != self._shown:
            self._shown = shown
            try:
                self._show_case()
            except MetaDCSegError as error:  # said in the window, since nobody above us would
                self.controller.say(str(error), "error")
                return
        if new.review.region != old.review.region or new.case_id != old.case_id:
            self._show_region()

    def _on_labels_changed(self, case_id: int, box: Box | None) -> None:
        if case_id == self.controller.state.case_id:
            self.reload_label(box)
            self._reload_trust(box)  # what is verified now is trusted

    def _on_ndisplay(self, _event: object) -> None:
        """In 3-D label and region are bodies, and what would cover them is put away until slices are drawn again."""
        self._draw_outlines()
        if self.viewer.dims.ndisplay == 3:
            self._seen_flat = {key: self._ours[key].visible for key in COVERS if self._alive(key)}
            for key in self._seen_flat:
                self._ours[key].visible = False
            volumes.turn(self.viewer)
        else:
            for key, visible in self._seen_flat.items():
                self.switch(key, visible)
            self._seen_flat = {}
            self._go_to_region()

    def _draw_outlines(self) -> None:
        for key, width in OUTLINES.items():
            if self._alive(key):
                volumes.outline(self.viewer, self._ours[key], width)

    def _go_to_region(self) -> None:
        hand, case = self.controller.hand(), self.controller.case
        if hand is not None and case is not None and hand.at is not None and hand.region.case_id == case.id:
            volumes.go_to_slice(self.viewer, case, hand.at)

    @property
    def _grid(self) -> dict[str, Any]:
        """Where the pixels of the image that is shown lie."""
        case = self.controller.case
        return {} if case is None else volumes.grid_of(case)

    # ---------------------------------------------------------------- layers

    def _show_case(self) -> None:
        project, case, shown = self.controller.project, self.controller.case, self._shown
        if project is None or case is None:
            return
        self._pixels = pixels = self._pixels_of(project, case)
        axes, image = len(case.shape), pixels.image()
        rgb = (image[0] if pixels.large else image).ndim > axes
        lies = (axes, case.unit, pixels.large)
        if lies != self._lies:  # napari cannot mix units, nor make an image of a volume, nor levels of an image
            self._remove_all()
            self._shown, self._lies = shown, lies
        first = not self._alive(IMAGE)
        if first or self._ours[IMAGE].rgb != rgb:
            self._drop(IMAGE)
            self._ours[IMAGE] = self.viewer.add_image(
                image, name=IMAGE, rgb=rgb, multiscale=pixels.large, **volumes.grid_of(case)
            )
            self.viewer.layers.move(self.viewer.layers.index(self._ours[IMAGE]), 0)
        else:
            give(self._ours[IMAGE], image)
            if not rgb:
                self._ours[IMAGE].reset_contrast_limits()
        self._show_label()  # below the overlays: doubt is to be seen on the label
        self._show_overlays()
        self._show_proposal()
        for layer in self._ours.values():
            volumes.place(layer, case)
        volumes.cut_as_it_lies(self.viewer, case)
        self.viewer.layers.selection.active = self._ours[LABEL]
        if first or self.controller.state.review.region is None:
            self.viewer.reset_view()
        self._large.make_missing()
        self.frame_changed.emit()

    def _pixels_of(self, project: Project, case: CaseInfo) -> Pixels:
        if not is_large(case.shape):
            self._large.leave()
            return WholePixels(self.controller, project, case)
        region = self.controller.state.review.region
        return self._large.pixels(project, case, None if region is None or region.case_id != case.id else region.box)

    def show_overlays(self) -> None:
        """Read the maps anew, as when the run was given a second opinion."""
        self._large.forget_opinion()
        self._show_overlays()
        self._large.make_missing()

    def _show_overlays(self) -> None:
        for overlay in OVERLAYS:
            self._show_overlay(overlay)

    def _show_overlay(self, overlay: Overlay) -> None:
        data = None if self._pixels is None else self._pixels.map(overlay.key)
        if data is None:
            self._drop(overlay.key)
            return
        if self._alive(overlay.key):
            give(self._ours[overlay.key], data)
            return
        self._ours[overlay.key] = looks.add_overlay(
            self.viewer, data, overlay, visible=self._visible[overlay.key], **self._grid
        )

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

    def _show_proposal(self) -> None:
        proposed = None if self._pixels is None else self._pixels.map("proposed")
        state = self.controller.state.project
        if proposed is None or state is None:
            self._drop(PROPOSAL)
            return
        if self._alive(PROPOSAL):
            give(self._ours[PROPOSAL], proposed)
            return
        self._ours[PROPOSAL] = looks.add_proposal(self.viewer, proposed, state.classes, PROPOSAL, **self._grid)

    def _show_region(self) -> None:
        case = self.controller.case
        hand = None if self.controller.state.review.region is None else self.controller.hand()
        if hand is None or case is None or hand.region.case_id != case.id:
            if self._alive(REGION):  # hidden, not removed: napari takes a third of a second to remove a layer
                self._ours[REGION].visible = False
            return
        region = hand.region
        self._frame_region(region.box, case)
        mask = hand.window_mask.astype(np.uint8)
        corner = [s * a for s, a in zip(case.spacing, hand.window.start, strict=True)]
        color = REGION_COLORS[region.kind]
        if self._alive(REGION):
            self._ours[REGION].data = mask
            looks.recolor(self._ours[REGION], color)
            volumes.place(self._ours[REGION], case)
            self._ours[REGION].translate = corner
            self._ours[REGION].visible = True
        else:
            self._ours[REGION] = looks.add_region(self.viewer, mask, color, REGION, translate=corner, **self._grid)
        self._go_to_region()
        look = look_closely if self.frame is not None else volumes.look_at
        look(self.viewer, region.box, case)

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
        if not self.controller.stroke(case.id, moved(box, pixels.frame.start), label):
            self.reload_label()
        self._large.soon()

    def reload_label(self, box: Box | None = None) -> None:
        """Show the label as it is recorded, in a box or everywhere."""
        project, case, pixels = self.controller.project, self.controller.case, self._pixels
        if project is None or case is None or pixels is None or not self._alive(LABEL):
            return
        part = None if box is None else common(box, pixels.frame)
        if box is None:
            self._ours[LABEL].data = pixels.label()
        elif part is not None:
            self._ours[LABEL].data[part.within(pixels.frame)] = project.read_label(case, part)
            self._ours[LABEL].refresh()
        if pixels.large and (part is None or part != box):
            self._redraw.soon([OVERVIEW])
        self._large.soon()

    def _reload_trust(self, box: Box | None) -> None:
        if self._pixels is not None and self._pixels.large:
            self._redraw.soon([TRUST.key])
            return
        if box is None or not self._alive(TRUST.key):
            self._show_overlay(TRUST)
            return
        values = self.controller.read_map(TRUST.key, box)
        if values is not None:
            self._ours[TRUST.key].data[box.slices] = values
            self._ours[TRUST.key].refresh()

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

    # ---------------------------------------------------------------- switches

    def is_on(self, key: str) -> bool:
        """True when an overlay is switched on."""
        return bool(self._ours[key].visible) if self._alive(key) else self._visible[key]

    def switch(self, key: str, on: bool) -> None:
        """Show or hide an overlay."""
        if key in self._visible:
            self._visible[key] = on
        if self._alive(key):
            self._ours[key].visible = on

    @property
    def label_layer(self) -> Labels | None:
        """The layer that is painted on; None when nothing is shown."""
        return self._ours[LABEL] if self._alive(LABEL) else None

    def _alive(self, key: str) -> bool:
        """True when we have the layer and the person has not removed it."""
        return key in self._ours and self._ours[key] in self.viewer.layers

    def _drop(self, key: str) -> None:
        if self._alive(key):
            self.viewer.layers.remove(self._ours[key])
        self._ours.pop(key, None)

    def _remove_all(self) -> None:
        for key in list(self._ours):
            self._drop(key)
        self._shown = ()
