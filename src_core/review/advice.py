"""The estimate of what is left, in words, and the rule by which a person wants to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src_core.errors import SettingsError

if TYPE_CHECKING:
    from src_core.review.audit import AuditResult
    from src_core.review.stopping import Amount, Estimate


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """Stop when one of two things holds; None leaves one out.

    Attributes
    ----------
    share : float or None
        The upper end of the interval is below this share of the labelled foreground, in (0, 1].
    hit_rate : float or None
        Of the last regions less than this share had something wrong, in (0, 1].
    last : int
        How many the last regions are; with fewer the hit rate says nothing.

    Raises
    ------
    SettingsError
        If a value is out of its range.
    """

    share: float | None = 0.01
    hit_rate: float | None = 0.1
    last: int = 20

    def __post_init__(self) -> None:
        for name, value in (("share", self.share), ("hit rate", self.hit_rate)):
            if value is not None and not 0 < value <= 1:
                raise SettingsError(
                    f"The {name} to stop at is {100 * value:g} %, expected more than 0 and at most 100 %."
                )
        if self.last < 1:
            raise SettingsError(f"The hit rate is taken over the last {self.last} regions, expected 1 or more.")


@dataclass(frozen=True)
class Verdict:
    """Whether to stop, and why, in one sentence."""

    stop: bool
    words: str


def verdict(rule: StopRule, estimate: Estimate) -> Verdict:
    """What the rule says of an estimate."""
    most = estimate.share(estimate.wrong.high)
    if rule.share is not None and most is not None and most < rule.share:
        return Verdict(
            True,
            f"You can stop: at most {percent(most)} of the labelled foreground is wrong, less than your limit of "
            f"{percent(rule.share)}.",
        )
    rate = estimate.hit_rate
    if rule.hit_rate is not None and rate is not None and estimate.last >= rule.last and rate < rule.hit_rate:
        return Verdict(
            True,
            f"You can stop going through regions: of the last {estimate.last} less than your limit of "
            f"{percent(rule.hit_rate)} were really wrong.",
        )
    if not estimate.waiting:
        return Verdict(
            True,
            "No region waits. What is left is outside of regions: train again to find more of it, or verify whole "
            "images to learn how much it is.",
        )
    return Verdict(False, f"Go on: {_why_go_on(rule, estimate, most)}.")


def _why_go_on(rule: StopRule, estimate: Estimate, most: float | None) -> str:
    reasons = []
    if rule.share is not None and most is not None:
        reasons.append(
            f"up to {percent(most)} of the labelled foreground may be wrong, your limit is {percent(rule.share)}"
        )
    if rule.hit_rate is not None:
        if estimate.last < rule.last:
            reasons.append(f"the hit rate counts after {rule.last} regions")
        else:
            reasons.append(f"regions are still wrong more often than in {percent(rule.hit_rate)} of the cases")
    return "; ".join(reasons) or "no rule to stop is set"


def sentence(estimate: Estimate) -> str:
    """How many wrong pixels are left, and how often the last regions were wrong."""
    wrong, share = estimate.wrong, estimate.share(estimate.wrong.value)
    of_all = "" if share is None else f", {percent(share)} of the labelled foreground"
    return f"About {between(wrong)} wrong pixels left{of_all}. {hits(estimate)}"


def hits(estimate: Estimate) -> str:
    """How often the last regions were wrong."""
    if not estimate.last:
        return "No region was decided yet."
    if estimate.last == 1:
        return f"The one region that was decided was {'really wrong' if estimate.hits else 'right'}."
    were = "was" if estimate.hits == 1 else "were"
    return f"Of the last {estimate.last} regions {estimate.hits or 'none'} {were} really wrong."


def where(estimate: Estimate) -> str:
    """Where the wrong pixels are, in one sentence."""
    return f"About {'; '.join(places(estimate))}."


def places(estimate: Estimate) -> tuple[str, str, str]:
    """Where the wrong pixels are, place by place: in regions, in doubted spots outside of them, in trusted labels."""
    waiting = f"the {estimate.waiting:,} regions that wait" if estimate.waiting != 1 else "the one region that waits"
    return (
        f"{between(estimate.in_regions)} in {waiting}" if estimate.waiting else "none in regions, as none waits",
        f"{between(estimate.doubted)} in doubted spots that no region asks about",
        f"{between(estimate.trusted)} in labels that nobody doubts",
    )


def basis(estimate: Estimate) -> str:
    """What the estimate outside of regions rests on."""
    if estimate.checked:
        images = f"{estimate.checked} images that were verified whole" if estimate.checked > 1 else "one whole image"
        return f"What is outside of regions was checked on {images}."
    return "What is outside of regions was not checked: verify some whole images, taken at random, to know it better."


def of_audit(result: AuditResult) -> str:
    """What an audit tells, without leaning on trust."""
    if result.value is None:
        return f"Audit: {result.answered} of {result.draws} draws are decided; go on with its regions."
    return (
        f"Audit of {result.answered} random draws: about {between(result)} wrong pixels in regions that wait, whatever "
        "trust says."
    )


def between(amount: Amount | AuditResult) -> str:
    """A number of pixels with its interval, to two digits."""
    return f"{rounded(amount.value or 0):,} ({rounded(amount.low):,} to {rounded(amount.high):,})"


def rounded(value: float) -> int:
    """A number to two significant digits."""
    if value < 1:
        return 0
    step = 10 ** max(math.floor(math.log10(value)) - 1, 0)
    return int(round(value / step) * step)


def percent(share: float) -> str:
    """A share as a percentage with two significant digits, ``0.4 %``."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
