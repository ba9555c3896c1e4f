"""What a recipe gets and what it hands back, with the part of the recipe that changed each pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


class Origin(IntEnum):
    """Which part of a recipe changed a pixel; the codes are stored, so they never change their meaning.

    ======  =================================================================
    code    meaning
    ======  =================================================================
    0       unchanged
    1, 2    the outline was moved evenly outwards (1) or inwards (2)
    3       the object was replaced by the ellipse in its box
    4       random flips of the rim
    5, 6    an object was lost (5); a false object was added (6)
    7, 8    the object was turned and shifted (7); it was bent (8)
    9       a disc was painted on the outline
    10      grown or shrunk at another size, and brought back (``adele``)
    11      independent flip of one pixel
    12, 13  an object got a wrong class (12); labels exchanged at a border (13)
    14      a slice was drawn too small or not at all
    ======  =================================================================
    """

    UNCHANGED = 0
    GROW = 1
    SHRINK = 2
    ELLIPSE = 3
    MARKOV = 4
    DROPPED = 5
    ADDED = 6
    AFFINE = 7
    ELASTIC = 8
    DOT = 9
    RESCALED = 10
    IID_FLIP = 11
    CLASS_FLIP = 12
    BORDER_SWAP = 13
    SLICE = 14


@dataclass(frozen=True, eq=False)
class NoiseOptions:
    """What some recipes can be told beyond the ratio.

    Attributes
    ----------
    offset_px : tuple of float
        ``offset``: least and largest distance, px.
    dot_share : float
        ``contour-dots``: chance of dots in [0, 1]; otherwise the mask is grown or shrunk.
    iid_chance : float
        ``adele``: chance in [0, 1] that a pixel flips on its own.
    classes : int, optional
        ``class-flips``: number of foreground classes; the largest label of the image when not given.
    pairs : tuple of pairs of int
        ``class-flips``: classes that are taken for each other; each for the next one when empty.
    swap_px : tuple of float
        ``class-flips``: least and largest depth to which labels are exchanged at a border, px.
    image : array, optional, shape of the labels
        ``instances``: intensities, to place a false object where it could be one.
    donor : array, integer or bool, optional, as many axes as the labels
        ``instances``: label image of another case, whose objects are copied.
    """

    offset_px: tuple[float, float] = (7.0, 9.0)
    dot_share: float = 1 / 3
    iid_chance: float = 0.0
    classes: int | None = None
    pairs: tuple[tuple[int, int], ...] = ()
    swap_px: tuple[float, float] = (1.0, 3.0)
    image: NDArray[np.generic] | None = None
    donor: NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        for what, (least, largest) in (("offset_px", self.offset_px), ("swap_px", self.swap_px)):
            if not 0 <= least <= largest:
                raise InputError(
                    f"The noise option {what} is ({least:g}, {largest:g}), expected two distances in px from 0, the "
                    "smaller one first; correct them."
                )
        for what, chance in (("dot_share", self.dot_share), ("iid_chance", self.iid_chance)):
            if not 0 <= chance <= 1:
                raise InputError(f"The noise option {what} is {chance:g}, expected a chance from 0 to 1; correct it.")


@dataclass(frozen=True, eq=False)
class Corruption:
    """A label image with planted errors.

    Attributes
    ----------
    labels : array, uint8
        With the errors.
    origin : array, uint8, same shape
        Code of `Origin` for what changed the pixel; 0 exactly where the label is still the true one.
    recipe : dict
        How it was made: recipe, ratio, seed, name, case, annotator, drawn values, Dice of each class. JSON-able.
    """

    labels: NDArray[np.uint8]
    origin: NDArray[np.uint8]
    recipe: dict[str, object]


@dataclass(frozen=True, eq=False)
class Job:
    """One label image to be corrupted; ``index`` is the class at hand for recipes that go class by class."""

    labels: NDArray[np.uint8]
    ratio: float
    rng: np.random.Generator
    options: NoiseOptions
    annotator: str
    index: int = 0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The true pixels of the class at hand."""
        result: NDArray[np.bool_] = self.labels == self.index
        return result


@dataclass(frozen=True, eq=False)
class Change:
    """What happened to the mask of one class: the mask after each step, and the values that were drawn."""

    steps: list[tuple[Origin, NDArray[np.bool_]]]
    drawn: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Painted:
    """A corrupted label image with the code of what last changed each pixel, and the drawn values."""

    labels: NDArray[np.uint8]
    origin: NDArray[np.uint8]
    drawn: dict[str, object] = field(default_factory=dict)


def paint(truth: NDArray[np.uint8], changes: Mapping[int, Change]) -> Painted:
    """Put the changed masks of all classes into one label image; a later class covers an earlier one.

    A pixel that gained a class owes it to what changed the mask of that class; a pixel that became background,
    to what changed the mask of the class it had.
    """
    labels, origin = np.zeros_like(truth), np.zeros(truth.shape, np.uint8)
    for index, change in changes.items():
        labels[change.steps[-1][1]] = index
    for index, change in changes.items():
        before, last = truth == index, np.zeros(truth.shape, np.uint8)
        for code, after in change.steps:
            last[before ^ after] = code
            before = after
        owed = (labels != truth) & ((labels == index) | ((labels == 0) & (truth == index)))
        origin[owed] = last[owed]
    drawn = {str(index): change.drawn for index, change in changes.items() if (truth == index).any()}
    return Painted(labels, origin, {"classes": drawn})


def repaint(before: Painted, labels: NDArray[np.uint8], code: Origin, truth: NDArray[np.uint8]) -> Painted:
    """One more step on a whole label image: pixels it changed carry its code, restored ones carry none."""
    origin = before.origin.copy()
    origin[labels != before.labels] = code
    origin[labels == truth] = Origin.UNCHANGED
    return Painted(labels, origin, before.drawn)


def class_by_class(recipe: Callable[[Job], Change]) -> Callable[[Job], Painted]:
    """Make a recipe for whole label images from one for the mask of a class."""

    def whole(job: Job) -> Painted:
        changes = {}
        # absent classes in between take part, so that their draws keep the later ones in place
        for index in range(1, int(job.labels.max(initial=0)) + 1):
            one = Job(job.labels, job.ratio, job.rng, job.options, job.annotator, index)
            changes[index] = recipe(one)
        return paint(job.labels, changes)

    return whole
