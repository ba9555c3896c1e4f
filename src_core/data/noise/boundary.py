"""Recipes that work on the outline: even offset (R2), random rim (R3), dots (R6), coarse copies (R7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.transform import resize

from src_core.data.noise.shapes import box, diameter, fitted, overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_COARSE_PX = 1000  # pixels of an object in the small copy of `adele`


def offset(mask: NDArray[np.bool_], pixels: float, *, grow: bool) -> NDArray[np.bool_]:
    """Move the outline evenly by a distance in px; at least the innermost pixels stay."""
    if not mask.any():
        return mask.copy()
    if grow:
        grown: NDArray[np.bool_] = ndimage.distance_transform_edt(~mask) <= pixels
        return grown
    # the frame keeps distances defined for a mask that fills the image
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[(slice(1, -1),) * mask.ndim]
    shrunk: NDArray[np.bool_] = inside > min(pixels, inside.max() - 1e-6)
    return shrunk


def markov(
    mask: NDArray[np.bool_],
    dice: float,
    rng: np.random.Generator,
    *,
    outwards: float = 0.8,
    flip: float = 0.05,
    max_steps: int = 600,
) -> NDArray[np.bool_]:
    """Flip pixels of the outer rim (with chance ``outwards`` a step) or of the inner rim until ``dice`` is reached.

    Parameters
    ----------
    mask : array, bool
    dice : float
        Where to stop, in [0, 1].
    rng : Generator
    outwards, flip : float
        theta1 and theta2: chance that a step works on the outer rim; chance that a pixel of the rim flips.
    max_steps : int
    """
    noisy = mask.copy()
    if not mask.any():
        return noisy
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    for _ in range(max_steps):
        if rng.random() < outwards:
            rim = ndimage.binary_dilation(noisy, cross) & ~noisy
        else:
            rim = noisy & ~ndimage.binary_erosion(noisy, cross, border_value=1)
        noisy ^= rim & (rng.random(mask.shape) < flip)
        smooth = ndimage.gaussian_filter(noisy.astype(np.float32), 1.0) > 0.5
        if not smooth.any() or overlap(mask, smooth) <= dice:
            break
    result: NDArray[np.bool_] = smooth
    return result


def paint_discs(
    mask: NDArray[np.bool_],
    centers: Sequence[Sequence[int]] | NDArray[np.int64],
    radii: NDArray[np.float64],
    values: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Paint discs (balls in 3-D) of given centers (N, axes), radii in px (N,), and values (N,), one after another."""
    noisy = mask.copy()
    for center, radius, value in zip(centers, radii, values, strict=True):
        reach = int(radius)
        sides = [
            (max(0, int(c) - reach), min(edge, int(c) + reach + 1)) for c, edge in zip(center, mask.shape, strict=True)
        ]
        axes = np.ogrid[tuple(slice(*side) for side in sides)]
        squares = sum((axis - int(c)) ** 2 for axis, c in zip(axes, center, strict=True))
        noisy[tuple(slice(*side) for side in sides)][squares <= radius**2] = value
    return noisy


def contour_dots(mask: NDArray[np.bool_], dice: float, rng: np.random.Generator) -> tuple[float, NDArray[np.bool_]]:
    """At half of the contour pixels paint a disc of random radius with foreground or background.

    Returns
    -------
    largest : float
        Radius, px, below which all radii are; found by bisection so that the overlap is ``dice``.
    noisy : array, bool
    """
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    contour = np.argwhere(mask & ~ndimage.binary_erosion(mask, cross, border_value=1))
    centers = rng.permutation(contour[rng.random(len(contour)) < 0.5])
    if not len(centers):
        return 0.0, mask.copy()
    parts, values = rng.random(len(centers)), rng.random(len(centers)) < 0.5
    return fitted(
        mask, dice, lambda largest: paint_discs(mask, centers, largest * parts, values), diameter(mask) + 1, steps=12
    )


def adele(mask: NDArray[np.bool_], iterations: int, *, grow: bool) -> NDArray[np.bool_]:
    """Bring the mask to 1000 px, grow or shrink it there with a 3 x 3 square, and bring it back.

    The source works on slices; so in 3-D the largest slice along axis 0 is brought to 1000 px, and the square
    lies within the slices.

    Parameters
    ----------
    mask : array, bool
    iterations : int
        2 to 4 in the source. Fewer are done when the whole object would vanish.
    grow : bool
    """
    if not mask.any():
        return mask.copy()
    scale = float(np.sqrt(_COARSE_PX / mask.sum(axis=(-2, -1)).max()))
    # room to grow in the small copy, plus a pixel for the interpolation
    place = box(mask, int(np.ceil((iterations + 1) / scale)) + 1)
    part = mask[place]
    small = _resized(part, (*part.shape[:-2], *(max(1, round(edge * scale)) for edge in part.shape[-2:])))
    square = np.ones((1,) * (mask.ndim - 2) + (3, 3), bool)
    act = ndimage.binary_dilation if grow else ndimage.binary_erosion
    noisy = np.zeros_like(mask)
    for count in range(iterations, 0, -1):
        noisy[place] = _resized(act(small, square, iterations=count, border_value=0 if grow else 1), part.shape)
        if noisy.any():
            return noisy
    return mask.copy()


def _resized(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = resize(mask.astype(np.float32), shape, order=1, anti_aliasing=False) > 0.5
    return result
