"""Regions summed up by image and by class: where most of the work is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from src_core.data.case import ClassInfo
    from src_core.data.scores import Region


@dataclass(frozen=True, kw_only=True)
class RollUp:
    """Regions that have something in common.

    Attributes
    ----------
    name : str
        Of the image, or of the two classes.
    regions, errors : int
        How many there are, and how many of them are probable errors.
    wrong_pixels : float
        Expected wrong pixels in all of them, px.
    first : str
        Id of the one that is worth most.
    """

    name: str
    regions: int
    errors: int
    wrong_pixels: float
    first: str


def by_image(regions: Iterable[Region]) -> list[RollUp]:
    """One row an image, the one with most expected wrong pixels first."""
    return _rolled(regions, lambda region: region.image, lambda region: region.image)


def by_class(regions: Iterable[Region], classes: Sequence[ClassInfo]) -> list[RollUp]:
    """One row a pair of given and proposed class, the one with most expected wrong pixels first."""
    names = {info.index: info.name for info in classes}

    def name(region: Region) -> str:
        return f"{names.get(region.given, '?')} → {names.get(region.proposed, '?')}"

    return _rolled(regions, lambda region: (region.given, region.proposed), name)


def _rolled(
    regions: Iterable[Region], key: Callable[[Region], Hashable], name: Callable[[Region], str]
) -> list[RollUp]:
    groups: dict[Hashable, list[Region]] = {}
    for region in regions:
        groups.setdefault(key(region), []).append(region)
    rows = [
        RollUp(
            name=name(group[0]),
            regions=len(group),
            errors=sum(region.kind == "error" for region in group),
            wrong_pixels=sum(region.score for region in group),
            first=max(group, key=lambda region: region.score).id,
        )
        for group in groups.values()
    ]
    return sorted(rows, key=lambda row: (-row.wrong_pixels, row.name))
