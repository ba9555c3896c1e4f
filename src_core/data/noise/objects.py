"""Recipes for whole objects: lost ones and false ones (R9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import fftconvolve

from src_core.data.noise.record import Change, Job, Origin
from src_core.data.noise.shapes import box, objects_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _lose(
    mask: NDArray[np.bool_], chance: float, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.int32], int, int]:
    """Lose each object with a chance; also their numbers, how many there were, and how many were lost."""
    objects, count = objects_of(mask)
    noisy, lost = mask.copy(), 0
    for number in range(1, count + 1):
        if rng.random() < chance:
            noisy[objects == number] = False
            lost += 1
    return noisy, objects, count, lost


def _copied(
    noisy: NDArray[np.bool_], objects: NDArray[np.int32], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], list[int]]:
    """Copy one object to a place up to a third of the image away, around the edges of the image."""
    copy = objects == rng.integers(1, count + 1)
    shift = [int(rng.integers(-edge // 3, edge // 3 + 1)) for edge in noisy.shape]
    return noisy | np.roll(copy, shift, axis=tuple(range(noisy.ndim))), shift


def lose_and_copy(mask: NDArray[np.bool_], chance: float, rng: np.random.Generator) -> Change:
    """`drop_and_add`, step by step."""
    noisy, objects, count, lost = _lose(mask, chance, rng)
    steps, drawn = [(Origin.DROPPED, noisy)], {"objects": count, "dropped": lost, "added": 0}
    if count and rng.random() < chance:
        more, shift = _copied(noisy, objects, count, rng)
        steps.append((Origin.ADDED, more))
        return Change(steps, {**drawn, "added": 1, "shift_px": shift})
    return Change(steps, dict(drawn))


def drop_and_add(mask: NDArray[np.bool_], chance: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Lose each connected object with a chance, and with the same chance copy one to another place (R9)."""
    return lose_and_copy(mask, chance, rng).steps[-1][1]


def place_by_intensity(
    stamp: NDArray[np.bool_], image: NDArray[np.generic], mask: NDArray[np.bool_], taken: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Put an object where the image is on average as bright as under a mask.

    Parameters
    ----------
    stamp : array, bool
        The object, cut to its box.
    image : array, number, shape of the mask
    mask : array, bool
        Not empty; gives the brightness to look for.
    taken : array, bool, shape of the mask
        Where the object must not lie.

    Returns
    -------
    array, bool, shape of the mask
        The object at its place; empty where it fits nowhere.
    """
    found = np.zeros_like(mask)
    if any(small > large for small, large in zip(stamp.shape, mask.shape, strict=True)):
        return found
    values = image.astype(np.float64)
    # correlation with the stamp sums up what lies under it, for every place at once
    mirror = np.flip(stamp).astype(np.float64)
    brightness = fftconvolve(values, mirror, mode="valid") / stamp.sum()
    covered = fftconvolve(taken.astype(np.float64), mirror, mode="valid")
    misfit = np.where(covered < 0.5, np.abs(brightness - values[mask].mean()), np.inf)
    if not np.isfinite(misfit).any():
        return found
    corner = np.unravel_index(int(np.argmin(misfit)), misfit.shape)
    found[tuple(slice(int(c), int(c) + edge) for c, edge in zip(corner, stamp.shape, strict=True))] = stamp
    return found


def instances(job: Job) -> Change:
    """Lose objects and add a false one; from another case, where the options have an image and a donor."""
    mask, rng = job.mask, job.rng
    image, donor = job.options.image, job.options.donor
    if image is None or donor is None or not (donor == job.index).any():
        return lose_and_copy(mask, job.ratio, rng)
    noisy, _, count, lost = _lose(mask, job.ratio, rng)
    steps: list[tuple[Origin, NDArray[np.bool_]]] = [(Origin.DROPPED, noisy)]
    drawn: dict[str, object] = {"objects": count, "dropped": lost, "added": 0}
    if count and rng.random() < job.ratio:
        numbers, choices = objects_of(donor == job.index)
        one = numbers == rng.integers(1, choices + 1)
        added = place_by_intensity(one[box(one, 0)], image, mask, job.labels > 0)
        steps.append((Origin.ADDED, noisy | added))
        drawn |= {"added": int(added.any()), "from_donor": True}
    return Change(steps, drawn)
