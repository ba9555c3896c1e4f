"""The training process: reads commands from standard input, trains and scores, writes events to standard output.

It ends by itself when the window that started it goes, unless it was asked to be kept; then it is followed and asked
through the files of :mod:`src_core.worker.mailbox`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from src_core.config import TrainingSettings
from src_core.errors import MetaDCSegError, WorkerError
from src_core.messages import Message
from src_core.store.project import Project
from src_core.train.control import Control
from src_core.worker.heart import Heart
from src_core.worker.mailbox import Post

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

NICENESS = 10
"""The window keeps its share of the processor: measured, a niced neighbour does not make it later."""

_AUTOGROUP = Path("/proc/self/autogroup")


class _Speaker:
    """Writes messages, a line each, from any thread; to the run's files, too, once there is a run."""

    def __init__(self, stream: TextIO, project: str) -> None:
        self._stream = stream
        self._project = project
        self._lock = threading.Lock()
        self._busy = time.monotonic()
        self.heart: Heart | None = None

    def idle_seconds(self) -> float:
        """Seconds since the last message that is no heartbeat."""
        return time.monotonic() - self._busy

    def __call__(self, message: Message) -> None:
        with self._lock:
            if message.type != "alive":
                self._busy = time.monotonic()
            if message.type == "started":
                self._open_post(str(message.data["run"]))
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(message.to_line())
                self._stream.flush()
            if self.post is not None and message.type != "alive":
                self.post.write(message)

    @property
    def post(self) -> Post | None:
        """The files of the run."""
        return None if self.heart is None else self.heart.post

    def _open_post(self, run: str) -> None:
        if self.heart is None or self.heart.post is not None:
            return
        try:
            self.heart.post = Post(_folder(self._project) / "runs" / run)
        except (OSError, MetaDCSegError):
            logger.warning("The messages of this run cannot be kept; it ends with its window.", exc_info=True)

    def hush(self) -> None:
        """Say that nobody is there any more."""
        with self._lock:
            if self.heart is not None and self.heart.post is not None:
                post, self.heart.post = self.heart.post, None
                post.close()


def _folder(project: str) -> Path:
    with Project.open(project) as opened:
        return opened.path


class _Ear:
    """Carries out commands, whichever way they come."""

    def __init__(self, control: Control) -> None:
        self.heart: Heart | None = None
        self._control = control
        self._actions: dict[str, Callable[[], None]] = {
            "pause": control.pause,
            "resume": control.resume,
            "stop": control.stop,
            "finish": control.finish,
        }

    def obey(self, message: Message) -> None:
        """Carry out one command."""
        if message.type == "keep" and self.heart is not None:
            self.heart.kept = bool(message.data["on"])
        elif message.type == "aside":
            self._control.stand_aside(float(message.data["seconds"]))
        elif message.type in self._actions:
            self._actions[message.type]()

    def listen(self, stream: TextIO) -> None:
        """Carry out commands until the stream closes: the window is gone then."""
        for line in stream:
            try:
                self.obey(Message.from_line(line))
            except WorkerError:
                logger.exception("A command was not understood.")
        if self.heart is not None:
            self.heart.window_gone()


def _lower_priority() -> None:
    """Be nice, and so is the session that this process leads: Linux shares the processor among sessions first."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    if _AUTOGROUP.exists():
        try:
            _AUTOGROUP.write_text(str(NICENESS), encoding="ascii")
        except OSError:
            logger.info("The priority of the session cannot be lowered.", exc_info=True)


def _work(project: str, run: str | None, start: Message, control: Control, say: _Speaker) -> None:
    from src_core.infer.score import score_run
    from src_core.train.device import window_threads
    from src_core.train.run import train
    from src_core.worker.aside import layers_wait
    from src_core.worker.scoring import ScoresOnTheWay

    began = time.perf_counter()
    settings = TrainingSettings.from_mapping(start.data["settings"])
    if start.data.get("scheduler"):
        generation = _work_elsewhere(project, run, settings, start, control, say)
        if generation is not None:
            say(Message("finished", {"seconds": time.perf_counter() - began}) if generation else Message("stopped"))
        return
    settings = replace(settings, threads=settings.threads or window_threads())

    def score(name: str, *, quick: bool = True) -> int:
        return score_run(project, name, device=settings.device, quick=quick, listener=say, control=control)

    with layers_wait(control):
        name = train(
            project,
            run,
            settings,
            resume=bool(start.data.get("resume")),
            start_from=start.data.get("from"),
            listener=say,
            control=control,
            after_epoch=ScoresOnTheWay(score).after_epoch,
        )
        if control.stopping:
            return
        generation = score(name, quick=False)
    say(Message("finished", {"seconds": time.perf_counter() - began}) if generation else Message("stopped"))


def _work_elsewhere(
    project: str, run: str | None, settings: TrainingSettings, start: Message, control: Control, say: _Speaker
) -> int | None:
    """Train and score on a Dask cluster; the generation of the scores, or None if training was stopped."""
    from src_core.worker.cluster_scoring import score_on_cluster
    from src_core.worker.cluster_training import train_on_cluster

    address = str(start.data["scheduler"])
    name = train_on_cluster(
        project,
        run,
        settings,
        address=address,
        resume=bool(start.data.get("resume")),
        start_from=start.data.get("from"),
        listener=say,
        control=control,
    )
    if control.stopping:
        return None
    return score_on_cluster(project, name, address=address, device=settings.device, listener=say, control=control)


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
    project, run = arguments[0], arguments[1] if len(arguments) > 1 else None
    say, control = _Speaker(messages_out, project), Control()
    ear = _Ear(control)
    say.heart = ear.heart = Heart(say, say.idle_seconds, ear.obey, control)
    try:
        start = Message.from_line(sys.stdin.readline())
        _lower_priority()
        say.heart.start()
        threading.Thread(target=ear.listen, args=(sys.stdin,), daemon=True).start()
        _work(project, run, start, control, say)
    except MetaDCSegError as error:
        say(Message("failed", {"text": str(error), "details": traceback.format_exc()}))
        return 1
    except Exception as error:
        logger.error("Training failed.", exc_info=True)
        say(Message("failed", {"text": _unexpected(error), "details": traceback.format_exc()}))
        return 1
    finally:
        say.hush()
    return 0


def _unexpected(error: Exception) -> str:
    from src_core.train.passes import is_out_of_memory

    if is_out_of_memory(error):
        return (
            "Memory ran out while whole images were looked at; close other programs or choose a quicker preset "
            "(smaller images), then press Continue."
        )
    return f"Training failed unexpectedly: {type(error).__name__}: {error}."
