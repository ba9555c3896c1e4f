"""What the record says: who decided what and when, and which rows hold for which image."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

from src_core.report.figures import AuthorFigures, DayFigures
from src_core.store.journal import BEGINNINGS, DECISIONS, Action

if TYPE_CHECKING:
    from src_core.store.journal import Record
    from src_core.store.project import Project

KINDS = (
    Action.ACCEPT,
    Action.KEEP,
    Action.CONFIRM,
    Action.EDIT,
    Action.SKIP,
    Action.UNSURE,
    Action.VERIFY_IMAGE,
)
"""Kinds of a person's rows, as they are shown; all but a stroke are decisions."""

ANSWERS = frozenset({Action.ACCEPT, Action.KEEP, Action.CONFIRM})
"""Decisions that say whether the label of a region was right."""

LONGEST_GAP = 300.0
"""Who does nothing for longer is away; s."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that changed pixels and holds; the region is empty where none was decided."""

    id: int
    action: Action
    region: str


class Ledger:
    """The rows of the record that hold, counted; one pass over the record, without its pixels.

    Attributes
    ----------
    upto : int
        Last row that was counted.
    rows : mapping of case id to list of Row
        Oldest first.
    settled : mapping of region id to (case id, action)
        The last decision on each region.
    trusted : set of int
        Cases with a trusted mask.
    """

    def __init__(self, upto: int) -> None:
        self.upto = upto
        self.rows: dict[int, list[Row]] = defaultdict(list)
        self.settled: dict[str, tuple[int, Action]] = {}
        self.trusted: set[int] = set()
        self.gaps: list[float] = []
        self._people: dict[str, _Person] = {}
        self._days: dict[tuple[str, str], Counter[Action]] = defaultdict(Counter)

    @classmethod
    def read(cls, project: Project) -> Ledger:
        """Count the record as it is now; what is done meanwhile is left out."""
        ledger = cls(project.version()[0])
        standing = project.standing(ledger.upto)
        for record in project.records(ledger.upto):
            if record.id in standing:
                ledger._take(record)
        return ledger

    def _take(self, record: Record) -> None:
        if record.box is not None:
            self.rows[record.case_id].append(Row(record.id, record.action, record.region))
        if record.action == Action.IMPORT:
            self.trusted.add(record.case_id)
        if record.action in BEGINNINGS:
            return
        if record.region and record.action in DECISIONS:
            self.settled[record.region] = (record.case_id, record.action)
        person = self._people.setdefault(record.author, _Person(record.time))
        person.kinds[record.action] += 1
        person.last = record.time
        self._days[record.time[:10], record.author][record.action] += 1
        if record.action != Action.EDIT:
            self._time(person, datetime.fromisoformat(record.time))

    def _time(self, person: _Person, now: datetime) -> None:
        gap = -1.0 if person.decided is None else (now - person.decided).total_seconds()
        if 0 <= gap <= LONGEST_GAP:
            self.gaps.append(gap)
        person.decided = now

    # ---------------------------------------------------------------- what was counted

    @property
    def kinds(self) -> dict[str, int]:
        """How often each kind was done."""
        counts: Counter[Action] = sum((person.kinds for person in self._people.values()), Counter())
        return {str(kind): counts[kind] for kind in KINDS}

    @property
    def median_seconds(self) -> float | None:
        """Between one decision of a person and their next; None without two of them."""
        return median(self.gaps) if self.gaps else None

    @property
    def span(self) -> tuple[str | None, str | None]:
        """First and last time that somebody did something that holds."""
        people = self._people.values()
        return min((one.first for one in people), default=None), max((one.last for one in people), default=None)

    def decided_regions(self) -> Counter[int]:
        """Regions of each case that have an answer, the unsure ones among them."""
        return Counter(case_id for case_id, action in self.settled.values() if action != Action.SKIP)

    def authors(self) -> tuple[AuthorFigures, ...]:
        """Who, those with the most decisions first."""
        found = [
            AuthorFigures(
                name=name,
                decisions=person.kinds.total() - person.kinds[Action.EDIT],
                strokes=person.kinds[Action.EDIT],
                first=person.first,
                last=person.last,
            )
            for name, person in self._people.items()
        ]
        return tuple(sorted(found, key=lambda author: (-author.decisions, author.name)))

    def days(self) -> tuple[DayFigures, ...]:
        """Who did what on which day, oldest first."""
        return tuple(
            DayFigures(day=day, author=author, kinds={str(kind): counts[kind] for kind in KINDS})
            for (day, author), counts in sorted(self._days.items(), key=lambda item: item[0])
        )


@dataclass
class _Person:
    first: str
    kinds: Counter[Action] = field(default_factory=Counter)
    last: str = ""
    decided: datetime | None = None
