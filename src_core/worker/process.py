"""The training process: reads commands from standard input, trains and scores, writes events to standard output.

It ends by itself when its standard input closes, so that it never outlives the window that started it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, TextIO

from src_core.config import TrainingSettings
from src_core.errors import MetaDCSegError, WorkerError
from src_core.messages import Message
from src_core.train.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

NICENESS = 10
"""The window keeps its share of the processor: measured, a niced neighbour does not make it later."""


class _Speaker:
    """Writes messages, a line each, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, message: Message) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._stream.write(message.to_line())
            self._stream.flush()


def _listen(stream: TextIO, control: Control) -> None:
    """Carry out commands until the stream closes; then stop."""
    actions: dict[str, Callable[[], None]] = {
        "pause": control.pause,
        "resume": control.resume,
        "stop": control.stop,
        "finish": control.finish,
    }
    for line in stream:
        try:
            message = Message.from_line(line)
        except WorkerError:
            logger.exception("A command was not understood.")
            continue
        if message.type in actions:
            actions[message.type]()
    control.stop()


def _lower_priority() -> None:
    if hasattr(os, "nice"):
        os.nice(NICENESS)


def _work(project: str, run: str | None, start: Message, control: Control, say: _Speaker) -> None:
    from src_core.infer.score import score_run
    from src_core.train.run import train

    began = time.perf_counter()
    settings = TrainingSettings.from_mapping(start.data["settings"])
    name = train(project, run, settings, resume=bool(start.data.get("resume")), listener=say, control=control)
    if control.stopping:
        return
    generation = score_run(project, name, device=settings.device, listener=say, control=control)
    say(Message("finished", {"seconds": time.perf_counter() - began}) if generation else Message("stopped"))


def main(arguments: list[str]) -> int:
    """Run the process.

    Parameters
    ----------
    arguments : list of str
        Project and, optionally, run name.

    Returns
    -------
    int
        0 when training ended as asked, 1 when it failed (a ``failed`` message says why).
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    messages_out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not break the conversation
    say = _Speaker(messages_out)
    control = Control()
    project, run = arguments[0], arguments[1] if len(arguments) > 1 else None
    try:
        start = Message.from_line(sys.stdin.readline())
        _lower_priority()
        threading.Thread(target=_listen, args=(sys.stdin, control), daemon=True).start()
        _work(project, run, start, control, say)
    except MetaDCSegError as error:
        say(Message("failed", {"text": str(error), "details": traceback.format_exc()}))
        return 1
    except Exception as error:
        logger.error("Training failed.", exc_info=True)
        text = f"Training failed unexpectedly: {type(error).__name__}: {error}."
        say(Message("failed", {"text": text, "details": traceback.format_exc()}))
        return 1
    return 0
