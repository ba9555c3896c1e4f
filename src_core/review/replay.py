"""What was wrong in an image, pixel by pixel: its record played back from when it was scored.

Wrong are the pixels that somebody vouches for now and that have another label than when they were scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE, is_verified
from src_core.review.regions import BELOW, rest_of
from src_core.store.journal import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from src_core.data.scores import ImageScore, Region, Rest
    from src_core.store.journal import Patch, Record
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
class Scored:
    """An image as it was scored.

    Attributes
    ----------
    trust : array, float32
    numbers : array, int32
        The map of regions.
    label : array, uint8
    open : array, bool
        Pixels that had a label and that nobody vouched for.
    later : sequence of (int, Patch)
        What was changed since, oldest first.
    """

    trust: NDArray[np.float32]
    numbers: NDArray[np.int32]
    label: NDArray[np.uint8]
    open: NDArray[np.bool_]
    later: Sequence[tuple[int, Patch]]


def as_scored(project: Project, run: Run, image: ImageScore) -> Scored:
    """Read an image as it was when it was scored."""
    case = project.case(image.case_id)
    trust, numbers = run.read_map(case.id, "trust"), run.read_map(case.id, "regions")
    label = project.read_given(case).copy()
    verified = np.zeros_like(label)
    later = []
    for row, _, after in project.changes(case):
        if image.row is not None and row <= image.row:
            label[after.box.slices], verified[after.box.slices] = after.label, after.verified
        else:
            later.append((row, after))
    # what has a trust of 1 was verified already, or nothing could be learned from it
    open_ = ~is_verified(verified) & (label != IGNORE) & (trust < 1)
    if image.row is None:
        label = np.where(open_, label, project.read_label(case))
    return Scored(trust, numbers, label, open_, later)


def scored_rest(project: Project, run: Run, image: ImageScore) -> Rest:
    """Sums outside of the regions when it was scored; from the maps, where the scores do not hold them."""
    if image.rest is not None:
        return image.rest
    scored = as_scored(project, run, image)
    closed = (~scored.open).astype(np.uint8)
    return rest_of(trust=scored.trust, label=scored.label, verified=closed, numbers=scored.numbers)


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
    scored = as_scored(project, run, image)
    label = scored.label.copy()
    verified = (~scored.open).astype(np.uint8)
    wanted = {record.id: record for record in rows}
    for row, changes in groupby(scored.later, key=lambda change: change[0]):
        for _, after in changes:
            label[after.box.slices], verified[after.box.slices] = after.label, after.verified
        if row in wanted:
            yield _outcome(wanted[row], scored, label, verified, regions)


def _outcome(
    record: Record,
    scored: Scored,
    label: NDArray[np.uint8],
    verified: NDArray[np.uint8],
    regions: Sequence[Region],
) -> Outcome:
    vouched = is_verified(verified) & scored.open
    wrong = vouched & (label != scored.label)
    highest = max((region.number for region in regions), default=0) + 1
    settled, found = (np.bincount(scored.numbers[mask], minlength=highest) for mask in (vouched, wrong))
    findings = tuple(
        _finding(record, region, int(found[region.number]), int(settled[region.number]))
        for region in sorted(regions, key=lambda region: region.id != record.region)
        if settled[region.number]
    )
    # a stroke that was not confirmed was somebody's opinion all the same: it is not expected to be wrong
    closed = np.where(~scored.open | (label != scored.label), 1, verified).astype(np.uint8)
    rest = rest_of(trust=scored.trust, label=label, verified=closed, numbers=scored.numbers)
    check = _check(scored, wrong) if record.action == Action.VERIFY_IMAGE else None
    return Outcome(record=record, findings=findings, rest=rest, check=check)


def _finding(record: Record, region: Region, wrong: int, settled: int) -> Finding:
    whole = record.action in AS_A_WHOLE and region.id == record.region and wrong in (0, region.pixels)
    return Finding(region, wrong, region.pixels - settled, exact=not whole)


def _check(scored: Scored, wrong: NDArray[np.bool_]) -> Check:
    outside = scored.open & (scored.numbers == 0)
    low = scored.trust < BELOW
    expected = 1.0 - scored.trust.astype(np.float64)
    doubted, trusted = (
        (float(expected[outside & part].sum()), int((wrong & outside & part).sum())) for part in (low, ~low)
    )
    return Check(doubted, trusted)
