"""Follows the training process and keeps what is to be shown of it. No Qt here."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_metadcseg.state import Preview, TrainingState
from src_core.config import preset as make_preset
from src_core.errors import InputError, MetaDCSegError
from src_core.train.follow_up import follow_up_settings
from src_core.worker.client import WorkerClient
from src_core.worker.mailbox import find_kept
from src_core.worker.probe import DeviceInfo, Probe
from src_core.worker.states import WorkerState

if TYPE_CHECKING:
    from src_core.config import TrainingSettings
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
        self._probe = Probe()
        self._losses: list[tuple[int, float]] = []
        self.state = TrainingState()

    def attach(self, project: Project) -> None:
        """Work on another project; a run that went on without a window is taken up."""
        self._project = project
        self._begin()
        folder = find_kept(run.path for run in project.runs())
        if folder is not None:
            self._client.attach(folder)
            self._begin()
        self._follow_client()

    def look_for_devices(self) -> None:
        """Ask a process of its own what there is to train on; :meth:`poll` brings the answer."""
        self._probe.start()

    # ---------------------------------------------------------------- runs

    def _trained(self) -> Run | None:
        """The newest run that was trained here."""
        runs = [] if self._project is None else [run for run in self._project.runs() if not run.imported]
        return runs[0] if runs else None

    def _continuable(self) -> Run | None:
        """The newest run that was trained here, if it has epochs left."""
        run = self._trained()
        return run if run is not None and _has_epochs_left(run) else None

    def _finished(self) -> Run | None:
        """The newest run that was trained here, if it has a model to go on from."""
        run = self._trained()
        return run if run is not None and (run.has_scores or _is_complete(run)) else None

    # ---------------------------------------------------------------- commands

    def start(self, preset: str, *, place: DeviceInfo | None = None, **changes: Any) -> None:
        """Start a new run.

        Parameters
        ----------
        preset : str
        place : DeviceInfo, optional
            Where to train; one of ``state.devices``.
        **changes
            Settings other than those of the preset.

        Raises
        ------
        InputError
            If no project is open.
        WorkerError
            If training runs already.
        """
        if self._project is None:
            raise InputError("Open a project first; training needs images and masks.")
        if place is not None:
            changes["device"] = place.device
        self._start(make_preset(preset, **changes), place)

    def train_on(self, *, place: DeviceInfo | None = None) -> None:
        """Start a run from the model of the newest finished one, with what was verified since.

        Raises
        ------
        InputError
            If there is none.
        """
        run = self._finished()
        if run is None:
            raise InputError("There is no finished run to train on from; press Train to start a new one.")
        device = None if place is None else place.device
        self._start(follow_up_settings(run.settings(), device=device), place, start_from=run.name)

    def resume_run(self) -> None:
        """Go on from the newest run's checkpoint.

        Raises
        ------
        InputError
            If there is none.
        """
        run = self._continuable()
        if run is None:
            raise InputError("There is no unfinished run to continue; press Train to start a new one.")
        settings = run.settings()
        self._start(settings, None, run=run.name, resume=True)
        told = [(row["epoch"] * settings.steps_per_epoch, row) for row in run.history()]
        self._losses = [(step, row["loss"]) for step, row in told if row.get("loss") is not None]
        dice = tuple((step, row["val_dice"]) for step, row in told if row.get("val_dice") is not None)
        self.state = replace(self.state, run=run.name, losses=tuple(self._losses), dice=dice)

    def _start(self, settings: TrainingSettings, place: DeviceInfo | None, **how: Any) -> None:
        assert self._project is not None
        scheduler = None if place is None else place.scheduler
        if scheduler == "":
            raise InputError("Type the address of the Dask scheduler, HOST:PORT as it prints it, then try again.")
        if scheduler is not None:
            how["scheduler"] = scheduler
        environment = None if place is None else place.environment
        self._client.start(self._project.path, settings, environment=environment, **how)
        self._begin()

    def _begin(self) -> None:
        self._losses = []
        kept = self._client.kept
        self.state = TrainingState(worker=self._client.state, kept=kept, devices=self._probe.found)

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

    def end(self) -> None:
        """End at once, without waiting for the step in hand."""
        self._client.end()
        self._follow_client()

    def finish(self) -> None:
        """End early and score."""
        self._client.finish()
        self._follow_client()

    def keep(self, on: bool) -> None:
        """Let training go on when the window is closed, or not."""
        self._client.keep(on)
        self.state = replace(self.state, kept=on)

    def stand_aside(self) -> None:
        """Ask training to let the window go first for a moment."""
        self._client.stand_aside()

    def close(self) -> None:
        """Hang up: the process ends, or goes on if it was asked to. Does not wait."""
        self._client.close()
        self._probe.close()
        self._project = None
        self._begin()

    # ---------------------------------------------------------------- events

    def poll(self) -> bool:
        """Take up messages; True when there are new scores."""
        messages = self._client.poll()
        for message in messages:
            self._take(message)
        if self._probe.poll():
            self.state = replace(self.state, devices=self._probe.found)
        client = self._client
        if messages or client.state is not self.state.worker or client.silence != self.state.silence:
            self._follow_client()
        return any(message.type == "scored" for message in messages)

    def _follow_client(self) -> None:
        client = self._client
        ended = not client.state.alive
        continuable, finished = (self._continuable(), self._finished()) if ended else (None, None)
        self.state = replace(
            self.state,
            worker=client.state,
            run=client.run or self.state.run,
            error=client.error,
            details=client.details,
            silence=client.silence,
            kept=client.kept,
            losses=tuple(self._losses),
            can_continue=continuable is not None,
            can_train_on=finished is not None,
        )

    def _take(self, message: Message) -> None:
        take = getattr(self, f"_take_{message.type}", None)
        if take is not None:
            self.state = replace(self.state, **take(message.data))

    def _take_started(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"run": data["run"], "device": data["device"], "steps": data["steps"], "step": data["first_step"]}

    def _take_progress(self, data: dict[str, Any]) -> dict[str, Any]:
        self._losses.append((int(data["step"]), float(data["loss"])))
        if len(self._losses) > MAX_LOSSES:
            del self._losses[::2]
        figures = {name: data[name] for name in ("step", "steps", "stage")}
        return {**figures, "eta_seconds": float(data["eta_seconds"]), "scored": None}

    def _take_epoch(self, data: dict[str, Any]) -> dict[str, Any]:
        dice, step = data.get("val_dice"), data.get("step")
        return {} if dice is None or step is None else {"dice": (*self.state.dice, (int(step), float(dice)))}

    def _take_verified(self, data: dict[str, Any]) -> dict[str, Any]:
        kinds = ("pixels", "corrected", "confirmed", "background")
        classes = tuple(int(count) for count in data.get("classes", ()))
        return {"verified": tuple(int(data[kind]) for kind in kinds), "verified_classes": classes}

    def _take_notice(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"notices": (*self.state.notices, data["text"])}

    def _take_scoring(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"scored": (int(data["done"]), int(data["total"]))}

    def _take_scored(self, _data: dict[str, Any]) -> dict[str, Any]:
        return {"looks": self.state.looks + 1}

    def _take_previews(self, data: dict[str, Any]) -> dict[str, Any]:
        shares, now = self.state.doubted, data.get("doubted")
        if now is not None:
            shares = (*shares[:1], float(now))
        if self._project is None:
            return {"doubted": shares}
        folder = self._project.path / "runs" / (self._client.run or self.state.run) / "previews"
        previews = tuple(
            Preview(case_id=one["case"], path=folder / one["file"], epoch=data["epoch"], doubted=one["doubted"])
            for one in data["images"]
            if self._has(one["case"])
        )
        return {"doubted": shares, "previews": previews}

    def _has(self, case_id: int) -> bool:
        assert self._project is not None
        try:
            self._project.case(case_id)
        except MetaDCSegError:
            return False
        return True


def _epochs(run: Run) -> tuple[int, int]:
    """Epochs that are done and wanted; none of none for a run that is damaged: a project must open all the same."""
    try:
        return len(run.history()), run.settings().epochs
    except MetaDCSegError as error:
        logger.warning("%s", error)
        return 0, 0


def _has_epochs_left(run: Run) -> bool:
    done, wanted = _epochs(run)
    return done < wanted


def _is_complete(run: Run) -> bool:
    done, wanted = _epochs(run)
    return 0 < wanted <= done
