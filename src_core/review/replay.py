"""What was wrong in an image, pixel by pixel: its record played back from when it was scored.

Wrong are the pixels that somebody vouches for now and that have another label than when they were scored. An image is
played back box by box, and only where something was changed since: what it comes to elsewhere, the scores tell.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE, is_verified
from src_core.review.regions import BELOW, rest_sums, rounded_rest
from src_core.store.journal import Action
from src_core.store.masks import common
from src_core.store.pieces import piece_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from src_core.data.case import Box
    from src_core.data.scores import ImageScore, Region, Rest
    from src_core.store.journal import Record
    from src_core.store.project import Project
    from src_core.store.runs import Run

AS_A_WHOLE = frozenset({Action.ACCEPT, Action.KEEP})
"""Decisions that tell of a region as a whole."""


@dataclass(frozen=True)
class Finding:
    """What is known of one region after a decision.

    Attributes
    ----------
    region : Region
    wrong : int
        Pixels that were wrong, among those that somebody vouches for, px.
    left : int
        Pixels that nobody vouches for yet, px.
    exact : bool
        True when the pixels themselves tell, not a decision on the whole.
    """

    region: Region
    wrong: int
    left: int
    exact: bool


@dataclass(frozen=True)
class Check:
    """Expected and found wrong pixels outside of regions of an image that was verified whole, px."""

    doubted: tuple[float, int]
    trusted: tuple[float, int]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one row of the record changed.

    Attributes
    ----------
    record : Record
    findings : tuple of Finding
        First the region that was asked about, if it was settled.
    unsure : bool
        True when nobody could tell: the region does not wait any more, but its pixels are as they were.
    rest : Rest or None
        Of the image afterwards, where it changed outside of the region.
    foreground : int
        How many foreground pixels more there are, where ``rest`` does not tell, px.
    check : Check or None
    """

    record: Record
    findings: tuple[Finding, ...] = ()
    unsure: bool = False
    rest: Rest | None = None
    foreground: int = 0
    check: Check | None = None

    @property
    def asked(self) -> Finding | None:
        """The region that was settled by this decision; None when it was not one on a region."""
        if self.findings and self.findings[0].region.id == self.record.region:
            return self.findings[0]
        return None


@dataclass(frozen=True)
class _Scored:
    """A box of an image as it was scored.

    Attributes
    ----------
    trust : array, float32
    numbers : array, int32
        The map of regions.
    label : array, uint8
    open : array, bool
        Pixels that had a label, that nobody vouched for, and that were not trusted for sure.
    closed : array, bool
        Pixels that somebody vouched for, or that had no label.
    """

    trust: NDArray[np.float32]
    numbers: NDArray[np.int32]
    label: NDArray[np.uint8]
    open: NDArray[np.bool_]
    closed: NDArray[np.bool_]

    def tell(self, label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> _Told:
        """What the box comes to with other labels."""
        vouched = is_verified(verified) & self.open
        wrong = vouched & (label != self.label)
        # a stroke that was not confirmed was somebody's opinion all the same: it is not expected to be wrong
        closed = self.closed | (label != self.label) | is_verified(verified)
        left = (self.numbers == 0) & ~closed & (label != IGNORE)
        stray, low = wrong & (self.numbers == 0), self.trust < BELOW
        outside = [np.count_nonzero(stray & low), np.count_nonzero(stray & ~low)]
        return _Told(
            np.bincount(self.numbers[vouched]),
            np.bincount(self.numbers[wrong]),
            np.array([*rest_sums(left, self.trust, label), *outside], dtype=np.float64),
        )


@dataclass(frozen=True)
class _Told:
    """What a box comes to after some row.

    Attributes
    ----------
    settled, found : array, int
        Pixels by number of their region, that somebody vouches for and that were wrong.
    sums : array, float64, (7,)
        Of the rest, and wrong pixels outside of regions that were doubted and that were trusted.
    """

    settled: NDArray[np.int64]
    found: NDArray[np.int64]
    sums: NDArray[np.float64]


@dataclass
class _Step:
    """What all boxes come to more or less than after the step before."""

    settled: Counter[int] = field(default_factory=Counter)
    found: Counter[int] = field(default_factory=Counter)
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(7))

    def move(self, before: _Told, after: _Told) -> None:
        """A box was changed."""
        for mine, old, new in ((self.settled, before.settled, after.settled), (self.found, before.found, after.found)):
            size = max(len(old), len(new))
            more = np.pad(new, (0, size - len(new))) - np.pad(old, (0, size - len(old)))
            mine.update({int(number): int(more[number]) for number in np.flatnonzero(more)})
        self.sums += after.sums - before.sums


