"""When a run is scored while it still trains, so that the queue is of use within a minute and gets better."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_AFTER = 15.0
"""Seconds of training before the first scores."""

AGAIN_AFTER = 60.0
"""Seconds of training between scores at least."""

SHARE = 10
"""Training takes at least so many times as long as the scoring before it."""


class ScoresOnTheWay:
    """Scores after an epoch when it is time.

    Parameters
    ----------
    score : callable
        Scores a run by name; returns the generation, 0 if it was stopped.
    clock : callable
        Seconds that pass, s.
    """

    def __init__(self, score: Callable[[str], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._score = score
        self._clock = clock
        self._due = clock() + FIRST_AFTER

    def after_epoch(self, run: str, _epochs: int) -> None:
        """An epoch has ended and its checkpoint is written."""
        started = self._clock()
        if started < self._due:
            return
        self._score(run)
        ended = self._clock()
        self._due = ended + max(AGAIN_AFTER, SHARE * (ended - started))
