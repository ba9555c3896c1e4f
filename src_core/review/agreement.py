"""How far two raters agree, and how often the second one fell for a decoy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import cohen_kappa_score

from src_core.data.case import IGNORE
from src_core.review.second_rater import Answer
from src_core.review.second_sample import BAD, GOOD, REAL, first_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from src_core.store.project import Project
    from src_core.store.samples import Item, Rating, Sample

LEVEL = 0.95
DRAWS = 4000
SEED = 7


@dataclass(frozen=True)
class Disagreement:
    """A region that two raters see differently: worth a third look.

    Attributes
    ----------
    item : int
        Its number in the sample.
    region, image : str
    case_id : int
    first, second : str
        Their answers.
    first_author : str
    pixels : int
        That have another label with the one than with the other, px.
    """

    item: int
    region: str
    image: str
    case_id: int
    first: str
    second: str
    first_author: str
    pixels: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What a sample tells so far.

    Attributes
    ----------
    author : str
        The second rater.
    items, answered : int
        Regions and decoys together.
    compared, unsure : int
        Regions that both decided, and those of which the second rater could not tell.
    agreed : float or None
        Share of the compared regions with the same answer, in [0, 1]; None when there are none.
    kappa, kappa_low, kappa_high : float or None
        Cohen's kappa with its interval; None where it is not defined, as when both always gave one answer.
    dice : float or None
        Of both raters' foreground in these regions, class by class, over all their pixels.
    decoys, fooled : int
        Decoys that were answered, and answered wrongly; those of which they were unsure are left out.
    good_shown, good_accepted : int
        Right labels with a wrong proposal, and how many of these proposals were accepted: the automation bias.
    bad_shown, bad_kept : int
        Planted errors, and how many were kept.
    disagreements : tuple of Disagreement
        The largest first.
    """

    author: str
    items: int
    answered: int
    compared: int
    unsure: int
    agreed: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    dice: float | None
    decoys: int
    fooled: int
    good_shown: int
    good_accepted: int
    bad_shown: int
    bad_kept: int
    disagreements: tuple[Disagreement, ...]


def agreement(project: Project, sample: Sample) -> Agreement:
    """Compare the answers of a second rater with the first decisions, and with the truth of the decoys."""
    items = {item.number: item for item in project.samples.items(sample.id)}
    answers = project.samples.standing(sample.id)
    real = [(items[number], rating) for number, rating in answers.items() if items[number].kind == REAL]
    compared = [(item, rating) for item, rating in real if rating.answer != Answer.UNSURE]
    pairs = [(first_result(project, item), second_result(item, rating), item) for item, rating in compared]
    accepts = np.array([[_accepts(labels, item) for labels in (a, b)] for a, b, item in pairs]).reshape(-1, 2)
    kappa = cohens_kappa(accepts[:, 0], accepts[:, 1])
    good, bad = (_decoys(items, answers, kind) for kind in (GOOD, BAD))
    accepted = sum(_accepts(second_result(item, rating), item) for item, rating in good)
    kept = sum(not _accepts(second_result(item, rating), item) for item, rating in bad)
    return Agreement(
        author=sample.author,
        items=len(items),
        answered=len(answers),
        compared=len(compared),
        unsure=len(real) - len(compared),
        agreed=float((accepts[:, 0] == accepts[:, 1]).mean()) if len(accepts) else None,
        kappa=kappa[0],
        kappa_low=kappa[1],
        kappa_high=kappa[2],
        dice=dice_of([(a[item.mask], b[item.mask]) for a, b, item in pairs]),
        decoys=len(good) + len(bad),
        fooled=accepted + kept,
        good_shown=len(good),
        good_accepted=accepted,
        bad_shown=len(bad),
        bad_kept=kept,
        disagreements=_disagreements(project, compared, pairs, accepts),
    )


def second_result(item: Item, rating: Rating) -> NDArray[np.uint8]:
    """Labels of the box as the second rater would leave them; where they were unsure, as they were shown."""
    _, label, proposed = item.arrays()
    if rating.painted is not None:
        return rating.painted
    return proposed if rating.answer == Answer.ACCEPT else label


