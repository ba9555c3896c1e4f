"""Recipes that mix up classes: wrong class, exchanged borders (R8), and independent flips (of R7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.noise.record import Job, Origin, Painted, repaint
from src_core.data.noise.shapes import objects_of
from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def wrong_class_of(classes: int, pairs: tuple[tuple[int, int], ...]) -> dict[int, int]:
    """The class that each foreground class is taken for: its partner, or without pairs the next one, in a circle."""
    if not pairs:
        return {index: index % classes + 1 for index in range(1, classes + 1)}
    for a, b in pairs:
        if a == b or not (1 <= a <= classes and 1 <= b <= classes):
            raise InputError(
                f"The pair of classes {a} and {b} cannot be exchanged, expected two different classes from 1 to "
                f"{classes}; correct the pairs."
            )
    return {a: b for pair in pairs for a, b in (pair, pair[::-1])}


def flip_objects(
    labels: NDArray[np.uint8], chance: float, wrong: Mapping[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Give each connected object its wrong class with a chance in [0, 1]; classes without one stay."""
    noisy = labels.copy()
    for index, other in wrong.items():
        objects, count = objects_of(labels == index)
        for number in range(1, count + 1):
            if rng.random() < chance:
                noisy[objects == number] = other
    return noisy


def swap_borders(
    labels: NDArray[np.uint8], chance: float, pixels: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Exchange the labels on both sides where two classes touch, with a chance in [0, 1] for each pair of classes.

    The depth is drawn between ``pixels`` (least, largest; px), and is the same on both sides. A pixel next to a
    third class, too, is decided by the first pair that reaches it.
    """
    noisy, free = labels.copy(), np.ones(labels.shape, bool)
    present = [int(index) for index in np.unique(labels) if index]
    near = {index: ndimage.distance_transform_edt(labels != index) for index in present}
    for at, a in enumerate(present):
        for b in present[at + 1 :]:
            if not ((labels == b) & (near[a] <= 1)).any() or rng.random() >= chance:
                continue
            depth = rng.uniform(*pixels)
            to_a = free & (labels == b) & (near[a] <= depth)
            to_b = free & (labels == a) & (near[b] <= depth)
            noisy[to_a], noisy[to_b] = a, b
            free &= ~(to_a | to_b)
    return noisy


def class_flips(job: Job) -> Painted:
    """Objects of the wrong class, then exchanged borders; both with the ratio as their chance."""
    labels, options = job.labels, job.options
    start = Painted(labels.copy(), np.zeros(labels.shape, np.uint8))
    if not labels.any():
        return start
    classes = options.classes or int(labels.max())
    if not max(2, int(labels.max())) <= classes <= 255:
        raise InputError(
            f"The noise recipe 'class-flips' got labels up to {int(labels.max())} and {classes} foreground class(es), "
            "expected 2 to 255 that cover all labels; choose another recipe or set the number of classes."
        )
    flipped = flip_objects(labels, job.ratio, wrong_class_of(classes, options.pairs), job.rng)
    first = repaint(start, flipped, Origin.CLASS_FLIP, labels)
    swapped = swap_borders(flipped, job.ratio, options.swap_px, job.rng)
    both = repaint(first, swapped, Origin.BORDER_SWAP, labels)
    counts = {
        "objects_px": int((flipped != labels).sum()),
        "borders_px": int((swapped != flipped).sum()),
    }
    return Painted(both.labels, both.origin, dict(counts))


def iid_flips(
    labels: NDArray[np.uint8], chance: float, classes: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Flip each pixel with a chance in [0, 1]: background to any of the classes, foreground to background."""
    flips = rng.random(labels.shape) < chance
    drawn = rng.choice(classes, size=labels.shape).astype(np.uint8)
    return np.where(flips, np.where(labels == 0, drawn, 0), labels).astype(np.uint8)
