"""States of the training process as seen from outside: one table of what leads from which to which.

``docs/training.md`` shows the same table. FAILED means that the process told us what went wrong; CRASHED that it
could not. That a process is silent is no state of its own: it may speak again.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


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

ASKED = ("start", "attach", "pause", "resume", "finish", "stop", "end")
"""What the window may ask: ``attach`` takes up a run that went on without a window, ``end`` waits for nothing."""

HEARD = ("started", "paused", "resumed", "finished", "stopped", "failed", "gone")
"""What may be heard of the process: its messages, and ``gone``, that it ended without a last one."""

_S = WorkerState
_BEGIN = {"start": _S.STARTING, "attach": _S.STARTING}
_LAST = {"finished": _S.FINISHED, "stopped": _S.STOPPED, "failed": _S.FAILED}
_ANY = {**_LAST, "stop": _S.STOPPING, "end": _S.STOPPING, "gone": _S.CRASHED}

MOVES: Mapping[WorkerState, Mapping[str, WorkerState]] = MappingProxyType(
    {
        _S.IDLE: _BEGIN,
        _S.STARTING: {"finish": _S.STARTING, "started": _S.RUNNING, **_ANY},
        _S.RUNNING: {"pause": _S.PAUSING, "finish": _S.RUNNING, "paused": _S.PAUSED, **_ANY},
        _S.PAUSING: {"resume": _S.RUNNING, "finish": _S.RUNNING, "paused": _S.PAUSED, **_ANY},
        _S.PAUSED: {"resume": _S.PAUSED, "finish": _S.PAUSED, "resumed": _S.RUNNING, **_ANY},
        _S.STOPPING: {"end": _S.STOPPING, "gone": _S.STOPPED, **_LAST},
        _S.STOPPED: _BEGIN,
        _S.FINISHED: _BEGIN,
        _S.FAILED: _BEGIN,
        _S.CRASHED: _BEGIN,
    }
)
"""The state that follows. What is not in the table changes nothing: such a request is not passed on."""


def after(state: WorkerState, what: str) -> WorkerState | None:
    """State that follows on a request or a message.

    Parameters
    ----------
    state : WorkerState
    what : str
        One of :data:`ASKED` or :data:`HEARD`.

    Returns
    -------
    WorkerState or None
        None when it changes nothing in this state.
    """
    return MOVES[state].get(what)


def drawn() -> str:
    """The table in Markdown, a row a state; ``.`` where a request or message changes nothing."""
    columns = (*ASKED, *HEARD)
    head = f"| in state | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}\n"
    return head + "".join(
        f"| **{state}** | {' | '.join(str(after(state, what) or '.') for what in columns)} |\n" for state in WorkerState
    )
