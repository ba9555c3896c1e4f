"""Where pixels lie, and how a mask is brought to the axes of its image.

Two files lie on one grid when every corner of the one falls on a corner of the other, up to a tenth of a pixel. The
axes may be stored in another order or direction; the mask is turned on reading and turned back on writing, without a
change of any value. Where one of the files does not say where it lies, sizes have to agree.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import FormatError
from src_core.io.picture import Affine, Grid, Picture, size_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

TOLERANCE = 0.1
"""How far the corners of two grids may lie apart, in pixels."""

Turn = dict[str, list[int]]
"""``axes``: for each axis of the image that of the mask; ``flips``: axes of the image that run the other way."""

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From (right, anterior, superior) to (left, posterior, superior), as DICOM and ITK count, and back."""


def grid_of(matrix: NDArray[np.floating[Any]], where: Path | str) -> Grid:
    """The grid of an affine over ``(z, y, x)``.

    Raises
    ------
    FormatError
        If it has numbers that are none, or squashes an axis.
    """
    values = np.asarray(matrix, dtype=np.float64)
    sides = np.linalg.norm(values[:3, :3], axis=0)
    if values.shape != (4, 4) or not np.isfinite(values).all() or np.abs(values).max() > 1e9:
        raise FormatError(f"{where} has a position (affine) with numbers that make no sense; mend its header first.")
    if sides.min() <= 1e-9 or abs(np.linalg.det(values[:3, :3] / sides)) < 1e-3:
        raise FormatError(f"{where} has axes that lie in each other (its affine is singular); mend its header first.")
    rows: Affine = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in values)
    return Grid(spacing=tuple(float(side) for side in sides), unit="mm", affine=rows)


def check_spacing(spacing: tuple[float, ...], where: Path | str) -> tuple[float, ...]:
    """Spacing, if it can be one.

    Raises
    ------
    FormatError
    """
    if not all(np.isfinite(side) and 1e-9 < side < 1e9 for side in spacing):
        raise FormatError(
            f"{where} has a spacing of {' x '.join(f'{side:g}' for side in spacing)}; expected numbers above 0."
        )
    return tuple(float(side) for side in spacing)


