"""Settings of a run that goes on from a finished one, once more was verified. No torch here: the window asks, too.

The first run has learned what the masks have in common; what follows has only to take up what was verified since. So
it has no warm-up and takes a third of the epochs, at a lower rate. What it takes over is in
:mod:`src_core.train.warm_start`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from src_core.errors import InputError

if TYPE_CHECKING:
    from src_core.config import TrainingSettings

SHARE = 3
"""One epoch for so many of the run before."""

SLOWER = 0.5
"""Learning rate over that of the run before."""

FREE = ("seed", "warmup_fraction", "warmup_by_curve", "learning_rate", "steps_per_epoch", "batch_size",
        "meta_batch_size")  # fmt: skip
"""Settings that may differ from those of the run before; those that shape network and images may not."""


def follow_up_settings(before: TrainingSettings, **changes: Any) -> TrainingSettings:
    """Settings to train on from a run.

    Parameters
    ----------
    before : TrainingSettings
        Of the run to go on from.
    **changes
        ``epochs``, ``seed``, ``device`` or ``threads``; None means unchanged.

    Raises
    ------
    InputError
        If another method is asked for.
    """
    wanted = {name: value for name, value in changes.items() if value is not None}
    if wanted.get("method", before.method) != before.method:
        raise InputError(
            f"The run to go on from was trained with method {before.method}, not {wanted['method']}; leave --method "
            "out, or train a new run without --from."
        )
    epochs = max(-(-before.epochs // SHARE), 1)
    own = {"epochs": epochs, "warmup_fraction": 0.0, "warmup_by_curve": False}
    own |= {"learning_rate": before.learning_rate * SLOWER, "seed": (before.seed + 1) % 2**31}
    return replace(before, **{**own, **wanted})
