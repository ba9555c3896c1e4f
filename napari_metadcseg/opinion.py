"""The second opinion on a region, in words."""

from __future__ import annotations

from src_core.review.regions import BELOW


def opinion_text(value: float | None, *, source: str = "cleanlab") -> str:
    """One line for the card of a region, which stands there because trust doubts it; empty without a second opinion.

    Parameters
    ----------
    value : float or None
        Mean probability that its label is right, in [0, 1], from
        :meth:`~src_core.store.runs.Run.second_opinion`; doubt begins where it begins for trust.
    source : str
        Whose it is.
    """
    if value is None:
        return ""
    verdict = "also doubts this label" if value < BELOW else "holds this label for right"
    return f"Second opinion ({source}): {verdict}, {100 * value:.0f} %."
