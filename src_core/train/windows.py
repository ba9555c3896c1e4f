"""A network on volumes that are larger than it can take at once.

Shape suffixes: B batch, I input channels, K output channels, X space axes.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from monai.data.utils import dense_patch_slices
from monai.inferers.utils import sliding_window_inference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

OVERLAP = 0.25
"""Share of a window that the next one covers, too."""

MARGIN = 1e-7
"""What a window says within its margin counts so little that any other window there outvotes it."""


def in_windows(predict: Callable[[Tensor], Tensor], images_BIX: Tensor, window: tuple[int, ...] | None) -> Tensor:
    """A prediction put together from windows that overlap.

    The outer eighth of a window, where a network sees less of the surroundings, counts only where there is no other
    window: at the rim of the volume. Elsewhere the result is that of the network on the whole, as far as what it sees
    of a pixel's surroundings ends within this margin and it normalises by nothing that depends on the window.

    Parameters
    ----------
    predict : callable
        From images ``(B, I, X)`` to values ``(B, K, X)``.
    images_BIX : Tensor
    window : tuple of int or None
        Sides of a window; None, or an image that fits into one, asks once for the whole.

    Returns
    -------
    values_BKX : Tensor
    """
    sides = tuple(images_BIX.shape[2:])
    if window is None or all(side <= edge for side, edge in zip(sides, window, strict=True)):
        return predict(images_BIX)
    roi = tuple(min(side, edge) for side, edge in zip(sides, window, strict=True))
    found = sliding_window_inference(
        images_BIX, roi, 1, predict, overlap=OVERLAP, roi_weight_map=_weights(roi, sides).to(images_BIX.device)
    )
    assert isinstance(found, torch.Tensor)
    return found


def planes_in_windows(
    predict: Callable[[Tensor], Tensor],
    read: Callable[[slice], Tensor],
    sides: tuple[int, ...],
    window: tuple[int, ...] | None,
) -> Iterator[tuple[int, Tensor]]:
    """As :func:`in_windows`, with no more in memory than what a row of windows covers.

    Parameters
    ----------
    predict : callable
    read : callable
        Gives some planes of the image, ``(1, I, X)``, on the device.
    sides : tuple of int
        Of the image.
    window : tuple of int or None

    Yields
    ------
    first, values_1KX : int, Tensor
        Finished planes, in order, and which of them is the first.
    """
    if window is None or all(side <= edge for side, edge in zip(sides, window, strict=True)):
        yield 0, predict(read(slice(0, sides[0])))
        return
    roi = tuple(min(side, edge) for side, edge in zip(sides, window, strict=True))
    steps = tuple(
        side if side == edge else max(int(edge * (1 - OVERLAP)), 1) for side, edge in zip(sides, roi, strict=True)
    )
    rows: dict[int, list[tuple[slice, ...]]] = {}
    for place in dense_patch_slices(sides, roi, steps):
        rows.setdefault(place[0].start, []).append(place[1:])
    starts = sorted(rows)
    sums, left = None, None
    for start, following in zip(starts, [*starts[1:], sides[0]], strict=True):
        image_1IX = read(slice(start, start + roi[0]))
        weights_X = _weights(roi, sides).to(image_1IX.device)
        for place in rows[start]:
            found_1KX = predict(image_1IX[:, :, :, *place]) * weights_X
            if sums is None:
                sums = found_1KX.new_zeros((1, found_1KX.shape[1] + 1, roi[0], *sides[1:]))
                if left is not None:
                    sums[:, :, : left.shape[2]] = left
            sums[:, :-1, :, *place] += found_1KX
            sums[:, -1:, :, *place] += weights_X
        assert sums is not None
        done = following - start
        yield start, sums[:, :-1, :done] / sums[:, -1:, :done]
        left, sums = sums[:, :, done:].clone(), None


def _weights(roi: tuple[int, ...], sides: tuple[int, ...]) -> Tensor:
    """Weight of each pixel of a window: a ramp that rises inwards from a margin on the sides where windows meet."""
    weights_X = torch.ones(roi)
    for axis, (edge, side) in enumerate(zip(roi, sides, strict=True)):
        if edge == side:
            continue
        margin = max(int(edge * OVERLAP / 2), 1)
        away = torch.minimum(torch.arange(edge), torch.arange(edge).flip(0)) - margin + 1
        ramp = (away / margin).clamp(MARGIN, 1.0)
        weights_X *= ramp.view([-1 if place == axis else 1 for place in range(len(roi))])
    return weights_X.clamp_min(MARGIN ** len(roi))


def covering(sides: tuple[int, ...], window: tuple[int, ...] | None) -> list[tuple[slice, ...]]:
    """Windows beside each other, from the middle outwards, that a look at some of an image can be confined to.

    Parameters
    ----------
    sides : tuple of int
    window : tuple of int or None
        None makes the whole image the only window.
    """
    if window is None or prod(sides) <= prod(window):
        return [tuple(slice(0, side) for side in sides)]
    rows = [
        [slice(start, min(start + edge, side)) for start in _starts(side, edge)]
        for side, edge in zip(sides, window, strict=True)
    ]
    grid = torch.cartesian_prod(*(torch.arange(len(row)) for row in rows)).tolist()
    middle = [(len(row) - 1) / 2 for row in rows]
    grid.sort(key=lambda places: sum(abs(place - half) for place, half in zip(places, middle, strict=True)))
    return [tuple(row[place] for row, place in zip(rows, places, strict=True)) for places in grid]


def _starts(side: int, edge: int) -> list[int]:
    count = max(1, side // edge)
    rest = max(side - count * edge, 0) // 2
    return [rest + number * edge for number in range(count)]
