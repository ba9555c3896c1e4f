"""The weights of a batch of pixels: from the direction of the verified crops, or from what is remembered of it.

Shape suffixes: B batch, C classes, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from src_core.data.case import IGNORE
from src_core.losses.pixel import one_hot
from src_core.meta.derivative import Derivative, label_weights, norm
from src_core.meta.memory import EvidenceMemory, common_mode_removed, normalised
from src_core.meta.weights import PixelWeights, direct_weights, filled_from, pixel_weights
from src_core.train.augment import back_to_case, sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from src_core.config import TrainingSettings
    from src_core.meta.weights import DirectNorm
    from src_core.train.cases import WorkCase
    from src_core.train.passes import Passes
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
    passes : Passes
        In how many parts a batch is taken.

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

    def __init__(
        self,
        network: nn.Module,
        cases: list[WorkCase],
        classes: int,
        settings: TrainingSettings,
        passes: Passes,
    ) -> None:
        self.derivative = Derivative(network)
        self.passes = passes
        self.memory = EvidenceMemory([case.shape for case in cases], classes)
        self.evidence_scale = settings.evidence_scale
        self.lengths: list[float] = []
        self.exhausted = False
        self._settings = settings
        self._observed: Batch | None = None

    def observe(
        self,
        batch: Batch,
        pseudo_BX: Tensor | None,
        direction: Mapping[str, Tensor],
        *,
        rate: float,
        counters: dict[str, float],
    ) -> Tensor | None:
        """Take the meta weights of a batch along the direction of the verified crops.

        The same batch again, as when memory ran out later in its step, is not remembered twice.

        Parameters
        ----------
        batch : Batch
        pseudo_BX : Tensor, int64, or None
            The likeliest labels before the evidence; None takes the network's own.
        direction : mapping
            v.
        rate : float
            rho of the memory.
        counters : dict
            Gets figures for the history.

        Returns
        -------
        Tensor, (B, C, X), or None
            The meta weights, where they are used directly; None where the memory has taken them.
        """
        again = batch is self._observed
        logits_BCX, derivative_BCX = self.derivative_of(batch.images_BIX, direction)
        weights_BCX = label_weights(logits_BCX, derivative_BCX)
        if not again:
            self._watch(norm(direction), counters)
        counters["non_finite"] = float((~torch.isfinite(weights_BCX)).any())
        if self._settings.weighting != "memory":
            return weights_BCX
        if not self.exhausted and not again:
            self._remember(batch, weights_BCX, logits_BCX.argmax(1) if pseudo_BX is None else pseudo_BX, rate)
        self._observed = batch
        return None

    def derivative_of(self, images_BIX: Tensor, direction: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and their derivative along a direction, part by part; always in single precision."""

        def own(own_BIX: Tensor) -> tuple[Tensor, ...]:
            found = [self.derivative(direction, part_BIX) for part_BIX in own_BIX.chunk(self.passes.parts)]
            return tuple(torch.cat(pieces) for pieces in zip(*found, strict=True))

        logits_BCX, slopes_BCX = self.passes.ranks.apart(own, images_BIX)
        return logits_BCX, slopes_BCX

    def target(
        self,
        batch: Batch,
        teacher_BCX: Tensor,
        weights_BCX: Tensor | None,
        *,
        use_evidence: bool,
        counters: dict[str, float],
    ) -> Target:
        """What the network is to learn of a batch (eq. 4, or one of the direct forms).

        Parameters
        ----------
        batch : Batch
        teacher_BCX : Tensor, in [0, 1]
            The teacher's opinion now: the prior.
        weights_BCX : Tensor or None
            What :meth:`observe` returned.
        use_evidence : bool
            False leaves the evidence out.
        counters : dict
            Gets figures for the history.
        """
        evidence_BCX = crops_of(self.memory.maps, batch)
        scales = {
            "evidence_scale": self.evidence_scale if use_evidence else 0.0,
            "prior_scale": self._settings.prior_scale,
        }
        weights = pixel_weights(teacher_BCX, evidence_BCX, batch.labels_BX, **scales)
        if weights_BCX is not None and self._settings.weighting != "memory":
            weights = weighed_directly(batch, weights_BCX, weights, norm=self._settings.weighting, counters=counters)
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
            shape = tuple(self.memory.maps[crop.case].shape[1:])
            values, covered, window = back_to_case(scaled_BCX[row], crop.matrix, shape)
            self.memory.update(crop.case, values, covered, rate, window)


def weighed_directly(
    batch: Batch, weights_BCX: Tensor, prior: PixelWeights, *, norm: DirectNorm, counters: dict[str, float]
) -> PixelWeights:
    """Weights from the meta weights of this step; those of the prior in images where no label has a positive one."""
    weights, empty_BX = direct_weights(weights_BCX.nan_to_num(), batch.labels_BX, prior.pseudo, norm=norm)
    counters["zero_weight_fraction"] = float(empty_BX.sum() / (batch.labels_BX != IGNORE).sum().clamp_min(1))
    return filled_from(weights, prior)


def crops_of(maps: list[Tensor], batch: Batch) -> Tensor:
    """Maps of the cases, ``(C, X)`` each, cut as the crops of a batch were; float32, ``(B, C, X)``, 0 outside."""
    shape = tuple(batch.labels_BX.shape[1:])
    rows = [sample(maps[crop.case].float(), crop.matrix, shape, nearest=False, border=False) for crop in batch.crops]
    return torch.stack(rows).to(batch.labels_BX.device)
