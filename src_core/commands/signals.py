"""Signals that ask a command to end after the step in hand."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from src_core.train.control import Control


@contextmanager
def stopped_by_signals(control: Control, *, together: bool = False) -> Iterator[None]:
    """Let Ctrl-C stop what a control belongs to; a second one ends at once.

    Parameters
    ----------
    control : Control
    together : bool
        One of several processes: a Ctrl-C comes from the terminal and once more from torchrun, which also ends with
        SIGTERM, and kills after half a minute. So every one of them asks the same, and none ends at once.
    """

    def stop(*_: object) -> None:
        if not together:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        control.stop()

    signals = (signal.SIGINT, signal.SIGTERM) if together else (signal.SIGINT,)
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
