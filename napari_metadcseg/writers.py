"""Label layers as files: as the file that they were read from, or anew with their spacing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_metadcseg.readers import KEY
from src_core.io.formats import write, write_new
from src_core.io.picture import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDINGS = {".nii.gz": "nifti", ".nrrd": "nrrd", ".ome.zarr": "ome-zarr", ".npy": "npy"}


def write_labels(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write one label layer.

    Parameters
    ----------
    path : str
        Its ending decides the format.
    data : array, (H, W) or (Z, H, W)
    attributes : mapping
        Of the layer, as napari hands them over.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    InputError, StorageError
        If it cannot be written.
    """
    target, pixels = Path(path), np.asarray(data)
    source = (attributes.get("metadata") or {}).get(KEY)
    if source and target.name.lower().endswith(source["suffix"] or "/"):
        values = pixels.astype(source["dtype"])
        return [str(each) for each in write(target, values, mode=source["mode"], extra=source["extra"])]
    ending = next((known for known in ENDINGS if target.name.lower().endswith(known)), ".nii.gz")
    stem = target.name[: -len(ending)] if target.name.lower().endswith(ending) else target.name
    small = pixels.astype(np.min_scalar_type(int(pixels.max(initial=0)))) if pixels.min(initial=0) >= 0 else pixels
    grid = Grid(
        spacing=tuple(float(side) for side in attributes.get("scale", (1.0,) * pixels.ndim))[-pixels.ndim :],
        unit=source["unit"] if source else "px",
        affine=source["affine"] if source else None,
    )
    return [str(write_new(target.parent, stem, ENDINGS[ending], small, grid))]
