"""The queue of suspect regions, and the place a person is at in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from src_core.data.scores import Region, RegionKind

Filter = Literal["all", "error", "ambiguous"]


class ReviewQueue:
    """Regions in the order of their score, without those that are settled.

    Skipped regions come again after all others. The region in hand stays in hand when new scores arrive, as long
    as it is still there.

    Parameters
    ----------
    regions : iterable of Region
    decided : mapping of region id to action
        As from :meth:`~src_core.store.project.Project.decisions`.
    """

    def __init__(self, regions: Iterable[Region] = (), decided: Mapping[str, str] | None = None) -> None:
        self._regions: dict[str, Region] = {}
        self._decided: dict[str, str] = {}
        self._filter: Filter = "all"
        self._only: dict[str, int] | None = None
        self._current: str | None = None
        self.update(regions, decided or {})

    # ---------------------------------------------------------------- what there is

    @property
    def filter(self) -> Filter:
        """Kind of regions that are shown: ``all``, ``error`` or ``ambiguous``."""
        return self._filter

    @property
    def regions(self) -> tuple[Region, ...]:
        """All regions, settled ones and other kinds included."""
        return tuple(self._regions.values())

    @property
    def open(self) -> list[Region]:
        """Regions of the shown kind that wait for a decision, best score first, skipped ones at the end.

        With :meth:`show_only`, those in their order, of both kinds.
        """
        waiting = [region for region in self._regions.values() if self._decided.get(region.id, "skip") == "skip"]
        only = self._only
        if only is not None:
            drawn = (region for region in waiting if region.id in only)
            return sorted(drawn, key=lambda region: (region.id in self._decided, only[region.id]))
        waiting = [region for region in waiting if self._filter in ("all", region.kind)]
        return sorted(waiting, key=lambda region: (region.id in self._decided, -region.score, region.id))

    @property
    def remaining(self) -> int:
        """Number of regions of the shown kind that have no decision yet, skipped ones left out."""
        return sum(region.id not in self._decided for region in self.open)

    @property
    def current(self) -> Region | None:
        """The region in hand; None when nothing is."""
        return self._regions.get(self._current) if self._current is not None else None

    @property
    def position(self) -> int:
        """Place of the region in hand among the open ones, from 1; 0 when it is not among them."""
        ids = [region.id for region in self.open]
        return ids.index(self._current) + 1 if self._current in ids else 0

    def count(self, kind: RegionKind) -> int:
        """Number of regions of a kind without a decision."""
        return sum(region.kind == kind and region.id not in self._decided for region in self._regions.values())

    # ---------------------------------------------------------------- moving

    def go_to(self, region_id: str) -> Region | None:
        """Take a region in hand, also one that is settled; None if it is not there."""
        if region_id in self._regions:
            self._current = region_id
        return self._regions.get(region_id)

    def next(self) -> Region | None:
        """The open region after the one in hand; from the last one on to the first."""
        return self._step(1)

    def previous(self) -> Region | None:
        """The open region before the one in hand; from the first one on to the last."""
        return self._step(-1)

    def put_down(self) -> None:
        """Have no region in hand."""
        self._current = None

    def _step(self, by: int) -> Region | None:
        regions = self.open
        if not regions:
            self._current = None
            return None
        ids = [region.id for region in regions]
        if self._current in ids:
            place = (ids.index(self._current) + by) % len(ids)
        else:
            place = 0 if by > 0 else len(ids) - 1
        self._current = ids[place]
        return regions[place]

    # ---------------------------------------------------------------- changing

    def show(self, kind: Filter) -> None:
        """Show one kind of regions only; the region in hand is put down if it is of another kind."""
        self._filter = kind
        current = self.current
        if current is not None and kind not in ("all", current.kind):
            self._current = None

    def show_only(self, ids: Sequence[str] | None) -> None:
        """Show some regions only, in their order, such as those of an audit; None shows all again.

        The region in hand is put down if it is not among them.
        """
        self._only = None if ids is None else {region_id: place for place, region_id in enumerate(ids)}
        if self._only is not None and self._current not in self._only:
            self._current = None

    def decide(self, decided: Mapping[str, str]) -> Region | None:
        """Take note of all decisions and move on to the region that follows.

        Parameters
        ----------
        decided : mapping of region id to action

        Returns
        -------
        Region or None
            The new region in hand.
        """
        after = self._following()
        self._decided = dict(decided)
        ids = {region.id for region in self.open}
        self._current = next((region_id for region_id in after if region_id in ids), None)
        return self.current

    def _following(self) -> list[str]:
        ids = [region.id for region in self.open]
        if self._current in ids:
            place = ids.index(self._current)
            return ids[place + 1 :] + ids[: place + 1]
        return ids

    def set_decided(self, decided: Mapping[str, str]) -> None:
        """Take note of all decisions without moving, as after an undo."""
        self._decided = dict(decided)

    def update(self, regions: Iterable[Region], decided: Mapping[str, str]) -> None:
        """Take new scores; the region in hand stays if it is among them."""
        self._regions = {region.id: region for region in regions}
        self._decided = dict(decided)
        if self._current not in self._regions:
            self._current = None
