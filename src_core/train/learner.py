"""Network, teacher, memory and centers, and one optimiser step of each method.

Shape suffixes: B batch, C classes, D feature channels, I input channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from src_core.data.case import IGNORE, Verified
from src_core.dcd.centers import Centers, pixel_emphasis
from src_core.losses.dice import soft_dice_loss
from src_core.losses.offset import fitted_offsets, with_offsets
from src_core.losses.pixel import one_hot, pixel_cross_entropy, weighted_mean
from src_core.losses.verified import verified_loss
from src_core.meta import guide
from src_core.meta.derivative import gradient
from src_core.meta.weights import trust
from src_core.networks.registry import build_network
from src_core.networks.stateless import call_with, copied_buffers
from src_core.networks.statistics import frozen_statistics
from src_core.train.dimensions import patch_shape
from src_core.train.optimizer import build_optimizer
from src_core.train.passes import Passes
from src_core.train.ranks import ALONE, Ranks
from src_core.train.steps import Judgement, StepReport
from src_core.train.views import teacher_prediction
from src_core.train.weighting import Target, Weigher

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from torch import Tensor

    from src_core.config import TrainingSettings
    from src_core.meta.calibration import TrustScale
    from src_core.meta.judge import Judge
    from src_core.train.cases import CaseSet
    from src_core.train.sampler import Batch


CONSISTENCY_NOISE = 0.02
"""Standard deviation of the noise on the network's image in the consistency term, in standard deviations."""

HELPED_EVERY = 2
"""One of the two helpers takes a step every so many steps. On heart slices for development, a quarter of the steps for
each taught the judge as much as a half, at half of the cost."""


