"""The second opinion on a region, in words."""

from __future__ import annotations

from src_core.review.regions import BELOW


def opinion_text(value: float | None, *, trust: float = 0.0, source: str = "cleanlab") -> str:
    """One line for the card of a region; empty without a second opinion.

    Parameters
    ----------
    value : float or None
        Mean probability that its label is right, in [0, 1], from
        :meth:`~src_core.store.runs.Run.second_opinion`; doubt begins where it begins for trust.
    trust : float
        Mean trust of the region, in [0, 1]; few regions are trusted on the whole.
    source : str
        Whose it is.
    """
    if value is None:
        return ""
    doubts = "also doubts this label" if trust < BELOW else "doubts this label"
    verdict = doubts if value < BELOW else "holds this label for right"
    return f"Second opinion ({source}): {verdict}, {100 * value:.0f} %."
