"""What verified pixels say about the teacher, about the evidence, and about whoever drew the masks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from src_core.data.case import IGNORE
from src_core.meta.calibration import Examples, TrustScale, earned_trust_scale
from src_core.meta.weights import log_posterior, probability_of
from src_core.train.cases import groups_of
from src_core.train.views import teacher_probabilities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from src_core.train.cases import WorkCase
    from src_core.train.learner import Learner

MAX_CASES = 32


def verified_dice(learner: Learner, cases: list[WorkCase], chosen: tuple[int, ...]) -> float | None:
    """Mean Dice of the teacher's foreground classes over the verified pixels of some cases, 32 at most.

    Returns
    -------
    float or None
        In [0, 1]; None when there is no foreground.
    """
    overlap, sizes = np.zeros(learner.classes), np.zeros(learner.classes)
    for index in evenly(chosen):
        case = cases[index]
        mask = ((case.verified_X > 0) & (case.label_X != IGNORE)).numpy()
        predicted = _teacher(learner, case).argmax(0).numpy()[mask]
        _count(case.label_X.numpy()[mask], predicted, overlap, sizes)
    return _mean_dice(overlap, sizes)


def agreement(learner: Learner, cases: list[WorkCase]) -> float:
    """Dice of the teacher's labels with those it learns from, over 16 cases at most; 0 without foreground."""
    overlap, sizes = np.zeros(learner.classes), np.zeros(learner.classes)
    for index in evenly(tuple(range(len(cases))), 16):
        label = cases[index].label_X.numpy()
        predicted = _teacher(learner, cases[index]).argmax(0).numpy()
        _count(label[label != IGNORE], predicted[label != IGNORE], overlap, sizes)
    return _mean_dice(overlap, sizes) or 0.0


def _count(
    truth: NDArray[np.generic], predicted: NDArray[np.generic], overlap: NDArray[np.float64], sizes: NDArray[np.float64]
) -> None:
    for label in range(len(overlap)):
        overlap[label] += 2 * np.sum((truth == label) & (predicted == label))
        sizes[label] += np.sum(truth == label) + np.sum(predicted == label)


def _mean_dice(overlap: NDArray[np.float64], sizes: NDArray[np.float64]) -> float | None:
    present = sizes[1:] > 0
    return float(np.mean(overlap[1:][present] / sizes[1:][present])) if present.any() else None


def _teacher(learner: Learner, case: WorkCase) -> torch.Tensor:
    image_1IX = case.image_IX[None].to(learner.device)
    return teacher_probabilities(learner.teacher, image_1IX, learner.window, mirror=False)[0].cpu()


def evidence_examples(
    learner: Learner,
    cases: list[WorkCase],
    chosen: tuple[int, ...],
    priors: Mapping[int, torch.Tensor] = MappingProxyType({}),
) -> Examples | None:
    """Verified pixels with what prior and evidence say of their given label, from 32 cases at most.

    Parameters
    ----------
    learner : Learner
    cases : list of WorkCase
    chosen : tuple of int
        Positions of the cases to take.
    priors : mapping of position to Tensor, (C, X)
        Opinions of networks to which the case was held out; the teacher's stands in where there is none.
    """
    parts, groups = [], groups_of(cases)
    for index in evenly(chosen):
        case = cases[index]
        prior_CX = priors[index] if index in priors else _teacher(learner, case)
        parts.append(_examples(prior_CX, learner.weigher.memory.read(index), case, groups[index]))
    return Examples.joined(parts)


def trust_scale(learner: Learner, cases: list[WorkCase], priors: Mapping[int, torch.Tensor]) -> TrustScale | None:
    """Calibration of the trust in given labels, from the cases that were held out.

    Parameters
    ----------
    learner : Learner
        With the scale of its evidence found.
    cases : list of WorkCase
    priors : mapping of position to Tensor, (C, X)
        Opinions of networks to which the case was held out.
    """
    trust, right, image = [], [], []
    groups = groups_of(cases)
    scales = {"evidence_scale": learner.weigher.evidence_scale, "prior_scale": learner.settings.prior_scale}
    for index, prior_CX in priors.items():
        case = cases[index]
        posterior_1CX = log_posterior(prior_CX[None], learner.weigher.memory.read(index)[None], **scales).softmax(1)
        believed_X = probability_of(posterior_1CX, case.given_X[None].to(torch.int64))[0]
        chosen = _evenly_taken(case)
        trust.append(believed_X.numpy().ravel()[chosen])
        right.append((case.given_X == case.label_X).numpy().ravel()[chosen])
        image.append(np.full(len(chosen), groups[index]))
    if not trust:
        return None
    return earned_trust_scale(*(np.concatenate(values) for values in (trust, right, image)))


def _evenly_taken(case: WorkCase) -> NDArray[np.intp]:
    """Up to 4,000 or so of the verified pixels of a case that have both labels."""
    known_X = (case.verified_X > 0) & (case.label_X != IGNORE) & (case.given_X != IGNORE)
    chosen = np.flatnonzero(known_X.numpy().ravel())
    return chosen[:: max(1, len(chosen) // 4000)]


def _examples(
    probabilities_CX: torch.Tensor,
    evidence_CX: torch.Tensor,
    case: WorkCase,
    group: int,
) -> Examples:
    chosen = _evenly_taken(case)
    given = torch.from_numpy(case.given_X.numpy().ravel()[chosen].astype(np.int64))[None]
    odds = _margin(probabilities_CX.clamp_min(1e-6).log().flatten(1)[:, chosen], given)
    weight = evidence_CX.flatten(1)[:, chosen]
    rival = _rival(probabilities_CX.flatten(1)[:, chosen], given)
    difference = (weight.gather(0, given) - weight.gather(0, rival)).squeeze(0)
    right = given[0].numpy() == case.label_X.numpy().ravel()[chosen]
    return Examples(odds.numpy(), difference.numpy(), right, np.full(len(chosen), group))


def _rival(scores_CN: torch.Tensor, given_1N: torch.Tensor) -> torch.Tensor:
    """Best label other than the given one."""
    return scores_CN.scatter(0, given_1N, -torch.inf).argmax(0, keepdim=True)


def _margin(log_scores_CN: torch.Tensor, given_1N: torch.Tensor) -> torch.Tensor:
    rival_1N = _rival(log_scores_CN, given_1N)
    return (log_scores_CN.gather(0, given_1N) - log_scores_CN.gather(0, rival_1N)).squeeze(0)


def evenly(chosen: tuple[int, ...], most: int = MAX_CASES) -> tuple[int, ...]:
    """At most so many of the chosen, evenly taken."""
    return chosen[:: max(1, -(-len(chosen) // most))]