def diagonal(spacing: tuple[float, ...]) -> Affine:
    """An affine of a grid of which only the spacing is known: no origin, axes towards left, posterior and superior."""
    z, y, x = (1.0,) * (3 - len(spacing)) + tuple(spacing)
    return ((0.0, 0.0, -x, 0.0), (0.0, -y, 0.0, 0.0), (z, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def orientation(affine: Affine) -> str:
    """Where the axes z, y, x of an array point to, as letters such as ``SPL``."""
    directions = np.array(affine)[:3, :3]
    letters = []
    for column in (directions / np.linalg.norm(directions, axis=0)).T:
        axis = int(np.argmax(np.abs(column)))
        letters.append("RAS"[axis] if column[axis] > 0 else "LPI"[axis])
    return "".join(letters)


def volume(pixels: NDArray[Any], space: int) -> NDArray[Any]:
    """The array with an axis for slices."""
    return pixels[None] if space == 2 else pixels


def find_turn(image: Picture, mask: Picture, image_path: Path | str, mask_path: Path | str) -> Turn | None:
    """How the mask has to be turned to lie as its image; None when it does already.

    Raises
    ------
    FormatError
        If they do not lie on one grid. The sentence names both.
    """
    sizes = [(1,) * (3 - picture.space) + picture.shape for picture in (image, mask)]
    if image.grid.affine is None or mask.grid.affine is None:
        if sizes[0] == sizes[1]:
            return None
        raise FormatError(
            f"{_name(image_path)} is {size_in_words(image.shape)} and its mask {_name(mask_path)} "
            f"{size_in_words(mask.shape)[:-3]} px; expected the same size."
        )
    step = np.linalg.inv(np.array(mask.grid.affine)) @ np.array(image.grid.affine)
    turned = np.rint(step[:3, :3]).astype(int)
    axes = np.abs(turned).argmax(axis=0)
    flips = [k for k in range(3) if turned[axes[k], k] < 0]
    turn = {"axes": [int(axis) for axis in axes], "flips": flips}
    fits = sorted(axes) == [0, 1, 2] and tuple(sizes[1][axis] for axis in axes) == sizes[0]
    if not fits or not _corners_fall_together(sizes[0], turn, step):
        raise FormatError(
            f"{_name(mask_path)} lies on another grid ({_describe(mask)}) than its image {_name(image_path)} "
            f"({_describe(image)}); expected the same; resample the mask to the image first."
        )
    return None if turn == {"axes": [0, 1, 2], "flips": []} else turn


def spread(image: Picture, mask: Picture) -> Picture:
    """A mask of which only a part was stored, on as many pixels as its image has: what was left out is background."""
    if image.grid.affine is None or mask.grid.affine is None:
        return mask
    size, own = (np.array((1,) * (3 - picture.space) + picture.shape) for picture in (image, mask))
    step = np.linalg.inv(np.array(mask.grid.affine)) @ np.array(image.grid.affine)
    ends = np.stack([step[:3, 3], step[:3, :3] @ (size - 1) + step[:3, 3]])
    low, high = np.rint(ends.min(axis=0)).astype(int), np.rint(ends.max(axis=0)).astype(int)
    if (low > 0).any() or (high < own - 1).any() or math.prod(map(int, high - low + 1)) != math.prod(map(int, size)):
        return mask
    moved = np.eye(4)
    moved[:3, 3] = low
    grid = grid_of(np.array(mask.grid.affine) @ moved, "the mask")
    around = [(int(-before), int(after)) for before, after in zip(low, high - own + 1, strict=True)]
    pixels = np.pad(volume(mask.pixels, mask.space), around)
    return replace(mask, pixels=pixels, space=3, grid=grid, extra={**mask.extra, "lies": grid.affine})


def _corners_fall_together(size: tuple[int, ...], turn: Turn, step: NDArray[np.float64]) -> bool:
    for corner in itertools.product(*((0, side - 1) for side in size)):
        expected = np.zeros(3)
        for k, axis in enumerate(turn["axes"]):
            expected[axis] = size[k] - 1 - corner[k] if k in turn["flips"] else corner[k]
        if np.abs(step[:3, :3] @ corner + step[:3, 3] - expected).max() > TOLERANCE:
            return False
    # an axis of one slice has no corners that tell its spacing
    return bool(np.allclose(np.linalg.norm(step[:3, :3], axis=0), 1, atol=TOLERANCE))


def _name(path: Path | str) -> str:
    return getattr(path, "name", str(path))


def _describe(picture: Picture) -> str:
    affine = picture.grid.affine
    assert affine is not None
    spacing = " x ".join(f"{side:.4g}" for side in reversed(picture.grid.spacing))
    origin = ", ".join(f"{row[3]:.4g}" for row in affine[:3])
    return (
        f"{size_in_words(picture.shape)} of {spacing} mm, axes {orientation(affine)[::-1][: picture.space]}, "
        f"from ({origin}) mm"
    )


def turn_to_image(pixels: NDArray[Any], turn: Mapping[str, Any] | None) -> NDArray[Any]:
    """A mask ``(Z, H, W)`` on the axes of its image."""
    if turn is None:
        return pixels
    turned = pixels.transpose(turn["axes"])
    return np.ascontiguousarray(np.flip(turned, turn["flips"]) if turn["flips"] else turned)


def turn_back(pixels: NDArray[Any], turn: Mapping[str, Any] | None) -> NDArray[Any]:
    """What :func:`turn_to_image` undoes: a mask on the axes of its file."""
    if turn is None:
        return pixels
    flipped = np.flip(pixels, turn["flips"]) if turn["flips"] else pixels
    return np.ascontiguousarray(flipped.transpose(np.argsort(turn["axes"])))
