"""The weights of a batch of pixels: from the direction of the verified crops, or from what is remembered of it.

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from src_core.data.case import IGNORE
from src_core.meta.derivative import Derivative, label_weights, norm
from src_core.meta.memory import EvidenceMemory, common_mode_removed, normalised
from src_core.meta.weights import PixelWeights, direct_weights, filled_from, log_posterior, pixel_weights
from src_core.train.augment import back_to_case, sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from src_core.config import TrainingSettings
    from src_core.train.cases import WorkCase
    from src_core.train.sampler import Batch

EXHAUSTED = 1e-3
"""Share of its usual length below which a direction says nothing any more."""


class Target(NamedTuple):
    """What the network is to learn of a batch.

    Attributes
    ----------
    labels_BCX : Tensor, float, >= 0
        Weight of every label in the pixel-wise loss.
    region_BCX : Tensor, float, in [0, 1]
        Soft target of the Dice term.
    """

    labels_BCX: Tensor
    region_BCX: Tensor

    @property
    def mass_BX(self) -> Tensor:
        """Sum of the weights of a pixel; alpha + beta."""
        return self.labels_BCX.sum(1)

    @classmethod
    def of(cls, weights: PixelWeights, labels_BX: Tensor, teacher_BCX: Tensor) -> Target:
        """From the weights alpha of the labels and beta of the teacher's labels.

        The Dice term takes the teacher's whole opinion in place of its label.
        """
        classes = teacher_BCX.shape[1]
        alpha, beta = (weight.unsqueeze(1) for weight in (weights.alpha, weights.beta))
        given_BCX, own_BCX = one_hot(labels_BX, classes), one_hot(weights.pseudo, classes)
        fused_BCX = (alpha * given_BCX + beta * teacher_BCX) / (alpha + beta + 1e-6)
        return cls(alpha * given_BCX + beta * own_BCX, fused_BCX)


class Weigher:
    """Turns meta weights into the weights of a batch.

    Parameters
    ----------
    network : Module
    cases : list of WorkCase
    classes : int
    settings : TrainingSettings

    Attributes
    ----------
    memory : EvidenceMemory
    evidence_scale : float
        s_A, from the settings until verified pixels tell a better one.
    lengths : list of float
        Lengths of the first 50 directions.
    exhausted : bool
        True while the direction all but vanishes: the verified crops are known by heart, and the memory rests.
    """

    def __init__(self, network: nn.Module, cases: list[WorkCase], classes: int, settings: TrainingSettings) -> None:
        self.derivative = Derivative(network)
        self.memory = EvidenceMemory([case.shape for case in cases], classes)
        self.evidence_scale = settings.evidence_scale
        self.lengths: list[float] = []
        self.exhausted = False
        self._settings = settings
        self._latest_BCX: Tensor | None = None

    def observe(
        self,
        batch: Batch,
        prior_BCX: Tensor,
        direction: Mapping[str, Tensor] | None,
        *,
        rate: float,
        counters: dict[str, float],
    ) -> None:
        """Take the meta weights of a batch along the direction of the verified crops, and remember them.

        Parameters
        ----------
        batch : Batch
        prior_BCX : Tensor, in [0, 1]
            Its likeliest label is the pseudo label.
        direction : mapping or None
            v; None when it is not asked for in this step.
        rate : float
            rho of the memory.
        counters : dict
            Gets figures for the history.
        """
        self._latest_BCX = None
        if direction is None:
            return
        self._watch(norm(direction), counters)
        weights_BCX = label_weights(*self.derivative(direction, batch.images_BIX))
        counters["non_finite"] = float((~torch.isfinite(weights_BCX)).any())
        if self._settings.weighting == "memory":
            if not self.exhausted:
                self._remember(batch, weights_BCX, prior_BCX.argmax(1), rate)
        else:
            self._latest_BCX = weights_BCX.nan_to_num()

    def target(
        self,
        batch: Batch,
        teacher_BCX: Tensor,
        prior_BCX: Tensor,
        *,
        judged: bool,
        use_evidence: bool,
        counters: dict[str, float],
    ) -> Target:
        """What the network is to learn of a batch (eq. 4, or one of the direct forms).

        Parameters
        ----------
        batch : Batch
        teacher_BCX, prior_BCX : Tensor, in [0, 1]
            The teacher's opinion now, and the prior of the labels: the judge's, or the teacher's again.
        judged : bool
            The prior already weighs the given label, so that the posterior of all labels is the target.
        use_evidence : bool
            False leaves the evidence out.
        counters : dict
            Gets figures for the history.
        """
        evidence_BCX = self._recall(batch).to(teacher_BCX.device)
        scales = {
            "evidence_scale": self.evidence_scale if use_evidence else 0.0,
            "prior_scale": self._settings.prior_scale,
        }
        if judged and self._latest_BCX is None:
            posterior_BCX = log_posterior(prior_BCX, evidence_BCX, **scales).softmax(1)
            return Target(posterior_BCX, posterior_BCX)
        weights = pixel_weights(prior_BCX, evidence_BCX, batch.labels_BX, **scales)
        if self._latest_BCX is not None and self._settings.weighting != "memory":
            direct, empty_BX = direct_weights(
                self._latest_BCX, batch.labels_BX, weights.pseudo, norm=self._settings.weighting
            )
            counters["zero_weight_fraction"] = float(empty_BX.sum() / (batch.labels_BX != IGNORE).sum().clamp_min(1))
            weights = filled_from(direct, weights)
        return Target.of(weights, batch.labels_BX, teacher_BCX)

    def _watch(self, length: float, counters: dict[str, float]) -> None:
        counters["direction"] = length
        if len(self.lengths) < 50:
            self.lengths.append(length)
        self.exhausted = length < EXHAUSTED * statistics.median(self.lengths)

    def _remember(self, batch: Batch, weights_BCX: Tensor, pseudo_BX: Tensor, rate: float) -> None:
        centered = common_mode_removed(weights_BCX, batch.candidates_BX, pseudo_BX)
        scaled_BCX = normalised(centered, batch.candidates_BX, pseudo_BX).cpu()
        for row, crop in enumerate(batch.crops):
            values, covered = back_to_case(scaled_BCX[row], crop.matrix, self.memory.maps[crop.case].shape[1:])
            self.memory.update(crop.case, values, covered, rate)

    def _recall(self, batch: Batch) -> Tensor:
        shape = tuple(batch.labels_BX.shape[1:])
        return torch.stack(
            [
                sample(self.memory.read(crop.case), crop.matrix, shape, nearest=False, border=False)
                for crop in batch.crops
            ]
        )


def one_hot(labels_BX: Tensor, classes: int) -> Tensor:
    """Labels as ``(B, C, X)`` of 0 and 1; all 0 where there is no label."""
    labelled = labels_BX != IGNORE
    hot = torch.nn.functional.one_hot(torch.where(labelled, labels_BX, 0), classes).movedim(-1, 1).float()
    return hot * labelled.unsqueeze(1)
