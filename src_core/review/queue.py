"""The queue of suspect regions, and the place a person is at in it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from src_core.review.worth import LEAST, Worth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from src_core.data.scores import Region, RegionKind

Filter = Literal["all", "error", "ambiguous", "unlabelled"]
Order = Literal["learned", "worth", "trust", "size", "image"]

ORDERS: dict[Order, Callable[[Region], tuple[float | str, ...]]] = {
    "worth": lambda region: (*region.rank, region.id),
    "trust": lambda region: (not region.labelled, region.trust, region.id),
    "size": lambda region: (not region.labelled, -region.pixels, region.id),
    "image": lambda region: (region.image, *region.rank, region.id),
}
"""Ways to sort; ``worth`` is the number of wrong pixels that one decision is expected to settle, ``learned`` the same
by what answers found so far (:mod:`src_core.review.worth`).

What has no label comes last, unless it goes image by image: a wrong label does harm, a missing one does not, and whole
images would bury all others by their size. A filter shows it by itself.
"""


class ReviewQueue:
    """Regions in an order of choice, without those that are settled.

    Skipped regions come again after all others. The region in hand stays in hand when new scores arrive, also when it
    is not among them any more, until it is decided or another one is taken.

    Parameters
    ----------
    regions : iterable of Region
    decided : mapping of region id to action
        As from :meth:`~src_core.store.project.Project.decisions`.

    Attributes
    ----------
    revision : int
        Grows whenever other regions may be open, or in another order.
    updates : int
        Grows with new scores.
    lessons : int
        Grows whenever the order was learned anew from answers.
    """

    def __init__(self, regions: Iterable[Region] = (), decided: Mapping[str, str] | None = None) -> None:
        self._regions: dict[str, Region] = {}
        self._by_case: dict[int, list[Region]] = {}
        self._decided: dict[str, str] = {}
        self._filter: Filter = "all"
        self._order: Order = "learned"
        self._answers: dict[str, float] = {}
        self._worth: Worth | None = None
        self._expected: dict[str, float] = {}
        self._taught = 0
        self.lessons = 0
        self._searched = self._search = ""
        self._only: dict[str, int] | None = None
        self._again: dict[str, Region] | None = None
        self._current: Region | None = None
        self._sorted: list[Region] = []
        self._open: list[Region] | None = None
        self._counts: Counter[str] | None = None
        self.revision = 0
        self.updates = 0
        self.update(regions, decided or {})

    # ---------------------------------------------------------------- what there is

    @property
    def filter(self) -> Filter:
        """Kind of regions that are shown: ``all``, ``error``, ``ambiguous`` or ``unlabelled``."""
        return self._filter

    @property
    def order(self) -> Order:
        """How the open regions are sorted."""
        return self._order

    @property
    def searched(self) -> str:
        """What the names of the shown images contain; empty for all."""
        return self._searched

    @property
    def regions(self) -> tuple[Region, ...]:
        """All regions, settled ones and other kinds included."""
        return tuple(self._regions.values())

    def regions_of(self, case_id: int) -> list[Region]:
        """All regions of one image."""
        return self._by_case.get(case_id, [])

    def waiting(self, case_id: int) -> int:
        """Number of regions of one image that wait for a decision, of all kinds, skipped ones among them."""
        return sum(self._waits(region) for region in self.regions_of(case_id))

    @property
    def open(self) -> list[Region]:
        """Regions of the shown kind that wait for a decision, in order, skipped ones at the end.

        With :meth:`show_only`, those in their order, of all kinds; with :meth:`look_again`, those that are left of it.
        """
        if self._open is None and self._again is not None:
            self._open = list(self._again.values())
        if self._open is None:
            waiting = [region for region in self._sorted if self._is_shown(region)]
            if self._only is not None:
                waiting = sorted(waiting, key=lambda region: self._only[region.id])  # type: ignore[index]
            skipped = [region for region in waiting if region.id in self._decided]
            fresh = [region for region in waiting if region.id not in self._decided] if skipped else waiting
            self._open = fresh + skipped
        return self._open

    @property
    def remaining(self) -> int:
        """Number of regions of the shown kind that have no decision yet, skipped ones left out."""
        return sum(region.id not in self._decided for region in self.open)

    @property
    def current(self) -> Region | None:
        """The region in hand; None when nothing is."""
        return self._current

    @property
    def position(self) -> int:
        """Place of the region in hand among the open ones, from 1; 0 when it is not among them."""
        return self._place() + 1

    def count(self, kind: RegionKind) -> int:
        """Number of regions of a kind without a decision."""
        if self._counts is None:
            self._counts = Counter(region.kind for region in self._sorted if region.id not in self._decided)
        return self._counts[kind]

    def _forget(self) -> None:
        """What is open has to be looked up anew."""
        self._open = None
        self.revision += 1

    def _waits(self, region: Region) -> bool:
        return self._decided.get(region.id, "skip") == "skip"

    def _is_shown(self, region: Region) -> bool:
        if not self._waits(region):
            return False
        if self._only is not None:
            return region.id in self._only
        return (self._filter == "all" or self._filter == region.kind) and (
            not self._search or self._search in region.image.casefold()
        )

    def _place(self) -> int:
        wanted = self._current
        return next((i for i, region in enumerate(self.open) if wanted is not None and region.id == wanted.id), -1)

    # ---------------------------------------------------------------- moving

    def go_to(self, region_id: str) -> Region | None:
        """Take a region in hand, also one that is settled; None if it is not there."""
        if self._current is not None and self._current.id == region_id:
            return self._current
        found = (self._again or {}).get(region_id) or self._regions.get(region_id)
        if found is not None:
            self._current = found
        return found

    def go_to_place(self, place: int) -> Region | None:
        """Take the open region at a place, from 1; None, and nothing changes, if there is none."""
        if not 1 <= place <= len(self.open):
            return None
        self._current = self.open[place - 1]
        return self._current

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
        regions, place = self.open, self._place()
        if place >= 0:
            self._current = regions[(place + by) % len(regions)]
        else:
            self._current = None if not regions else regions[0 if by > 0 else -1]
        return self._current

    # ---------------------------------------------------------------- changing

    def show(self, kind: Filter) -> None:
        """Show one kind of regions only; the region in hand is put down if it is of another kind."""
        self._filter = kind
        self._forget()
        if self._current is not None and kind not in ("all", self._current.kind):
            self._current = None

    def search(self, text: str) -> None:
        """Show regions of images whose name contains a text; the region in hand stays in hand."""
        self._searched = text.strip()
        self._search = self._searched.casefold()
        self._forget()

    def sort(self, order: Order) -> None:
        """Sort in another way; the region in hand stays in hand."""
        self._order = order
        self._sorted = sorted(self._regions.values(), key=self._as_learned if order == "learned" else ORDERS[order])
        self._forget()

    def _as_learned(self, region: Region) -> tuple[float | str, ...]:
        return (-self._expected.get(region.id, region.score), region.rank[1], region.id)

    def answer(self, found: Mapping[str, float]) -> None:
        """Take note of what decisions found: by region id the share of its pixels that was wrong, in [0, 1]."""
        self._answers.update(found)

    def learn(self) -> bool:
        """Learn the order anew, if that is the order of choice and there are enough new answers; True if so.

        The region in hand stays in hand.
        """
        standing = {key: share for key, share in self._answers.items() if self._decided.get(key, "skip") != "skip"}
        if self._order != "learned" or abs(len(standing) - self._taught) < LEAST:
            return False
        self._worth = self._worth or Worth(tuple(self._regions.values()))
        self._expected, self._taught = self._worth.learned(standing), len(standing)
        self.lessons += 1
        self.sort("learned")
        return True

    def show_only(self, ids: Sequence[str] | None) -> None:
        """Show some regions only, in their order, such as those of an audit; None shows all again.

        The region in hand is put down if it is not among them.
        """
        self._only = None if ids is None else {region_id: place for place, region_id in enumerate(ids)}
        self._again = None
        self._forget()
        if self._only is not None and self._current is not None and self._current.id not in self._only:
            self._current = None

    def look_again(self, regions: Iterable[Region]) -> None:
        """Show regions that were settled, in their order; each leaves when it is decided once more.

        :meth:`show_only` with None goes back to the others.
        """
        self._only, self._again = None, {region.id: region for region in regions}
        self._current = None
        self._forget()

    def decide(self, decided: Mapping[str, str], case_id: int | None = None) -> Region | None:
        """Take note of decisions and move on to the region that follows.

        Parameters
        ----------
        decided : mapping of region id to action
        case_id : int, optional
            As in :meth:`set_decided`.

        Returns
        -------
        Region or None
            The new region in hand.
        """
        before, place = self.open, self._place()
        after = before[place + 1 :] + before[: place + 1] if place >= 0 else before
        if self._again is not None and self._current is not None:
            self._again.pop(self._current.id, None)
        self.set_decided(decided, case_id)
        if self._only is None and self._again is None and self.learn():
            after = self.open
        ids = {region.id for region in self.open}
        self._current = next((region for region in after if region.id in ids), None)
        return self._current

    def set_decided(self, decided: Mapping[str, str], case_id: int | None = None) -> None:
        """Take note of decisions without moving, as after an undo.

        Parameters
        ----------
        decided : mapping of region id to action
        case_id : int, optional
            They are those of this image, and nothing changed elsewhere; without it they are all that there are.
        """
        if case_id is None:
            self._decided = dict(decided)
            self._counts = None
            self._forget()
            return
        before = self._decided
        moved = [region for region in self.regions_of(case_id) if decided.get(region.id) != before.get(region.id)]
        fresh = all(region.id not in before and decided[region.id] != "skip" for region in moved)
        for region in moved:
            before.pop(region.id, None)
        before.update({region.id: decided[region.id] for region in moved if region.id in decided})
        self._drop(moved, fresh=fresh)

    def _drop(self, moved: Sequence[Region], *, fresh: bool) -> None:
        """Let regions leave without sorting all anew, as after a decision; what is not fresh may also come back."""
        waiting = self._open
        self._forget()
        if not fresh or self._again is not None:
            self._counts = None
            return
        if waiting is not None:
            gone = {region.id for region in moved}
            self._open = [region for region in waiting if region.id not in gone]
        if self._counts is not None:
            self._counts.subtract(region.kind for region in moved)

    def update(self, regions: Iterable[Region], decided: Mapping[str, str]) -> None:
        """Take new scores; the region in hand stays in hand, with its new figures if it is among them."""
        self._regions, self._by_case = {region.id: region for region in regions}, {}
        for region in self._regions.values():
            self._by_case.setdefault(region.case_id, []).append(region)
        self.updates += 1
        self._worth, self._expected, self._taught = None, {}, 0
        self.sort(self._order)
        self.set_decided(decided)
        if self._current is not None:
            known = self._regions if self._again is None else self._again
            self._current = known.get(self._current.id, self._current)
