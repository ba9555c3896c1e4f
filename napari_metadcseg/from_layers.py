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
        sides = pixels.shape[:-1] if image.rgb else pixels.shape
        fits = len(sides) in (2, 3)
        match = next((layer for layer in labels if fits and layer.data.shape == sides), None)
        if match is not None:
            labels.remove(match)
            found.append((image, pixels[..., :3] if image.rgb else pixels, np.asarray(match.data)))
    if not found:
        raise InputError(
            "No image layer has a label layer of its size; open an image or a volume and its mask (as labels) first, "
            "or make a project from folders."
        )
    table = infer_classes([MaskValues.of(mask, f"Layer {image.name}") for image, _, mask in found])
    names: set[str] = set()
    cases = []
    for image, pixels, mask in found:
        name = image.name
        unique = next(
            f"{name}{end}" for end in ("", *(f"-{k}" for k in range(2, 10**6))) if f"{name}{end}" not in names
        )
        names.add(unique)
        given = table.encode(mask, f"Layer {name}")
        spacing, unit = _grid_of(image)
        cases.append(NewCase(name=unique.replace("/", "_"), image=pixels, given=given, spacing=spacing, unit=unit))
    return cases, table.classes


def _grid_of(layer: Image) -> tuple[tuple[float, ...], str]:
    """Spacing and unit of a layer: in mm where napari knows a length, else px as the layer is scaled."""
    scale = tuple(abs(float(size)) for size in layer.scale)
    try:
        factors = [float((1 * unit).to("mm").magnitude) for unit in layer.units]
    except TypeError:  # pixels are no length
        return scale, "px"
    return tuple(size * factor for size, factor in zip(scale, factors, strict=True)), "mm"
