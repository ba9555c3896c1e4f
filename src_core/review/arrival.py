"""What new scores changed: regions that came and went, and images whose labels are believed more or less now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from src_core.data.scores import ImageScore, Region

MOST = 5
"""So many images are named."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """An image whose expected number of wrong pixels changed.

    Attributes
    ----------
    case_id : int
    image : str
    before, after : float
        Expected wrong pixels in doubt, px.
    """

    case_id: int
    image: str
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """The difference between two scorings.

    Attributes
    ----------
    new, gone, stayed : int
        Regions that only the new scores have, that only the old ones had, and that both have.
    moved : tuple of Moved
        Images whose expectation moved most, the largest move first.
    """

    new: int
    gone: int
    stayed: int
    moved: tuple[Moved, ...]


def arrival(
    old_images: Iterable[ImageScore],
    old_regions: Iterable[Region],
    new_images: Iterable[ImageScore],
    new_regions: Iterable[Region],
) -> Arrival:
    """Compare two scorings of a project.

    A region is the same as long as pixels and proposal are; images that only one of them has are left out.
    """
    old_ids, new_ids = {region.id for region in old_regions}, {region.id for region in new_regions}
    before = {row.case_id: row.estimated_wrong_pixels for row in old_images}
    moved = [
        Moved(case_id=row.case_id, image=row.image, before=before[row.case_id], after=row.estimated_wrong_pixels)
        for row in new_images
        if row.case_id in before and round(before[row.case_id]) != round(row.estimated_wrong_pixels)
    ]
    moved.sort(key=lambda row: (-abs(row.after - row.before), row.image))
    return Arrival(
        new=len(new_ids - old_ids),
        gone=len(old_ids - new_ids),
        stayed=len(old_ids & new_ids),
        moved=tuple(moved[:MOST]),
    )
