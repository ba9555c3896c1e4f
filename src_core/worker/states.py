r"""States of the training process as seen from outside, and the moves between them.

::

    IDLE --start--> STARTING --first message--> RUNNING <--resume-- PAUSED
                       |                         |  \\__pausing--> PAUSING --> PAUSED
                       |                         |--stop--> STOPPING --> STOPPED
                       |                         |--done--> FINISHED
                       '--(any of them)----------'--error message--> FAILED
                                                  '-process gone without a word--> CRASHED

A terminal state (STOPPED, FINISHED, FAILED, CRASHED) can go to STARTING again. FAILED means that the process
told us what went wrong; CRASHED that it could not.
"""

from __future__ import annotations

from enum import StrEnum


class WorkerState(StrEnum):
    """Where the training process stands."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"

    @property
    def alive(self) -> bool:
        """True while there is a process."""
        return self not in TERMINAL and self is not WorkerState.IDLE


TERMINAL = frozenset({WorkerState.STOPPED, WorkerState.FINISHED, WorkerState.FAILED, WorkerState.CRASHED})

MOVES: dict[WorkerState, frozenset[WorkerState]] = {
    WorkerState.IDLE: frozenset({WorkerState.STARTING}),
    WorkerState.STARTING: frozenset({WorkerState.RUNNING, WorkerState.STOPPING}) | TERMINAL,
    WorkerState.RUNNING: frozenset({WorkerState.PAUSING, WorkerState.PAUSED, WorkerState.STOPPING}) | TERMINAL,
    WorkerState.PAUSING: frozenset({WorkerState.PAUSED, WorkerState.RUNNING, WorkerState.STOPPING}) | TERMINAL,
    WorkerState.PAUSED: frozenset({WorkerState.RUNNING, WorkerState.STOPPING}) | TERMINAL,
    WorkerState.STOPPING: TERMINAL,
    WorkerState.STOPPED: frozenset({WorkerState.STARTING}),
    WorkerState.FINISHED: frozenset({WorkerState.STARTING}),
    WorkerState.FAILED: frozenset({WorkerState.STARTING}),
    WorkerState.CRASHED: frozenset({WorkerState.STARTING}),
}
"""The moves that are allowed; anything else is a programming error."""
