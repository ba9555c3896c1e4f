"""Images that are slices of one stack, told by their names.

Two 2-D images are of one stack when their names differ in the last number only and they have the same shape:
``anna_z011`` and ``anna_z012``, but not ``anna_z011`` and ``bert_z011``. They are in the order of that number; numbers
may be left out. A project does not say more, so images that are merely counted (``img_001``, ``img_002``) look like a
stack, too: whoever copies from a neighbour shows its name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from src_core.data.case import CaseInfo

_LAST_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$", re.DOTALL)


class Place(NamedTuple):
    """Where an image is in its stack: what it shares with the others, and its number."""

    stack: tuple[str, str, tuple[int, ...]]
    number: int


def place_of(case: CaseInfo) -> Place | None:
    """Stack and number of an image; None for volumes and names without a number."""
    return _place(case.name, case.shape)


@lru_cache(maxsize=100_000)  # asked of every image whenever another one is shown
def _place(name: str, shape: tuple[int, ...]) -> Place | None:
    found = _LAST_NUMBER.match(name)
    if found is None or len(shape) != 2:
        return None
    before, number, after = found.groups()
    return Place((before, after, shape), int(number))


def stack_of(cases: Iterable[CaseInfo], case: CaseInfo) -> list[CaseInfo]:
    """All images of a stack in their order, the image itself among them; alone when it is of none."""
    place = place_of(case)
    if place is None:
        return [case]
    found = [
        (there.number, other.name, other)
        for other in cases
        if (there := _place(other.name, other.shape)) and there.stack == place.stack
    ]
    return [other for _, _, other in sorted(found, key=lambda one: one[:2])]


def neighbours(cases: Iterable[CaseInfo], case: CaseInfo) -> tuple[CaseInfo | None, CaseInfo | None]:
    """The images before and after an image in its stack; None where there is none.

    Parameters
    ----------
    cases : iterable of CaseInfo
        Such as ``project.cases``.
    case : CaseInfo
    """
    stack = stack_of(tuple(cases), case)
    at = next((at for at, one in enumerate(stack) if one.id == case.id), None)
    if at is None:
        return None, None
    return stack[at - 1] if at else None, stack[at + 1] if at + 1 < len(stack) else None