class _Image:
    """Plays one image back.

    Parameters
    ----------
    project : Project
    run : Run
    image : ImageScore
    upto : int
        Last row that is looked at.
    """

    def __init__(self, project: Project, run: Run, image: ImageScore, upto: int) -> None:
        self._project, self._run, self._image = project, run, image
        self._case = project.case(image.case_id)
        records = project.records(upto)
        mine = [(each.id, each.box) for each in records if each.case_id == image.case_id and each.box is not None]
        known = image.row is not None
        self._earlier = [(row, box) for row, box in mine if known and row <= image.row]  # type: ignore[operator]
        self.later = mine[len(self._earlier) :]

    def boxes(self) -> list[Box]:
        """All of the image."""
        return piece_boxes(self._case.shape)

    def scored(self, box: Box) -> _Scored:
        """A box as it was scored."""
        case = self._case
        trust, numbers = (self._run.read_map(case.id, name, box) for name in ("trust", "regions"))
        label = self._project.read_given(case, box).copy()
        verified = np.zeros_like(label)
        self._apply([row for row, place in self._earlier if place.meets(box)], box, label, verified)
        # what has a trust of 1 was verified already, or nothing could be learned from it
        closed = is_verified(verified) | (label == IGNORE)
        open_ = ~closed & (trust < 1)
        if self._image.row is None:
            closed = ~open_
            label = np.where(open_, label, self._project.read_label(case, box))
        return _Scored(trust, numbers, label, open_, closed)

    def _apply(self, rows: Sequence[int], box: Box, label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> None:
        for row in rows:
            for after in self._project.patches_after(row, box):
                target, source = common(after.box, box)
                label[target], verified[target] = after.label[source], after.verified[source]

    def play(self, box: Box, steps: dict[int, _Step]) -> None:
        """Add what a box comes to after each of some rows, which are in order."""
        changes = [row for row, place in self.later if place.meets(box)]
        if not changes:
            return
        scored = self.scored(box)
        label, verified = scored.label.copy(), scored.closed.astype(np.uint8)
        told, done = scored.tell(label, verified), 0
        for row, step in steps.items():
            due = sum(change <= row for change in changes)
            if due > done:
                self._apply(changes[done:due], box, label, verified)
                before, told, done = told, scored.tell(label, verified), due
                step.move(before, told)


def scored_rest(project: Project, run: Run, image: ImageScore) -> Rest:
    """Sums outside of the regions when it was scored; from the maps, where the scores do not hold them."""
    if image.rest is not None:
        return image.rest
    playing, sums = _Image(project, run, image, project.version()[0]), np.zeros(5)
    for box in playing.boxes():
        scored = playing.scored(box)
        sums += scored.tell(scored.label, scored.closed.astype(np.uint8)).sums[:5]
    return rounded_rest(sums)


def replayed(
    project: Project, run: Run, image: ImageScore, rows: Sequence[Record], regions: Sequence[Region]
) -> Iterator[Outcome]:
    """Outcomes of some rows of one image.

    Parameters
    ----------
    project : Project
    run : Run
    image : ImageScore
    rows : sequence of Record
        Of this image, after it was scored.
    regions : sequence of Region
        Of this image.
    """
    wanted = {record.id: record for record in sorted(rows, key=lambda each: each.id) if record.box is not None}
    if not wanted:
        return
    start = scored_rest(project, run, image)
    playing = _Image(project, run, image, max(wanted))
    steps = {row: _Step() for row in wanted}
    for box in playing.boxes():
        playing.play(box, steps)
    total = _Step(sums=np.array([*astuple(start), 0, 0], dtype=np.float64))
    for row, step in steps.items():
        total.settled.update(step.settled)
        total.found.update(step.found)
        total.sums += step.sums
        yield _outcome(wanted[row], total, start, regions)


def _outcome(record: Record, total: _Step, start: Rest, regions: Sequence[Region]) -> Outcome:
    findings = tuple(
        _finding(record, region, total.found[region.number], total.settled[region.number])
        for region in sorted(regions, key=lambda region: region.id != record.region)
        if total.settled[region.number]
    )
    doubted, trusted = (int(number) for number in total.sums[5:])
    check = Check((start.doubted_wrong, doubted), (start.trusted_wrong, trusted))
    return Outcome(
        record=record,
        findings=findings,
        rest=rounded_rest(np.maximum(total.sums[:5], 0)),
        check=check if record.action == Action.VERIFY_IMAGE else None,
    )


def _finding(record: Record, region: Region, wrong: int, settled: int) -> Finding:
    whole = record.action in AS_A_WHOLE and region.id == record.region and wrong in (0, region.pixels)
    return Finding(region, wrong, region.pixels - settled, exact=not whole)
