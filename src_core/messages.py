"""What the window and the training process say to each other: one JSON object a line, with a version.

Arrays never travel here; they go through the store (``runs/RUN/``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from src_core.errors import WorkerError

VERSION = 1

COMMANDS = frozenset({"start", "pause", "resume", "stop", "finish"})
"""To the process: start with settings; pause; resume; stop (keep a checkpoint); finish (score what is there)."""

EVENTS = frozenset(
    {"started", "progress", "epoch", "verified", "notice", "paused", "resumed", "scoring", "scored",
     "trained", "finished", "stopped", "failed"}
)  # fmt: skip
"""From the process; the fields of each are listed in :class:`Message`."""


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
        epoch      ``epoch``, ``loss``, ``val_dice`` (or null), ``evidence_scale``, ``learning_rate``
        verified   ``pixels`` (in use), ``images``, ``corrected``, ``confirmed``, ``background``,
                   ``classes`` (of each class), ``boundary_offset`` (px or null)
        notice     ``text``: one sentence for the person
        paused, resumed, stopped    nothing
        scoring    ``done``, ``total``
        scored     ``generation`` (int, grows), ``regions``
        trained    ``seconds``; the last checkpoint is written, scoring follows
        finished   ``seconds``, scoring included
        failed     ``text``: one sentence; ``details``: traceback
        start      ``settings`` (mapping), ``resume`` (bool)
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
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise WorkerError(f"Not a message of the training process: {line[:80]!r}.") from error
        if version != VERSION or not isinstance(kind, str) or kind not in COMMANDS | EVENTS:
            raise WorkerError(f"Message {kind!r} of version {version} is not understood; expected version {VERSION}.")
        return cls(kind, values)
