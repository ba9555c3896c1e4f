"""What pictures are drawn from: an image, of a large one a part or every n-th pixel, of a volume a slice."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE, Box, around
from src_core.data.slices import fullest, one_slice, pixels_of_slices, slice_axis, slice_box
from src_core.report.image import replayed
from src_core.store import chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.report.record import Row
    from src_core.store.project import Project

SEEN = 1024
"""Of a large image of which all is shown, every n-th pixel is read, so that so many are left along its longer side."""

SMALLEST_WINDOW = 64
"""A detail is at least so many px high and wide, if the image is."""

DETAIL_BELOW = 0.6
"""A detail is shown instead of the whole image when it is smaller than this part of it along both sides."""


@dataclass(frozen=True)
class View:
    """The part of an image that is shown, ``(H, W)``.

    Attributes
    ----------
    given, label : array, uint8
    image : array, with or without channels last
    changes : tuple of array, bool
        Where background became a class, where a class became background, and where anything else changed.
    window : tuple of slice
        Where it lies in the slice, px.
    sides : tuple of int
        Of the slice, px.
    at : int or None
        The slice of a volume.
    """

    given: NDArray[np.uint8]
    label: NDArray[np.uint8]
    image: NDArray[Any]
    changes: tuple[NDArray[np.bool_], ...]
    window: tuple[slice, slice]
    sides: tuple[int, ...]
    at: int | None = None


def view_of(project: Project, case: CaseInfo, rows: Sequence[Row]) -> View:
    """What is shown of an image after some rows of its record."""
    if len(case.shape) == 3:
        return _view_of_volume(project, case, rows)
    if prod(case.shape) > chunks.BAND:
        return _view_of_large(project, case, rows)
    replay = replayed(project, case, rows)
    return _cut(replay.given, replay.label, project.read_image(case))


def _cut(given: NDArray[np.uint8], label: NDArray[np.uint8], image: NDArray[Any], at: int | None = None) -> View:
    """The part of an image, or of a slice, that is shown."""
    window = window_of(given != label)
    parts = given[window], label[window]
    return View(*parts, image[window], changes_of(*parts), window, given.shape, at)


def _view_of_volume(project: Project, case: CaseInfo, rows: Sequence[Row]) -> View:
    """The slice where most was changed; it is looked for band by band, and it alone is read then."""
    axis = slice_axis(case)
    changed = np.zeros(case.shape[axis], np.int64)
    for box in chunks.band_boxes(case.shape):
        replay = replayed(project, case, rows, box=box)
        changed[box.start[axis] : box.stop[axis]] += pixels_of_slices(replay.given != replay.label, axis)
    at = fullest(changed)
    box = slice_box(Box.whole(case.shape), axis, at)
    replay = replayed(project, case, rows, box=box)
    parts = (replay.given, replay.label, project.read_image(case, box))
    given, label, image = (one_slice(values, axis, 0) for values in parts)
    return _cut(given, label, image, at)


def _view_of_large(project: Project, case: CaseInfo, rows: Sequence[Row]) -> View:
    bands = chunks.band_boxes(case.shape)
    found: list[Box] = []
    for box in bands:
        replay = replayed(project, case, rows, box=box)
        place = _bounds(replay.given != replay.label)
        if place is not None:
            found.append(
                Box((place.start[0] + box.start[0], place.start[1]), (place.stop[0] + box.start[0], place.stop[1]))
            )
    window = _window(around(found) if found else Box.whole(case.shape), case.shape)
    if (window[0].stop - window[0].start, window[1].stop - window[1].start) != case.shape:
        box = Box(tuple(side.start for side in window), tuple(side.stop for side in window))
        replay = replayed(project, case, rows, box=box)
        changes = changes_of(replay.given, replay.label)
        return View(replay.given, replay.label, project.read_image(case, box), changes, window, case.shape)
    return _thinned(project, case, rows, window)


def _thinned(project: Project, case: CaseInfo, rows: Sequence[Row], window: tuple[slice, slice]) -> View:
    """All of a large image, every n-th pixel of it; changes as far as they reach into what a pixel stands for."""
    step = 2 ** max(0, (max(case.shape) // SEEN).bit_length() - 1)
    given, label, image, changes = [], [], [], []
    for box in chunks.strip_boxes(case.shape):
        replay = replayed(project, case, rows, box=box)
        given.append(replay.given[::step, ::step])
        label.append(replay.label[::step, ::step])
        image.append(project.read_image(case, box)[::step, ::step])
        changes.append([_any(mask, step) for mask in changes_of(replay.given, replay.label)])
    kinds = tuple(np.concatenate(masks) for masks in zip(*changes, strict=True))
    return View(np.concatenate(given), np.concatenate(label), np.concatenate(image), kinds, window, case.shape)


def _any(mask: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """Whether anything is set in blocks of ``step`` x ``step`` px."""
    for axis in (0, 1):
        mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], step), axis=axis)
    return mask


def changes_of(given: NDArray[np.uint8], label: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], ...]:
    """Where background became a class, where a class became background, and where anything else changed."""
    changed = given != label
    added = changed & (given == 0) & (label != IGNORE)
    removed = changed & (label == 0) & (given != IGNORE)
    return added, removed, changed & ~added & ~removed


def window_of(changed: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The part that is shown: around the changed pixels when that is a small part of the image, else the whole."""
    return _window(_bounds(changed) or Box.whole(changed.shape), changed.shape)


def _bounds(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box around what is set."""
    lines = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    if not len(lines[0]):
        return None
    return Box(tuple(int(line[0]) for line in lines), tuple(int(line[-1]) + 1 for line in lines))


def _window(around: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    spans = []
    for start, stop, edge in zip(around.start, around.stop, shape, strict=True):
        size = min(edge, max(2 * (stop - start), SMALLEST_WINDOW))
        spans.append((min(max((start + stop - size) // 2, 0), edge - size), size, edge))
    if any(size >= DETAIL_BELOW * edge for _, size, edge in spans):
        return slice(0, shape[0]), slice(0, shape[1])
    (top, high, _), (left, wide, _) = spans
    return slice(top, top + high), slice(left, left + wide)
