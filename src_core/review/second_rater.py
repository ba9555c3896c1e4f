"""A second rater: judges decided regions anew without knowing what was decided, and decoys among them.

Their answers are kept apart (:mod:`src_core.store.samples`): no label changes by them, and what they are shown tells
nothing of the first answer, nor which of it is a decoy.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import InputError
from src_core.review.second_sample import PURPOSE
from src_core.store.samples import WITHDRAWN, Rating, newest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from src_core.data.case import Box
    from src_core.store.project import Project
    from src_core.store.samples import Item, Sample


class Answer(StrEnum):
    """What a second rater may say of a region."""

    ACCEPT = "accept"
    """The proposal is right."""
    KEEP = "keep"
    """The label is right."""
    UNSURE = "unsure"
    PAINTED = "painted"
    """Neither is: they painted what is."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """All that a second rater is given of one item. It has the same form for regions and decoys.

    Attributes
    ----------
    number : int
        Place among the items, from 0.
    total : int
    case_id : int
    image_name : str
    image : array
        As it was imported.
    label, proposed : array, uint8, of the shape of the image
        The label to be judged, and the proposal: they differ at the mask only.
    mask : array, bool, of the shape of the image
        The region.
    box : Box
        Smallest box around it.
    """

    number: int
    total: int
    case_id: int
    image_name: str
    image: NDArray[Any]
    label: NDArray[np.uint8]
    proposed: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    box: Box


@dataclass(frozen=True)
class Progress:
    """How many items have an answer, and how many there are."""

    answered: int
    total: int


class SecondRaterSession:
    """One person at work on a sample; what was answered before, on other days too, stays answered.

    Parameters
    ----------
    project : Project
        Open for writing.
    author : str
        The second rater.
    clock : callable
        Seconds, for the time that an answer takes.

    Raises
    ------
    InputError
        If no sample was drawn for this person.
    """

    def __init__(self, project: Project, author: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._project = project
        self._author = author
        self._clock = clock
        self._sample = sample_of(project, author)
        self._items = project.samples.items(self._sample.id)
        self._place: int | None = None
        self._shown: Shown | None = None
        self._since = clock()

    @property
    def progress(self) -> Progress:
        """How far they got."""
        return Progress(len(self._project.samples.standing(self._sample.id)), len(self._items))

    @property
    def current(self) -> Shown | None:
        """The item in hand; None before the first :meth:`next`, and when all are answered."""
        return self._shown

    def waiting(self) -> Iterator[Shown]:
        """All items without an answer, in their order; nothing is taken in hand."""
        answered = self._project.samples.standing(self._sample.id)
        return (self._show(item) for item in self._items if item.number not in answered)

    def next(self) -> Shown | None:
        """Take the first item without an answer after the one in hand; from the last one on to the first."""
        answered = self._project.samples.standing(self._sample.id)
        start = -1 if self._place is None else self._place
        order = [(start + 1 + step) % len(self._items) for step in range(len(self._items))]
        return self.go_to(next((place for place in order if place not in answered), None))

    def go_to(self, number: int | None) -> Shown | None:
        """Take an item by its number, an answered one too.

        Raises
        ------
        InputError
            If there is none.
        """
        if number is not None:
            self._check(number)
        self._place = number
        self._shown = None if number is None else self._show(self._items[number])
        self._since = self._clock()
        return self._shown

    def answer(self, answer: Answer, painted: NDArray[np.uint8] | None = None) -> Shown | None:
        """Answer the item in hand, for good at once, and take the next one.

        Parameters
        ----------
        answer : Answer
        painted : array, uint8, of the shape of the box or of the image, optional
            The labels as they should be; with ``PAINTED`` only.

        Returns
        -------
        Shown or None
            The next item.

        Raises
        ------
        InputError
            If nothing is in hand, or the painting does not belong to the answer.
        """
        if self._place is None:
            raise InputError("No item is in hand; take the next one first.")
        self._rate(self._items[self._place], answer, painted, self._clock() - self._since)
        return self.next()

    def answer_item(self, number: int, answer: Answer) -> None:
        """Answer an item by its number, as from a list; nobody knows how long that took."""
        self._check(number)
        self._rate(self._items[number], answer, None, None)

    def undo(self) -> Shown | None:
        """Take back the last answer that holds, by one more row, and show its item; None when there is none."""
        standing = self._project.samples.standing(self._sample.id)
        if not standing:
            return None
        last = max(standing.values(), key=lambda rating: rating.id)
        values = {**vars(last), "author": self._author, "answer": WITHDRAWN, "painted": None, "seconds": None}
        self._project.samples.rate(Rating(**{**values, "target": last.id}))
        return self.go_to(last.item)

    def _check(self, number: int) -> None:
        if not 0 <= number < len(self._items):
            raise InputError(f"There is no item {number}; there are {len(self._items)}, counted from 0.")

    def _rate(self, item: Item, answer: Answer, painted: NDArray[np.uint8] | None, seconds: float | None) -> None:
        if (painted is not None) != (answer == Answer.PAINTED):
            raise InputError(
                f"The answer is {answer!r} and a painting {'is' if painted is not None else 'is not'} there; "
                "expected a painting with 'painted', and with no other answer."
            )
        if painted is not None:
            painted = self._cut(item, painted)
        self._project.samples.rate(
            Rating(
                author=self._author,
                sample=self._sample.id,
                item=item.number,
                case_id=item.case_id,
                region=item.region,
                box=item.box,
                shown=_shown_classes(item),
                answer=str(answer),
                seconds=None if seconds is None else round(seconds, 2),
                painted=painted,
            )
        )

    def _cut(self, item: Item, painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The box of a painting that is of the box, or of the whole image."""
        shape = self._project.case(item.case_id).shape
        if painted.shape not in (item.box.shape, shape):
            raise InputError(
                f"The painting of item {item.number} is {painted.shape}, expected {item.box.shape} as its box or "
                f"{shape} as its image."
            )
        return painted if painted.shape == item.box.shape else painted[item.box.slices]

    def _show(self, item: Item) -> Shown:
        case = self._project.case(item.case_id)
        current = self._project.read_label(case)
        inside, label, proposed = (np.zeros(case.shape, bool), current.copy(), current.copy())
        mask, *parts = item.arrays()
        inside[item.box.slices] = mask
        for whole, part in zip((label, proposed), parts, strict=True):
            whole[item.box.slices][mask] = part[mask]
        return Shown(
            number=item.number,
            total=len(self._items),
            case_id=case.id,
            image_name=case.name,
            image=self._project.read_image(case),
            label=label,
            proposed=proposed,
            mask=inside,
            box=item.box,
        )


def sample_of(project: Project, author: str) -> Sample:
    """The newest sample that was drawn for a person.

    Raises
    ------
    InputError
        If there is none.
    """
    words = f"draw one with 'metadcseg second-rater start {project.path} --author {author}'"
    for sample in project.samples.all(PURPOSE):
        if sample.author == author:
            return sample
    newest(project.samples, PURPOSE, words)
    raise InputError(f"No sample was drawn for {author} yet; {words}.")


def unfinished(project: Project, author: str) -> bool:
    """True when a person has a sample with items that have no answer."""
    for sample in project.samples.all(PURPOSE):
        if sample.author == author:
            return len(project.samples.standing(sample.id)) < len(project.samples.items(sample.id))
    return False


def _shown_classes(item: Item) -> dict[str, int]:
    """What was to be seen, for the record: pixels, and the classes of label and proposal."""
    mask, label, proposed = item.arrays()
    return {"pixels": int(mask.sum()), "given": int(label[mask][0]), "proposed": int(proposed[mask][0])}
