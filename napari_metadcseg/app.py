"""napari with the widget docked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from qtpy.QtWidgets import QApplication

from napari_metadcseg.main_widget import MetaDCSegWidget

if TYPE_CHECKING:
    from pathlib import Path

TITLE = "MetaDCSeg: clean masks"


def dock(viewer: napari.Viewer) -> MetaDCSegWidget:
    """Add the widget to a viewer; the canvas has its final size when this returns, so that images fit into it."""
    widget = MetaDCSegWidget(viewer)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    QApplication.processEvents()
    return widget


def open_project(path: str | Path) -> int:
    """Open napari on a project and stay until it is closed.

    Returns
    -------
    int
        0, the exit status.
    """
    viewer = napari.Viewer(title="napari - MetaDCSeg")
    widget = dock(viewer)
    widget.open_project(path)
    widget.tabs.setCurrentIndex(2 if widget.controller.state.review.run else 0)
    napari.run()
    widget.shut_down()
    return 0
