"""What verified pixels say about the teacher, about the evidence, and about whoever drew the masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from src_core.data.case import IGNORE
from src_core.meta.calibration import Examples
from src_core.meta.judge import Judge, VerifiedImage, earned_judge
from src_core.train.views import teacher_prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.train.cases import WorkCase
    from src_core.train.learner import Learner

MAX_CASES = 32


def look(learner: Learner, cases: list[WorkCase], chosen: tuple[int, ...]) -> tuple[float | None, Examples | None]:
    """Predict verified cases with the teacher.

    Parameters
    ----------
    learner : Learner
    cases : list of WorkCase
    chosen : tuple of int
        Cases to look at, 32 at most are taken, evenly.

    Returns
    -------
    dice : float or None
        Mean Dice of the foreground classes over all verified pixels; None when there is no foreground.
    examples : Examples or None
        Verified pixels with the teacher's and the evidence's opinion of their given label.
    """
    overlap = np.zeros(learner.classes)
    sizes = np.zeros(learner.classes)
    parts = []
    for index in _evenly(chosen):
        case = cases[index]
        teacher_BCX, _ = teacher_prediction(learner.teacher, case.image_IX[None].to(learner.device), mirror=False)
        mask = ((case.verified_X > 0) & (case.label_X != IGNORE)).numpy()
        probabilities = teacher_BCX[0].cpu()
        truth, predicted = case.label_X.numpy()[mask], probabilities.argmax(0).numpy()[mask]
        for label in range(learner.classes):
            overlap[label] += 2 * np.sum((truth == label) & (predicted == label))
            sizes[label] += np.sum(truth == label) + np.sum(predicted == label)
        parts.append(_examples(probabilities, learner.memory.read(index), case, mask, index))
    present = sizes[1:] > 0
    dice = float(np.mean(overlap[1:][present] / sizes[1:][present])) if present.any() else None
    return dice, Examples.joined(parts)


def _examples(
    probabilities_CX: torch.Tensor,
    evidence_CX: torch.Tensor,
    case: WorkCase,
    mask: NDArray[np.bool_],
    index: int,
) -> Examples:
    """Up to 4,000 evenly taken pixels of one case."""
    chosen = np.flatnonzero(mask.ravel() & (case.given_X.numpy().ravel() != IGNORE))
    chosen = chosen[:: max(1, len(chosen) // 4000)]
    given = torch.from_numpy(case.given_X.numpy().ravel()[chosen].astype(np.int64))[None]
    odds = _margin(probabilities_CX.clamp_min(1e-6).log().flatten(1)[:, chosen], given)
    weight = evidence_CX.flatten(1)[:, chosen]
    rival = _rival(probabilities_CX.flatten(1)[:, chosen], given)
    difference = (weight.gather(0, given) - weight.gather(0, rival)).squeeze(0)
    right = given[0].numpy() == case.label_X.numpy().ravel()[chosen]
    return Examples(odds.numpy(), difference.numpy(), right, np.full(len(chosen), index))


def _rival(scores_CN: torch.Tensor, given_1N: torch.Tensor) -> torch.Tensor:
    """Best label other than the given one."""
    return scores_CN.scatter(0, given_1N, -torch.inf).argmax(0, keepdim=True)


def _margin(log_scores_CN: torch.Tensor, given_1N: torch.Tensor) -> torch.Tensor:
    rival_1N = _rival(log_scores_CN, given_1N)
    return (log_scores_CN.gather(0, given_1N) - log_scores_CN.gather(0, rival_1N)).squeeze(0)


def judge_of(learner: Learner, cases: list[WorkCase], verified: tuple[int, ...]) -> Judge | None:
    """Teach the judge on verified cases, 32 at most.

    Parameters
    ----------
    learner : Learner
    cases : list of WorkCase
    verified : tuple of int
    """
    images = [_verified_image(learner, cases[index], index) for index in _evenly(verified)]
    unverified = tuple(index for index, case in enumerate(cases) if case.verified_pixels == 0)
    return earned_judge(images, learner.classes, _disagreement(learner, cases, _evenly(unverified)))


def _evenly(chosen: tuple[int, ...]) -> tuple[int, ...]:
    return chosen[:: max(1, -(-len(chosen) // MAX_CASES))]


def _predict(learner: Learner, case: WorkCase) -> NDArray[np.floating]:
    teacher_BCX, _ = teacher_prediction(learner.teacher, case.image_IX[None].to(learner.device))
    probabilities: NDArray[np.floating] = teacher_BCX[0].cpu().numpy()
    return probabilities


def _verified_image(learner: Learner, case: WorkCase, index: int) -> VerifiedImage:
    return VerifiedImage(
        _predict(learner, case),
        learner.memory.read(index).numpy(),
        case.given_X.numpy(),
        case.label_X.numpy(),
        case.verified_X.numpy() > 0,
    )


def _disagreement(learner: Learner, cases: list[WorkCase], chosen: tuple[int, ...]) -> float:
    """Share of labelled pixels at which the teacher disagrees with the label; 0 when there are none."""
    differing = [
        (_predict(learner, cases[i]).argmax(axis=0) != cases[i].label_X.numpy())[cases[i].label_X.numpy() != IGNORE]
        for i in chosen
    ]
    return float(np.concatenate(differing).mean()) if differing else 0.0