class Learner:
    """Everything that changes while training.

    Parameters
    ----------
    settings : TrainingSettings
    data : CaseSet
    device : torch.device
    ranks : Ranks
        The processes that train this run.

    Attributes
    ----------
    weigher : Weigher
        The evidence memory and what is made of it.
    judge : Judge or None
        Taught on held-out verified images, once it is earned.
    trust_scale : TrustScale or None
        Calibration of trust on held-out verified pixels, once it is earned.
    twins : list of Learner
        The helpers, with the verified cases that each holds out in ``folds``.
    warmup_end : int or None
        Epochs that the warm-up took, once it has ended.
    agreement : list of float
        Agreement with the given labels after each epoch of the warm-up, where its end is read from that.
    corrected_weight : float
        Weight of a corrected pixel among verified ones; below 1 when there are too few confirmed ones.
    class_weights_C : Tensor
        kappa of each class in the verified loss.
    data : CaseSet
        That it learns from.
    learned : set of int or None
        Cases, by id, whose verified pixels it learned from before this session; None if that is not known.
    given_weight : float
        Weight of the given labels as a whole, in [0.1, 1] (:mod:`src_core.meta.guide`).
    planned_steps : int
        So many it will take in the run.
    passes : Passes
        How batches go through the network; shared with the helpers.
    window : tuple of int or None
        What the networks look at at once, px: of a volume no more than a crop, of an image all.
    """

    def __init__(self, settings: TrainingSettings, data: CaseSet, device: torch.device, ranks: Ranks = ALONE) -> None:
        self.settings = settings
        self.device = device
        self.classes = max(data.classes, 2)
        self.channels = data.channels
        self.spatial_dims = data.spatial_dims
        self.dimensions, self.working_spacing = data.dimensions, data.spacing
        self.window = patch_shape(settings, [case.shape for case in data.cases]) if data.spatial_dims == 3 else None
        self.data = data
        torch.manual_seed(settings.seed)
        self.network = build_network(data.channels, self.classes, settings, spatial_dims=data.spatial_dims).to(device)
        self.teacher = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.optimizer = build_optimizer(self.network, settings)
        self.passes = Passes(settings, device, ranks, self.network.laid_out)
        self.weigher = Weigher(self.network, data.cases, self.classes, settings, self.passes)
        self.centers = Centers(self.classes, self.network.feature_channels, settings).to(device)
        self._centered: Batch | None = None
        self.judge: Judge | None = None
        self.trust_scale: TrustScale | None = None
        self.twins: list[Learner] = []
        self.folds: tuple[frozenset[int], ...] = ()
        self.learned: frozenset[int] | None = frozenset()
        self.warmup_end: int | None = None
        self.agreement: list[float] = []
        self.corrected_weight = 1.0
        self.class_weights_C = torch.ones(self.classes, device=device)
        self.given_weight = 1.0
        self.planned_steps = settings.epochs * settings.steps_per_epoch
        self.steps = 0

    def sibling(self, number: int) -> Learner:
        """A helper of the same settings and data with another start."""
        settings = replace(self.settings, seed=(self.settings.seed + number) % 2**31)
        helper = Learner(settings, self.data, self.device)
        helper.passes = helper.weigher.passes = self.passes
        helper.planned_steps = max(self.planned_steps // (2 * HELPED_EVERY), 1)
        return helper

    # ---------------------------------------------------------------- verified pixels

    def verified_loss(self, batch: Batch, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Loss over the verified pixels of a batch (:mod:`src_core.losses.verified`); others have no influence.

        Parameters
        ----------
        batch : Batch
        parameters : mapping of name to Tensor, optional
            Take the place of the network's own.
        """
        logits_BCX = self._aside(batch.images_BIX, parameters or {})
        weights_BX = self._verified_weights(batch)
        return verified_loss(logits_BCX, batch.labels_BX, weights_BX, dice_weight=self.settings.verified_dice_weight)

    def _aside(self, images_BIX: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Logits by a pass that leaves normalisation statistics as they are: only training batches move them."""
        with self.statistics():
            tensors = {**copied_buffers(self.network), **parameters}
            return self.passes(lambda part_BIX: call_with(self.network, tensors, part_BIX), images_BIX)

    def statistics(self) -> AbstractContextManager[None]:
        """What passes aside are normalised by: their own batch, or with frozen statistics those of the warm-up."""
        frozen = self.settings.norm_statistics == "frozen" and self.warmup_end is not None
        return frozen_statistics(self.network) if frozen else nullcontext()

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
            support = self._gradient(self.verified_loss(judgement.support))
            for name, parameter in self.network.named_parameters():
                parameter.grad = (self.settings.clean_weight * support[name]).contiguous()
            if judgement.meta is judgement.support:
                direction = support
        if meta and direction is None and judgement.meta is not None:
            direction = self._gradient(self.verified_loss(judgement.meta))
        return direction if meta else None

    def _gradient(self, loss: Tensor) -> dict[str, Tensor]:
        return self.passes.ranks.summed(gradient(self.network, loss))

    # ---------------------------------------------------------------- steps

    def plain_step(
        self,
        batch: Batch,
        judgement: Judgement,
        *,
        excluded: frozenset[int],
        given_only: bool,
        offsets: bool = False,
        guided: bool = False,
        observe_at: float | None = None,
    ) -> StepReport:
        """Cross-entropy and Dice on the labels as they are, plus the verified term.

        The meta weights can be observed on the way; they are remembered and change nothing in the step.

        Parameters
        ----------
        batch : Batch
        judgement : Judgement
        excluded : set of int
            Cases whose verified pixels must not be learned from.
        given_only : bool
            Learn from the given labels also where a person has corrected them.
        offsets : bool
            Ask for place and shape of the unverified masks, not for their size (:mod:`src_core.losses.offset`).
        guided : bool
            Let the verified gradient guide that of the given labels (:mod:`src_core.meta.guide`).
        observe_at : float, optional
            rho of the evidence memory; None observes nothing.
        """
        self.optimizer.zero_grad(set_to_none=True)
        guided = guided and judgement.support is not None
        due = observe_at is not None and self.steps % self._refresh_every == 0
        direction = self._clean_gradient(judgement, meta=due)
        counters: dict[str, float] = {}
        if direction is not None and observe_at is not None:
            with self.statistics():
                self.weigher.observe(batch, None, direction, rate=observe_at, counters=counters)
        labels_BX = batch.candidates_BX if given_only else batch.labels_BX
        valid_BX = self._valid(batch, labels_BX, excluded)
        logits_BCX = self.passes(self.network, batch.images_BIX)
        if offsets:
            logits_BCX = self._offset(logits_BCX, labels_BX, valid_BX, ~batch.verified_BX)
        loss = weighted_mean(pixel_cross_entropy(logits_BCX, labels_BX), valid_BX)
        target_BCX = one_hot(labels_BX, self.classes)
        dice = soft_dice_loss(logits_BCX.softmax(1), target_BCX, valid_BX)
        loss = loss + self.settings.dice_weight * dice
        report = self._finish_guided(loss) if guided else self.finish(loss)
        report.counters.update(counters)
        return report

    def _finish_guided(self, loss: Tensor) -> StepReport:
        """Take the step for the loss on given labels, guided by the verified gradient that stands in ``.grad``."""
        parameters = dict(self.network.named_parameters())
        verified = {name: value.grad for name, value in parameters.items() if value.grad is not None}
        found = guide.guided(self._gradient(loss), verified, weight=self.given_weight, verified_weight=1.0)
        for name, value in parameters.items():
            value.grad = found.gradient[name]
        report = self._step(loss)
        self.given_weight = guide.moved(self.given_weight, found.cosine, self.planned_steps)
        report.counters.update(given_weight=self.given_weight, cosine=found.cosine)
        return report

    def _offset(self, logits_BCX: Tensor, labels_BX: Tensor, valid_BX: Tensor, unverified_BX: Tensor) -> Tensor:
        """Logits moved, where nobody has verified the label, by what fits the mask of each image best."""
        ridge, weights_BX = self.settings.offset_ridge, valid_BX * unverified_BX
        return with_offsets(logits_BCX, fitted_offsets(logits_BCX, labels_BX, weights_BX, ridge=ridge), unverified_BX)

    def clean_step(self, judgement: Judgement) -> StepReport:
        """Learn from verified pixels only."""
        self.optimizer.zero_grad(set_to_none=True)
        if judgement.support is None:
            return StepReport(0.0)
        return self.finish(self.verified_loss(judgement.support))

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
        due = use_meta and self.steps % self._refresh_every == 0
        direction = self._clean_gradient(judgement, meta=due)
        teacher_BCX, features_BDX = self.teacher_says(batch.images_BIX)
        counters: dict[str, float] = {}
        raw_BCX = None
        if direction is not None:
            with self.statistics():
                raw_BCX = self.weigher.observe(batch, teacher_BCX.argmax(1), direction, rate=rate, counters=counters)
        target = self.weigher.target(batch, teacher_BCX, raw_BCX, use_evidence=use_meta, counters=counters)
        emphasis_BX = self._emphasis(batch, teacher_BCX, features_BDX, emphasis_floor)
        report = self.finish(self._objective(batch, self._pinned(batch, target), emphasis_BX, excluded))
        report.counters.update(counters)
        return report

    def teacher_says(self, images_BIX: Tensor, *, mirror: bool = True) -> tuple[Tensor, Tensor]:
        """The teacher's probabilities and features of training crops."""
        teacher_BCX, features_BDX = self.passes.ranks.apart(
            lambda part_BIX: teacher_prediction(self.teacher, part_BIX, mirror=mirror), images_BIX
        )
        return teacher_BCX, features_BDX

    @property
    def _refresh_every(self) -> int:
        """k_w: what the settings say, or with a memory every other step in 2-D and every fourth in 3-D."""
        remembers = self.settings.weighting == "memory"
        return self.settings.refresh_every or (2 * (self.spatial_dims - 1) if remembers else 1)

    def _objective(self, batch: Batch, target: Target, emphasis_BX: Tensor, excluded: frozenset[int]) -> Tensor:
        """Eq. 6: weighted cross-entropy and Dice; nothing flows back through weights, emphasis or teacher."""
        logits_BCX = self.passes(self.network, batch.images_BIX)
        inside_BX = self._valid(batch, torch.where(target.mass_BX > 0, 0, batch.labels_BX), excluded)
        losses_BX = -(target.labels_BCX * logits_BCX.log_softmax(1)).sum(1)
        loss = weighted_mean(emphasis_BX * losses_BX, inside_BX)
        if self.settings.dice_weight:
            weights_BX = inside_BX * target.mass_BX.clamp(max=1)
            dice = soft_dice_loss(logits_BCX.softmax(1), target.region_BCX, weights_BX)
            loss = loss + self.settings.dice_weight * dice
        if self.settings.consistency_weight:
            noisy_BIX = batch.images_BIX + CONSISTENCY_NOISE * torch.randn_like(batch.images_BIX)
            teacher_BCX, _ = self.teacher_says(batch.images_BIX, mirror=False)
            difference = self._aside(noisy_BIX, {}).softmax(1) - teacher_BCX
            loss = loss + self.settings.consistency_weight * difference.square().mean()
        return loss

    def _valid(self, batch: Batch, labels_BX: Tensor, excluded: frozenset[int]) -> Tensor:
        valid_BX = (labels_BX != IGNORE).float()
        for row, case in enumerate(batch.cases):
            if case in excluded:
                valid_BX[row] *= (~batch.verified_BX[row]).float()
        return valid_BX

    def _pinned(self, batch: Batch, target: Target) -> Target:
        """A verified pixel counts in full with its verified label."""
        verified_B1X = batch.verified_BX.unsqueeze(1)
        one_hot_BCX = one_hot(batch.labels_BX, self.classes)
        return Target(
            torch.where(verified_B1X, one_hot_BCX, target.labels_BCX),
            torch.where(verified_B1X, one_hot_BCX, target.region_BCX),
        )

    def _emphasis(self, batch: Batch, teacher_BCX: Tensor, features_BDX: Tensor, floor: float) -> Tensor:
        trust_BX = trust(
            teacher_BCX,
            torch.zeros_like(teacher_BCX),
            torch.where(batch.labels_BX == IGNORE, teacher_BCX.argmax(1), batch.labels_BX),
            evidence_scale=0.0,
        )
        if batch is not self._centered:  # the same one again, as when memory ran out later in its step, moves nothing
            self.centers.update(features_BDX, teacher_BCX, torch.where(batch.verified_BX, 1.0, trust_BX))
            self._centered = batch
        if floor >= 1:
            return torch.ones_like(trust_BX)
        return pixel_emphasis(self.centers.uncertainty(features_BDX, teacher_BCX), floor)

    # ---------------------------------------------------------------- the end of a step

    def finish(self, loss: Tensor, *, counts: bool = True) -> StepReport:
        """Take the optimiser's step for a loss.

        Parameters
        ----------
        loss : Tensor, scalar
        counts : bool
            The step is counted and the teacher follows; False for the first half of a double step.
        """
        if self.passes.ranks.alone:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            found = self._gradient(loss)
            for name, value in self.network.named_parameters():
                value.grad = found[name] if value.grad is None else value.grad + found[name]
        return self._step(loss, counts=counts)

    def _step(self, loss: Tensor, *, counts: bool = True) -> StepReport:
        with self.passes.final():
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.grad_clip)
            self.optimizer.step()
        if counts:
            self.steps += 1
            self._follow()
        return StepReport(float(loss.detach()))

    @torch.no_grad()
    def _follow(self) -> None:
        """The teacher follows the network: an exponential mean, short at first."""
        decay = min(1 - 1 / (self.steps + 1), self.settings.teacher_decay)
        for own, source in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            own.lerp_(source, 1 - decay)
        for kept, current in zip(self.teacher.buffers(), self.network.buffers(), strict=True):
            kept.copy_(current)
