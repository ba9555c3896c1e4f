"""Two helper networks, each kept from the verified labels of one half of the verified cases.

A network that has learned from a verified case predicts it better than any other case, so nothing can be learned
there about how far to trust the network against a given mask. Hence two more networks are trained beside the main
one, each in every fourth step. Each sees the verified labels of one half; the other half it sees as it sees all
unverified cases, with the given masks. What it says about its held-out half is then just what it says about
unverified cases, and the judge of labels (:mod:`src_core.meta.judge`) can be taught there, when training is done; it
then judges what the main network says. The main network learns from everything meanwhile, just as without them: it is
never worse for it, and where the judge is not earned, nothing has changed. Cross-fitting is ours, not the paper's.

Shape suffixes: C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from src_core.data.case import IGNORE
from src_core.meta.judge import Scale, VerifiedImage, earned_judge
from src_core.train.cases import grouped, groups_of
from src_core.train.dimensions import patch_shape
from src_core.train.held_out import evenly
from src_core.train.sampler import Batch, Roles, Sampler, assign_roles, verified_groups
from src_core.train.views import teacher_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from src_core.meta.judge import Judge
    from src_core.train.cases import CaseSet, WorkCase
    from src_core.train.learner import Learner

MAX_OTHERS = 64
"""So many unverified cases tell how a helper's opinions lie; more would only take time and memory."""

MAX_SLICES = 12
"""So many slices of a verified volume teach the judge."""

MIN_BATCH_PIXELS = 256

MIN_CASES = 4
"""Fewer verified cases than this leave halves too small to teach anything."""


def halves(cases: list[WorkCase]) -> tuple[frozenset[int], frozenset[int]]:
    """Verified cases in two halves; neighbours in name order (slices of one patient) stay together.

    A volume is in one half with all of its slices.
    """
    verified = verified_groups(cases)
    middle = len(verified) // 2
    return frozenset(chain.from_iterable(verified[:middle])), frozenset(chain.from_iterable(verified[middle:]))


def as_unverified(case: WorkCase) -> WorkCase:
    """The case as it was given, as if nobody had looked at it."""
    return replace(case, label_X=case.given_X, verified_X=torch.zeros_like(case.verified_X))


class Side:
    """A learner with the cases it may see.

    Parameters
    ----------
    learner : Learner
    data : CaseSet
        All cases.
    held_out : set of int
        Verified cases that are shown as unverified.
    """

    def __init__(self, learner: Learner, data: CaseSet, held_out: frozenset[int]) -> None:
        self.learner = learner
        self.held_out = held_out
        cases = [as_unverified(case) if index in held_out else case for index, case in enumerate(data.cases)]
        settings = learner.settings
        self.groups = data.groups
        crop = learner.window or patch_shape(settings, [case.shape for case in cases])
        self.sampler = Sampler(cases, crop)  # of volumes what the network was made for, whatever was added since
        self.roles: Roles = assign_roles(cases, split=settings.split_verified and settings.method == "metadcseg")

    def verified(
        self, rng: np.random.Generator, among: tuple[int, ...], count: int, in_batch: frozenset[int]
    ) -> Batch | None:
        """Verified crops of images and volumes that are not in the training batch, unless there are no others.

        A batch with fewer than 256 verified pixels says too little; twice as many crops are taken then.
        """
        seen = {self.groups[index] for index in in_batch}
        others = tuple(index for index in among if self.groups[index] not in seen) or among
        batch = self.sampler.verified(rng, others, count)
        if batch is not None and int(batch.verified_BX.sum()) < MIN_BATCH_PIXELS:
            more = self.sampler.verified(rng, others, count)
            batch = batch if more is None else Batch.of([*batch.crops, *more.crops])
        return None if batch is None else batch.to(self.learner.device)


# ---------------------------------------------------------------- what they say together


def settle(twins: list[Side], cases: list[WorkCase], classes: int) -> tuple[Judge | None, dict[int, Tensor]]:
    """Teach the judge on held-out cases.

    Parameters
    ----------
    twins : list of Side
        The helpers, with what was held out from them.
    cases : list of WorkCase
    classes : int
        Background included.

    Returns
    -------
    judge : Judge or None
        None where it was not earned.
    priors : dict of position to Tensor, float32, (C, X)
        For every case that was held out (of a volume for 12 slices), the judge's opinion of the helper that held it
        out, or without a judge that helper's own.
    """
    others = evenly(tuple(index for index, case in enumerate(cases) if case.verified_pixels == 0), MAX_OTHERS)
    opinions, scales, images, groups = [], [], [], []
    for number, twin in enumerate(twins):
        held_out = _held_out(twin, cases)
        opinion = _predictions(twin.learner, cases, (*chain.from_iterable(held_out), *others))
        scale = Scale.of(list(opinion.values()), [cases[index].given_X.numpy() for index in opinion])
        opinions.append(opinion)
        scales.append(scale)
        for position, members in enumerate(held_out):
            share = 1 / len(members)
            images += [_verified_image(opinion[index], scale, cases[index], share) for index in members]
            groups += [2 * number + (2 * position >= len(held_out))] * len(members)
    judge = earned_judge(images, groups, classes, _disagreement(opinions, cases, others))
    priors = {}
    for twin, opinion, scale in zip(twins, opinions, scales, strict=True):
        for index in chain.from_iterable(_held_out(twin, cases)):
            own = opinion[index]
            given = cases[index].given_X.numpy()
            priors[index] = torch.from_numpy(own if judge is None else judge.posterior(own, given, scale))
    return judge, priors


def _held_out(twin: Side, cases: list[WorkCase]) -> list[list[int]]:
    """What was held out from a helper: of each volume some slices, which say nearly the same."""
    groups = grouped(sorted(twin.held_out), groups_of(cases))
    return [list(evenly(tuple(members), MAX_SLICES)) for members in groups]


def _predictions(learner: Learner, cases: list[WorkCase], chosen: tuple[int, ...]) -> dict[int, NDArray[np.float32]]:
    """The teacher's probabilities of some cases, ``(C, X)`` each, by position."""
    found = {}
    for index in chosen:
        image_1IX = cases[index].image_IX[None].to(learner.device)
        found[index] = teacher_probabilities(learner.teacher, image_1IX, learner.window)[0].cpu().numpy()
    return found


def _verified_image(opinion_CX: NDArray[np.floating], scale: Scale, case: WorkCase, share: float) -> VerifiedImage:
    verified_X = case.verified_X.numpy() > 0
    return VerifiedImage(opinion_CX, scale, case.given_X.numpy(), case.label_X.numpy(), verified_X, share)


def _disagreement(
    opinions: list[dict[int, NDArray[np.float32]]], cases: list[WorkCase], chosen: tuple[int, ...]
) -> float:
    """Share of given pixels at which the helpers disagree with the given label; 0 when there are none."""
    differing = []
    for index in chosen:
        given = cases[index].given_X.numpy()
        mean = np.mean([opinion[index] for opinion in opinions], axis=0)
        differing.append((mean.argmax(axis=0) != given)[given != IGNORE])
    return float(np.concatenate(differing).mean()) if differing else 0.0
