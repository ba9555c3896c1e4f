"""Regions of made-up scores that are found part by part, for the tests that compare them with those of the whole."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def found_in_parts(finder, boxes, numbered, maps):
    """Regions, their numbers, and the score of the image; parts are seen in one order and numbered in another."""
    numbers = np.zeros(finder.case.shape, dtype=np.int32)
    for box in boxes:
        numbers[box.slices] = finder.add(box, **{name: values[box.slices] for name, values in maps.items()})
    for box in numbered:
        numbers[box.slices] = finder.numbered(numbers[box.slices])
    stored = {"regions": numbers, "proposed": maps["proposed"]}
    regions, quality = finder.finish(lambda name, box: stored[name][box.slices], row=7)
    return regions, numbers, quality


def classes_in_patches(rng, shape, smooth, count):
    """So many classes of equal share, in patches that grow with ``smooth``."""
    values = rng.random(shape)
    values = ndimage.gaussian_filter(values, smooth) if smooth else values
    return (np.argsort(np.argsort(values.ravel())).reshape(shape) * count // values.size).astype(np.uint8)
