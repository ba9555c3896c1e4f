"""A project from the layers that are open in napari."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from src_core.data.classes import MaskValues, infer_classes
from src_core.errors import InputError
from src_core.store.create import NewCase

if TYPE_CHECKING:
    import napari

    from src_core.data.case import ClassInfo


def cases_from_layers(viewer: napari.Viewer) -> tuple[list[NewCase], tuple[ClassInfo, ...]]:
    """Pair each image layer with the label layer of the same size that is nearest above it in the list.

    Raises
    ------
    InputError
        If nothing can be paired, or the labels are no classes.
    """
    images = [layer for layer in viewer.layers if isinstance(layer, Image) and not layer.multiscale]
    labels = [layer for layer in viewer.layers if isinstance(layer, Labels) and not layer.multiscale]
    found = []
    for image in images:
        pixels = np.asarray(image.data)
        flat = pixels.ndim == 2 or (pixels.ndim == 3 and image.rgb)
        match = next((layer for layer in labels if flat and layer.data.shape == pixels.shape[:2]), None)
        if match is not None:
            labels.remove(match)
            found.append((image.name, pixels[..., :3] if pixels.ndim == 3 else pixels, np.asarray(match.data)))
    if not found:
        raise InputError(
            "No image layer has a label layer of its size; open a 2-D image and its mask (as labels) first, or make a "
            "project from folders."
        )
    table = infer_classes([MaskValues.of(mask, f"Layer {name}") for name, _, mask in found])
    names: set[str] = set()
    cases = []
    for name, pixels, mask in found:
        unique = next(
            f"{name}{end}" for end in ("", *(f"-{k}" for k in range(2, 10**6))) if f"{name}{end}" not in names
        )
        names.add(unique)
        cases.append(NewCase(name=unique.replace("/", "_"), image=pixels, given=table.encode(mask, f"Layer {name}")))
    return cases, table.classes
