"""What another thread may ask of a running training; it answers between two steps, and stands aside within them."""

from __future__ import annotations

import threading
import time

LONGEST_ASIDE, REST = 30.0, 10.0
"""Seconds without a break after which it stands aside no longer, and for how long: a film may play all day."""

_LOOK_EVERY = 0.05


class Control:
    """Requests to pause, go on, stop (keep a checkpoint) or finish (score what is there)."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self._go.set()
        self._stop = threading.Event()
        self._finish = threading.Event()
        self._aside_since = self._aside_until = time.monotonic()

    def pause(self) -> None:
        """Ask to wait before the next step."""
        self._go.clear()

    def resume(self) -> None:
        """Ask to go on."""
        self._go.set()

    def stop(self) -> None:
        """Ask to end after the step in hand; what was learned is kept."""
        self._stop.set()
        self._go.set()

    def finish(self) -> None:
        """Ask to end after the step in hand as if all epochs were done."""
        self._finish.set()
        self._go.set()

    def stand_aside(self, seconds: float) -> None:
        """Ask to compute nothing for so long, counted from now; to ask again prolongs it, up to a limit."""
        now, until = time.monotonic(), self._aside_until
        rest = REST if until - self._aside_since >= LONGEST_ASIDE else 0.0
        if now > until + rest:
            self._aside_since = now
        self._aside_until = min(now + seconds, self._aside_since + LONGEST_ASIDE)

    def agree(self) -> None:
        """Called between steps; hear what others were asked, where there are others."""

    @property
    def paused(self) -> bool:
        """True while a pause is asked for."""
        return not self._go.is_set()

    @property
    def stopping(self) -> bool:
        """True once a stop is asked for."""
        return self._stop.is_set()

    @property
    def finishing(self) -> bool:
        """True once an early finish is asked for."""
        return self._finish.is_set()

    def wait_if_paused(self) -> None:
        """Block while a pause is asked for."""
        self._go.wait()

    @property
    def free_seconds(self) -> float:
        """Seconds since it need not stand aside; negative while it has to, and for how long."""
        return time.monotonic() - self._aside_until

    def wait_aside(self) -> None:
        """Block while it is to stand aside, but for one that is to stop; for places all over a step."""
        while (free := self.free_seconds) < 0 and not self.stopping:
            time.sleep(min(-free, _LOOK_EVERY))
