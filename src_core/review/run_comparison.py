"""Is one run better than another? Told on the same verified pixels, none of which either has learned from.

A network predicts what it has learned from better than anything else, so a run's own images say nothing. What may count
of a case is the opinion of a helper that held it out (:mod:`src_core.train.crossfit`), or the proposal that was made
before anything of it was verified. Helpers take fewer steps than the network beside them, so a case counts only where
both runs were asked in the same way: helper against helper, proposal against proposal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE, is_verified
from src_core.errors import ProjectDamagedError
from src_core.store.chunks import band_boxes
from src_core.store.run_choice import Comparison

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.store.project import Project
    from src_core.store.runs import Run

LEAST_IMAGES = 2
LEAST_PIXELS = 500

MARGIN = 0.005
"""A smaller loss of Dice than this is none: rounded to two digits, both may read the same."""


class _Overlap:
    """Sums of one run over cases, one entry a class."""

    def __init__(self, classes: int) -> None:
        self.common = np.zeros(classes)
        self.sizes = np.zeros(classes)

    def add(self, truth: NDArray[np.uint8], told: NDArray[np.uint8]) -> None:
        for label in range(len(self.common)):
            self.common[label] += 2 * np.sum((truth == label) & (told == label))
            self.sizes[label] += np.sum(truth == label) + np.sum(told == label)

    def take(self, other: _Overlap) -> None:
        self.common += other.common
        self.sizes += other.sizes


def compare_runs(project: Project, run: Run, than: Run) -> Comparison | None:
    """How a run does against another one.

    Parameters
    ----------
    project : Project
    run, than : Run
        Both with scores.

    Returns
    -------
    Comparison or None
        None when fewer than 2 images, 500 verified pixels or no foreground can be compared.
    """
    sums = {each.name: _Overlap(len(project.classes)) for each in (run, than)}
    images = pixels = 0
    for case in project.cases:
        by = run.held_out_by(case.id)
        if not by or by != than.held_out_by(case.id):
            continue
        found = _compared(project, case, run, than)
        if found is None:
            continue
        for each, overlap in zip((run, than), found[1], strict=True):
            sums[each.name].take(overlap)
        images, pixels = images + 1, pixels + found[0]
    dice, than_dice = _mean_dice(sums[run.name], sums[than.name])
    if images < LEAST_IMAGES or pixels < LEAST_PIXELS or dice is None or than_dice is None:
        return None
    return Comparison(
        run=run.name,
        than=than.name,
        generation=run.generation,
        than_generation=than.generation,
        dice=dice,
        than_dice=than_dice,
        images=images,
        pixels=pixels,
        worse=dice < than_dice - MARGIN,
    )


def _compared(project: Project, case: CaseInfo, *runs: Run) -> tuple[int, list[_Overlap]] | None:
    """Verified pixels of a case, and what each run says of them; band by band. None where there is nothing of it."""
    sums, pixels = [_Overlap(len(project.classes)) for _ in runs], 0
    for box in band_boxes(case.shape):
        label, verified = project.read_labels(case, box)
        mask = is_verified(verified) & (label != IGNORE)
        for each, overlap in zip(runs, sums, strict=True) if mask.any() else ():
            told = _told(each, case, box, mask)
            if told is None:
                return None
            overlap.add(label[mask], told)
        pixels += int(mask.sum())
    return (pixels, sums) if pixels else None


def _told(run: Run, case: CaseInfo, box: Box, mask: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """What a run says of the verified pixels of a box; None where its map is damaged or of another size."""
    try:
        labels = run.read_held_out(case.id, None if box.shape == case.shape else box)
    except ProjectDamagedError:
        return None
    return labels[mask] if labels.shape == mask.shape else None


def _mean_dice(first: _Overlap, second: _Overlap) -> tuple[float, float] | tuple[None, None]:
    """Mean over the foreground classes that either of them, or the truth, has."""
    present = (first.sizes[1:] > 0) | (second.sizes[1:] > 0)
    if not present.any():
        return None, None
    found = [np.divide(sums.common[1:][present], np.maximum(sums.sizes[1:][present], 1)) for sums in (first, second)]
    return float(found[0].mean()), float(found[1].mean())
