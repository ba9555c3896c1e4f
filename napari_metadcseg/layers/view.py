"""What of a large image is in view, and bringing a part of it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_metadcseg.layers import frame as frames
from napari_metadcseg.layers.volumes import LEAST_EXTENT
from src_core.data.case import Box

if TYPE_CHECKING:
    import napari

    from src_core.data.case import CaseInfo

SHARE = 1 / 3
"""A region takes so much of the view."""


def part_in_view(viewer: napari.Viewer, case: CaseInfo) -> Box | None:
    """The part of an image that is in view; None when that is more than a frame can hold, or nothing."""
    zoom = viewer.scene.camera.zoom
    sides = []
    for middle, edge, size, side in zip(
        viewer.scene.camera.center[-2:], viewer.canvas.size, case.spacing, case.shape, strict=True
    ):
        reach = edge / zoom / size / 2
        sides.append((max(round(middle / size - reach), 0), min(round(middle / size + reach), side)))
    if any(not 0 < b - a <= frames.MOST for a, b in sides):
        return None
    return Box(tuple(a for a, _ in sides), tuple(b for _, b in sides))


def look_closely(viewer: napari.Viewer, box: Box, case: CaseInfo) -> None:
    """Move the view so that a box takes about a third of it, in two steps: at each one all layers are placed anew."""
    edges = [max(edge, LEAST_EXTENT) * size for edge, size in zip(box.shape, case.spacing, strict=True)]
    middle = [(a + b - 1) / 2 * size for a, b, size in zip(box.start, box.stop, case.spacing, strict=True)]
    zoom = SHARE * min(side / edge for side, edge in zip(viewer.canvas.size, edges, strict=True))
    viewer.scene.camera.zoom = zoom
    viewer.scene.camera.center = (0.0, *middle)
