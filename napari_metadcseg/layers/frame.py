"""The part of a large image that can be edited: where it is, and how it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_metadcseg.layers.overlays import SKY
from src_core.data.case import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray

    Done = Callable[[NDArray[np.float64]], object]

GRID = 512
"""A frame begins and ends at multiples of this, px: whole chunks, and whole pixels of all levels."""

LEAST, MOST = 1024, 2048
"""Edges of a frame, px: at least and at most, where the image is that large."""

MARGIN = 128
"""Reaches at least so far around a region, px."""


def frame_around(box: Box, shape: Sequence[int], margin: int | None = None) -> Box:
    """The frame for a box, or for the middle of one that is too large.

    Parameters
    ----------
    box : Box
    shape : sequence of int
        Of the image.
    margin : int, optional
        What is to be in the frame around it, px; :data:`MARGIN` when left out.
    """
    around = MARGIN if margin is None else margin
    sides = [_side(a - around, b + around, edge) for a, b, edge in zip(box.start, box.stop, shape, strict=True)]
    return Box(tuple(start for start, _ in sides), tuple(stop for _, stop in sides))


def _side(start: int, stop: int, edge: int) -> tuple[int, int]:
    middle = (start + stop) // 2
    if stop - start > MOST - GRID:  # what is left for the grid
        start, stop = middle - (MOST - GRID) // 2, middle + (MOST - GRID) // 2
    low, high = start // GRID, -(-stop // GRID)
    while (high - low) * GRID < LEAST:
        if middle - low * GRID < high * GRID - middle:
            low -= 1
        else:
            high += 1
    last = -(-edge // GRID)
    shift = max(-low, 0) - max(high - last, 0)
    low, high = max(low + shift, 0), min(high + shift, last)
    return low * GRID, min(high * GRID, edge)


def common(one: Box, other: Box) -> Box | None:
    """What two boxes have in common; None when that is nothing."""
    start = tuple(max(a, b) for a, b in zip(one.start, other.start, strict=True))
    stop = tuple(min(a, b) for a, b in zip(one.stop, other.stop, strict=True))
    return Box(start, stop) if all(a < b for a, b in zip(start, stop, strict=True)) else None


def at_level(box: Box, step: int) -> Box:
    """The pixels of a smaller copy, every ``step``-th of the image, that lie in a box."""
    return Box(tuple(-(-a // step) for a in box.start), tuple(-(-b // step) for b in box.stop))


def place_frame(layer: Labels, frame: Box, spacing: Sequence[float]) -> None:
    """Put a layer where the frame lies, and draw a line around it."""
    layer.translate = [size * start for size, start in zip(spacing, frame.start, strict=True)]
    box = layer.bounding_box
    if not box.visible:
        box.line_color, box.line_thickness, box.points, box.visible = SKY, 2, False, True


def in_image(frame: Box | None, done: Done) -> Done:
    """Let something be told of places in px of the image, that is told of px of the frame as it is now."""
    corner = np.zeros(1) if frame is None else np.array(frame.start)
    return lambda places: done(places + corner)


def follow_switches(layer: Labels, other: Callable[[], Labels | None]) -> None:
    """Show, hide and fade another layer with this one."""

    def follow(_event: object) -> None:
        follower = other()
        if follower is not None:
            follower.visible, follower.opacity = layer.visible, layer.opacity

    layer.events.visible.connect(follow)
    layer.events.opacity.connect(follow)
