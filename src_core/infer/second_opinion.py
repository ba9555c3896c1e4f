"""A second opinion beside trust: cleanlab's score of every label, from what the model behind a run says.

For a run that was trained here the model has seen the images and their masks, so the score is not out of fold, as its
authors would have it; it leans towards the given labels. For an imported run it is the imported probability itself, so
that it says something new only where trust was handed in, too, or was calibrated.

The labels are those that the scores of the run are about: in a region its label then, also if it was decided since;
elsewhere the label of now.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE, is_verified
from src_core.errors import InputError
from src_core.infer.opinions import label_quality, opinions
from src_core.metrics.agreement import TwoByTwo, rank_correlation, shared_at_top
from src_core.review.regions import BELOW
from src_core.store.opinion import OpinionWriter
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.data.scores import Region
    from src_core.infer.opinions import Quality
    from src_core.store.runs import Run

TOP = 50
"""So many regions are a first sitting; of these it is said how many both would show."""


@dataclass(frozen=True)
class _Said:
    """Of one region: mean quality of its label, and the number of pixels that are probably wrong."""

    mean: float
    wrong: float


def second_opinion(
    project_path: str | Path,
    run_name: str | None = None,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Ask cleanlab about the labels of a scored run, and keep what it says beside the scores.

    Parameters
    ----------
    project_path : path
    run_name : str, optional
        The newest run that has scores by default.
    device : str
        For the network of a trained run.
    progress : callable, optional
        Called with images done and images in all.

    Returns
    -------
    dict
        The record, JSON: ``run``, ``generation``, ``source``, ``regions`` (for each ``region``: ``mean`` probability
        that its label is right, ``rank`` by it, ``wrong_pixels`` to expect, ``queue_rank`` by these, as the queue is
        ordered) and ``agreement`` with trust.

    Raises
    ------
    InputError
        If cleanlab is not installed, there is no scored run, its probabilities are not known, or new scores came
        meanwhile.
    """
    quality = label_quality("A second opinion", "go without it")
    with Project.open(project_path) as project:
        survey = _Survey(project, project.run(run_name), quality)
        writer = OpinionWriter(survey.run.path)
        try:
            for done, (case, boxes) in enumerate(opinions(project, survey.run, device=device), start=1):
                array = writer.start(case.id, case.shape)
                for box, opinion_CX in boxes:
                    writer.write(array, box, survey.ask(case, box, opinion_CX))
                survey.sum_up(case)
                if progress is not None:
                    progress(done, len(project.cases))
            record = survey.record()
            writer.finish(record)
        except BaseException:
            writer.abandon()
            raise
        return record


