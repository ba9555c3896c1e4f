"""What of an image is in view, and bringing a part of it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_metadcseg.layers import frame as frames
from napari_metadcseg.layers import volumes
from src_core.data.case import Box

if TYPE_CHECKING:
    import napari

    from src_core.data.case import CaseInfo

SHARE = 1 / 3
"""A region takes so much of the view."""

FITTED = 0.95
"""And an image, where napari fits it into view."""


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


def look_at(viewer: napari.Viewer, box: Box, case: CaseInfo) -> None:
    """Move the view so that a box takes about a third of it, but no further away than all of the image.

    In two steps, as napari places all layers anew at each.
    """
    if viewer.dims.ndisplay == 3:
        volumes.look_at_body(viewer, box, case)
        return
    seen = viewer.dims.displayed
    sizes = [case.spacing[axis] for axis in seen]
    edges = [max(box.shape[axis], volumes.LEAST_EXTENT) * size for axis, size in zip(seen, sizes, strict=True)]
    whole = [case.shape[axis] * size for axis, size in zip(seen, sizes, strict=True)]
    middle = [(box.start[axis] + box.stop[axis] - 1) / 2 * size for axis, size in zip(seen, sizes, strict=True)]
    canvas = viewer.canvas.size
    closely, all_of_it = (min(a / b for a, b in zip(canvas, sides, strict=True)) for sides in (edges, whole))
    viewer.scene.camera.zoom = max(SHARE * closely, FITTED * all_of_it)
    viewer.scene.camera.center = (0.0, *middle)
