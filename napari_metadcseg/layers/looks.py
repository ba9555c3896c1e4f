"""How each layer looks: the layers of the scene, made once and given other data then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils import DirectLabelColormap

from napari_metadcseg.layers import volumes
from napari_metadcseg.layers.overlays import PURPLE, class_colors, colormap

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

    from napari_metadcseg.layers.overlays import Overlay
    from src_core.data.case import ClassInfo

    Classes = tuple[ClassInfo, ...]

LABEL_OPACITY = 0.45


def one_color(color: str) -> DirectLabelColormap:
    """Colour of a mask, for 1; all else is transparent."""
    return DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: color})


def recolor(layer: Labels, color: str) -> None:
    """Give a mask another colour, if it has not got it: napari would draw it again."""
    colors = one_color(color)
    if not np.array_equal(layer.colormap.color_dict[1], colors.color_dict[1]):
        layer.colormap = colors


def stretch(layer: Image, limits: tuple[float, float] | None) -> None:
    """Draw these values of an image black and white; None for those that napari finds in it."""
    if limits is None:
        layer.reset_contrast_limits()
    else:
        layer.contrast_limits = limits


def add_label(viewer: napari.Viewer, data: Any, classes: Classes, name: str, **more: Any) -> Labels:
    """The label, or levels of it."""
    colors = DirectLabelColormap(color_dict=class_colors(classes))
    return viewer.add_labels(data, name=name, colormap=colors, opacity=LABEL_OPACITY, **more)


def add_proposal(viewer: napari.Viewer, data: Any, classes: Classes, name: str, **more: Any) -> Labels:
    """What the model would draw, as outlines; whatever was active stays so, as with all that follow."""
    active = viewer.layers.selection.active
    colors: dict[int | None, Any] = class_colors(classes)
    if len(classes) == 2:
        colors[1] = PURPLE  # another colour than the label, since there is only one class to tell apart
    layer = viewer.add_labels(data, name=name, colormap=DirectLabelColormap(color_dict=colors), **more)
    volumes.outline(viewer, layer, 1)
    layer.visible = viewer.dims.ndisplay == 2
    layer.editable = False
    viewer.layers.selection.active = active
    return layer


def add_overlay(viewer: napari.Viewer, data: Any, overlay: Overlay, **more: Any) -> Labels | Image:
    """A map of the run, or the outline of a mask."""
    active = viewer.layers.selection.active
    layer: Labels | Image
    if overlay.kind == "mask":
        colors = one_color(overlay.stops[0][0])
        layer = viewer.add_labels(data, name=overlay.title, colormap=colors, opacity=0.9, **more)
        volumes.outline(viewer, layer, 1)
        layer.editable = False
    else:
        layer = viewer.add_image(
            data,
            name=overlay.title,
            colormap=colormap(overlay),
            contrast_limits=(0, 1),
            blending="translucent_no_depth",
            interpolation2d="nearest",
            rendering="minip" if overlay.strong_when_low else "mip",
            **more,
        )
    viewer.layers.selection.active = active
    return layer


def add_region(viewer: napari.Viewer, data: Any, color: str, name: str, **more: Any) -> Labels:
    """The outline of the region in hand."""
    active = viewer.layers.selection.active
    layer = viewer.add_labels(data, name=name, colormap=one_color(color), **more)
    volumes.outline(viewer, layer, 2)
    layer.editable = False
    viewer.layers.selection.active = active
    return layer