class _Survey:
    """Goes from image to image with the question, and sums up the answers.

    Attributes
    ----------
    run : Run
    """

    def __init__(self, project: Project, run: Run, quality: Quality) -> None:
        self.run = run
        self._project, self._quality = project, quality
        self._generation = run.generation
        self._regions = [region for region in run.regions() if region.labelled]
        self._said: dict[str, _Said] = {}
        self._pixels = TwoByTwo()
        self._by_case: dict[int, list[Region]] = {}
        for region in self._regions:
            self._by_case.setdefault(region.case_id, []).append(region)
        self._sums = np.zeros((2, 1))

    def ask(self, case: CaseInfo, box: Box, opinion_CX: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map of a box of an image: quality of its labels in [0, 1], 1 where a person vouches for them."""
        label, verified = self._project.read_labels(case, box)
        numbers, trust = (self.run.read_map(case.id, name, box) for name in ("regions", "trust"))
        regions = self._by_case.get(case.id, [])
        quality = self._quality(opinion_CX, _labels_then(label, numbers, regions))
        known = label != IGNORE
        unseen = known & (verified == 0)
        self._pixels.add((trust < BELOW)[unseen], (quality < BELOW)[unseen])
        self._add(quality, numbers)
        vouched = known & is_verified(verified) & (numbers == 0)
        return np.where(vouched, 1, quality).astype(np.float32)

    def _add(self, quality: NDArray[np.float32], numbers: NDArray[np.int32]) -> None:
        """Take up quality and pixels of regions, by their number."""
        flat, length = numbers.ravel(), max(self._sums.shape[1], int(numbers.max(initial=0)) + 1)
        found = np.bincount(flat, quality.ravel(), length), np.bincount(flat, minlength=length)
        self._sums = np.pad(self._sums, ((0, 0), (0, length - self._sums.shape[1]))) + found

    def sum_up(self, case: CaseInfo) -> None:
        """Say what was found of the regions of an image, all of whose boxes were asked about."""
        for region in self._by_case.get(case.id, []):
            quality, pixels = self._sums[:, region.number] if region.number < self._sums.shape[1] else (np.nan, 0)
            mean = float(quality / pixels) if pixels else float("nan")
            self._said[region.id] = _Said(mean, (1 - mean) * region.pixels)
        self._sums = np.zeros((2, 1))

    def record(self) -> dict[str, Any]:
        """Everything that was said; InputError if the scores are others by now."""
        if self.run.generation != self._generation:
            raise InputError(f"Run {self.run.name} got new scores meanwhile; ask for the second opinion again.")
        return _record(self.run, self._generation, self._regions, self._said, self._pixels)


def _labels_then(label: NDArray[np.uint8], numbers: NDArray[np.int32], regions: Sequence[Region]) -> NDArray[np.uint8]:
    """The label, and in regions the one that they were found with."""
    highest = max((region.number for region in regions), default=0)
    given = np.zeros(max(int(numbers.max(initial=0)), highest) + 1, dtype=np.uint8)
    asked = np.zeros(len(given), dtype=bool)
    for region in regions:
        given[region.number], asked[region.number] = region.given, True
    return np.where(asked[numbers], given[numbers], label).astype(np.uint8)


def _record(
    run: Run, generation: int, regions: Sequence[Region], said: dict[str, _Said], pixels: TwoByTwo
) -> dict[str, Any]:
    by_mean = _places(sorted(said, key=lambda name: (said[name].mean, name)))
    by_wrong = _places(sorted(said, key=lambda name: (-said[name].wrong, name)))
    return {
        "run": run.name,
        "generation": generation,
        "source": f"cleanlab {version('cleanlab')}, label quality of pixels (softmin)",
        "out_of_fold": None if run.imported else False,
        "doubted_below": BELOW,
        "agreement": _agreement(regions, said, pixels),
        "regions": [
            {
                "region": region.id,
                "mean": round(said[region.id].mean, 5),
                "rank": by_mean[region.id],
                "wrong_pixels": round(said[region.id].wrong, 3),
                "queue_rank": by_wrong[region.id],
            }
            for region in regions
        ],
    }


def _places(ordered: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(ordered, start=1)}


def _agreement(regions: Sequence[Region], said: dict[str, _Said], pixels: TwoByTwo) -> dict[str, Any]:
    """How far the two agree; what cannot be said of so few or so equal things is None."""
    ours = sorted(regions, key=lambda region: (-region.score, region.id))
    theirs = sorted(said, key=lambda name: (-said[name].wrong, name))
    top = min(TOP, len(regions))
    wrong, mean = [said[region.id].wrong for region in regions], [said[region.id].mean for region in regions]
    disputed = sum(said[region.id].mean >= BELOW > region.trust for region in regions)
    return {
        "regions": len(regions),
        "spearman_queue": rank_correlation([region.score for region in regions], wrong),
        "spearman_mean": rank_correlation([region.trust for region in regions], mean),
        "top": top,
        "top_shared": shared_at_top([region.id for region in ours], theirs, top),
        "regions_disputed": disputed / len(regions) if regions else None,
        "pixels": pixels.total,
        "kappa": pixels.kappa,
        "doubted_by_trust": (pixels.both + pixels.first) / pixels.total if pixels.total else None,
        "doubted_by_cleanlab": (pixels.both + pixels.second) / pixels.total if pixels.total else None,
    }
