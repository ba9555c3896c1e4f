"""Where a review stands: regions, what is left outside of them, and what was found, after each decision."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.scores import Rest
from src_core.review.hits import Cells, cells_of, kind_of, log_odds_of_error
from src_core.store.journal import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from src_core.data.scores import Region
    from src_core.review.replay import Finding, Outcome
    from src_core.store.journal import Record

UNDECIDED = -1


class Ledger:
    """A review, decision by decision.

    Parameters
    ----------
    regions : sequence of Region
        All that the run puts forward.
    rests : mapping of case id to Rest
        Of every image, as it was scored.
    older : iterable of Record
        Decisions on regions of the same run that are not put forward any more; they are evidence, too.

    """

    def __init__(self, regions: Sequence[Region], rests: Mapping[int, Rest], older: Iterable[Record] = ()) -> None:
        self._place = {region.id: place for place, region in enumerate(regions)}
        self._odds = log_odds_of_error(np.array([region.trust for region in regions]))
        self._pixels = np.array([region.pixels for region in regions], dtype=np.float64)
        self._size = np.log(np.maximum(self._pixels, 1))
        self._left = self._pixels.copy()
        self._wrong = np.zeros(len(regions))
        self._kind = np.full(len(regions), UNDECIDED)
        self._unsure = np.zeros(len(regions), dtype=bool)
        self._older = _older(older)
        self._index = {case_id: place for place, case_id in enumerate(rests)}
        self._rest = np.array([_row(rest) for rest in rests.values()]).reshape(-1, len(_row(_NOTHING)))
        self._checked = np.zeros(len(rests), dtype=bool)
        self._checks: dict[int, tuple[float, int, float, int]] = {}
        self._asked: dict[str, bool] = {}

    def copy(self) -> Ledger:
        """Another one that stands where this one does."""
        twin = copy(self)
        for name, value in vars(self).items():
            if name not in ("_place", "_index", "_older", "_odds", "_size"):  # these never change
                setattr(twin, name, value.copy())
        return twin

    def add(self, outcome: Outcome) -> None:
        """Take what one decision changed."""
        image = self._index[outcome.record.case_id]
        asked = outcome.asked
        for finding in outcome.findings:
            self._settle(finding, outcome.record, asked=finding is asked)
        if asked is not None:
            self._asked.pop(asked.region.id, None)  # decided anew: it counts where it was decided last
            self._asked[asked.region.id] = asked.wrong > 0
        if outcome.unsure:
            self._unsure[self._place[outcome.record.region]] = True
        if outcome.rest is not None:
            self._rest[image] = _row(outcome.rest)
        else:
            self._rest[image, -1] += outcome.foreground
        if outcome.check is not None:
            self._checked[image] = True
            self._checks[image] = (*outcome.check.doubted, *outcome.check.trusted)

    def _settle(self, finding: Finding, record: Record, *, asked: bool) -> None:
        place = self._place[finding.region.id]
        changed = finding.wrong != self._wrong[place]
        self._left[place], self._wrong[place] = finding.left, finding.wrong
        if finding.left and not asked:
            return  # painted in part on the way: it still waits
        if not asked and self._kind[place] != UNDECIDED and not changed:
            return  # it was decided as it is now
        share = finding.wrong / max(finding.region.pixels - finding.left, 1)
        accepted = record.action == Action.ACCEPT or share > 0.5
        self._kind[place] = kind_of(share if finding.exact else None, accepted=accepted)
        self._unsure[place] = False

    # ---------------------------------------------------------------- what follows

    @property
    def hits(self) -> list[bool]:
        """For each decision on a region, oldest first, whether something was wrong in it."""
        return list(self._asked.values())

    @property
    def found(self) -> int:
        """Wrong pixels found in regions, and outside of them in images that were verified whole, px."""
        return self.found_in_regions + sum(check[1] + check[3] for check in self._checks.values())

    @property
    def waiting(self) -> int:
        """Regions that wait for a decision."""
        return int(np.count_nonzero((self._left > 0) & ~self._unsure))

    @property
    def foreground(self) -> int:
        """Labelled foreground of all images, px."""
        return int(self._rest[:, -1].sum())

    @property
    def checked(self) -> int:
        """Images that were verified whole since they were scored."""
        return int(self._checked.sum())

    @property
    def left_in_regions(self) -> NDArray[np.float64]:
        """Pixels of each region that nobody vouches for, in the order of the regions, px."""
        return self._left.copy()

    @property
    def found_in_regions(self) -> int:
        """Wrong pixels found in regions, px."""
        return int(self._wrong.sum())

    def share_wrong(self, region: str) -> float | None:
        """Share of a region's pixels that was wrong, in [0, 1]; None when it is not decided, or not put forward."""
        place = self._place.get(region)
        if place is None or self._kind[place] == UNDECIDED:
            return None
        return float(self._wrong[place] / max(self._pixels[place] - self._left[place], 1))

    def is_unsure(self, region: str) -> bool:
        """True when somebody looked at a region and could not tell."""
        place = self._place.get(region)
        return place is not None and bool(self._unsure[place])

    def cells(self) -> Cells:
        """Regions of this run, those before it was scored again included, gathered by what trust says and by size."""
        odds, size, kind = self._older
        return cells_of(
            np.concatenate([self._odds, odds]),
            np.concatenate([self._size, size]),
            np.concatenate([self._kind, kind]),
            np.concatenate([self._left, np.zeros(len(odds))]),
        )

    def outside(self, part: str) -> tuple[NDArray[np.float64], float, NDArray[np.float64], NDArray[np.float64]]:
        """What is left outside of regions in one part, and what was found where it was checked.

        Parameters
        ----------
        part : str
            ``doubted`` or ``trusted``.

        Returns
        -------
        expected : array, float, (N,)
            Of each image, px.
        most : float
            Pixels in all of them.
        checked, found : array, float, (K,)
            Expected and found in each image that was verified whole and had any such pixels.
        """
        first = 0 if part == "doubted" else 2
        checks = np.array([check[first : first + 2] for check in self._checks.values()]).reshape(-1, 2)
        checks = checks[checks[:, 0] > 0]
        return self._rest[:, first + 1], float(self._rest[:, first].sum()), checks[:, 0], checks[:, 1]


_NOTHING = Rest(doubted_pixels=0, doubted_wrong=0, trusted_pixels=0, trusted_wrong=0, foreground=0)


def _row(rest: Rest) -> tuple[float, ...]:
    return rest.doubted_pixels, rest.doubted_wrong, rest.trusted_pixels, rest.trusted_wrong, rest.foreground


def _older(
    records: Iterable[Record],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Log-odds, log size and kind of earlier decisions, from what was shown when they were taken."""
    shown = [
        (float(record.scores["trust"]), float(record.scores["pixels"]), record.action == Action.ACCEPT)
        for record in records
        if "trust" in record.scores and "pixels" in record.scores
    ]
    table = np.array(shown, dtype=np.float64).reshape(-1, 3)
    kinds = np.array([kind_of(None, accepted=bool(row[2])) for row in shown], dtype=np.int64)
    return log_odds_of_error(table[:, 0]), np.log(np.maximum(table[:, 1], 1)), kinds
