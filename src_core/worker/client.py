"""The window's end of the training process. No Qt here: somebody calls :meth:`WorkerClient.poll` from a timer."""

from __future__ import annotations

import collections
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from src_core.errors import WorkerError
from src_core.messages import Message
from src_core.worker.states import MOVES, TERMINAL, WorkerState

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.config import TrainingSettings

logger = logging.getLogger(__name__)

_STDERR_LINES = 40

_AFTER = {
    "started": WorkerState.RUNNING,
    "paused": WorkerState.PAUSED,
    "resumed": WorkerState.RUNNING,
    "finished": WorkerState.FINISHED,
    "stopped": WorkerState.STOPPED,
    "failed": WorkerState.FAILED,
}


class WorkerClient:
    """Starts a training process, talks to it, and notices how it ends.

    Attributes
    ----------
    state : WorkerState
    run : str
        Name of the run, once the process has told it.
    error : str
        One sentence, when the state is FAILED or CRASHED.
    details : str
        Traceback or the last lines that the process wrote to stderr.
    """

    def __init__(self) -> None:
        self.state = WorkerState.IDLE
        self.run = ""
        self.error = ""
        self.details = ""
        self._process: subprocess.Popen[str] | None = None
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stderr: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self._readers: list[threading.Thread] = []

    # ---------------------------------------------------------------- commands

    def start(
        self,
        project_path: str | Path,
        settings: TrainingSettings,
        *,
        run: str | None = None,
        resume: bool = False,
    ) -> None:
        """Start the process; returns at once.

        Raises
        ------
        WorkerError
            If one is running already, or no process could be started.
        """
        if self.state.alive:
            raise WorkerError("Training is running already; wait for it, or cancel it first.")
        self.run, self.error, self.details = run or "", "", ""
        self._stderr.clear()
        self._inbox = queue.SimpleQueue()
        command = [sys.executable, "-m", "src_core.worker", str(project_path), *([run] if run else [])]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=_environment(),
            )
        except OSError as error:
            raise WorkerError(f"The training process could not be started: {error}.") from error
        self._move(WorkerState.STARTING)
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process, self._inbox), daemon=True),
            threading.Thread(target=self._read_stderr, args=(self._process,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._send(Message("start", {"settings": json.loads(settings.to_json()), "resume": resume}))

    def pause(self) -> None:
        """Ask the process to wait after the step in hand."""
        if self.state is WorkerState.RUNNING:
            self._move(WorkerState.PAUSING)
            self._send(Message("pause"))

    def resume(self) -> None:
        """Ask the process to go on."""
        if self.state in (WorkerState.PAUSED, WorkerState.PAUSING):
            self._send(Message("resume"))
            if self.state is WorkerState.PAUSING:
                self._move(WorkerState.RUNNING)

    def stop(self) -> None:
        """Ask the process to end; its last checkpoint is kept and can be continued."""
        if self.state.alive and self.state is not WorkerState.STOPPING:
            self._move(WorkerState.STOPPING)
            self._send(Message("stop"))

    def finish(self) -> None:
        """Ask the process to train no further and to score what it has."""
        if self.state.alive:
            self._send(Message("finish"))

    def close(self, timeout: float = 10.0) -> None:
        """Stop the process, and kill it if it does not end within ``timeout`` seconds."""
        process = self._process
        if process is None:
            return
        self.stop()
        if process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                logger.debug("The training process closed its input first.")
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for reader in self._readers:
            reader.join(timeout=5)
        self.poll()

    # ---------------------------------------------------------------- events

    @property
    def pid(self) -> int | None:
        """Process id while there is a process."""
        return None if self._process is None else self._process.pid

    def poll(self) -> list[Message]:
        """Take what the process has said since the last call, and follow its state; never blocks."""
        messages = self._drain()
        process = self._process
        if process is not None and process.poll() is not None and not self._reading():
            messages += self._drain()
            self._ended(process)
        return messages

    def _reading(self) -> bool:
        return any(reader.is_alive() for reader in self._readers)

    def _drain(self) -> list[Message]:
        messages: list[Message] = []
        while True:
            try:
                message = self._inbox.get_nowait()
            except queue.Empty:
                return messages
            self._follow(message)
            messages.append(message)

    def _follow(self, message: Message) -> None:
        if message.type == "started":
            self.run = str(message.data["run"])
        if message.type == "failed":
            self.error = str(message.data["text"])
            self.details = str(message.data.get("details", ""))
        state = _AFTER.get(message.type)
        if state is not None and state is not self.state and state in MOVES[self.state]:
            self._move(state)

    def _ended(self, process: subprocess.Popen[str]) -> None:
        self._process = None
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    logger.debug("A pipe of the training process was broken.")
        if self.state in TERMINAL:
            return
        if self.state is WorkerState.STOPPING:
            self._move(WorkerState.STOPPED)
            return
        self.error = crash_sentence(process.returncode)
        self.details = "\n".join(self._stderr)
        self._move(WorkerState.CRASHED)

    # ---------------------------------------------------------------- the pipes

    def _move(self, state: WorkerState) -> None:
        if state not in MOVES[self.state]:
            raise WorkerError(f"The training process cannot go from {self.state} to {state}.")
        self.state = state

    def _send(self, message: Message) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(message.to_line())
            self._process.stdin.flush()
        except (OSError, ValueError):
            logger.debug("The training process is gone; poll() will tell.")

    @staticmethod
    def _read_events(process: subprocess.Popen[str], inbox: queue.SimpleQueue[Message]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                inbox.put(Message.from_line(line))
            except WorkerError:
                logger.warning("The training process said something that was not understood: %.80r", line)

    def _read_stderr(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._stderr.append(line.rstrip("\n"))


def crash_sentence(exit_status: int) -> str:
    """What a process that ended without a word most probably died of."""
    if exit_status < 0:
        name = signal.Signals(-exit_status).name
        reason = f"it was ended by the operating system ({name})"
        if -exit_status == signal.SIGKILL:
            reason += ", most often because memory ran out"
    else:
        reason = f"it ended unexpectedly with exit status {exit_status}"
    return (
        f"The training process stopped: {reason}. Your decisions are safe; press Continue to go on from the last "
        "checkpoint."
    )


def _environment() -> dict[str, Any]:
    """The process must find the same packages as we do, and its output must not wait in a buffer."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
