"""Recipes that draw their target: mixed quality (R1') and annotators with habits (R11)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from src_core.data.noise.boundary import markov
from src_core.data.noise.objects import lose_and_copy
from src_core.data.noise.record import Change, Job, Origin
from src_core.data.noise.shapes import ellipses, grow_or_shrink

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

ANNOTATORS = ("over-drawer", "under-drawer", "sloppy")


def annotator_of(case: str, seed: int) -> str:
    """Who draws a case: the same person for all slices of one seed and case name."""
    return ANNOTATORS[zlib.crc32(f"{seed}/{case}".encode()) % len(ANNOTATORS)]


def _target(ratio: float, rng: np.random.Generator) -> float:
    """Dice drawn around ``1 - ratio``, within [0.05, 0.98]."""
    while True:
        value = rng.normal(1 - ratio, 0.1)
        if 0.05 <= value <= 0.98:
            return float(value)


def _even(job: Job, dice: float, grow: bool) -> Change:
    """Grown or shrunk to a Dice."""
    code = Origin.GROW if grow else Origin.SHRINK
    return Change([(code, grow_or_shrink(job.mask, dice, grow=grow))], {"dice_target": dice, "grow": grow})


def quality(job: Job) -> Change:
    """Grow (40 %), shrink (40 %), or change the ellipse in place of the mask (20 %)."""
    dice = _target(job.ratio, job.rng)
    kind = job.rng.random()
    if kind < 0.8:
        return _even(job, dice, bool(kind < 0.4))
    rounded = ellipses(job.mask)
    grow = bool(job.rng.random() < 0.5)
    code = Origin.GROW if grow else Origin.SHRINK
    steps = [(Origin.ELLIPSE, rounded), (code, grow_or_shrink(rounded, dice, grow=grow))]
    return Change(steps, {"dice_target": dice, "grow": grow, "ellipse": True})


def _over(job: Job) -> Change:
    return _even(job, _target(job.ratio, job.rng), bool(job.rng.random() < 0.8))


def _under(job: Job) -> Change:
    return _even(job, _target(job.ratio, job.rng), bool(job.rng.random() < 0.2))


def _sloppy(job: Job) -> Change:
    outwards = 0.8 if job.rng.random() < 0.5 else 0.2
    found = lose_and_copy(job.mask, job.ratio / 4, job.rng)
    dice = _target(job.ratio, job.rng)
    after = markov(found.steps[-1][1], dice, job.rng, outwards=outwards)
    drawn = {**found.drawn, "dice_target": dice, "outwards": outwards}
    return Change([*found.steps, (Origin.MARKOV, after)], drawn)


_HABITS: dict[str, Callable[[Job], Change]] = {
    "over-drawer": _over,
    "under-drawer": _under,
    "sloppy": _sloppy,
}


def biased(job: Job) -> Change:
    """As the annotator of the case draws."""
    return _HABITS[job.annotator](job)
