"""Probabilities from the layers that are open in napari, and the import itself for the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_metadcseg.layers.overlays import OVERLAYS
from napari_metadcseg.layers.scene import IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari.layers import Layer

    from src_core.infer.imported import Imported

OURS = frozenset({IMAGE, *(overlay.title for overlay in OVERLAYS)})
"""Names of image layers that the plugin shows itself."""


def probability_layers(layers: Iterable[Layer], shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """Arrays of the image layers that may hold probabilities of the image that is shown, the likeliest first.

    Parameters
    ----------
    layers : iterable of Layer
        Such as ``viewer.layers``.
    shape : tuple of int
        Of the image that is shown, px.
    classes : int
        Of the project, background included.

    Returns
    -------
    dict of layer name to array, (C, H, W), (H, W, C), or for two classes (H, W) or one channel
        As the layers hold them; nothing is read yet.
    """
    fitting = {(classes, *shape), (*shape, classes)}
    if classes == 2:
        fitting |= {shape, (1, *shape), (*shape, 1)}
    found = [
        layer
        for layer in layers
        if isinstance(layer, Image)
        and not (layer.multiscale or layer.rgb or layer.name in OURS)
        and tuple(layer.data.shape) in fitting
        and layer.data.dtype.kind in "fu"
    ]
    found.sort(key=lambda layer: (layer.data.ndim == len(shape), layer.data.dtype.kind != "f"))
    return {layer.name: layer.data for layer in found}


def importer(project: Path) -> Callable[..., Imported]:
    """The import of scores into a project, to be run in the background; what it needs is loaded there, too."""

    def work(**values: Any) -> Imported:
        from src_core.infer.imported import import_scores

        return import_scores(project, **values)

    return work
