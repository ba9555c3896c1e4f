"""What napari tells of a stroke, as a box and the label in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray


def painted_box(indices: list[tuple[Any, ...]], shape: tuple[int, ...]) -> Box | None:
    """Smallest box around what napari says was painted; None when nothing was.

    Parameters
    ----------
    indices : list of tuple
        One a step of the stroke: an index for each axis, arrays or slices.
    shape : tuple of int
        Of the layer.
    """
    starts, stops = [], []
    for axes in indices:
        spans = [_span(axis, edge) for axis, edge in zip(axes, shape, strict=True)]
        if all(stop > start for start, stop in spans):
            starts.append([start for start, _ in spans])
            stops.append([stop for _, stop in spans])
    if not starts:
        return None
    lows, highs = np.min(starts, axis=0), np.max(stops, axis=0)
    return Box(tuple(int(low) for low in lows), tuple(int(high) for high in highs))


def painted_label(data: Any, atoms: list[tuple[Any, ...]], box: Box) -> NDArray[np.integer]:
    """Label in a box after a stroke.

    napari tells of edits by code before it carries them out, so the stroke is laid over what the layer holds; where it
    has been carried out already nothing changes by that.

    Parameters
    ----------
    data : array
        Of the layer.
    atoms : list of tuple
        Steps of the stroke, as napari's paint event carries them: an index first and the values after the step last;
        steps of four have a mask (or None) of the pixels inside of the index second.
    box : Box
    """
    label = np.array(data[box.slices])
    for atom in atoms:
        place = tuple(_shifted(axis, start) for axis, start in zip(atom[0], box.start, strict=True))
        mask = atom[1] if len(atom) == 4 else None
        label[place] = atom[-1] if mask is None else np.where(mask, atom[-1], label[place])
    return label


def _shifted(axis: Any, start: int) -> Any:
    if isinstance(axis, slice):
        return slice((axis.start or 0) - start, None if axis.stop is None else axis.stop - start, axis.step)
    return np.asarray(axis) - start


def _span(axis: Any, edge: int) -> tuple[int, int]:
    if isinstance(axis, slice):
        start, stop, _ = axis.indices(edge)
        return start, stop
    values = np.atleast_1d(axis)
    return (int(values.min()), int(values.max()) + 1) if values.size else (0, 0)
