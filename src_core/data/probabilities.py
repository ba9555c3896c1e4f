"""What a model says about an image, as others write it down: checked, and brought to one form.

Shape suffixes: C classes, X the space axes of the image (H, W) or volume (Z, H, W).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import entr

from src_core.data.case import IGNORE
from src_core.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANGE_SLACK = 1e-3
"""Floats this far outside of [0, 1] are taken for rounding."""

SUM_SLACK = 0.02
"""The classes of a pixel may add up to this much more or less than 1; whole numbers get their rounding on top."""

SCALES = {1: 255, 2: 65535}
"""Whole numbers of so many bytes stand for themselves divided by this."""


def as_probabilities(values: NDArray[Any], shape: tuple[int, ...], classes: int, where: str) -> NDArray[np.float32]:
    """Probabilities of all classes, ``(C, X)``, float32, in [0, 1], that add up to 1 at every pixel.

    Parameters
    ----------
    values : array, (C, X), (X, C), or for two classes (X) or one channel: probability of the foreground
        Of a volume also (Z, C, H, W), as a network of slices gives it slice by slice. Floats in [0, 1], uint8 scaled
        by 255, or uint16 scaled by 65535.
    shape : tuple of int
        Of the image, px.
    classes : int
        Of the project, background included and first.
    where : str
        The file, for messages.

    Raises
    ------
    FormatError
        For another shape or type, NaN, values outside of [0, 1], or classes that do not add up to 1.
    """
    scale = _scale(values, where)
    channels = _classes_first(values, shape, classes, where)
    unit = _unit(channels, scale, where)
    if len(unit) == 1:
        return np.concatenate([1 - unit, unit])
    total = unit.sum(axis=0)
    low, high = float(total.min()), float(total.max())
    slack = SUM_SLACK + (classes / (2 * scale) if scale > 1 else 0)
    if low < 1 - slack or high > 1 + slack:
        raise FormatError(
            f"The classes of {where} add up to between {low:.3g} and {high:.3g} at a pixel; expected 1: probabilities "
            "of all classes, background first, as softmax gives them."
        )
    normalised: NDArray[np.float32] = unit / total
    return normalised


def as_map(values: NDArray[Any], shape: tuple[int, ...], where: str) -> NDArray[np.float32]:
    """One value a pixel in [0, 1], float32, of the image's shape; types as in :func:`as_probabilities`.

    Raises
    ------
    FormatError
        For another shape or type, NaN, or values outside of [0, 1].
    """
    scale = _scale(values, where)
    flat = values if values.shape == shape else values.reshape([edge for edge in values.shape if edge != 1])
    if flat.shape != shape:
        raise FormatError(f"{where} is an array of {_by(values.shape)}; expected {_by(shape)}, as its image.")
    return _unit(flat, scale, where)


def _scale(values: NDArray[Any], where: str) -> int:
    if values.dtype.kind == "f":
        return 1
    if values.dtype.kind == "u" and values.itemsize in SCALES:
        return SCALES[values.itemsize]
    raise FormatError(
        f"{where} holds values of type {values.dtype}; expected floats from 0 to 1, 8 bit whole numbers from 0 to 255 "
        "or 16 bit ones from 0 to 65535."
    )


def _classes_first(values: NDArray[Any], shape: tuple[int, ...], classes: int, where: str) -> NDArray[Any]:
    """``(C, X)``, or ``(1, X)`` for the foreground alone; an axis of length 1 too many is passed over."""
    foreground = (1,) if classes == 2 else ()
    for count in (classes, *foreground):
        if values.shape == (count, *shape):
            return values
        if values.shape == (*shape, count):
            return np.moveaxis(values, -1, 0)
    if foreground and values.shape == shape:
        return values[None]
    for count in (classes, *foreground):
        if len(shape) == 3 and values.shape == (shape[0], count, *shape[1:]):
            return np.moveaxis(values, 1, 0)
    if values.ndim == len(shape) + 2:
        for axis in range(values.ndim):
            if values.shape[axis] == 1:
                rest = values.squeeze(axis)
                if rest.shape in ((classes, *shape), (*shape, classes)):
                    return _classes_first(rest, shape, classes, where)
    alone = f", or {_by(shape)} for the foreground alone" if foreground else ""
    raise FormatError(
        f"{where} is an array of {_by(values.shape)}; expected {_by((classes, *shape))} ({classes} classes, background "
        f"first, of an image of {_by(shape)}) or {_by((*shape, classes))}{alone}."
    )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _unit(values: NDArray[Any], scale: int, where: str) -> NDArray[np.float32]:
    """Values as float32 in [0, 1]."""
    if scale > 1:
        divided: NDArray[np.float32] = values.astype(np.float32) / np.float32(scale)
        return divided
    if not np.isfinite(values).all():
        count = int(np.count_nonzero(~np.isfinite(values)))
        raise FormatError(f"{where} holds {count} values that are no numbers (NaN or infinite); replace them first.")
    low, high = float(values.min()), float(values.max())
    if low < -RANGE_SLACK or high > 1 + RANGE_SLACK:
        raise FormatError(
            f"{where} holds values from {low:.4g} to {high:.4g}; expected 0 to 1. Are these logits? Then apply softmax "
            "(sigmoid for one channel) first; whole numbers from 0 to 255 are to be stored in 8 bits."
        )
    clipped: NDArray[np.float32] = np.clip(values, 0, 1).astype(np.float32)
    return clipped


class Whole:
    """Looks over all files whether whole numbers use their range: masks are easily taken for probabilities."""

    def __init__(self) -> None:
        self._highest: dict[int, int] = {}

    def note(self, values: NDArray[Any]) -> None:
        """Take one file into account."""
        if values.dtype.kind == "u" and values.itemsize in SCALES and values.size:
            self._highest[values.itemsize] = max(self._highest.get(values.itemsize, 0), int(values.max()))

    def problems(self, what: str) -> list[str]:
        """One sentence if the files do not look as they should."""
        found = []
        if self._highest.get(1, 255) <= 1:
            found.append(
                f"The {what} hold only 0 and 1 in 8 bits, where 255 stands for certain: they look like masks. Give "
                "floats from 0 to 1, or scale to 255."
            )
        if self._highest.get(2, 65535) <= 255:
            found.append(
                f"The {what} hold at most 255 in 16 bits, where 65535 stands for certain; store them in 8 bits, or "
                "give floats from 0 to 1."
            )
        return found


# ---------------------------------------------------------------- what follows from them


def normalised_entropy(probabilities_CX: NDArray[np.floating]) -> NDArray[np.float32]:
    """Entropy of each pixel divided by ``log C``, ``(X)``, float32, in [0, 1]: 0 is sure, 1 is no idea."""
    terms = entr(probabilities_CX.astype(np.float64)).sum(axis=0) / math.log(len(probabilities_CX))
    clipped: NDArray[np.float32] = np.clip(terms, 0, 1).astype(np.float32)
    return clipped


def probability_of(probabilities_CX: NDArray[np.floating], label_X: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probability of the label of each pixel, ``(X)``, float32; 0 where there is no label."""
    known = label_X != IGNORE
    index = np.where(known, label_X, 0)[None].astype(np.intp)
    taken = np.take_along_axis(probabilities_CX, index, axis=0)[0]
    return np.where(known, taken, 0).astype(np.float32)


def packed(probabilities_CX: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Probabilities for keeping: uint16 scaled by 65535, of two classes the foreground alone.

    :func:`as_probabilities` brings them back, to within 1e-5 for two classes.
    """
    kept = probabilities_CX[1] if len(probabilities_CX) == 2 else probabilities_CX
    rounded: NDArray[np.uint16] = np.rint(kept.astype(np.float64) * 65535).astype(np.uint16)
    return rounded
