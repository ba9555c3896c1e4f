"""A region's pixels part by part: the region of a large image may be all of it, and is never held whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from src_core.data.case import Box
from src_core.errors import InputError
from src_core.store import pieces

if TYPE_CHECKING:
    from src_core.data.scores import Region
    from src_core.store.journal import Change, Patch
    from src_core.store.runs import Run

Pixel = TypeVar("Pixel", bound=np.generic)

Pixels = NDArray[Pixel] | Callable[[Box], NDArray[Pixel]]
"""Values of a region: shape of its box, or of the whole image; or what reads those of a part of its box."""


def values_in(values: Pixels[Pixel], box: Box, part: Box) -> NDArray[Pixel]:
    """Values of a region, whose box is told, in a part of that box."""
    if callable(values):
        return values(part)
    return values[part.within(box)] if values.shape == box.shape else values[part.slices]


def parts_of(shape: tuple[int, ...], box: Box) -> list[Box]:
    """The parts in which a box of an image is worked on: one if it is small, else what it has of whole pieces."""
    if prod(box.shape) <= pieces.MOST:
        return [box]
    return [piece.common(box) for piece in pieces.piece_boxes(shape) if piece.meets(box)]


def answered(change: Change, shape: tuple[int, ...], box: Box, answer: Callable[[Box], tuple[Patch, Patch]]) -> Change:
    """A change with what an answer makes of a box of an image, in a patch or in parts.

    Parameters
    ----------
    change : Change
        Without either.
    shape : tuple of int
        Of the image.
    box : Box
    answer : callable
        Gives a part of the box before and after.
    """
    boxes = parts_of(shape, box)
    if len(boxes) == 1:
        return replace(change, patch=answer(boxes[0])[1])

    return replace(change, parts=lambda: map(answer, boxes))


@dataclass(frozen=True)
class RegionPixels:
    """Reads a region from the maps of a run, as they were when it was taken.

    Attributes
    ----------
    run : Run
    region : Region
    generation : int
        Of the scores that the region is of.
    """

    run: Run
    region: Region
    generation: int

    def mask(self, box: Box) -> NDArray[np.bool_]:
        """Which pixels of a box are of the region.

        Raises
        ------
        InputError
            If the scores were replaced meanwhile.
        """
        found: NDArray[np.bool_] = self._map("regions", box) == self.region.number
        return found

    def proposed(self, box: Box) -> NDArray[np.uint8]:
        """What is proposed in a box, uint8 class index; raises as :meth:`mask`."""
        return self._map("proposed", box)

    def _map(self, name: str, box: Box) -> NDArray[Any]:
        values = self.run.read_map(self.region.case_id, name, box)
        if self.run.generation != self.generation:
            raise InputError(
                f"New scores have replaced those that {self.region.id} is of, so nothing was changed; take a region "
                "from them."
            )
        return values


def pixels_of(run: Run, region: Region) -> tuple[Pixels[np.bool_], Pixels[np.uint8]]:
    """The region's pixels and proposal: read where it is small, else what reads them in parts."""
    found = RegionPixels(run, region, run.generation)
    if prod(region.box.shape) > pieces.MOST:
        return found.mask, found.proposed
    return found.mask(region.box), found.proposed(region.box)
