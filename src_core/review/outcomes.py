"""What the decisions of a review found, read from the record.

A region that was accepted as a whole had all its pixels wrong in the eyes of who decided, one that was kept none. Where
somebody painted, the pixels tell (:mod:`src_core.review.replay`). Only what the record holds after the scores were made
counts, and only what was not turned back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from src_core.data.scores import UNLABELLED
from src_core.review.replay import AS_A_WHOLE, Finding, Outcome, replayed
from src_core.store.journal import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from src_core.data.case import Box
    from src_core.data.scores import ImageScore, Region
    from src_core.store.journal import Record
    from src_core.store.project import Project
    from src_core.store.runs import Run

BY_PIXEL = frozenset({Action.CONFIRM, Action.VERIFY_IMAGE})
_FOLLOWED = AS_A_WHOLE | BY_PIXEL | {Action.UNSURE, Action.EDIT}


@dataclass
class _Image:
    """What is remembered of an image that was changed by hand."""

    painted: list[Box] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)


class Outcomes:
    """The outcomes of a review so far; :meth:`update` reads what is new.

    Parameters
    ----------
    project : Project
    run : Run
        Whose regions are reviewed.
    images : sequence of ImageScore
    regions : sequence of Region
        With labels.
    """

    def __init__(self, project: Project, run: Run, images: Sequence[ImageScore], regions: Sequence[Region]) -> None:
        self._project = project
        self._run = run
        self._images = {image.case_id: image for image in images}
        self._regions = {region.id: region for region in regions}
        self._by_image: dict[int, list[Region]] = {}
        for region in regions:
            self._by_image.setdefault(region.case_id, []).append(region)
        self._seen = 0
        self._turned_back: set[int] = set()
        self._outcomes: dict[int, Outcome] = {}
        self._touched: dict[int, _Image] = {}
        self._older: dict[int, Record] = {}

    @property
    def standing(self) -> list[Outcome]:
        """What was decided since the scores were made and not turned back, oldest first."""
        return [outcome for row, outcome in self._outcomes.items() if row not in self._turned_back]

    @property
    def older(self) -> list[Record]:
        """Decisions on regions that this run put forward before it was scored again."""
        return [record for row, record in self._older.items() if row not in self._turned_back]

    def update(self) -> bool:
        """Read the rows that are new; False when there are none."""
        committed = self._project.version()[0]
        if committed == self._seen:
            return False
        records = self._project.history(committed - self._seen)[::-1]
        self._seen = committed
        pending: dict[int, list[Record]] = {}
        for record in records:
            self._follow(record, pending)
        for case_id, rows in pending.items():
            regions = self._by_image.get(case_id, [])
            for outcome in replayed(self._project, self._run, self._images[case_id], rows, regions):
                self._outcomes[outcome.record.id] = outcome
        self._outcomes = dict(sorted(self._outcomes.items()))
        return True

    def _follow(self, record: Record, pending: dict[int, list[Record]]) -> None:
        """Take one row; what only pixels can tell is left for later, image by image."""
        if record.action == Action.UNDO and record.target is not None:
            self._turned_back.add(record.target)
        elif record.action == Action.REDO and record.target is not None:
            self._turned_back.discard(record.target)
        elif record.action in _FOLLOWED and self._is_later(record):
            self._take(record, pending)
        elif record.action in AS_A_WHOLE and record.run == self._run.name and not _gave_first_label(record):
            self._older[record.id] = record

    def _is_later(self, record: Record) -> bool:
        image = self._images.get(record.case_id)
        known = record.region in self._regions or _gave_first_label(record)
        if image is None or (record.action in AS_A_WHOLE and not known):
            return False
        return image.row is None or record.id > image.row

    def _take(self, record: Record, pending: dict[int, list[Record]]) -> None:
        region = self._regions.get(record.region)
        image = self._touched.setdefault(record.case_id, _Image())
        if record.action == Action.EDIT:
            if record.box is not None:
                image.painted.append(record.box)
        elif record.action == Action.UNSURE:
            if region is not None:
                self._outcomes[record.id] = Outcome(record=record, unsure=True)
        elif record.action in BY_PIXEL or region is None or _needs_pixels(region, image):
            whole = record.action == Action.VERIFY_IMAGE
            image.settled |= (
                {found.id for found in self._by_image.get(record.case_id, [])} if whole else {record.region}
            )
            pending.setdefault(record.case_id, []).append(record)
        else:
            image.settled.add(region.id)
            self._outcomes[record.id] = _as_a_whole(record, region)


def _gave_first_label(record: Record) -> bool:
    """True for a decision on pixels that had no label: it tells nothing of labels, but what the image shows now."""
    return record.scores.get("kind") == UNLABELLED


def _needs_pixels(region: Region, image: _Image) -> bool:
    """True when the decision alone does not tell what was wrong: it was painted there, or decided before."""
    return region.id in image.settled or any(region.box.meets(box) for box in image.painted)


def _as_a_whole(record: Record, region: Region) -> Outcome:
    accepted = record.action == Action.ACCEPT
    grown = (int(region.proposed > 0) - int(region.given > 0)) * region.pixels if accepted else 0
    return Outcome(
        record=record,
        findings=(Finding(region, region.pixels if accepted else 0, 0, False),),
        foreground=grown,
    )
