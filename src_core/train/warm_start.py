"""Start from the model of a finished run, with what was verified since.

What is taken over, and why:

* *Network, teacher, optimiser, evidence memory, weight of the given labels*: what was learned. The memory is kept by
  label and pixel, and the question it answers (is the given label right here) does not change when somebody decides.
* *Judge, calibration and scale of the evidence*: hold until the new run settles its own at its end, so that scores
  made on the way are no worse than those before.
* *Helpers*, each with the verified cases that were held out from it. A case counts as held out only if a helper has
  never seen its verified label: so one that is verified since goes to the helper that holds out its nearest neighbour
  (slices of one patient stay together), and one that both helpers have seen already stays with both.
* A run that had too few verified cases for helpers gets them now, as copies of its network, when four or more cases
  were verified since: of these, and only these, the network has never seen the verified label.

The warm-up is over: the network has been through it.
"""

from __future__ import annotations

import copy
from itertools import chain
from typing import TYPE_CHECKING

from src_core.train import checkpoint
from src_core.train.cases import grouped
from src_core.train.crossfit import MIN_CASES
from src_core.train.follow_up import FREE

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.train.learner import Learner

Folds = tuple[frozenset[int], ...]


def start_from(learner: Learner, folder: Path) -> int:
    """Bring a new learner to where a finished run ended, ready to go on with what is verified now.

    Parameters
    ----------
    learner : Learner
        Of settings by :func:`~src_core.train.follow_up.follow_up_settings`.
    folder : Path
        Of the run that ended.

    Returns
    -------
    int
        Epochs that it was trained for.

    Raises
    ------
    CheckpointError
        If it has no checkpoint, or one that does not fit.
    """
    epochs = checkpoint.load(learner, folder, free=FREE)
    seen, cases = learner.learned, learner.data.cases
    verified = [index for index, case in enumerate(cases) if case.verified_pixels > 0]
    fresh = [] if seen is None else [index for index in verified if cases[index].info.id not in seen]
    volumes = grouped(fresh, learner.data.groups)  # the slices of one stay together
    if learner.folds:
        folds = extended(learner.folds, [members[0] for members in volumes], verified)
        learner.folds = tuple(_completed(fold, volumes) for fold in folds)
    elif len(volumes) >= MIN_CASES and learner.settings.method == "metadcseg" and learner.settings.cross_fit:
        middle = len(volumes) // 2
        learner.folds = (frozenset(chain(*volumes[:middle])), frozenset(chain(*volumes[middle:])))
        learner.twins = [_copy(learner, number) for number in (1, 2)]
    learner.warmup_end = 0
    learner.agreement = []
    return epochs


def extended(folds: Folds, fresh: list[int], verified: list[int]) -> Folds:
    """Held-out cases with those that were verified since; what is verified no more is left out.

    Parameters
    ----------
    folds : tuple of set of int
        Positions of what each helper has never seen the verified label of.
    fresh : list of int
        Verified since.
    verified : list of int
        Verified now.

    Returns
    -------
    tuple of set of int
        Every fresh case is with its nearest neighbour, or in the smaller part where two are equally near.
    """
    parts = [set(fold) & set(verified) for fold in folds]
    for index in fresh:
        distances = [min((abs(index - other) for other in fold), default=len(verified) + index) for fold in folds]
        chosen = min(range(len(parts)), key=lambda part: (distances[part], len(parts[part])))
        parts[chosen].add(index)
    return tuple(frozenset(part) for part in parts)


def _completed(fold: frozenset[int], volumes: list[list[int]]) -> frozenset[int]:
    """All slices of the volumes whose first one is in the fold."""
    return fold | frozenset(chain(*(members for members in volumes if members[0] in fold)))


def _copy(learner: Learner, number: int) -> Learner:
    """A helper that knows what the network knows."""
    helper = learner.sibling(number)
    helper.network.load_state_dict(learner.network.state_dict())
    helper.teacher.load_state_dict(learner.teacher.state_dict())
    pairs = zip(learner.network.parameters(), helper.network.parameters(), strict=True)
    helper.optimizer.state.update(
        {
            own: copy.deepcopy(learner.optimizer.state[source])
            for source, own in pairs
            if source in learner.optimizer.state
        }
    )
    helper.steps, helper.given_weight = learner.steps, learner.given_weight
    return helper
