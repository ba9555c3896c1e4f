"""What the window and the training process say to each other: one JSON object a line, with a version.

Arrays never travel here; they go through the store (``runs/RUN/``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from src_core.errors import WorkerError

VERSION = 1

COMMANDS = frozenset({"start", "pause", "resume", "stop", "finish", "keep", "aside"})
"""To the process: start with settings; pause; resume; stop (keep a checkpoint); finish (score what is there); keep
training, or not, when the window goes; stand aside, so that the window is not slowed down."""

EVENTS = frozenset(
    {"started", "progress", "epoch", "verified", "notice", "paused", "resumed", "scoring", "scored",
     "previews", "alive", "trained", "finished", "stopped", "failed"}
)  # fmt: skip
"""From the process; the fields of each are listed in :class:`Message`."""

_NEEDED = {
    "start": ("settings",),
    "keep": ("on",),
    "aside": ("seconds",),
    "started": ("run", "device", "steps", "first_step"),
    "progress": ("step", "steps", "epoch", "loss", "eta_seconds", "stage"),
    "epoch": ("epoch",),
    "verified": ("pixels", "corrected", "confirmed", "background"),
    "notice": ("text",),
    "scoring": ("done", "total"),
    "scored": ("generation",),
    "previews": ("epoch", "images"),
    "alive": ("idle_seconds", "paused"),
    "failed": ("text",),
}
"""Fields without which a line is no message."""


@dataclass(frozen=True)
class Message:
    """One line of the conversation.

    Attributes
    ----------
    type : str
        One of :data:`COMMANDS` or :data:`EVENTS`.
    data : dict
        ========== ==========================================================================
        started    ``run``, ``device`` (in words), ``epochs``, ``steps``, ``first_step``
        progress   ``step``, ``steps``, ``epoch``, ``loss``, ``eta_seconds``, ``stage``
                   (``warm-up`` or ``meta``), ``seconds_per_step``
        epoch      ``epoch``, ``loss``, ``val_dice`` (or null), ``evidence_scale``, ``learning_rate``,
                   ``step`` (after it)
        verified   ``pixels`` (in use), ``images``, ``corrected``, ``confirmed``, ``background``,
                   ``classes`` (of each class), ``boundary_offset`` (px or null)
        notice     ``text``: one sentence for the person
        paused, resumed, stopped    nothing
        scoring    ``done``, ``total``
        scored     ``generation`` (int, grows), ``regions``
        previews   ``epoch``, ``doubted`` (share of labels in [0, 1], or null), ``images``: list of
                   ``case``, ``file`` (under ``runs/RUN/previews/``), ``doubted``
        alive      ``idle_seconds``: since it did anything; ``paused``; told every 2 s
        trained    ``seconds``; the last checkpoint is written, scoring follows
        finished   ``seconds``, scoring included
        failed     ``text``: one sentence; ``details``: traceback
        start      ``settings`` (mapping), ``resume`` (bool), ``from`` (run to start from, or null),
                   ``scheduler`` (address of a Dask scheduler that computes, or null)
        keep       ``on`` (bool)
        aside      ``seconds``: so long, from its arrival on, nothing is to be computed
        ========== ==========================================================================
    """

    type: str
    data: dict[str, Any] = field(default_factory=dict)

    def to_line(self) -> str:
        """The message as one line of JSON, newline included."""
        return json.dumps({"v": VERSION, "type": self.type, **self.data}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Message:
        """Read one line.

        Raises
        ------
        WorkerError
            If the line is no message of this version.
        """
        try:
            values = json.loads(line)
            version, kind = values.pop("v"), values.pop("type")
            known = version == VERSION and isinstance(kind, str) and kind in COMMANDS | EVENTS
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise WorkerError(f"Not a message of the training process: {line[:80]!r}.") from error
        if not known:
            raise WorkerError(f"Message {kind!r} of version {version} is not understood; expected version {VERSION}.")
        missing = [name for name in _NEEDED.get(kind, ()) if name not in values]
        if missing:
            raise WorkerError(f"Message {kind!r} lacks {', '.join(missing)}: {line[:80]!r}.")
        return cls(kind, values)
