"""A simulated annotator: works down the regions of a run with the true masks in hand.

It decides as a person would who knows the truth, through the same decisions and commits as the window, on a project
that may be changed (a copy). It is how the whole loop is measured, and it says what a review of the first N regions is
worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from src_core.data.case import IGNORE
from src_core.data.noise import overlap
from src_core.review import decisions
from src_core.review.queue import ReviewQueue
from src_core.review.worth import share_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from src_core.data.scores import Region
    from src_core.store.project import Project
    from src_core.store.runs import Run


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a simulated review stands after some regions.

    Attributes
    ----------
    regions : int
        Decided so far.
    pixels_reviewed : int
        In these regions, px.
    pixels_fixed : int
        Wrong before and right now, px.
    wrong_pixels_left : int
        In all images with a true mask, px.
    dice : float
        Of the masks to the true ones in [0, 1]: mean over images and foreground classes.
    good_pixels_damaged : int
        Right before and wrong now, px.
    regions_painted : int
        Among those decided: neither label nor proposal would do, so they were painted and confirmed.
    """

    regions: int
    pixels_reviewed: int
    pixels_fixed: int
    wrong_pixels_left: int
    dice: float
    good_pixels_damaged: int
    regions_painted: int


TOLERANCE = 0.01
"""Share of a region's pixels that a person takes no notice of: a line of one pixel along an edge of some hundred."""


class Done(NamedTuple):
    """What a decision made of a region: pixels made right and wrong, and whether it took the brush."""

    better: int
    worse: int
    painted: bool


class SimulatedAnnotator:
    """Decides on regions by the true masks.

    As a careful person would: a region is accepted where its proposal is right, kept where its label is, and painted
    and confirmed where neither will do. One who does not paint takes what has more right pixels. With sloppiness it is
    now and then the wrong one of accept and keep.

    Parameters
    ----------
    project : Project
        Open for writing; it is changed.
    run : Run
        Whose regions and proposals are reviewed.
    truth : mapping of case id to array, uint8
        Class indices; ``IGNORE`` where the truth is not known, which counts nowhere.
    sloppiness : float
        Chance of the wrong decision, in [0, 1].
    tolerance : float
        Share of a region's pixels that may be wrong without being noticed.
    paints : bool
        Takes the brush where neither label nor proposal will do; only the region's own pixels are painted.
    rng : Generator
        Draws the slips.
    """

    def __init__(
        self,
        project: Project,
        run: Run,
        truth: Mapping[int, NDArray[np.uint8]],
        *,
        sloppiness: float = 0.0,
        tolerance: float = TOLERANCE,
        paints: bool = True,
        rng: np.random.Generator,
    ) -> None:
        self._project = project
        self._run = run
        self._truth = truth
        self._sloppiness = sloppiness
        self._tolerance = tolerance
        self._paints = paints
        self._rng = rng
        self._wrong: dict[int, int] = {}
        self._dice: dict[int, float] = {}

    def review(self, regions: Iterable[Region]) -> Iterator[Progress]:
        """Decide on regions in the order given; where it stands before the first and after each of them."""
        for case_id in self._truth:
            self._measure(case_id)
        reviewed = fixed = damaged = painted = 0
        yield self._progress(0, reviewed, fixed, damaged, painted)
        for count, region in enumerate(regions, start=1):
            done = self.decide(region)
            reviewed, fixed, damaged = reviewed + region.pixels, fixed + done.better, damaged + done.worse
            painted += done.painted
            yield self._progress(count, reviewed, fixed, damaged, painted)

    def decide(self, region: Region) -> Done:
        """Take the decision on a region, through the record."""
        project, run = self._project, self._run
        case = project.case(region.case_id)
        mask = run.read_map(case.id, "regions", region.box) == region.number
        proposed = run.read_map(case.id, "proposed", region.box)
        truth, before = self._truth[case.id][region.box.slices], project.read_label(case, region.box)
        known = truth != IGNORE
        choice = self._choice(before[mask & known], proposed[mask & known], truth[mask & known])
        if choice == "accept":
            project.commit(decisions.accept(project, region, mask, proposed, run.name))
        elif choice == "keep":
            project.commit(decisions.keep(project, region, mask, run.name))
        else:
            painted = decisions.edit(project, case, region.box, np.where(mask & known, truth, before))
            if painted is not None:
                project.commit(painted)
            project.commit(decisions.confirm(project, region, mask, run.name))
        after = project.read_label(case, region.box)
        better = int(((before != truth) & (after == truth) & known).sum())
        worse = int(((before == truth) & (after != truth) & known).sum())
        if better or worse:
            self._measure(case.id)
        return Done(better, worse, painted=choice == "paint")

    def _choice(
        self, label: NDArray[np.uint8], proposed: NDArray[np.uint8], truth: NDArray[np.uint8]
    ) -> Literal["accept", "keep", "paint"]:
        """What to do with a region, from its pixels whose truth is known."""
        wrong_now, wrong_then = int((label != truth).sum()), int((proposed != truth).sum())
        accepts = wrong_then < wrong_now
        if self._sloppiness > 0 and self._rng.random() < self._sloppiness:
            return "keep" if accepts else "accept"
        if self._paints and min(wrong_now, wrong_then) > self._tolerance * truth.size:
            return "paint"
        return "accept" if accepts else "keep"

    def _measure(self, case_id: int) -> None:
        label, truth = self._project.read_label(self._project.case(case_id)), self._truth[case_id]
        known = truth != IGNORE
        self._wrong[case_id] = int(((label != truth) & known).sum())
        classes = [info.index for info in self._project.classes if info.index]
        self._dice[case_id] = float(np.mean([overlap((label == c) & known, (truth == c) & known) for c in classes]))

    def _progress(self, regions: int, reviewed: int, fixed: int, damaged: int, painted: int) -> Progress:
        return Progress(
            regions=regions,
            pixels_reviewed=reviewed,
            pixels_fixed=fixed,
            wrong_pixels_left=sum(self._wrong.values()),
            dice=float(np.mean(list(self._dice.values()))),
            good_pixels_damaged=damaged,
            regions_painted=painted,
        )


def as_learned(project: Project, regions: Sequence[Region]) -> Iterator[Region]:
    """Regions as they come to a person who goes down the queue, which learns from the answers on the way.

    Parameters
    ----------
    project : Project
        In which they are decided, one after the other.
    regions : sequence of Region
    """
    queue, seen = ReviewQueue(regions, project.decisions()), project.version()[0]
    region = queue.next()
    for _ in range(len(queue.open)):
        if region is None:
            return
        yield region
        committed = project.version()[0]
        answers = {record.region: share_found(record) for record in project.history(committed - seen)}
        queue.answer({key: share for key, share in answers.items() if share is not None})
        region, seen = queue.decide(project.decisions()), committed


def by_suspicion(regions: Iterable[Region], run: Run, suspicion: Mapping[int, NDArray[np.floating]]) -> list[Region]:
    """Regions by the sum of another suspicion of their pixels, the largest first.

    Parameters
    ----------
    regions : iterable of Region
    run : Run
        Whose they are.
    suspicion : mapping of case id to array, float, shape of the image
    """
    sums: dict[str, float] = {}
    numbers: dict[int, NDArray[np.int32]] = {}
    for region in regions:
        if region.case_id not in numbers:
            numbers = {region.case_id: run.read_map(region.case_id, "regions")}
        where = region.box.slices
        inside = numbers[region.case_id][where] == region.number
        sums[region.id] = float(suspicion[region.case_id][where][inside].sum())
    return sorted(regions, key=lambda region: (-sums[region.id], region.id))
