"""Recipes that move the object: turned and shifted (R4), bent (R5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.noise.shapes import box, diameter, fitted, overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
_MAX_DEGREES = 30.0


def turned(mask: NDArray[np.bool_], degrees: float) -> NDArray[np.bool_]:
    """Turn a mask in its last two axes about the middle of its pixels; what leaves the image is lost."""
    angle = np.deg2rad(degrees)
    turn = np.eye(mask.ndim)
    turn[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    middle = np.argwhere(mask).mean(0)
    found: NDArray[np.bool_] = ndimage.affine_transform(
        mask.astype(np.uint8), turn, offset=middle - turn @ middle, order=0
    ).astype(bool)
    return found


def shifted(mask: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """Shift a mask in its last two axes by whole pixels; what leaves the image is lost."""
    found = np.zeros_like(mask)
    source, target = [], []
    for by, edge in ((rows, mask.shape[-2]), (columns, mask.shape[-1])):
        source.append(slice(max(0, -by), max(0, edge - by)))
        target.append(slice(max(0, by), max(0, edge + by)))
    found[..., target[0], target[1]] = mask[..., source[0], source[1]]
    return found


def affine(
    mask: NDArray[np.bool_], dice: float, rng: np.random.Generator
) -> tuple[dict[str, object], NDArray[np.bool_]]:
    """Turn by up to 30 degrees either way, then shift in one of 8 directions as far as the target needs.

    The distance is solved for the Dice. As long as nothing leaves the image, that is the same as solving for
    ``xor / foreground = 2 (1 - dice)``; unlike it, every target can be reached near an edge, too. When turning
    alone goes beyond the target, the angle is halved until it does not. 3-D masks move within their slices.

    Returns
    -------
    drawn : dict
        ``degrees``, ``direction`` (rows, columns), ``shift_px``, ``xor_share`` (changed pixels / foreground).
    moved : array, bool
    """
    degrees = float(rng.uniform(-_MAX_DEGREES, _MAX_DEGREES))
    direction = DIRECTIONS[int(rng.integers(len(DIRECTIONS)))]
    if not mask.any():
        return {"degrees": degrees, "direction": list(direction)}, mask.copy()
    start = turned(mask, degrees)
    while overlap(mask, start) < dice and abs(degrees) > 0.5:
        degrees /= 2
        start = turned(mask, degrees)
    unit = np.array(direction) / np.hypot(*direction)

    def moved(distance: float) -> NDArray[np.bool_]:
        rows, columns = np.rint(distance * unit).astype(int)
        return shifted(start, int(rows), int(columns))

    distance, found = fitted(mask, dice, moved, float(np.hypot(*mask.shape[-2:])))
    share = int((mask ^ found).sum()) / int(mask.sum())
    return {"degrees": degrees, "direction": list(direction), "shift_px": distance, "xor_share": share}, found


def elastic(
    mask: NDArray[np.bool_], dice: float, rng: np.random.Generator
) -> tuple[dict[str, object], NDArray[np.bool_]]:
    """Bend by a random displacement, smooth over 8 % of the diameter, as strongly as the target needs.

    Returns
    -------
    drawn : dict
        ``amplitude_px``: root mean square of the displacement along an axis.
    bent : array, bool
    """
    if not mask.any():
        return {}, mask.copy()
    size = diameter(mask)
    # only the surroundings are bent; farther away there is nothing that could come near
    place = box(mask, int(np.ceil(size)) + 1)
    part = mask[place]
    field = rng.standard_normal((mask.ndim, *part.shape))
    field = np.stack([ndimage.gaussian_filter(one, max(0.5, 0.08 * size)) for one in field])
    field /= max(float(np.sqrt((field**2).mean())), 1e-12)
    here, values = np.indices(part.shape), part.astype(np.uint8)

    def bent(amplitude: float) -> NDArray[np.bool_]:
        found = np.zeros_like(mask)
        found[place] = ndimage.map_coordinates(values, here + amplitude * field, order=0, mode="nearest")
        return found

    amplitude, found = fitted(mask, dice, bent, 2 * size + 2)
    return {"amplitude_px": amplitude}, found
