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
from src_core.train.working import nearest, resize_labels

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
        by, twin = self.network(members)
        if twin is None:
            return by, {}
        case = self._learner.data.cases[members[0]]
        edge = case.info.shape[case.across]
        return by, {HELD_OUT: self.part(twin, members, slice(0, edge), self.known(twin, members))}

    def network(self, members: Sequence[int]) -> tuple[str, Learner | None]:
        """The same, with the network that is to be asked for that map instead of the map; None where there is none."""
        cases = self._learner.data.cases
        verified = [index for index in members if cases[index].verified_pixels]
        for half, twin in zip(self._learner.folds, self._learner.twins, strict=True):
            if verified and half.issuperset(verified):
                return HELD_OUT, twin
        fresh = self._learned is not None and cases[members[0]].info.id not in self._learned and not verified
        return ("proposed" if fresh else ""), None

    def known(self, twin: Learner, members: Sequence[int]) -> NDArray[np.uint8] | None:
        """Labels of a case at working resolution; None where its slices are cases, which are asked one by one."""
        return None if self._learner.data.cases[members[0]].at is not None else self._asked(twin, members[0])

    def part(
        self, twin: Learner, members: Sequence[int], span: slice, known_X: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        """Labels of a case at its own size, some rows or slices of it; ``known_X`` as of :meth:`known`."""
        info = self._learner.data.cases[members[0]].info
        if known_X is not None:
            rows = nearest(len(known_X), info.shape[0])[span]
            return resize_labels(known_X[rows], (len(rows), *info.shape[1:]))
        axis = slice_axis(info)
        sides = tuple(edge for other, edge in enumerate(info.shape) if other != axis)
        return np.stack([resize_labels(self._asked(twin, index), sides) for index in members[span]], axis=axis)

    def _asked(self, twin: Learner, index: int) -> NDArray[np.uint8]:
        image_1IX = self._learner.data.cases[index].image_IX[None].to(self._learner.device)
        teacher_1CX = teacher_probabilities(twin.teacher, image_1IX, self._learner.window)
        labels_X: NDArray[np.uint8] = teacher_1CX[0].argmax(0).cpu().numpy().astype(np.uint8)
        return labels_X


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
