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
from scipy import ndimage

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

    from src_core.data.case import CaseInfo
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
            for done, (case, opinion_CX) in enumerate(opinions(project, survey.run, device=device), start=1):
                writer.write(case.id, survey.ask(case, opinion_CX))
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

    def ask(self, case: CaseInfo, opinion_CX: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map of an image: quality of its labels in [0, 1], 1 where a person vouches for them."""
        label, verified = self._project.read_labels(case)
        numbers, trust = self.run.read_map(case.id, "regions"), self.run.read_map(case.id, "trust")
        regions = [region for region in self._regions if region.case_id == case.id]
        quality = self._quality(opinion_CX, _labels_then(label, numbers, regions))
        known = label != IGNORE
        unseen = known & (verified == 0)
        self._pixels.add((trust < BELOW)[unseen], (quality < BELOW)[unseen])
        self._sum_up(regions, quality, numbers)
        vouched = known & is_verified(verified) & (numbers == 0)
        return np.where(vouched, 1, quality).astype(np.float32)

    def _sum_up(self, regions: list[Region], quality: NDArray[np.float32], numbers: NDArray[np.int32]) -> None:
        if not regions:
            return
        means = ndimage.mean(quality.astype(np.float64), numbers, [region.number for region in regions])
        for region, mean in zip(regions, means, strict=True):
            self._said[region.id] = _Said(float(mean), float((1 - mean) * region.pixels))

    def record(self) -> dict[str, Any]:
        """Everything that was said; InputError if the scores are others by now."""
        if self.run.generation != self._generation:
            raise InputError(f"Run {self.run.name} got new scores meanwhile; ask for the second opinion again.")
        return _record(self.run, self._generation, self._regions, self._said, self._pixels)


def _labels_then(label: NDArray[np.uint8], numbers: NDArray[np.int32], regions: Sequence[Region]) -> NDArray[np.uint8]:
    """The label, and in regions the one that they were found with."""
    given = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.uint8)
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
