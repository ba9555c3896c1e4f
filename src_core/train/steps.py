"""What one step is given beside its batch, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
