"""Network, teacher, memory and centers, and one optimiser step of each method.

Shape suffixes: B batch, C classes, D feature channels, I input channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import copy
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from src_core.data.case import IGNORE, Verified
from src_core.dcd.centers import Centers, pixel_emphasis
from src_core.losses.dice import soft_dice_loss
from src_core.losses.pixel import pixel_cross_entropy, weighted_mean
from src_core.meta.derivative import gradient, label_weights, logits_along, norm
from src_core.meta.memory import EvidenceMemory, common_mode_removed, normalised
from src_core.meta.weights import PixelWeights, pixel_weights, relu_weights, trust
from src_core.networks.registry import build_network
from src_core.train.augment import back_to_case, sample
from src_core.train.views import teacher_prediction

if TYPE_CHECKING:
    from torch import Tensor

    from src_core.config import TrainingSettings
    from src_core.meta.judge import Judge
    from src_core.train.cases import CaseSet
    from src_core.train.sampler import Batch


@dataclass
class Judgement:
    """What the verified crops of a step say.

    Attributes
    ----------
    support : Batch or None
        Verified crops to learn from.
    meta : Batch or None
        Verified crops that judge; the same object as ``support`` when they do both.
    """

    support: Batch | None = None
    meta: Batch | None = None


@dataclass
class StepReport:
    """Figures of one step, for the history."""

    loss: float
    counters: dict[str, float] = field(default_factory=dict)


class Learner:
    """Everything that changes while training.

    Parameters
    ----------
    settings : TrainingSettings
    data : CaseSet
    device : torch.device

    Attributes
    ----------
    evidence_scale : float
        s_A, from the settings until verified pixels tell a better one.
    judge : Judge or None
        Taught on held-out verified images, once it is earned.
    corrected_weight : float
        Weight of a corrected pixel among verified ones; below 1 when there are too few confirmed ones.
    class_weights_C : Tensor
        kappa of each class in the verified loss.
    """

    def __init__(self, settings: TrainingSettings, data: CaseSet, device: torch.device) -> None:
        self.settings = settings
        self.device = device
        self.classes = max(data.classes, 2)
        self.channels = data.channels
        self.spatial_dims = data.spatial_dims
        torch.manual_seed(settings.seed)
        self.network = build_network(data.channels, self.classes, settings, spatial_dims=data.spatial_dims).to(device)
        self.teacher = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.memory = EvidenceMemory([case.shape for case in data.cases], self.classes)
        self.centers = Centers(self.classes, self.network.feature_channels, settings).to(device)
        self.evidence_scale = settings.evidence_scale
        self.judge: Judge | None = None
        self.corrected_weight = 1.0
        self.class_weights_C = torch.ones(self.classes, device=device)
        self.steps = 0
        self.lengths: list[float] = []
        self.frozen_memory = False

    # ---------------------------------------------------------------- verified pixels

    def verified_loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy over the verified pixels of a batch; others have no influence."""
        losses_BX = pixel_cross_entropy(self.network(batch.images_BIX), batch.labels_BX)
        return weighted_mean(losses_BX, self._verified_weights(batch))

    def _verified_weights(self, batch: Batch) -> Tensor:
        weights_BX = batch.verified_BX.float() * (batch.labels_BX != IGNORE)
        weights_BX = torch.where(
            batch.kinds_BX == int(Verified.CORRECTED), weights_BX * self.corrected_weight, weights_BX
        )
        return weights_BX * self.class_weights_C[torch.where(batch.labels_BX == IGNORE, 0, batch.labels_BX)]

    def _clean_gradient(self, judgement: Judgement, *, meta: bool) -> dict[str, Tensor] | None:
        """Add the gradient of the verified term to ``.grad``; return the direction v of the judging crops.

        One pass serves both when the same crops do both.
        """
        direction = None
        if judgement.support is not None:
            support = gradient(self.network, self.verified_loss(judgement.support))
            for name, parameter in self.network.named_parameters():
                parameter.grad = self.settings.clean_weight * support[name]
            if judgement.meta is judgement.support:
                direction = support
        if meta and direction is None and judgement.meta is not None:
            direction = gradient(self.network, self.verified_loss(judgement.meta))
        return direction if meta else None

    # ---------------------------------------------------------------- steps

    def plain_step(
        self, batch: Batch, judgement: Judgement, *, excluded: frozenset[int], given_only: bool
    ) -> StepReport:
        """Cross-entropy and Dice on the labels as they are, plus the verified term.

        Parameters
        ----------
        batch : Batch
        judgement : Judgement
        excluded : set of int
            Cases whose verified pixels must not be learned from.
        given_only : bool
            Learn from the given labels also where a person has corrected them.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self._clean_gradient(judgement, meta=False)
        labels_BX = batch.candidates_BX if given_only else batch.labels_BX
        valid_BX = self._valid(batch, labels_BX, excluded)
        logits_BCX = self.network(batch.images_BIX)
        loss = weighted_mean(pixel_cross_entropy(logits_BCX, labels_BX), valid_BX)
        target_BCX = _one_hot(labels_BX, self.classes)
        dice = soft_dice_loss(logits_BCX.softmax(1), target_BCX, valid_BX)
        return self._finish(loss + self.settings.dice_weight * dice)

    def clean_step(self, judgement: Judgement) -> StepReport:
        """Learn from verified pixels only."""
        self.optimizer.zero_grad(set_to_none=True)
        if judgement.support is None:
            return StepReport(0.0)
        return self._finish(self.verified_loss(judgement.support))

    def weighted_step(
        self,
        batch: Batch,
        judgement: Judgement,
        *,
        excluded: frozenset[int],
        emphasis_floor: float,
        use_meta: bool,
        rate: float,
    ) -> StepReport:
        """One step of the method: weights from prior and evidence, emphasis from DCD, the fused Dice term (eq. 6).

        Parameters
        ----------
        batch, judgement, excluded
            As in :meth:`plain_step`.
        emphasis_floor : float
            kappa of DCD in [0, 1]; 1 switches the emphasis off.
        use_meta : bool
            False leaves the evidence out (teacher prior only).
        rate : float
            rho of the evidence memory.
        """
        self.optimizer.zero_grad(set_to_none=True)
        direction = self._clean_gradient(judgement, meta=use_meta)
        teacher_BCX, features_BDX = teacher_prediction(self.teacher, batch.images_BIX)
        counters: dict[str, float] = {}
        weights = self._weights(batch, teacher_BCX, direction, rate, counters)
        weights = self._pinned(batch, weights)
        emphasis_BX = self._emphasis(batch, teacher_BCX, features_BDX, emphasis_floor)
        loss = self._objective(batch, weights, teacher_BCX, emphasis_BX, excluded)
        report = self._finish(loss)
        report.counters.update(counters)
        return report

    def _objective(
        self,
        batch: Batch,
        weights: PixelWeights,
        teacher_BCX: Tensor,
        emphasis_BX: Tensor,
        excluded: frozenset[int],
    ) -> Tensor:
        alpha, beta, pseudo = weights
        logits_BCX = self.network(batch.images_BIX)
        inside_BX = self._valid(batch, torch.where(batch.labels_BX == IGNORE, pseudo, batch.labels_BX), excluded)
        given = alpha * pixel_cross_entropy(logits_BCX, batch.labels_BX)
        own = beta * pixel_cross_entropy(logits_BCX, pseudo)
        pixel = weighted_mean(emphasis_BX * (given + own), inside_BX)
        if self.settings.method == "l2b":
            return pixel
        one_hot = _one_hot(batch.labels_BX, self.classes)
        total = (alpha + beta).unsqueeze(1)
        fused = (alpha.unsqueeze(1) * one_hot + beta.unsqueeze(1) * teacher_BCX) / (total + 1e-6)
        weight_BX = inside_BX * (alpha + beta).clamp(max=1)
        return pixel + self.settings.dice_weight * soft_dice_loss(logits_BCX.softmax(1), fused, weight_BX)

    def _valid(self, batch: Batch, labels_BX: Tensor, excluded: frozenset[int]) -> Tensor:
        valid_BX = (labels_BX != IGNORE).float()
        for row, case in enumerate(batch.cases):
            if case in excluded:
                valid_BX[row] *= (~batch.verified_BX[row]).float()
        return valid_BX

    def _pinned(self, batch: Batch, weights: PixelWeights) -> PixelWeights:
        """A verified pixel counts in full with its verified label."""
        pinned = batch.verified_BX
        alpha = torch.where(pinned, torch.ones_like(weights.alpha), weights.alpha)
        beta = torch.where(pinned, torch.zeros_like(weights.beta), weights.beta)
        return PixelWeights(alpha, beta, weights.pseudo)

    # ---------------------------------------------------------------- weights and emphasis

    def _weights(
        self,
        batch: Batch,
        teacher_BCX: Tensor,
        direction: dict[str, Tensor] | None,
        rate: float,
        counters: dict[str, float],
    ) -> PixelWeights:
        weights_BCX = None
        pseudo_BX = teacher_BCX.argmax(1)
        if direction is not None:
            self._watch(norm(direction), counters)
            weights_BCX = label_weights(*logits_along(self.network, direction, batch.images_BIX))
            counters["non_finite"] = float((~torch.isfinite(weights_BCX)).any())
        if self.settings.method == "l2b" and weights_BCX is not None:
            weights, zero = relu_weights(weights_BCX.nan_to_num(), batch.candidates_BX, pseudo_BX)
            counters["zero_weight_fraction"] = zero
            if zero < 1:
                return weights
        elif weights_BCX is not None and not self.frozen_memory:
            self._remember(batch, weights_BCX, pseudo_BX, rate)
        evidence_BCX = self._recall(batch)
        scale = 0.0 if direction is None else self.evidence_scale
        return pixel_weights(
            teacher_BCX,
            evidence_BCX,
            batch.labels_BX,
            evidence_scale=scale,
            prior_scale=self.settings.prior_scale,
        )

    def _watch(self, length: float, counters: dict[str, float]) -> None:
        """A direction that all but vanishes says that the verified crops are known by heart."""
        counters["direction"] = length
        if len(self.lengths) < 50:
            self.lengths.append(length)
        self.frozen_memory = length < 1e-3 * statistics.median(self.lengths)

    def _remember(self, batch: Batch, weights_BCX: Tensor, pseudo_BX: Tensor, rate: float) -> None:
        centered = common_mode_removed(weights_BCX, batch.candidates_BX, pseudo_BX)
        scaled_BCX = normalised(centered, batch.candidates_BX, pseudo_BX).cpu()
        for row, crop in enumerate(batch.crops):
            values, covered = back_to_case(scaled_BCX[row], crop.matrix, self.memory.maps[crop.case].shape[1:])
            self.memory.update(crop.case, values, covered, rate)

    def _recall(self, batch: Batch) -> Tensor:
        shape = tuple(batch.labels_BX.shape[1:])
        rows = [
            sample(self.memory.read(crop.case), crop.matrix, shape, nearest=False, border=False) for crop in batch.crops
        ]
        return torch.stack(rows).to(self.device)

    def _emphasis(self, batch: Batch, teacher_BCX: Tensor, features_BDX: Tensor, floor: float) -> Tensor:
        trust_BX = trust(
            teacher_BCX,
            torch.zeros_like(teacher_BCX),
            torch.where(batch.labels_BX == IGNORE, teacher_BCX.argmax(1), batch.labels_BX),
            evidence_scale=0.0,
        )
        self.centers.update(features_BDX, teacher_BCX, torch.where(batch.verified_BX, 1.0, trust_BX))
        if floor >= 1:
            return torch.ones_like(trust_BX)
        return pixel_emphasis(self.centers.uncertainty(features_BDX, teacher_BCX), floor)

    # ---------------------------------------------------------------- the end of a step

    def _finish(self, loss: Tensor) -> StepReport:
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        self.steps += 1
        self._follow()
        return StepReport(float(loss.detach()))

    @torch.no_grad()
    def _follow(self) -> None:
        """The teacher follows the network: an exponential mean, short at first."""
        decay = min(1 - 1 / (self.steps + 1), self.settings.ema_decay)
        for own, source in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            own.lerp_(source, 1 - decay)
        for kept, current in zip(self.teacher.buffers(), self.network.buffers(), strict=True):
            kept.copy_(current)


def _one_hot(labels_BX: Tensor, classes: int) -> Tensor:
    labelled = labels_BX != IGNORE
    hot = torch.nn.functional.one_hot(torch.where(labelled, labels_BX, 0), classes).movedim(-1, 1).float()
    return hot * labelled.unsqueeze(1)
