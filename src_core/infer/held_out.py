"""What of a run's scores can be held against verified pixels, and whether they are better than those reviewed so far.

Shape suffixes: X the space axes of one case.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.slices import slice_axis
from src_core.errors import MetaDCSegError
from src_core.review.run_comparison import compare_runs
from src_core.store.run_choice import Comparison, choose, write_comparison
from src_core.store.runs import HELD_OUT
from src_core.train.views import teacher_probabilities
from src_core.train.working import resize_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from src_core.store.project import Project
    from src_core.store.runs import Run
    from src_core.train.learner import Learner

logger = logging.getLogger(__name__)


class HeldOut:
    """Tells for each case which network of a run has not learned from its verified pixels.

    Parameters
    ----------
    learner : Learner
        Restored from the run's checkpoint.
    learned : set of int or None
        Cases, by id, that had verified pixels when it was trained; None in checkpoints of an older version.
    """

    def __init__(self, learner: Learner, learned: frozenset[int] | None) -> None:
        self._learner = learner
        self._learned = learned

    def maps(self, members: Sequence[int]) -> tuple[str, dict[str, NDArray[np.uint8]]]:
        """Which map of a case is by such a network, and that map where it is not among the scores anyway.

        Parameters
        ----------
        members : sequence of int
            Position of the case in the working set, or of the cases that are its slices.

        Returns
        -------
        by : str
            See :meth:`~src_core.store.runs.Run.held_out_by`.
        maps : dict of name to array, uint8, (X)
            At the size of the image.
        """
        cases = self._learner.data.cases
        verified = [index for index in members if cases[index].verified_pixels]
        for half, twin in zip(self._learner.folds, self._learner.twins, strict=True):
            if verified and half.issuperset(verified):
                return HELD_OUT, {HELD_OUT: self._labels(twin, members)}
        fresh = self._learned is not None and cases[members[0]].info.id not in self._learned and not verified
        return ("proposed" if fresh else ""), {}

    def _labels(self, twin: Learner, members: Sequence[int]) -> NDArray[np.uint8]:
        cases = self._learner.data.cases
        info = cases[members[0]].info
        found = np.zeros(info.shape, dtype=np.uint8)
        for index in members:
            case = cases[index]
            image_1IX = case.image_IX[None].to(self._learner.device)
            teacher_1CX = teacher_probabilities(twin.teacher, image_1IX, self._learner.window)
            labels_X = teacher_1CX[0].argmax(0).cpu().numpy().astype(np.uint8)
            place = () if case.at is None else (slice(None),) * slice_axis(info) + (case.at,)
            found[place] = resize_labels(labels_X, found[place].shape)
        return found


def compare_with_reviewed(project: Project, run: Run) -> Comparison | None:
    """Compare new scores with those that were reviewed until now, and keep the finding with the run.

    Returns
    -------
    Comparison or None
        None when there is nothing to compare them with.
    """
    write_comparison(run, None)
    before = choose(project.path, [other for other in project.runs() if other.name != run.name]).run
    try:
        found = None if before is None else compare_runs(project, run, before)
    except MetaDCSegError as error:
        logger.warning("Run %s was not compared: %s", run.name, error)
        return None
    write_comparison(run, found)
    return found
