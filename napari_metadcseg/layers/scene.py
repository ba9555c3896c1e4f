"""The layers of the image that is shown, kept in step with the state."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_metadcseg.layers import looks, volumes
from napari_metadcseg.layers.blocks import Blocks
from napari_metadcseg.layers.edited import IMAGE, LABEL, PROPOSAL, EditedLabel
from napari_metadcseg.layers.locating import Locating
from napari_metadcseg.layers.overlays import OVERLAYS, REGION_COLORS, Overlay
from napari_metadcseg.layers.pixels import WholePixels, give
from napari_metadcseg.layers.turns import Turns
from napari_metadcseg.layers.view import look_at
from napari_metadcseg.layers.volume_pixels import is_large_volume
from src_core.errors import MetaDCSegError
from src_core.store.levels import is_large

if TYPE_CHECKING:
    import napari

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.hand import Hand
    from napari_metadcseg.layers.pixels import Pixels
    from napari_metadcseg.state import UiState
    from src_core.data.case import Box, CaseInfo
    from src_core.store.project import Project

REGION = "region"
TRUST = OVERLAYS[0]
OUTLINES = {PROPOSAL: 1, "band": 1, REGION: 2}
"""Width of the lines around what is drawn as an outline in slices, px."""

COVERS = (PROPOSAL, *(overlay.key for overlay in OVERLAYS))
"""What would cover label and region in the 3-D view; each can be switched on again there."""


class Scene(EditedLabel):
    """Shows one image of the project with its label, proposal, maps and the region in hand.

    Parameters
    ----------
    viewer : napari.Viewer
    controller : Controller
    """

    def __init__(self, viewer: napari.Viewer, controller: Controller) -> None:
        super().__init__(viewer, controller)
        self._visible = {overlay.key: overlay.visible for overlay in OVERLAYS}
        self._shown: tuple[Any, ...] = ()
        self._lies: tuple[int, str, bool] = (0, "", False)
        self._seen_flat: dict[str, bool] = {}
        self._waiting: set[str] = set()
        self._turns = Turns()
        self._locating = Locating(controller, self._on_located)
        volumes.expect_bodies()
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        controller.changed.connect(self._on_changed)
        controller.labels_changed.connect(self._on_labels_changed)
        controller.closing.connect(self._on_closing)

    def disconnect(self) -> None:
        """Stop following the controller."""
        self._turns.stop()
        self._locating.stop()
        self._volume.close()
        self.controller.changed.disconnect(self._on_changed)
        self.controller.labels_changed.disconnect(self._on_labels_changed)
        self.controller.closing.disconnect(self._on_closing)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self._large.close()
        self._redraw.stop()

    # ---------------------------------------------------------------- following the state

    def _on_changed(self, new: UiState, old: UiState) -> None:
        if new.project is None:
            self._turns.stop()
            self._large.close()
            self._remove_all()
            self.frame_changed.emit()
            return
        run = self.controller.run
        shown = (new.project.path, new.case_id, None if run is None else (run.name, run.generation))
        if shown[:2] == self._shown[:2] and shown != self._shown and self._alive(LABEL):
            self._shown = shown  # other scores of the image that somebody is perhaps painting on
            drawn = [partial(self._show_overlay, overlay) for overlay in OVERLAYS]
            self._turns.begin([*drawn, self._show_proposal, self._large.make_missing])
        elif new.case_id is not None and shown != self._shown:
            self._shown = shown
            self._turns.stop()
            if not self._show_flat():
                return
        if new.review.region != old.review.region or new.case_id != old.case_id:
            self._show_region()
        self._volume.has_come()

    def _show_flat(self) -> bool:
        """Show another image; where a large volume comes or goes, in slices first. False, and a sentence, if not."""
        case = self.controller.case
        turned = self.viewer.dims.ndisplay == 3 and case is not None
        if turned and (self._volume.shown or is_large_volume(case.shape)):  # type: ignore[union-attr]
            self._volume.leave()
            self.viewer.dims.ndisplay = 2
        try:
            self._show_case()
        except MetaDCSegError as error:  # said in the window, since nobody above us would
            self._volume.has_come()
            self.controller.say(str(error), "error")
            return False
        if turned and self._lies[0] == 3:
            self.viewer.dims.ndisplay = 3
        return True

    def _on_closing(self) -> None:
        self._locating.stop()
        self._volume.leave()

    def _on_labels_changed(self, case_id: int, box: Box | None) -> None:
        if case_id == self.controller.state.case_id:
            self.reload_label(box)
            self._reload_trust(box)  # what is verified now is trusted

    def _on_visible(self, overlay: Overlay) -> None:
        if overlay.key in self._waiting and self._ours[overlay.key].visible:
            self._draw_overlay(overlay)
            self._large.make_missing()

    def _on_ndisplay(self, _event: object) -> None:
        """In 3-D label and region are bodies, and what would cover them is put away until slices are drawn again."""
        self._draw_outlines()
        if self.viewer.dims.ndisplay == 3:
            self._seen_flat = {key: self._ours[key].visible for key in COVERS if self._alive(key)}
            for key in self._seen_flat:
                self._ours[key].visible = False
            if self._volume.shown:
                for overlay in OVERLAYS:
                    self._show_overlay(overlay)
                self._volume.put_away()
                self._volume.show_bodies()
            volumes.turn(self.viewer)
        else:
            self._volume.show_slices()
            for key, visible in self._seen_flat.items():
                self.switch(key, visible)
            for overlay in OVERLAYS:
                if overlay.key not in self._seen_flat:
                    self._show_overlay(overlay)
            self._seen_flat = {}
            self._go_to_region()
        self.frame_changed.emit()

    def _draw_outlines(self) -> None:
        for key, width in OUTLINES.items():
            if self._alive(key):
                volumes.outline(self.viewer, self._ours[key], width)

    def _go_to_region(self) -> None:
        hand, case = self.controller.hand(), self.controller.case
        if hand is not None and case is not None and hand.at is not None and hand.region.case_id == case.id:
            volumes.go_to_slice(self.viewer, case, hand.at)

    # ---------------------------------------------------------------- layers

    def _show_case(self) -> None:
        project, case, shown = self.controller.project, self.controller.case, self._shown
        if project is None or case is None:
            return
        self._volume.leave()
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
                image,
                name=IMAGE,
                rgb=rgb,
                multiscale=pixels.large,
                contrast_limits=None if rgb else pixels.contrast(),
                **volumes.grid_of(case),
            )
            self.viewer.layers.move(self.viewer.layers.index(self._ours[IMAGE]), 0)
        else:
            give(self._ours[IMAGE], image)
            if not rgb:
                looks.stretch(self._ours[IMAGE], pixels.contrast())
        self._show_label()  # below the overlays: doubt is to be seen on the label
        self._show_overlays()
        self._show_proposal()
        for layer in self._ours.values():
            volumes.place(layer, volumes.grid_of(case))
        volumes.cut_as_it_lies(self.viewer, case)
        self.viewer.layers.selection.active = self._ours[LABEL]
        if first or self.controller.state.review.region is None:
            self.viewer.reset_view()
        self._large.make_missing()
        self.frame_changed.emit()

    def _pixels_of(self, project: Project, case: CaseInfo) -> Pixels:
        if not is_large(case.shape):
            self._large.leave()
            if is_large_volume(case.shape):
                return self._volume.pixels(project, case)
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
        """Show a map as it is now; one that is switched off waits until it is switched on."""
        if self.is_on(overlay.key):
            self._draw_overlay(overlay)
            return
        self._waiting.add(overlay.key)
        if self._alive(overlay.key):  # of no size, as another image may be smaller
            layer = self._ours[overlay.key]
            nothing = [np.zeros((edge,) * layer.ndim, layer.data.dtype) for edge in (2, 1)]  # one is no pyramid
            give(layer, nothing if layer.multiscale else nothing[-1])

    def _draw_overlay(self, overlay: Overlay) -> None:
        if self._volume.solid:
            self._volume.refuse_map(self._layer_of(overlay.key))
            return
        self._waiting.discard(overlay.key)
        data = None if self._pixels is None else self._pixels.map(overlay.key)
        if data is None:
            self._drop(overlay.key)
            return
        if self._alive(overlay.key):
            give(self._ours[overlay.key], data)
            self._volume.arrived()
            return
        self._ours[overlay.key] = layer = looks.add_overlay(self.viewer, data, overlay, **self._grid)
        layer.events.visible.connect(lambda: self._on_visible(overlay))
        for key in (PROPOSAL, REGION):  # lines stay above what is coloured
            if self._alive(key):
                self.viewer.layers.move(self.viewer.layers.index(self._ours[key]), len(self.viewer.layers))
        self._volume.arrived()

    def _show_proposal(self) -> None:
        proposed = None if self._pixels is None else self._pixels.map("proposed")
        state = self.controller.state.project
        if proposed is None or state is None:
            self._drop(PROPOSAL)
            return
        if self._alive(PROPOSAL):
            give(self._ours[PROPOSAL], proposed)
        else:
            self._ours[PROPOSAL] = looks.add_proposal(self.viewer, proposed, state.classes, PROPOSAL, **self._grid)
        self._volume.arrived()

    def _show_region(self) -> None:
        case = self.controller.case
        hand = None if self.controller.state.review.region is None else self.controller.hand()
        if hand is None or case is None or hand.region.case_id != case.id:
            self._locating.stop()
            if self._alive(REGION):  # hidden, not removed: napari takes a third of a second to remove a layer
                self._ours[REGION].visible = False
            return
        region = hand.region
        self._frame_region(region.box, case)
        self._draw_region(hand, case)
        self._go_to_region()
        look_at(self.viewer, region.box, case)
        self._locating.begin(hand)

    def _on_located(self) -> None:
        """Draw the region in hand where it is, instead of its box."""
        hand, case = self.controller.hand(), self.controller.case
        if hand is not None and case is not None and hand.region.case_id == case.id:
            self._draw_region(hand, case)

    def _draw_region(self, hand: Hand, case: CaseInfo) -> None:
        region = hand.region
        rim = 0 if region.labelled else 1  # napari draws no outline at the rim of a layer, where an image ends
        inside, start = hand.outline
        mask, step = np.pad(inside.astype(np.uint8), rim), hand.step
        corner = [s * (a + (0.5 - rim) * step - 0.5) for s, a in zip(case.spacing, start, strict=True)]
        size = [s * step for s in case.spacing]
        color = REGION_COLORS[region.kind]
        if self._alive(REGION):
            self._ours[REGION].data = mask
            looks.recolor(self._ours[REGION], color)
            volumes.place(self._ours[REGION], {**volumes.grid_of(case), "scale": size, "translate": corner})
            if not self._ours[REGION].visible:
                self._ours[REGION].visible = True
        else:
            grid = {**self._grid, "scale": size, "translate": corner}
            self._ours[REGION] = looks.add_region(self.viewer, mask, color, REGION, **grid)

    def _reload_trust(self, box: Box | None) -> None:
        if self._pixels is not None and self._pixels.large:
            self._redraw.soon([TRUST.key])
            return
        if box is None or not self._alive(TRUST.key) or TRUST.key in self._waiting:
            self._show_overlay(TRUST)
            return
        data = self._ours[TRUST.key].data
        if isinstance(data, Blocks):
            data.changed(box)
            self._ours[TRUST.key].refresh()
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
            self._large.make_missing()

    def _remove_all(self) -> None:
        for key in list(self._ours):
            self._drop(key)
        self._shown = ()
