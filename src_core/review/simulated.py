"""A simulated annotator: works down the regions of a run with the true masks in hand.

It decides as a person would who knows the truth, through the same decisions and commits as the window, on a project
that may be changed (a copy). It is how the whole loop is measured, and it says what a review of the first N regions is
worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE
from src_core.data.noise import overlap
from src_core.review import decisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
    """

    regions: int
    pixels_reviewed: int
    pixels_fixed: int
    wrong_pixels_left: int
    dice: float
    good_pixels_damaged: int


class SimulatedAnnotator:
    """Decides on regions by the true masks.

    A region is accepted when more of its pixels would be right, else kept; with sloppiness the other way round now and
    then.

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
        rng: np.random.Generator,
    ) -> None:
        self._project = project
        self._run = run
        self._truth = truth
        self._sloppiness = sloppiness
        self._rng = rng
        self._wrong: dict[int, int] = {}
        self._dice: dict[int, float] = {}

    def review(self, regions: Iterable[Region]) -> Iterator[Progress]:
        """Decide on regions in the order given; where it stands before the first and after each of them."""
        for case_id in self._truth:
            self._measure(case_id)
        reviewed = fixed = damaged = 0
        yield self._progress(0, reviewed, fixed, damaged)
        for count, region in enumerate(regions, start=1):
            better, worse = self._decide(region)
            reviewed, fixed, damaged = reviewed + region.pixels, fixed + better, damaged + worse
            yield self._progress(count, reviewed, fixed, damaged)

    def _decide(self, region: Region) -> tuple[int, int]:
        """Take the decision; how many pixels it made right and wrong."""
        project, run = self._project, self._run
        case = project.case(region.case_id)
        where = region.box.slices
        mask = run.read_map(case.id, "regions") == region.number
        proposed = run.read_map(case.id, "proposed")
        truth, before = self._truth[case.id][where], project.read_label(case, region.box)
        inside = mask[where] & (truth != IGNORE)
        gain = int(((proposed[where] == truth) & inside).sum()) - int(((before == truth) & inside).sum())
        accepts = (gain > 0) != (self._sloppiness > 0 and self._rng.random() < self._sloppiness)
        if accepts:
            project.commit(decisions.accept(project, region, mask, proposed, run.name))
        else:
            project.commit(decisions.keep(project, region, mask, run.name))
        after = project.read_label(case, region.box)
        known = truth != IGNORE
        better = int(((before != truth) & (after == truth) & known).sum())
        worse = int(((before == truth) & (after != truth) & known).sum())
        if better or worse:
            self._measure(case.id)
        return better, worse

    def _measure(self, case_id: int) -> None:
        label, truth = self._project.read_label(self._project.case(case_id)), self._truth[case_id]
        known = truth != IGNORE
        self._wrong[case_id] = int(((label != truth) & known).sum())
        classes = [info.index for info in self._project.classes if info.index]
        self._dice[case_id] = float(np.mean([overlap((label == c) & known, (truth == c) & known) for c in classes]))

    def _progress(self, regions: int, reviewed: int, fixed: int, damaged: int) -> Progress:
        return Progress(
            regions=regions,
            pixels_reviewed=reviewed,
            pixels_fixed=fixed,
            wrong_pixels_left=sum(self._wrong.values()),
            dice=float(np.mean(list(self._dice.values()))),
            good_pixels_damaged=damaged,
        )


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
