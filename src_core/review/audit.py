"""An audit: a random sample of the regions that wait, which tells how many wrong pixels are in all of them.

The estimate of :mod:`src_core.review.stopping` leans on trust; this one does not. Regions are drawn with replacement,
each draw with a chance in proportion to the pixels that wait in it, so that the mean over the draws of the share that
was wrong, times all waiting pixels, is unbiased (the estimator of Hansen and Hurwitz). The interval is that of Clopper
and Pearson: exact where regions are wrong as a whole or not at all, and close where a part of a region was painted. The
draws have an order, so the first of them are a sample, too, when not all were looked at. Where nobody could tell, the
lower end takes the region for right and the upper end for wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from src_core.errors import InputError
from src_core.store.samples import Item, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from src_core.review.ledger import Ledger
    from src_core.review.stopping import StopEstimator
    from src_core.store.project import Project

PURPOSE = "audit"
DRAWS = 20


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """What an audit tells so far.

    Attributes
    ----------
    value : float or None
        Wrong pixels in regions that nobody vouches for now, px; None while too little was looked at.
    low, high : float
        Interval, px.
    draws, answered : int
        Draws, and how many of them from the first on were looked at.
    waiting : tuple of str
        Regions of the sample that are to be looked at, in order.
    """

    value: float | None
    low: float
    high: float
    draws: int
    answered: int
    waiting: tuple[str, ...]


def draw(project: Project, estimator: StopEstimator, *, draws: int = DRAWS, seed: int = 0) -> int:
    """Draw and store an audit of the regions that are not settled; return the id of the sample.

    When there are no more regions than draws, all are taken once.

    Raises
    ------
    InputError
        If there is nothing to draw from, or too little is asked for.
    """
    if draws < 1:
        raise InputError(f"The number of draws is {draws}, expected 1 or more; 20 is a good start.")
    run, regions, ledger = estimator.run, estimator.regions, estimator.ledger()
    left = ledger.left_in_regions
    open_ = np.flatnonzero(left > 0)
    if not len(open_):
        raise InputError(f"No region of run {run.name} waits for a decision, so there is nothing to audit.")
    rng = np.random.default_rng(seed)
    every = len(open_) <= draws
    if every:
        drawn = rng.permutation(open_)
    else:
        drawn = rng.choice(open_, draws, p=left[open_] / left[open_].sum())
    places: dict[int, list[int]] = {}
    for place, index in enumerate(drawn.tolist()):
        places.setdefault(index, []).append(place)
    settings = {
        "draws": len(drawn),
        "every": every,
        "pixels": float(left.sum()),
        "found": ledger.found_in_regions,
        "generation": estimator.generation,
    }
    items = [
        Item(
            number=number,
            case_id=regions[index].case_id,
            region=regions[index].id,
            kind=PURPOSE,
            box=regions[index].box,
            facts={"draws": where, "pixels": float(left[index])},
        )
        for number, (index, where) in enumerate(places.items())
    ]
    sample = Sample(author=project.author, purpose=PURPOSE, run=run.name, seed=seed, settings=settings)
    return project.samples.add(sample, items)


def latest(project: Project, estimator: StopEstimator) -> Sample | None:
    """The newest audit of these scores; None when there is none."""
    scores = estimator.run.name, estimator.generation
    return next(
        (sample for sample in project.samples.all(PURPOSE) if (sample.run, sample.settings["generation"]) == scores),
        None,
    )


def current(project: Project, estimator: StopEstimator, level: float) -> AuditResult | None:
    """What the newest audit of these scores tells now; None when there is none."""
    sample = latest(project, estimator)
    return None if sample is None else result(sample, project.samples.items(sample.id), estimator.ledger(), level)


def result(sample: Sample, items: Sequence[Item], ledger: Ledger, level: float) -> AuditResult:
    """What the decisions on a sample tell about all regions that waited when it was drawn.

    Parameters
    ----------
    sample : Sample
    items : sequence of Item
        Of the sample.
    ledger : Ledger
        Where the review stands now.
    level : float
        Of the interval, in (0, 1).
    """
    settings = sample.settings
    draws, total = int(settings["draws"]), float(settings["pixels"])
    shares = np.zeros((2, draws))  # the least and the most of each draw that may be wrong
    weight, waits = np.ones(draws), np.zeros(draws, dtype=bool)
    for item in items:
        where, wrong = item.facts["draws"], ledger.share_wrong(item.region)
        shares[:, where] = [[0.0], [1.0]] if wrong is None else wrong
        weight[where] = item.facts["pixels"]
        waits[where] = wrong is None and not ledger.is_unsure(item.region)
    answered = int(np.argmax(waits)) if waits.any() else draws
    if settings["every"]:
        ends = shares @ weight
        middle = ends.mean() if answered == draws else None
    elif answered:
        low, high = shares[:, :answered].sum(axis=1)
        ends = total * np.array([_lower(low, answered, level), _upper(high, answered, level)])
        middle = total * (low + high) / 2 / answered
    else:
        ends, middle = np.array([0.0, total]), None
    since, left = ledger.found_in_regions - int(settings["found"]), float(ledger.left_in_regions.sum())
    low, high = np.clip(ends - since, 0.0, left)
    return AuditResult(
        value=None if middle is None else float(np.clip(middle - since, 0.0, left)),
        low=float(low),
        high=float(high),
        draws=draws,
        answered=answered,
        waiting=tuple(item.region for item in items if waits[item.facts["draws"]].any()),
    )


def _lower(hits: float, tries: int, level: float) -> float:
    """Lower end of the interval of a chance; ``hits`` need not be whole."""
    return float(beta.ppf((1 - level) / 2, hits, tries - hits + 1)) if hits > 0 else 0.0


def _upper(hits: float, tries: int, level: float) -> float:
    return float(beta.ppf((1 + level) / 2, hits + 1, tries - hits)) if hits < tries else 1.0
