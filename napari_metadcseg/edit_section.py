"""The edit tools in the window: panel, lasso and desk, wired to what is in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_metadcseg.edit_state import edit_state
from napari_metadcseg.edit_tools import EditTools
from napari_metadcseg.editing import EditDesk
from napari_metadcseg.layers.frame import in_image
from napari_metadcseg.layers.lasso import Lasso, slice_in_view
from napari_metadcseg.widgets.edit_panel import EditPanel

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_metadcseg.background import Background
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.layers.scene import Scene
    from napari_metadcseg.state import UiState


class EditSection:
    """Keeps the panel of edit tools in step with image, region and selected label.

    Parameters
    ----------
    viewer : napari.Viewer
    scene : Scene
    controller : Controller
    background : Background

    Attributes
    ----------
    panel : EditPanel
    """

    def __init__(self, viewer: napari.Viewer, scene: Scene, controller: Controller, background: Background) -> None:
        self._viewer, self._scene, self._controller = viewer, scene, controller
        self._followed: Labels | None = None
        self.lasso = Lasso(viewer, lambda: scene.label_layer)
        self.tools = EditTools(
            desk=self.desk,
            commit=controller.commit_edit,
            say=controller.say,
            ask_lasso=lambda done: self.lasso.draw(in_image(scene.frame, done)),
            ask_point=lambda done: self.lasso.click(in_image(scene.frame, done)),
            background=background.run,
            version=lambda: controller.project and controller.project.version()[0],
        )
        self.panel = EditPanel(self.tools.apply)
        self.panel.changed.connect(self.refresh)
        viewer.dims.events.current_step.connect(self._on_event)

    def desk(self) -> EditDesk | None:
        """The desk for what is in hand now; None when no image is shown."""
        layer, case, project = self._scene.label_layer, self._controller.case, self._controller.project
        if layer is None or case is None or project is None:
            return None
        axis, at = slice_in_view(self._viewer, layer)
        hand = self._controller.hand()
        return EditDesk(
            project,
            case,
            active=layer.selected_label,
            region=None if hand is None else hand.region,
            pixels=None if hand is None else (hand.mask, hand.proposed),
            run=self._controller.run,
            axis=axis,
            at=at,
            frame=self._scene.frame,
        )

    def show_state(self, new: UiState, old: UiState) -> None:
        """Follow the controller."""
        if new.project is None:
            self.lasso.remove()
        told = [(s.project is None, s.case_id, s.review.region, s.review.run) for s in (new, old)]
        if told[0] != told[1] or self._followed is not self._scene.label_layer:
            self._follow()
            self.refresh()

    def refresh(self) -> None:
        """Show what can be edited now, if the section is in sight: it asks where in its stack an image is."""
        if not self.panel.isVisible():
            return
        self.panel.show_state(edit_state(self.desk(), all_classes=self.panel.all_classes.isChecked()))

    def _follow(self) -> None:
        """Hear of it when a person selects another label."""
        layer = self._scene.label_layer
        if layer is self._followed:
            return
        if self._followed is not None:
            self._followed.events.selected_label.disconnect(self._on_event)
        if layer is not None:
            layer.events.selected_label.connect(self._on_event)
        self._followed = layer

    def _on_event(self, _event: object) -> None:
        case = self._controller.case
        if case is not None and (len(case.shape) == 3 or self._followed is not None):
            self.refresh()

    def disconnect(self) -> None:
        """Stop following; may be called after the widget is gone."""
        self._viewer.dims.events.current_step.disconnect(self._on_event)
        if self._followed is not None:
            self._followed.events.selected_label.disconnect(self._on_event)
        self.lasso.disconnect()
