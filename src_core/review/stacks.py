"""Images that are slices of one stack, told by their names.

Two 2-D images are of one stack when their names differ in the last number only and they have the same shape:
``anna_z011`` and ``anna_z012``, but not ``anna_z011`` and ``bert_z011``. They are in the order of that number; numbers
may be left out. A project does not say more, so images that are merely counted (``img_001``, ``img_002``) look like a
stack, too: whoever copies from a neighbour shows its name.
"""

from __future__ import annotations

import re
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
    found = _LAST_NUMBER.match(case.name)
    if found is None or len(case.shape) != 2:
        return None
    before, number, after = found.groups()
    return Place((before, after, case.shape), int(number))


def stack_of(cases: Iterable[CaseInfo], case: CaseInfo) -> list[CaseInfo]:
    """All images of a stack in their order, the image itself among them; alone when it is of none."""
    place = place_of(case)
    if place is None:
        return [case]
    found = {other.name: there for other in cases if (there := place_of(other)) and there.stack == place.stack}
    return sorted((other for other in cases if other.name in found), key=lambda one: (found[one.name].number, one.name))


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
