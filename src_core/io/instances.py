"""Masks of numbered objects, mapped to one class and back.

A cleaned mask keeps the numbers of the file that it came from. What was added belongs to the object it touches, and
what touches none gets a number that is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.data.classes import ClassTable
from src_core.errors import MaskValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def one_class() -> ClassTable:
    """Background and object."""
    classes = (
        ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
        ClassInfo(index=1, name="object", value=1, color=OKABE_ITO[1]),
    )
    return ClassTable(classes=classes, instances=True, rule="every number but 0 is an object of one class")


def renumbered(label: NDArray[np.uint8], numbers: NDArray[Any]) -> NDArray[Any]:
    """Numbers of the objects of a cleaned mask.

    Parameters
    ----------
    label : array, uint8, (H, W) or (Z, H, W)
        Class indices: 1 is object.
    numbers : array of the same shape
        Of the source.

    Returns
    -------
    array, dtype of ``numbers``

    Raises
    ------
    MaskValueError
        If that type has no numbers left for new objects.
    """
    inside = label == 1
    kept = np.where(inside, numbers, 0)
    pieces, _ = ndimage.label(inside, ndimage.generate_binary_structure(label.ndim, label.ndim))
    seeds = ndimage.maximum(kept, pieces, np.arange(pieces.max() + 1)) if pieces.max() else np.zeros(1)
    seeds = np.asarray(seeds, dtype=np.int64)
    new = np.flatnonzero(seeds[1:] == 0) + 1
    top = int(numbers.max(initial=0))
    if top + len(new) > np.iinfo(numbers.dtype).max:
        raise MaskValueError(f"There are {top + len(new)} objects, more than the type {numbers.dtype} can number.")
    result = kept.copy()
    for number, piece in enumerate(new, start=top + 1):
        result[pieces == piece] = number
    grown = inside & (result == 0)
    if grown.any():
        result = _taken_from_nearest(result, pieces, grown)
    return result.astype(numbers.dtype)


def _taken_from_nearest(result: NDArray[Any], pieces: NDArray[Any], grown: NDArray[np.bool_]) -> NDArray[Any]:
    """Pixels without a number get that of the nearest one in their own piece."""
    for piece, window in enumerate(ndimage.find_objects(pieces), start=1):
        here = grown[window] & (pieces[window] == piece)
        if here.any():
            known = (pieces[window] == piece) & (result[window] > 0)
            nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
            result[window][here] = result[window][tuple(nearest)][here]
    return result
