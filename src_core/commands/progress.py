"""Progress on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from src_core.messages import Message


def bar() -> Progress:
    """A progress bar that writes to stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=False,
    )


class TrainingProgress:
    """Shows the messages of training and scoring; a context manager, and the listener itself."""

    def __init__(self) -> None:
        self._bar = bar()
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def _update(self, name: str, done: int, total: int, note: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total, note="")
        self._bar.update(self._tasks[name], completed=done, total=total, note=note)

    def _say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)

    def __call__(self, message: Message) -> None:
        """Take one message."""
        data = message.data
        if message.type == "started":
            self._say(f"Run {data['run']} on {data['device']}.")
        elif message.type == "progress":
            note = f"loss {data['loss']:.3f}, {data['stage']}, {_minutes(data['eta_seconds'])} left"
            self._update("training", data["step"], data["steps"], note)
        elif message.type == "verified":
            self._say(f"Verified pixels in use: {data['pixels']} in {data['images']} images.")
        elif message.type == "notice":
            self._say(data["text"])
        elif message.type == "scoring":
            self._update("scoring", data["done"], data["total"], "")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
