"""In how many dimensions the images of a project are learned: slice by slice, with neighbours, or as volumes.

A volume is cut into slices across its axis of the coarsest spacing. As a whole it is worked on with voxels of one edge
length, the working spacing, so that a network whose levels halve all sides alike sees all directions alike.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Literal

from src_core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from src_core.config import TrainingSettings
    from src_core.data.case import CaseInfo
    from src_core.data.slices import OnGrid

Dimensions = Literal["2d", "2.5d", "3d"]

NEIGHBOURS = 1
"""Slices on either side that 2.5-D sees along with the one in question."""

MIN_SLICES = 32
"""A network of volumes halves their sides four times; with fewer slices than this there is nothing left to halve."""

MAX_ANISOTROPY = 3.0
"""Slices further apart than this many pixels say little of each other, and are never drawn finer than that."""

VOXELS = 8
"""A crop of a volume has about so many times the pixels of a crop of an image."""


def choose_dimensions(settings: TrainingSettings, cases: Sequence[CaseInfo], device: str) -> Dimensions:
    """What ``dimensions`` of the settings comes down to for these images.

    Parameters
    ----------
    settings : TrainingSettings
    cases : sequence of CaseInfo
    device : str
        ``cpu``, ``cuda`` or ``mps``: where it is trained.

    Returns
    -------
    str
        ``2d`` unless volumes are asked for, or ``auto`` finds volumes only, of many slices that are no further apart
        than 3 px, and no CPU.

    Raises
    ------
    SettingsError
        If ``2.5d`` or ``3d`` is asked for and an image has one slice only.
    """
    flat = [case.name for case in cases if len(case.shape) == 2]
    if settings.dimensions == "2d":
        return "2d"
    if settings.dimensions == "auto":
        deep = not flat and all(
            min(case.shape) >= MIN_SLICES and max(case.spacing) <= MAX_ANISOTROPY * min(case.spacing) for case in cases
        )
        return "3d" if deep and device != "cpu" else "2d"
    if flat:
        raise SettingsError(
            f"Setting dimensions is {settings.dimensions}, but {len(flat)} of {len(cases)} images have one slice only "
            f"({', '.join(flat[:3])}{' …' if len(flat) > 3 else ''}); train with dimensions 2d, which takes both."
        )
    return settings.dimensions


def working_spacing(cases: Sequence[OnGrid], max_side: int) -> float:
    """Edge of a voxel at which volumes are worked on; in the unit of their spacing.

    That of a typical volume's finest axis, coarser where slices lie further apart than three such edges, and so that
    the longest side of any volume has at most ``max_side`` voxels.
    """
    fine = median(max(min(case.spacing), max(case.spacing) / MAX_ANISOTROPY) for case in cases)
    longest = max(edge * size for case in cases for edge, size in zip(case.shape, case.spacing, strict=True))
    return max(fine, longest / max_side)


def volume_shape(case: OnGrid, spacing: float) -> tuple[int, ...]:
    """Sides of a volume in voxels of the working spacing."""
    return tuple(max(1, round(edge * size / spacing)) for edge, size in zip(case.shape, case.spacing, strict=True))


def patch_shape(settings: TrainingSettings, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Sides of a crop, px: square for images; for volumes a box of some 8 times as many voxels.

    Its sides are multiples of 16, at least 32; where the volumes are thin it is thinner and wider.

    Parameters
    ----------
    settings : TrainingSettings
    shapes : sequence of tuple of int
        Of the cases at working resolution.
    """
    if len(shapes[0]) == 2:
        return (settings.patch_size,) * 2
    sides = [median(shape[axis] for shape in shapes) for axis in range(3)]
    found = [0] * 3
    left = float(VOXELS * settings.patch_size**2)
    for place, axis in enumerate(sorted(range(3), key=lambda axis: sides[axis])):
        wanted = min(sides[axis], left ** (1 / (3 - place)))
        found[axis] = max(32, 16 * round(wanted / 16))
        left /= found[axis]
    return tuple(found)
