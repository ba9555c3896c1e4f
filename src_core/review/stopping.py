"""When to stop: how many wrong pixels are left, how often the last regions were really wrong, and both over the review.

What is estimated is the number of wrong pixels among those that nobody vouches for, in three parts: regions that are
not decided (:mod:`src_core.review.hits`), and doubted and trusted labels outside of regions
(:mod:`src_core.review.unasked`). docs/stopping.md says under which assumptions. Pixels that somebody vouches for count
as right; whether they are is the second rater's question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from src_core.review import unasked
from src_core.review.hits import HitModel
from src_core.review.ledger import Ledger
from src_core.review.outcomes import Outcomes
from src_core.review.replay import scored_rest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from src_core.store.project import Project
    from src_core.store.runs import Run

LEVEL = 0.9
"""Of ten such intervals nine are meant to hold the truth."""

LAST = 20
"""Decisions that the hit rate is told of."""

POINTS = 40
"""Of the curve, at most, besides the last one."""

SEED = 20


@dataclass(frozen=True)
class Amount:
    """A number of pixels, with the interval of :data:`LEVEL`.

    Attributes
    ----------
    value : float
        Median, px.
    low, high : float
        Ends of the interval, px.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: NDArray[np.float64]) -> Amount:
        """Median and interval of draws."""
        low, value, high = np.quantile(draws, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
        return cls(float(value), float(low), float(high))

    @classmethod
    def sum(cls, parts: Sequence[Amount]) -> Amount:
        """Parts together, as if all were too high or too low at once: where trust is off, it may be off everywhere."""
        return cls(*(sum(getattr(part, end) for part in parts) for end in ("value", "low", "high")))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is left to do, after some decisions.

    Attributes
    ----------
    wrong : Amount
        Wrong pixels among those that nobody vouches for.
    in_regions, doubted, trusted : Amount
        Its parts: in regions that are not decided, and outside of regions where trust is low and where it is not. They
        add up, the ends of the intervals, too.
    foreground : int
        Labelled foreground, px.
    decided, waiting : int
        Regions.
    hits, last : int
        Among the ``last`` regions that were decided, so many had something wrong.
    found : int
        Wrong pixels found since the scores were made, px.
    checked : int
        Images that were verified whole since then.
    """

    wrong: Amount
    in_regions: Amount
    doubted: Amount
    trusted: Amount
    foreground: int
    decided: int
    waiting: int
    hits: int
    last: int
    found: int
    checked: int

    @property
    def hit_rate(self) -> float | None:
        """Share of the last regions that had something wrong, in [0, 1]; None when none was decided."""
        return self.hits / self.last if self.last else None

    def share(self, pixels: float) -> float | None:
        """Pixels as a share of the labelled foreground; None when there is none."""
        return pixels / self.foreground if self.foreground else None


def estimate(ledger: Ledger, last: int = LAST) -> Estimate:
    """Estimate what is left; the same ledger gives the same figures."""
    parts = [Amount.of(HitModel(ledger.cells(), np.random.default_rng(SEED)).wrong_left())]
    for part, spread in unasked.SPREAD.items():
        draws = unasked.wrong_left(*ledger.outside(part), spread, np.random.default_rng(SEED))
        parts.append(Amount.of(draws))
    hits = ledger.hits
    return Estimate(
        wrong=Amount.sum(parts),
        in_regions=parts[0],
        doubted=parts[1],
        trusted=parts[2],
        foreground=ledger.foreground,
        decided=len(hits),
        waiting=ledger.waiting,
        hits=sum(hits[-last:]),
        last=min(last, len(hits)),
        found=ledger.found,
        checked=ledger.checked,
    )


class StopEstimator:
    """Keeps the estimate and its curve up to date while a review goes on.

    Sums of every image come from the scores; after a decision only what it changed is worked out anew. Not for two
    threads at once.

    Parameters
    ----------
    project : Project
    run : Run
        With scores.
    last : int
        Decisions that the hit rate is told of.

    Attributes
    ----------
    run : Run
    generation : int
        Of the scores that it was made of; when there are others, make another one.
    regions : sequence of Region
        Those that ask whether a label is wrong; what has no label cannot be.
    """

    def __init__(self, project: Project, run: Run, last: int = LAST) -> None:
        self.run = run
        self.last = last
        self.generation = run.generation
        self.regions, images = [region for region in run.regions() if region.labelled], run.images()
        self._outcomes = Outcomes(project, run, images, self.regions)
        self._outcomes.update()
        rests = {image.case_id: scored_rest(project, run, image) for image in images}
        self._start = Ledger(self.regions, rests, self._outcomes.older)
        self._ledger = self._start.copy()
        self._taken: list[int] = []
        self._points: dict[int, Estimate] = {}

    def ledger(self) -> Ledger:
        """Where the review stands now; not to be changed."""
        self._outcomes.update()
        standing = self._outcomes.standing
        rows = [outcome.record.id for outcome in standing]
        if rows[: len(self._taken)] != self._taken:  # something was turned back
            same = next(
                (place for place, (a, b) in enumerate(zip(rows, self._taken, strict=False)) if a != b),
                min(len(rows), len(self._taken)),
            )
            self._points = {step: point for step, point in self._points.items() if step <= same}
            self._ledger, self._taken = self._start.copy(), []
        for outcome in standing[len(self._taken) :]:
            self._ledger.add(outcome)
        self._taken = rows
        return self._ledger

    def now(self) -> Estimate:
        """What is left now; what was worked out before is not worked out again."""
        ledger = self.ledger()
        step = len(self._taken)
        if step not in self._points:
            self._points[step] = estimate(ledger, self.last)
        return self._points[step]

    def curve(self, points: int = POINTS) -> list[Estimate]:
        """The estimate before the first decision, after some on the way, and now.

        Parameters
        ----------
        points : int
            At most so many beside the last one. Each takes as long as :meth:`now` the first time.
        """
        self.now()
        wanted = _steps(len(self._taken), points)
        missing = [step for step in wanted if step not in self._points]
        ledger = self._start.copy()
        for step, outcome in enumerate([None, *self._outcomes.standing][: max(missing, default=-1) + 1]):
            if outcome is not None:
                ledger.add(outcome)
            if step in missing:
                self._points[step] = estimate(ledger, self.last)
        return [self._points[step] for step in wanted]


def _steps(last: int, points: int) -> list[int]:
    """After how many decisions a point is drawn: every 1, 2, 4, ..., so that most stay when decisions are added."""
    apart = 1
    while last // apart + 1 > points:
        apart *= 2
    return [*range(0, last, apart), last]
