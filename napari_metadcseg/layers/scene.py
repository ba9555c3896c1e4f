"""The layers of the image that is shown, kept in step with the state."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils import DirectLabelColormap

from napari_metadcseg.layers import volumes
from napari_metadcseg.layers.overlays import OVERLAYS, PURPLE, REGION_COLORS, Overlay, class_colors, colormap
from napari_metadcseg.layers.strokes import painted_box, painted_label
from napari_metadcseg.layers.turns import Turns
from src_core.errors import MetaDCSegError

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.state import UiState
    from src_core.data.case import Box

IMAGE, LABEL, PROPOSAL, REGION = "image", "label", "proposal", "region"
TRUST = OVERLAYS[0]
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
    """

    def __init__(self, viewer: napari.Viewer, controller: Controller) -> None:
        self.viewer = viewer
        self.controller = controller
        self._ours: dict[str, Any] = {}
        self._visible = {overlay.key: overlay.visible for overlay in OVERLAYS}
        self._shown: tuple[Any, ...] = ()
        self._lies: tuple[int, str] = (0, "")
        self._seen_flat: dict[str, bool] = {}
        self._waiting: set[str] = set()
        self._turns = Turns()
        volumes.expect_bodies()
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        controller.changed.connect(self._on_changed)
        controller.labels_changed.connect(self._on_labels_changed)

    def disconnect(self) -> None:
        """Stop following the controller."""
        self._turns.stop()
        self.controller.changed.disconnect(self._on_changed)
        self.controller.labels_changed.disconnect(self._on_labels_changed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)

    # ---------------------------------------------------------------- following the state

    def _on_changed(self, new: UiState, old: UiState) -> None:
        if new.project is None:
            self._turns.stop()
            self._remove_all()
            return
        run = self.controller.run
        shown = (new.project.path, new.case_id, None if run is None else (run.name, run.generation))
        if shown[:2] == self._shown[:2] and shown != self._shown and self._alive(LABEL):
            self._shown = shown  # other scores of the image that somebody is perhaps painting on
            self._turns.begin([partial(self._show_overlay, overlay) for overlay in OVERLAYS] + [self._show_proposal])
        elif new.case_id is not None and shown != self._shown:
            self._shown = shown
            self._turns.stop()
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

    def _on_visible(self, overlay: Overlay) -> None:
        if overlay.key in self._waiting:
            self._draw_overlay(overlay)

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
            for overlay in OVERLAYS:
                if overlay.key not in self._seen_flat:
                    self._show_overlay(overlay)
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
        axes = len(case.shape)
        image = volumes.shown_channels(project.read_image(case), axes)
        rgb = image.ndim > axes
        lies = (axes, case.unit)
        if lies != self._lies:  # napari cannot mix units, nor make an image of a volume
            self._remove_all()
            self._shown, self._lies = shown, lies
        first = not self._alive(IMAGE)
        if first or self._ours[IMAGE].rgb != rgb:
            self._drop(IMAGE)
            self._ours[IMAGE] = self.viewer.add_image(image, name=IMAGE, rgb=rgb, **volumes.grid_of(case))
            self.viewer.layers.move(self.viewer.layers.index(self._ours[IMAGE]), 0)
        else:
            self._ours[IMAGE].data = image
            if not rgb:
                self._ours[IMAGE].reset_contrast_limits()
        self._show_label(project.read_label(case))  # below the overlays: doubt is to be seen on the label
        self.show_overlays()
        self._show_proposal()
        for layer in self._ours.values():
            volumes.place(layer, case)
        volumes.cut_as_it_lies(self.viewer, case)
        self.viewer.layers.selection.active = self._ours[LABEL]
        if first or self.controller.state.review.region is None:
            self.viewer.reset_view()

    def show_overlays(self) -> None:
        """Read the maps anew, as when the run was given a second opinion."""
        for overlay in OVERLAYS:
            self._show_overlay(overlay)

    def _show_overlay(self, overlay: Overlay) -> None:
        """Show a map as it is now; one that is switched off waits until it is switched on."""
        if self.is_on(overlay.key):
            self._draw_overlay(overlay)
            return
        self._waiting.add(overlay.key)
        if self._alive(overlay.key):  # of no size, as another image may be smaller
            layer = self._ours[overlay.key]
            layer.data = np.zeros((1,) * layer.ndim, layer.data.dtype)

    def _draw_overlay(self, overlay: Overlay) -> None:
        self._waiting.discard(overlay.key)
        values = self.controller.read_map(overlay.key)
        if values is None:
            self._drop(overlay.key)
            return
        data = values.astype(np.uint8) if overlay.kind == "mask" else values
        if self._alive(overlay.key):
            self._ours[overlay.key].data = data
            return
        active = self.viewer.layers.selection.active
        if overlay.kind == "mask":
            colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: overlay.stops[0][0]})
            layer = self.viewer.add_labels(data, name=overlay.title, colormap=colors, opacity=0.9, **self._grid)
            volumes.outline(self.viewer, layer, 1)
            layer.editable = False
        else:
            layer = self.viewer.add_image(
                data,
                name=overlay.title,
                colormap=colormap(overlay),
                contrast_limits=(0, 1),
                blending="translucent_no_depth",
                interpolation2d="nearest",
                rendering="minip" if overlay.strong_when_low else "mip",
                **self._grid,
            )
        layer.events.visible.connect(lambda: self._on_visible(overlay))
        self._ours[overlay.key] = layer
        self.viewer.layers.selection.active = active

    def _show_label(self, label: NDArray[np.uint8]) -> None:
        state = self.controller.state.project
        assert state is not None
        if self._alive(LABEL):
            self._ours[LABEL].data = label.copy()
        else:
            colors = DirectLabelColormap(color_dict=class_colors(state.classes))
            layer = self.viewer.add_labels(label.copy(), name=LABEL, colormap=colors, opacity=0.45, **self._grid)
            layer.events.paint.connect(self._on_paint)
            layer.bind_key("Control-Z", lambda _layer: self.controller.undo(), overwrite=True)
            layer.bind_key("Control-Shift-Z", lambda _layer: self.controller.redo(), overwrite=True)
            layer.brush_size = 8
            layer.n_edit_dimensions = 2  # a stroke is of one slice, also of a volume
            self._ours[LABEL] = layer
        self._ours[LABEL].editable = state.writable

    def _show_proposal(self) -> None:
        proposed = self.controller.read_map("proposed")
        state = self.controller.state.project
        if proposed is None or state is None:
            self._drop(PROPOSAL)
            return
        if self._alive(PROPOSAL):
            self._ours[PROPOSAL].data = proposed
            return
        active = self.viewer.layers.selection.active
        colors: dict[int | None, Any] = class_colors(state.classes)
        if len(state.classes) == 2:
            colors[1] = PURPLE  # another colour than the label, since there is only one class to tell apart
        layer = self.viewer.add_labels(
            proposed, name=PROPOSAL, colormap=DirectLabelColormap(color_dict=colors), **self._grid
        )
        volumes.outline(self.viewer, layer, 1)
        layer.visible = self.viewer.dims.ndisplay == 2
        layer.editable = False
        self._ours[PROPOSAL] = layer
        self.viewer.layers.selection.active = active

    def _show_region(self) -> None:
        case = self.controller.case
        hand = None if self.controller.state.review.region is None else self.controller.hand()
        if hand is None or case is None or hand.region.case_id != case.id:
            if self._alive(REGION):  # hidden, not removed: napari takes a third of a second to remove a layer
                self._ours[REGION].visible = False
            return
        region = hand.region
        frame = 0 if region.labelled else 1  # napari draws no outline at the rim of a layer, where an image ends
        mask = np.pad(hand.window_mask.astype(np.uint8), frame)
        corner = [s * (a - frame) for s, a in zip(case.spacing, hand.window.start, strict=True)]
        colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: REGION_COLORS[region.kind]})
        if self._alive(REGION):
            self._ours[REGION].data = mask
            self._ours[REGION].colormap = colors
            volumes.place(self._ours[REGION], case)
            self._ours[REGION].translate = corner
            self._ours[REGION].visible = True
        else:
            active = self.viewer.layers.selection.active
            layer = self.viewer.add_labels(mask, name=REGION, colormap=colors, translate=corner, **self._grid)
            volumes.outline(self.viewer, layer, 2)
            layer.editable = False
            self._ours[REGION] = layer
            self.viewer.layers.selection.active = active
        self._go_to_region()
        volumes.look_at(self.viewer, region.box, case)

    # ---------------------------------------------------------------- painting

    def _on_paint(self, event: Any) -> None:
        layer, case = self._ours.get(LABEL), self.controller.case
        if layer is None or case is None:
            return
        box = painted_box([atom[0] for atom in event.value], case.shape)
        if box is None:
            return
        if not self.controller.stroke(case.id, box, painted_label(layer.data, event.value, box)):
            self.reload_label()

    def reload_label(self, box: Box | None = None) -> None:
        """Show the label as it is recorded, in a box or everywhere."""
        project, case = self.controller.project, self.controller.case
        if project is None or case is None or not self._alive(LABEL):
            return
        if box is None:
            self._ours[LABEL].data = project.read_label(case)
        else:
            self._ours[LABEL].data[box.slices] = project.read_label(case, box)
            self._ours[LABEL].refresh()

    def _reload_trust(self, box: Box | None) -> None:
        if box is None or not self._alive(TRUST.key) or TRUST.key in self._waiting:
            self._show_overlay(TRUST)
            return
        values = self.controller.read_map(TRUST.key, box)
        if values is not None:
            self._ours[TRUST.key].data[box.slices] = values
            self._ours[TRUST.key].refresh()

    # ---------------------------------------------------------------- switches

    def is_on(self, key: str) -> bool:
        """True when an overlay is switched on."""
        if self._alive(key):
            return bool(self._ours[key].visible)
        return self._visible[key] and self.viewer.dims.ndisplay == 2

    def switch(self, key: str, on: bool) -> None:
        """Show or hide an overlay."""
        if key in self._visible:
            self._visible[key] = on
        if self._alive(key):
            self._ours[key].visible = on
        elif on and self.label_layer is not None:
            self._draw_overlay(next(overlay for overlay in OVERLAYS if overlay.key == key))

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