def _accepts(labels: NDArray[np.uint8], item: Item) -> bool:
    """True when more than half of the region has the label that was proposed."""
    mask, _, proposed = item.arrays()
    return bool(2 * np.count_nonzero((labels == proposed)[mask]) > np.count_nonzero(mask))


def _decoys(items: dict[int, Item], answers: dict[int, Rating], kind: str) -> list[tuple[Item, Rating]]:
    return [
        (items[number], rating)
        for number, rating in answers.items()
        if items[number].kind == kind and rating.answer != Answer.UNSURE
    ]


def _disagreements(
    project: Project,
    compared: Sequence[tuple[Item, Rating]],
    pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8], Item]],
    accepts: NDArray[np.bool_],
) -> tuple[Disagreement, ...]:
    found = [
        Disagreement(
            item=item.number,
            region=item.region,
            image=project.case(item.case_id).name,
            case_id=item.case_id,
            first=str(item.facts["first"]),
            second=rating.answer,
            first_author=str(item.facts["first_author"]),
            pixels=int(np.count_nonzero((a != b)[item.mask])),
        )
        for (item, rating), (a, b, _), (one, other) in zip(compared, pairs, accepts, strict=True)
        if one != other
    ]
    return tuple(sorted(found, key=lambda row: (-row.pixels, row.region)))


def cohens_kappa(
    first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Cohen's kappa of two raters' yes and no, with an interval.

    The interval is that of the posterior of the four shares (yes-yes, yes-no, no-yes, no-no) with Jeffreys' prior, so
    that raters who never differed in few regions do not get an interval of no width.

    Returns
    -------
    kappa, low, high : float or None
        None when both gave one and the same answer throughout: chance alone explains that.
    """
    counts = np.bincount(2 * first.astype(int) + second.astype(int), minlength=4)
    if max(counts[0], counts[3]) == counts.sum():
        return None, None, None
    kappa = float(cohen_kappa_score(first, second))
    draws = np.random.default_rng(SEED).dirichlet(counts + 0.5, DRAWS)
    by_chance = (draws[:, 2:].sum(1) * draws[:, 1::2].sum(1)) + (draws[:, :2].sum(1) * draws[:, ::2].sum(1))
    spread = (draws[:, 0] + draws[:, 3] - by_chance) / (1 - by_chance)
    low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return kappa, min(float(low), kappa), max(float(high), kappa)


def dice_of(pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> float | None:
    """Dice of two labellings over all their pixels, the mean over the foreground classes that either has.

    None when neither has any foreground.
    """
    if not pairs:
        return None
    one, other = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    classes = [index for index in np.union1d(one, other) if index not in (0, IGNORE)]
    if not classes:
        return None
    values = [2 * np.sum((one == c) & (other == c)) / (np.sum(one == c) + np.sum(other == c)) for c in classes]
    return float(np.mean(values))


def sentences(found: Agreement) -> str:
    """The same in words."""
    lines = [f"{found.author} answered {found.answered} of {found.items} items."]
    if found.compared:
        lines.append(
            f"Of {found.compared} regions that both decided, the answer was the same in "
            f"{100 * (found.agreed or 0):.0f} %."
        )
        lines.append(
            "Cohen's kappa is not defined, as all answers are the same."
            if found.kappa is None
            else f"Cohen's kappa: {found.kappa:.2f} ({found.kappa_low:.2f} to {found.kappa_high:.2f})."
        )
        lines += [f"Dice of both masks in these regions: {found.dice:.2f}."] if found.dice is not None else []
    if found.unsure:
        lines.append(f"Of {found.unsure} regions {found.author} could not tell.")
    if found.decoys:
        lines.append(
            f"Decoys: {found.fooled} of {found.decoys} answered wrongly; {found.good_accepted} of {found.good_shown} "
            f"wrong proposals were accepted, {found.bad_kept} of {found.bad_shown} planted errors were kept."
        )
    if found.disagreements:
        lines.append("To be looked at again, with the first and the second answer:")
        lines += [f"  {row.region}: {row.first}, {row.second} ({row.pixels} px)" for row in found.disagreements]
    return "\n".join(lines)
