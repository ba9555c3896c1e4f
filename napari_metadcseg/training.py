"""Follows the training process and keeps what is to be shown of it. No Qt here."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_metadcseg.state import TrainingState
from src_core.config import preset as make_preset
from src_core.errors import InputError, MetaDCSegError
from src_core.worker.client import WorkerClient
from src_core.worker.states import WorkerState

if TYPE_CHECKING:
    from src_core.messages import Message
    from src_core.store.project import Project
    from src_core.store.runs import Run

logger = logging.getLogger(__name__)

MAX_LOSSES = 2000


class TrainingDesk:
    """The window's side of training.

    Parameters
    ----------
    client : WorkerClient, optional
        Another one for tests.

    Attributes
    ----------
    state : TrainingState
    """

    def __init__(self, client: WorkerClient | None = None) -> None:
        self._client = client or WorkerClient()
        self._project: Project | None = None
        self.state = TrainingState()

    def attach(self, project: Project) -> None:
        """Work on another project."""
        self._project = project
        self.state = TrainingState(can_continue=self._continuable() is not None)

    def _continuable(self) -> Run | None:
        """The newest run that was trained here, if it has epochs left."""
        runs = [] if self._project is None else [run for run in self._project.runs() if not run.imported]
        return runs[0] if runs and _has_epochs_left(runs[0]) else None

    # ---------------------------------------------------------------- commands

    def start(self, preset: str, **changes: Any) -> None:
        """Start a new run.

        Raises
        ------
        InputError
            If no project is open.
        WorkerError
            If training runs already.
        """
        if self._project is None:
            raise InputError("Open a project first; training needs images and masks.")
        self._client.start(self._project.path, make_preset(preset, **changes))
        self.state = TrainingState(worker=self._client.state)

    def resume_run(self) -> None:
        """Go on from the newest run's checkpoint.

        Raises
        ------
        InputError
            If there is none.
        """
        run = self._continuable()
        if run is None or self._project is None:
            raise InputError("There is no unfinished run to continue; press Train to start a new one.")
        self._client.start(self._project.path, run.settings(), run=run.name, resume=True)
        losses = tuple(row["loss"] for row in run.history() if row.get("loss") is not None)
        self.state = TrainingState(worker=self._client.state, run=run.name, losses=losses)

    def toggle_pause(self) -> None:
        """Pause, or go on."""
        if self._client.state is WorkerState.RUNNING:
            self._client.pause()
        else:
            self._client.resume()
        self._follow_client()

    def stop(self) -> None:
        """End; the last checkpoint is kept."""
        self._client.stop()
        self._follow_client()

    def finish(self) -> None:
        """End early and score."""
        self._client.finish()

    def close(self) -> None:
        """End the process, if there is one."""
        self._client.close()
        self._project = None
        self.state = TrainingState()

    # ---------------------------------------------------------------- events

    def poll(self) -> bool:
        """Take up messages; True when there are new scores."""
        messages = self._client.poll()
        for message in messages:
            self._take(message)
        if messages or self._client.state is not self.state.worker:
            self._follow_client()
        return any(message.type == "scored" for message in messages)

    def _follow_client(self) -> None:
        client = self._client
        ended = not client.state.alive
        self.state = replace(
            self.state,
            worker=client.state,
            run=client.run or self.state.run,
            error=client.error,
            details=client.details,
            can_continue=ended and self._continuable() is not None,
        )

    def _take(self, message: Message) -> None:
        data = message.data
        if message.type == "started":
            self.state = replace(
                self.state,
                run=data["run"],
                device=data["device"],
                steps=data["steps"],
                step=data["first_step"],
            )
        elif message.type == "progress":
            losses = (*self.state.losses, float(data["loss"]))[-MAX_LOSSES:]
            self.state = replace(
                self.state,
                step=data["step"],
                steps=data["steps"],
                stage=data["stage"],
                eta_seconds=float(data["eta_seconds"]),
                losses=losses,
            )
        elif message.type == "verified":
            kinds = ("pixels", "corrected", "confirmed", "background")
            pixels, corrected, confirmed, background = (int(data[kind]) for kind in kinds)
            classes = tuple(int(count) for count in data.get("classes", ()))
            kinds_of_pixels = (pixels, corrected, confirmed, background)
            self.state = replace(self.state, verified=kinds_of_pixels, verified_classes=classes)
        elif message.type == "notice":
            self.state = replace(self.state, notices=(*self.state.notices, data["text"]))
        elif message.type == "scoring":
            self.state = replace(self.state, scored=(int(data["done"]), int(data["total"])))


def _has_epochs_left(run: Run) -> bool:
    """False, too, for a run that is damaged: it must not keep a project from being opened."""
    try:
        return len(run.history()) < run.settings().epochs
    except MetaDCSegError as error:
        logger.warning("%s", error)
        return False
