"""What of a run's scores can be held against verified pixels, and whether they are better than those reviewed so far.

Shape suffixes: X the space axes of one case.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import numpy as np

from src_core.errors import MetaDCSegError
from src_core.review.run_comparison import compare_runs
from src_core.store.run_choice import Comparison, choose, write_comparison
from src_core.store.runs import HELD_OUT
from src_core.train.cases import resize_labels
from src_core.train.views import teacher_prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.store.project import Project
    from src_core.store.runs import Run
    from src_core.train.cases import WorkCase
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

    def maps(self, index: int, case: WorkCase) -> tuple[str, dict[str, NDArray[np.uint8]]]:
        """Which map of a case is by such a network, and that map where it is not among the scores anyway.

        Parameters
        ----------
        index : int
            Position in the working set.
        case : WorkCase

        Returns
        -------
        by : str
            See :meth:`~src_core.store.runs.Run.held_out_by`.
        maps : dict of name to array, uint8, (X)
            At the size of the image.
        """
        for half, twin in zip(self._learner.folds, self._learner.twins, strict=True):
            if index in half:
                teacher_1CX, _ = teacher_prediction(twin.teacher, case.image_IX[None].to(self._learner.device))
                labels_X = teacher_1CX[0].argmax(0).cpu().numpy().astype(np.uint8)
                return HELD_OUT, {HELD_OUT: resize_labels(labels_X, cast("tuple[int, int]", case.info.shape))}
        fresh = self._learned is not None and case.info.id not in self._learned and not case.verified_pixels
        return ("proposed" if fresh else ""), {}


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
