"""The epochs of a run: what is drawn, which step is taken, what is told, what is kept.

The generator of an epoch is made from the seed and the epoch's number, so that a run that goes on from a
checkpoint draws what it would have drawn anyway.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from src_core.errors import TrainingError
from src_core.meta.calibration import earned_scale
from src_core.train.evidence import LOW_RATE, Plan, make_plan
from src_core.train.held_out import judge_of, look
from src_core.train.learner import Judgement, Learner, StepReport
from src_core.train.sampler import Roles, Sampler, assign_roles

if TYPE_CHECKING:
    from src_core.config import TrainingSettings
    from src_core.train.cases import CaseSet
    from src_core.train.control import Control

logger = logging.getLogger(__name__)


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
        self.sampler = Sampler(data.cases, settings.patch_size)
        self._plan: Plan | None = None
        self._roles = Roles((), ())
        self._told: set[str] = set()
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
        self._refresh(number)
        rng = np.random.default_rng([self.settings.seed, number])
        torch.manual_seed(int(rng.integers(2**31)))
        losses: list[float] = []
        counters: dict[str, list[float]] = {}
        for step in range(self.settings.steps_per_epoch):
            if not self._may_go_on():
                break
            started = time.perf_counter()
            self._set_rate(number * self.settings.steps_per_epoch + step)
            report = self._step(rng, number, step)
            if not np.isfinite(report.loss):
                raise TrainingError(
                    f"The loss became {report.loss} in epoch {number + 1}: training diverged. Continue from the last "
                    "checkpoint with a smaller learning rate."
                )
            losses.append(report.loss)
            for name, value in report.counters.items():
                counters.setdefault(name, []).append(value)
            self._busy_seconds += time.perf_counter() - started
            self._tell_progress(number, step, report.loss)
        return self._close_epoch(number, losses, counters)

    def _may_go_on(self) -> bool:
        if self.control.paused:
            self.tell("paused")
            self.control.wait_if_paused()
            if not self.control.stopping:
                self.tell("resumed")
        return not (self.control.stopping or self.control.finishing)

    def _refresh(self, number: int) -> None:
        """Take up what was verified since the last epoch."""
        if self.data.refresh() or self._plan is None:
            self.sampler.forget()
            self._plan = make_plan(self.data, self.settings)
            self.learner.corrected_weight = self._plan.corrected_weight
            self.learner.class_weights_C = self._plan.class_weights.to(self.learner.device)
            self.tell("verified", **self.data.verified_summary())
            if self._plan.notice and self._uses_verified:
                self._notice(self._plan.notice)
        split = self.settings.method == "metadcseg" and self._stage(number) != "consolidation"
        self._roles = assign_roles(self.data.cases, split=split and self.settings.split_verified)

    def _notice(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.tell("notice", text=text)

    # ---------------------------------------------------------------- stages and rates

    @property
    def _uses_verified(self) -> bool:
        return self.settings.method != "noisy"

    def _stage(self, number: int) -> str:
        """``warm-up``, ``meta``, or ``consolidation``, in which the judging cases are learned from, too."""
        if number < self.settings.warmup_epochs:
            return "warm-up"
        last = round(self.settings.consolidation_fraction * self.settings.epochs)
        return "consolidation" if number >= self.settings.epochs - last else "meta"

    def _set_rate(self, step: int) -> None:
        total = self.settings.epochs * self.settings.steps_per_epoch
        rate = self.settings.learning_rate * max(1 - step / total, 0.0) ** 0.9
        for group in self.learner.optimizer.param_groups:
            group["lr"] = rate

    def _emphasis_floor(self, number: int) -> float:
        """Kappa falls from 1 to its value over a fifth of the epochs after the warm-up."""
        ramp = max(0.2 * self.settings.epochs, 1.0)
        share = min((number - self.settings.warmup_epochs + 1) / ramp, 1.0)
        return 1 - share * (1 - self.settings.dcd_floor)

    # ---------------------------------------------------------------- one step

    def _step(self, rng: np.random.Generator, number: int, step: int) -> StepReport:
        method = self.settings.method
        learner = self.learner
        batch = self.sampler.training(rng, self.settings.batch_size).to(learner.device)
        judgement = self._judgement(rng, frozenset(batch.cases))
        warm = self._stage(number) == "warm-up"
        if method == "clean" or (method == "finetune" and not warm):
            return learner.clean_step(judgement)
        excluded = frozenset(self._roles.meta) if self._roles.split else frozenset()
        if warm or method in ("mixed", "noisy", "finetune"):
            given_only = method in ("noisy", "finetune")
            if given_only:
                judgement = Judgement()
            return learner.plain_step(batch, judgement, excluded=excluded, given_only=given_only)
        assert self._plan is not None
        return learner.weighted_step(
            batch,
            judgement,
            excluded=excluded,
            emphasis_floor=self._emphasis_floor(number) if method == "metadcseg" else 1.0,
            use_meta=self._plan.use_meta and method != "teacher",
            rate=LOW_RATE if self._plan.low_evidence else self.settings.evidence_rate,
        )

    def _judgement(self, rng: np.random.Generator, in_batch: frozenset[int]) -> Judgement:
        """Verified crops of cases that are not in the training batch, unless there are no others."""
        count = self.settings.meta_batch_size
        if self._roles.split:
            half = max(count // 2, 1)
            support = self._verified(rng, self._roles.support, half, in_batch)
            return Judgement(support, self._verified(rng, self._roles.meta, half, in_batch))
        both = self._verified(rng, self._roles.meta, count, in_batch)
        return Judgement(both, both)

    def _verified(self, rng: np.random.Generator, among: tuple[int, ...], count: int, in_batch: frozenset[int]) -> Any:
        others = tuple(index for index in among if index not in in_batch)
        batch = self.sampler.verified(rng, others or among, count)
        return None if batch is None else batch.to(self.learner.device)

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
            stage="warm-up" if self._stage(number) == "warm-up" else "meta",
            seconds_per_step=each,
        )

    def _close_epoch(self, number: int, losses: list[float], counters: dict[str, list[float]]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "epoch": number + 1,
            "stage": self._stage(number),
            "loss": float(np.mean(losses)) if losses else None,
            "learning_rate": self.learner.optimizer.param_groups[0]["lr"],
            "seconds_per_step": self._busy_seconds / max(self.learner.steps - self._first_step, 1),
            "complete": len(losses) == self.settings.steps_per_epoch,
            **{name: float(np.mean(values)) for name, values in counters.items()},
        }
        row |= self._held_out(number)
        if row.get("zero_weight_fraction", 0) > 0.1:
            logger.warning(
                "No label had a positive weight at %.0f %% of the pixels.", 100 * row["zero_weight_fraction"]
            )
        if self.learner.frozen_memory:
            self._notice(
                "The verified masks are known by heart and judge no more; verify some more images to let the model "
                "learn from them."
            )
        return row

    def tell_epoch(self, row: dict[str, Any]) -> None:
        """Tell of an epoch; call it when its checkpoint is written."""
        names = ("epoch", "loss", "val_dice", "evidence_scale", "learning_rate")
        self.tell("epoch", **{name: row[name] for name in names})

    def _judge_is_due(self, number: int) -> bool:
        """Before held-out cases are learned from, too; else at the end."""
        if self.settings.method != "metadcseg" or self._plan is None or not self._plan.use_meta:
            return False
        if self._roles.split:
            return self._stage(number) != "consolidation" and self._stage(number + 1) == "consolidation"
        last = number + 1 == self.settings.epochs or self.control.finishing
        return last and self.learner.judge is None

    def _held_out(self, number: int) -> dict[str, Any]:
        """Dice on verified pixels, held out if there are enough cases for that, and the scale of the evidence."""
        if not self._roles.meta or not self._uses_verified:
            return {"val_dice": None, "held_out": False, "evidence_scale": self.learner.evidence_scale}
        dice, examples = look(self.learner, self.data.cases, self._roles.meta)
        fits = self.settings.method == "metadcseg" and self._stage(number) == "meta"
        if fits and examples is not None and self._plan is not None and not self._plan.low_evidence:
            scale = earned_scale(examples)
            if scale is not None:
                self.learner.evidence_scale = scale
        if self._judge_is_due(number):
            self.learner.judge = judge_of(self.learner, self.data.cases, self._roles.meta)
        return {
            "val_dice": dice,
            "held_out": self._roles.split,
            "evidence_scale": self.learner.evidence_scale,
            "judge": None if self.learner.judge is None else self.learner.judge.coefficients,
        }
