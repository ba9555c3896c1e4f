"""How a volume lies in the viewer: its slices, units, and what is good for a view in 3-D."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from src_core.data.slices import slice_axis

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo

UNITS = {"px": "pixel"}
"""What napari calls units that it calls otherwise."""

AXES = ("z", "y", "x")

LEAST_EXTENT = 16
"""Smaller regions are shown as if they were this large, px, so that their surroundings stay in sight."""

STRAIGHT = ((0.0, 0.0, 0.0), (0.0, 0.0, 90.0))
"""How the camera stands until somebody turns it."""

TURNED = (-20.0, 25.0, -30.0)
"""Angles of the camera, so that a volume is not seen straight along its slices."""


def grid_of(case: CaseInfo) -> dict[str, Any]:
    """What a layer must be told of where the pixels of an image lie."""
    axes = AXES[-len(case.shape) :]
    return {"scale": case.spacing, "units": (_unit(case),) * len(axes), "axis_labels": axes}


def _unit(case: CaseInfo) -> str:
    return UNITS.get(case.unit, case.unit)


def place(layer: Any, grid: dict[str, Any]) -> None:
    """Tell a layer where its pixels lie, as :func:`grid_of` says; napari would draw again what it is told twice."""
    for name, value in grid.items():
        if tuple(getattr(layer, name)) != tuple(value):
            setattr(layer, name, value)


def shown_channels(image: NDArray[Any], axes: int = 2) -> NDArray[Any]:
    """What can be shown of an image: grey, RGB or RGBA as they are, of other channels the first."""
    return image if image.ndim == axes or image.shape[-1] in (3, 4) else image[..., 0]


def expect_bodies() -> None:
    """Keep napari from warning of lines in 3-D: it draws the layers once before it tells that 3-D was switched on."""
    warnings.filterwarnings("ignore", message="Contours are not displayed during 3D rendering")


def outline(viewer: napari.Viewer, layer: Any, width: int) -> None:
    """Draw a mask as a line so wide, px; in 3-D as a body in front of all others, since there are no lines there."""
    solid = viewer.dims.ndisplay == 3
    layer.contour = 0 if solid else width
    layer.blending = "translucent_no_depth" if solid else "translucent"


def turn(viewer: napari.Viewer) -> None:
    """Look at a volume from aside, unless the person has turned it already."""
    if tuple(viewer.scene.camera.angles) in STRAIGHT:
        viewer.scene.camera.angles = TURNED


def cut_as_it_lies(viewer: napari.Viewer, case: CaseInfo) -> None:
    """Let the slider go through the slices of a volume, whichever axis they lie across."""
    if len(case.shape) == 3:
        across = slice_axis(case)
        viewer.dims.order = (across, *(axis for axis in range(3) if axis != across))


def go_to_slice(viewer: napari.Viewer, case: CaseInfo, at: int) -> None:
    """Move the slider to a slice of a volume."""
    axis = slice_axis(case)
    viewer.dims.set_point(axis, at * case.spacing[axis])


def look_at_body(viewer: napari.Viewer, box: Box, case: CaseInfo) -> None:
    """In 3-D move the view so that a box takes about a third of it, as the person has turned it.

    The whole volume is fitted first: napari alone knows how large it is as it is turned.
    """
    angles = viewer.scene.camera.angles
    viewer.reset_view()
    edges = [max(edge, LEAST_EXTENT) for edge in box.shape]
    closer = min(case.shape[axis] / edges[axis] for axis in viewer.dims.displayed) / 3
    middle = [s * (a + b - 1) / 2 for a, b, s in zip(box.start, box.stop, case.spacing, strict=True)]
    viewer.scene.camera.zoom *= max(closer, 1.0)
    viewer.scene.camera.center = tuple(middle[axis] for axis in viewer.dims.displayed)
    viewer.scene.camera.angles = angles
