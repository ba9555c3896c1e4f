"""The epochs of a run: what is drawn, which step is taken, what is told, what is kept.

Stages: the *warm-up* learns from given and verified labels as they are; the *meta* stage observes the meta weights of
the labels. With cross-fitting, the default, the network goes on learning as before, two helpers beside it
(:mod:`src_core.train.crossfit`), and when training is done the judge and the evidence are weighed on held-out verified
cases; without it the weights enter the loss. The generator of an epoch is made from the seed and the epoch's number, so
that a run that goes on from a checkpoint draws what it would have drawn anyway.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from src_core.errors import TrainingError
from src_core.meta.calibration import earned_scale
from src_core.networks.statistics import estimate_statistics
from src_core.train.crossfit import MIN_CASES, Side, halves, settle
from src_core.train.evidence import LOW_RATE, Plan, make_plan
from src_core.train.held_out import agreement, evidence_examples, trust_scale, verified_dice
from src_core.train.l2b import l2b_step
from src_core.train.learner import HELPED_EVERY, Learner
from src_core.train.passes import is_out_of_memory
from src_core.train.sampler import verified_groups
from src_core.train.steps import Judgement, StepReport
from src_core.train.warmup import has_flattened

if TYPE_CHECKING:
    from src_core.config import TrainingSettings
    from src_core.train.cases import CaseSet
    from src_core.train.control import Control
    from src_core.train.sampler import Batch

logger = logging.getLogger(__name__)

STATISTICS_BATCHES = 50
"""So many training batches tell the statistics of batch normalisation at the end of the warm-up."""

MIN_WARMUP = 0.1
"""Share of the epochs that the warm-up takes at least when its end is read from the curve."""


class Teller(Protocol):
    """Takes the events of :mod:`src_core.messages` by name."""

    def __call__(self, event: str, /, **data: Any) -> None:
        """Tell one event."""


class Loop:
    """Runs the epochs of a learner.

    Parameters
    ----------
    learner : Learner
    data : CaseSet
    settings : TrainingSettings
    control : Control
    tell : Teller
    """

    def __init__(
        self, learner: Learner, data: CaseSet, settings: TrainingSettings, control: Control, tell: Teller
    ) -> None:
        self.learner = learner
        self.data = data
        self.settings = settings
        self.control = control
        self.tell = tell
        self._main = Side(learner, data, frozenset())
        self._twins: list[Side] = []
        self._plan: Plan | None = None
        self._told: set[str] = set()
        self._ranks = learner.passes.ranks
        self._first_step = learner.steps
        self._busy_seconds = 0.0

    # ---------------------------------------------------------------- one epoch

    def epoch(self, number: int) -> dict[str, Any]:
        """Run one epoch.

        Parameters
        ----------
        number : int
            From 0.

        Returns
        -------
        dict
            Its row of the history. ``complete`` is False if it was cut short.
        """
        self._refresh()
        self._ranks.share_networks((self.learner, *self.learner.twins))
        rng, twins_rng = (np.random.default_rng([self.settings.seed, number, *more]) for more in ((), (1,)))
        torch.manual_seed(int(rng.integers(2**31)))
        losses: list[float] = []
        counters: dict[str, list[float]] = {}
        for step in range(self.settings.steps_per_epoch):
            if not self._may_go_on():
                break
            started = time.perf_counter()
            self._set_rate(number * self.settings.steps_per_epoch + step)
            report = self._step(self._main, rng, number)
            loss = report.loss
            if self._twins and step % HELPED_EVERY == 0:
                self._step(self._twins[step // HELPED_EVERY % 2], twins_rng, number)
            if not np.isfinite(loss):
                raise TrainingError(
                    f"The loss became {loss} in epoch {number + 1}: training diverged. Continue from the last "
                    "checkpoint with a smaller learning rate."
                )
            losses.append(loss)
            for name, value in report.counters.items():
                counters.setdefault(name, []).append(value)
            self._busy_seconds += time.perf_counter() - started
            self._tell_progress(number, step, loss)
        self.control.agree()
        return self._close_epoch(number, losses, counters)

    def _may_go_on(self) -> bool:
        self.control.agree()
        if self.control.paused:
            self.tell("paused")
            self.control.wait_if_paused()
            if not self.control.stopping:
                self.tell("resumed")
        return not (self.control.stopping or self.control.finishing)

    def _refresh(self) -> None:
        """Take up what was verified or added since the last epoch."""
        if self._ranks.refresh(self.data) or self._plan is None:
            for each in (self.learner, *self.learner.twins):
                each.weigher.memory.grow([case.shape for case in self.data.cases])
            self._plan = make_plan(self.data, self.settings)
            plan = self._plan
            told = {"boundary_offset": plan.boundary_offset, "classes": list(plan.class_pixels)}
            self.tell("verified", **self.data.verified_summary(), **told)
            if self._plan.notice and self._uses_verified:
                self._notice(self._plan.notice)
            folds = halves(self.data.cases)
            if self._may_cross_fit(self._plan) and len(verified_groups(self.data.cases)) >= MIN_CASES:
                self.learner.folds = folds
                self.learner.twins = [self.learner.sibling(number) for number in (1, 2)]
            self._make_sides()
        for side in (self._main, *self._twins):
            side.learner.corrected_weight = self._plan.corrected_weight
            side.learner.class_weights_C = self._plan.class_weights.to(self.learner.device)

    def _may_cross_fit(self, plan: Plan) -> bool:
        learner = self.learner
        fresh = learner.steps == 0 and not learner.folds
        return self._cross_fits and fresh and plan.use_meta and not plan.low_evidence

    def _make_sides(self) -> None:
        learner = self.learner
        self._main = Side(learner, self.data, frozenset())
        self._twins = [Side(twin, self.data, half) for twin, half in zip(learner.twins, learner.folds, strict=True)]

    def _notice(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.tell("notice", text=text)

    # ---------------------------------------------------------------- stages and rates

    @property
    def _cross_fits(self) -> bool:
        return self.settings.method == "metadcseg" and self.settings.cross_fit

    @property
    def _uses_verified(self) -> bool:
        return self.settings.method != "noisy"

    def _is_warm_up(self, number: int) -> bool:
        end = self.learner.warmup_end
        return number < (self.settings.warmup_epochs if end is None else end)

    def _set_rate(self, step: int) -> None:
        total = self.settings.epochs * self.settings.steps_per_epoch
        rate = self.settings.learning_rate * max(1 - step / total, 0.0) ** 0.9
        for side in (self._main, *self._twins):
            for group in side.learner.optimizer.param_groups:
                group["lr"] = rate

    def _emphasis_floor(self, number: int) -> float:
        """Kappa falls from 1 to its value over a fifth of the epochs after the warm-up."""
        ramp = max(0.2 * self.settings.epochs, 1.0)
        end = self.settings.warmup_epochs if self.learner.warmup_end is None else self.learner.warmup_end
        share = min((number - end + 1) / ramp, 1.0)
        return 1 - share * (1 - self.settings.dcd_floor)

    # ---------------------------------------------------------------- one step

    def _step(self, side: Side, rng: np.random.Generator, number: int) -> StepReport:
        learner = side.learner
        batch = side.sampler.training(rng, self.settings.batch_size).to(learner.device)
        judgement = self._judgement(side, rng, frozenset(batch.cases))
        while True:
            try:
                return self._step_on(side, batch, judgement, number)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                learner.passes.ranks.ran_out(error)
            learner.optimizer.zero_grad(set_to_none=True)
            self._notice(learner.passes.halve())

    def _step_on(self, side: Side, batch: Batch, judgement: Judgement, number: int) -> StepReport:
        method, learner = self.settings.method, side.learner
        warm = self._is_warm_up(number)
        if method == "clean" or (method == "finetune" and not warm):
            return learner.clean_step(judgement)
        excluded = frozenset(side.roles.meta) if side.roles.split else frozenset()
        assert self._plan is not None
        rate = LOW_RATE if self._plan.low_evidence else self.settings.evidence_rate
        if warm or self._cross_fits or method in ("mixed", "noisy", "finetune"):
            given_only = method in ("noisy", "finetune")
            if given_only:
                judgement = Judgement()
            observes = self._cross_fits and not warm and side is self._main and self._plan.use_meta
            return learner.plain_step(
                batch,
                judgement,
                excluded=excluded,
                given_only=given_only,
                offsets=self._cross_fits and self.settings.mask_offsets,
                guided=self._cross_fits and self.settings.guided,
                observe_at=rate if observes else None,
            )
        if method == "l2b" and self._plan.use_meta and judgement.meta is not None:
            return l2b_step(learner, batch, judgement.meta)
        return learner.weighted_step(
            batch,
            judgement,
            excluded=excluded,
            emphasis_floor=self._emphasis_floor(number) if method == "metadcseg" else 1.0,
            use_meta=self._plan.use_meta and method != "teacher",
            rate=rate,
        )

    def _judgement(self, side: Side, rng: np.random.Generator, in_batch: frozenset[int]) -> Judgement:
        count, roles = self.settings.meta_batch_size, side.roles
        if roles.split:
            half = max(count // 2, 1)
            support = side.verified(rng, roles.support, half, in_batch)
            return Judgement(support, side.verified(rng, roles.meta, half, in_batch))
        both = side.verified(rng, roles.meta, count, in_batch)
        return Judgement(both, both)

    # ---------------------------------------------------------------- what is told and kept

    def _tell_progress(self, number: int, step: int, loss: float) -> None:
        done = number * self.settings.steps_per_epoch + step + 1
        total = self.settings.epochs * self.settings.steps_per_epoch
        each = self._busy_seconds / max(self.learner.steps - self._first_step, 1)
        self.tell(
            "progress",
            step=done,
            steps=total,
            epoch=number + 1,
            loss=loss,
            eta_seconds=each * (total - done),
            stage="warm-up" if self._is_warm_up(number) else "meta",
            seconds_per_step=each,
        )

    def _close_epoch(self, number: int, losses: list[float], counters: dict[str, list[float]]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "epoch": number + 1,
            "stage": "warm-up" if self._is_warm_up(number) else "meta",
            "loss": float(np.mean(losses)) if losses else None,
            "learning_rate": self.learner.optimizer.param_groups[0]["lr"],
            "seconds_per_step": self._busy_seconds / max(self.learner.steps - self._first_step, 1),
            "complete": len(losses) == self.settings.steps_per_epoch,
            **{name: float(np.mean(values)) for name, values in counters.items()},
        }
        row |= self._held_out(number)
        if self.learner.warmup_end is None:
            self._end_warm_up(number)
        if self._twins and (number + 1 == self.settings.epochs or self.control.finishing):
            row["evidence_scale"] = self._settle()
        if row.get("zero_weight_fraction", 0) > 0.1:
            logger.warning(
                "No label had a positive weight at %.0f %% of the pixels.", 100 * row["zero_weight_fraction"]
            )
        if self.learner.weigher.exhausted:
            self._notice(
                "The verified masks are known by heart and judge no more; verify some more images to let the model "
                "learn from them."
            )
        judge = self.learner.judge
        return row | {"judge": None if judge is None else asdict(judge)}

    def tell_epoch(self, row: dict[str, Any]) -> None:
        """Tell of an epoch; call it when its checkpoint is written."""
        names = ("epoch", "loss", "val_dice", "evidence_scale", "learning_rate")
        step = row["epoch"] * self.settings.steps_per_epoch
        self.tell("epoch", step=step, **{name: row[name] for name in names})

    def _end_warm_up(self, number: int) -> None:
        """Close the warm-up when it is due: at its share of the epochs, where the curve flattens, or on 'finish'."""
        done, learner = number + 1, self.learner
        due = done >= self.settings.warmup_epochs or self.control.finishing
        if self.settings.warmup_by_curve and self._is_warm_up(number):
            learner.agreement.append(agreement(learner, self.data.cases))
            early = done >= MIN_WARMUP * self.settings.epochs
            due = due or (early and has_flattened(learner.agreement))
        if due:
            if self.settings.norm_statistics == "frozen":
                self._estimate_statistics(number)
            learner.warmup_end = done
            if self._cross_fits:
                learner.weigher.evidence_scale = 0.0

    def _estimate_statistics(self, number: int) -> None:
        rng = np.random.default_rng([self.settings.seed, number, 2])
        for side in (self._main, *self._twins):
            batches = (side.sampler.training(rng, self.settings.batch_size) for _ in range(STATISTICS_BATCHES))
            estimate_statistics(side.learner.network, (batch.images_BIX.to(self.learner.device) for batch in batches))

    def _settle(self) -> float:
        """Teach the judge, find what the evidence adds to it, and calibrate trust, all on held-out cases.

        Returns
        -------
        float
            The scale of the evidence.
        """
        learner = self.learner
        learner.judge, priors = settle(self._twins, self.data.cases, learner.classes)
        examples = evidence_examples(learner, self.data.cases, tuple(priors), priors)
        earned = None if examples is None else earned_scale(examples)
        learner.weigher.evidence_scale = 0.0 if earned is None else earned
        learner.trust_scale = trust_scale(learner, self.data.cases, priors)
        return learner.weigher.evidence_scale

    def _held_out(self, number: int) -> dict[str, Any]:
        """Dice on verified cases, held out if there are enough for that, and the scale of the evidence."""
        learner, plan = self.learner, self._plan
        scale = learner.weigher.evidence_scale
        if not self._main.roles.meta or not self._uses_verified:
            return {"val_dice": None, "held_out": False, "evidence_scale": scale}
        asked = [(twin.learner, tuple(sorted(twin.held_out))) for twin in self._twins] or [
            (learner, self._main.roles.meta)
        ]
        found = [verified_dice(by, self.data.cases, chosen) for by, chosen in asked]
        dice = [value for value in found if value is not None]
        weighs = self.settings.method == "metadcseg" and not self._cross_fits and not self._is_warm_up(number)
        if weighs and plan is not None and not plan.low_evidence:
            examples = evidence_examples(learner, self.data.cases, self._main.roles.meta)
            earned = None if examples is None else earned_scale(examples)
            learner.weigher.evidence_scale = scale if earned is None else earned
        return {
            "val_dice": float(np.mean(dice)) if dice else None,
            "held_out": bool(self._twins) or self._main.roles.split,
            "evidence_scale": learner.weigher.evidence_scale,
        }
