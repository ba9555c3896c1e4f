"""The window's end of the training process. No Qt here: somebody calls :meth:`WorkerClient.poll` from a timer."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

from src_core.errors import WorkerError
from src_core.messages import Message
from src_core.worker.mailbox import FileLine
from src_core.worker.pipe import PipeLine
from src_core.worker.states import HEARD, TERMINAL, WorkerState, after

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.config import TrainingSettings
    from src_core.worker.line import Line

SILENT_AFTER = 10.0
"""Seconds without a heartbeat, which comes every 2 s, after which the process counts as silent."""

STARTING_TAKES = 60.0
"""The same while it starts: reading programs from a slow disk says nothing."""

IDLE_AFTER = 120.0
"""Seconds in which it answers but does nothing, after which that is said."""

ASIDE_SECONDS = 0.3
"""For so long one request to stand aside holds; the window asks again while a person goes on."""


class WorkerClient:
    """Starts a training process, talks to it, and notices how it ends.

    Parameters
    ----------
    module : str
        What Python runs; another one in tests.

    Attributes
    ----------
    state : WorkerState
    run : str
        Name of the run, once the process has told it.
    error : str
        One sentence, when the state is FAILED or CRASHED.
    details : str
        Traceback or the last lines that the process wrote to stderr.
    silence : str
        One sentence while the process does not answer, or does nothing; else empty.
    kept : bool
        The process goes on when we hang up.
    """

    def __init__(self, module: str = "src_core.worker") -> None:
        self.state = WorkerState.IDLE
        self.run = ""
        self.error = ""
        self.details = ""
        self.silence = ""
        self.kept = False
        self._module = module
        self._line: Line | None = None
        self._idle = 0.0

    # ---------------------------------------------------------------- commands

    def start(
        self,
        project_path: str | Path,
        settings: TrainingSettings,
        *,
        run: str | None = None,
        resume: bool = False,
        start_from: str | None = None,
        scheduler: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Start the process; returns at once.

        Parameters
        ----------
        project_path : path
        settings : TrainingSettings
        run : str, optional
            Name of the run.
        resume : bool
            Go on from its checkpoint.
        start_from : str, optional
            Another run, whose model is the start.
        scheduler : str, optional
            Address of the Dask scheduler whose workers train and score.
        environment : mapping, optional
            Added to ours.

        Raises
        ------
        WorkerError
            If one is running already, or no process could be started.
        """
        following = self._may_begin("start")
        command = [sys.executable, "-m", self._module, str(project_path), *([run] if run else [])]
        self._line = PipeLine(command, environment)
        self._begin(following, run or "")
        data = {
            "settings": json.loads(settings.to_json()),
            "resume": resume,
            "from": start_from,
            "scheduler": scheduler,
        }
        self._line.send(Message("start", data))
        self._line.send(Message("keep", {"on": self.kept}))

    def attach(self, run_folder: Path) -> None:
        """Take up a run that went on without a window; what it has said so far is heard again.

        Raises
        ------
        WorkerError
            If one is running already, or nothing works at the run.
        """
        following = self._may_begin("attach")
        self._line = FileLine(run_folder)
        self._begin(following, run_folder.name)
        self.kept = True

    def _may_begin(self, how: str) -> WorkerState:
        following = after(self.state, how)
        if following is None:
            raise WorkerError("Training is running already; wait for it, or cancel it first.")
        line, self._line = self._line, None
        if line is not None:  # it has said its last word, but not ended yet
            line.let_go(keep=False)
        return following

    def _begin(self, state: WorkerState, run: str) -> None:
        self.run, self.error, self.details, self.silence = run, "", "", ""
        self._idle = 0.0
        self.state = state

    def pause(self) -> None:
        """Ask the process to wait after the step in hand."""
        self._ask("pause")

    def resume(self) -> None:
        """Ask the process to go on."""
        self._ask("resume")

    def stop(self) -> None:
        """Ask the process to end; its last checkpoint is kept and can be continued."""
        self._ask("stop")

    def finish(self) -> None:
        """Ask the process to train no further and to score what it has."""
        self._ask("finish")

    def end(self) -> None:
        """End the process at once, whatever it does; its last checkpoint is kept."""
        following = after(self.state, "end")
        if following is not None and self._line is not None:
            self.state = following
            self._line.kill()

    def keep(self, on: bool) -> None:
        """Let the process go on when we hang up, or not."""
        self.kept = on
        if isinstance(self._line, PipeLine):  # one that went on alone has nobody to follow
            self._line.send(Message("keep", {"on": on}))

    def stand_aside(self) -> None:
        """Ask the process to compute nothing for a moment, so that the window has the computer for itself.

        One without a window of its own hears too late of it, and one that does not answer would not read it.
        """
        if self.state.alive and not self.silence and isinstance(self._line, PipeLine):
            self._line.send(Message("aside", {"seconds": ASIDE_SECONDS}))

    def _ask(self, what: str) -> None:
        following = after(self.state, what)
        if following is not None and self._line is not None:
            self.state = following
            self._line.send(Message(what))

    def close(self) -> None:
        """Hang up; returns at once.

        Unless it is to be kept, the process is asked to end, and killed by a thread if it has not after 10 s.
        """
        line, self._line = self._line, None
        if line is not None:
            if not self.kept:
                line.send(Message("stop"))
            line.let_go(keep=self.kept)
        self.state, self.silence, self.kept = WorkerState.IDLE, "", False

    # ---------------------------------------------------------------- events

    @property
    def pid(self) -> int | None:
        """Process id while there is a process."""
        return None if self._line is None else self._line.pid

    def poll(self) -> list[Message]:
        """Take what the process has said since the last call, and follow its state; never blocks."""
        line = self._line
        if line is None:
            return []
        ended = line.ended()  # asked first: what was said before the end is received after it
        messages = line.receive()
        for message in messages:
            self._follow(message)
        self.silence = "" if ended else self._silence(line)
        if ended:
            self._ended(line)
        return [message for message in messages if message.type != "alive"]

    def _follow(self, message: Message) -> None:
        self._idle = float(message.data["idle_seconds"]) if message.type == "alive" else 0.0
        following = after(self.state, message.type) if message.type in HEARD else None
        if following is None:
            return
        if message.type == "started":
            self.run = str(message.data["run"])
        if message.type == "failed":
            self.error = str(message.data["text"])
            self.details = str(message.data.get("details", ""))
        self.state = following

    def _silence(self, line: Line) -> str:
        """What to say of a process that does not answer or does nothing; seconds in steps of five."""
        if not self.state.alive:
            return ""
        silent, limit = line.silent_seconds(), SILENT_AFTER
        if self.state is WorkerState.STARTING:
            limit = STARTING_TAKES
        if silent > limit:
            return (
                f"The training process has not answered for {silent // 5 * 5:.0f} seconds: it is stopped, or the "
                "computer is very busy. Wait, or press End now; the last checkpoint is kept."
            )
        if self._idle > IDLE_AFTER and self.state is not WorkerState.PAUSED:
            return (
                f"The training process answers but has done nothing for {self._idle / 60:.0f} minutes. Wait, or press "
                "End now; the last checkpoint is kept."
            )
        return ""

    def _ended(self, line: Line) -> None:
        self._line = None
        self.kept = False
        if self.state in TERMINAL:
            return
        following = after(self.state, "gone")
        assert following is not None
        self.state = following
        if following is WorkerState.CRASHED:
            self.error = crash_sentence(line.exit_status())
            self.details = line.last_words()


def crash_sentence(exit_status: int | None) -> str:
    """What a process that ended without a word most probably died of; None is a status that nobody knows."""
    if exit_status is None:
        reason = "it ended unexpectedly"
    elif exit_status < 0:
        reason = f"it was ended by the operating system ({_signal_name(-exit_status)})"
        if -exit_status == signal.SIGKILL:
            reason += ", most often because memory ran out"
    else:
        reason = f"it ended unexpectedly with exit status {exit_status}"
    return (
        f"The training process stopped: {reason}. Your decisions are safe; press Continue to go on from the last "
        "checkpoint."
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
