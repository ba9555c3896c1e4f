"""Train one run of a project from its settings to its last checkpoint."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from filelock import Timeout

from src_core import __version__
from src_core.errors import InputError, ProjectError, ProjectLockedError, storage_errors
from src_core.messages import Message
from src_core.store.durable import put
from src_core.store.names import check_run_name
from src_core.store.project import Project
from src_core.store.run_files import run_lock
from src_core.store.runs import Run, not_trained
from src_core.train import checkpoint
from src_core.train.cases import WorkingSet
from src_core.train.device import choose_device, describe
from src_core.train.dimensions import choose_dimensions
from src_core.train.intensities import choose_intensities
from src_core.train.learner import Learner
from src_core.train.loop import Loop
from src_core.train.preview import write_previews
from src_core.train.ranks import ALONE, Ranks
from src_core.train.tiles import choose_tiling
from src_core.train.warm_start import start_from as begin_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from src_core.config import TrainingSettings
    from src_core.train.control import Control

logger = logging.getLogger(__name__)


def new_run_name(project: Project) -> str:
    """First free name of ``run-001``, ``run-002`` …."""
    taken = {name for run in project.runs() for name in run.names}
    return next(name for number in range(1, 10**6) if (name := f"run-{number:03d}") not in taken)


def train(
    project_path: str | Path,
    run_name: str | None,
    settings: TrainingSettings,
    *,
    resume: bool = False,
    start_from: str | None = None,
    listener: Callable[[Message], None],
    control: Control,
    after_epoch: Callable[[str, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> str:
    """Train and keep a checkpoint after each epoch, under ``runs/RUN/`` of the project.

    The project is only read, so that a person can go on deciding in the meantime; what they verify is taken up at
    the next epoch.

    Parameters
    ----------
    project_path : path
    run_name : str or None
        None makes a new name; with ``resume`` the newest run.
    settings : TrainingSettings
        With ``resume`` they must be those of the run, apart from epochs, threads and device.
    resume : bool
        Go on from the run's checkpoint; from the start if it ended before its first one.
    start_from : str, optional
        A finished run whose model is the start (:mod:`src_core.train.warm_start`); the settings are those of
        :func:`~src_core.train.follow_up.follow_up_settings`.
    listener : callable
        Called with every event, in this thread.
    control : Control
        Asked between steps.
    after_epoch : callable, optional
        Called with the name of the run and the epochs done, once a checkpoint is written and more epochs follow.
    ranks : Ranks, optional
        The processes that train this run together (:mod:`src_core.train.ranks`). All of them call this; the first one
        alone writes and tells.

    Returns
    -------
    str
        Name of the run.

    Raises
    ------
    MetaDCSegError
        One sentence for the person, see :mod:`src_core.errors`.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)
    ranks.check(settings)
    with Project.open(project_path) as project:
        name = str(ranks.told(resolve_name(project, run_name, resume=resume) if ranks.first else None))
        folder = project.path / "runs" / name
        source = _source(project, name, start_from, resume=resume)
        with storage_errors(folder, "Nothing was trained."):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            with run_lock(folder) if ranks.first else nullcontext():
                session = _Session(project, folder, settings, device, listener, ranks.control(control), ranks)
                session.run(resume=resume, source=source, after_epoch=after_epoch)
        except FileNotFoundError as error:
            if folder.is_dir():
                raise
            raise ProjectError(
                f"Run {name} or its project was moved or deleted while it was trained ({folder} is missing); open the "
                "project where it is now, and train again."
            ) from error
        except Timeout as error:
            raise ProjectLockedError(
                f"Run {name} is being trained by another process; wait for it, or choose another run name."
            ) from error
    return name


def resolve_name(project: Project, run_name: str | None, *, resume: bool) -> str:
    """Name of the run to train or to continue.

    Raises
    ------
    InputError
        If it exists already, or does not where it is to be continued.
    """
    imported = {run.name: run.source for run in project.runs() if run.imported}
    if run_name in imported:
        raise not_trained(run_name, imported[run_name])
    runs = [run.name for run in project.runs() if run.name not in imported]
    if run_name is None:
        if resume and not runs:
            raise InputError(f"Project {project.name} has no run to continue; train one without --resume.")
        return runs[0] if resume else new_run_name(project)
    check_run_name(run_name)
    if resume and run_name not in runs:
        raise InputError(f"There is no run {run_name!r} to continue; there are: {', '.join(runs) or 'none'}.")
    if not resume and (project.path / "runs" / run_name / checkpoint.NAME).exists():
        raise InputError(f"Run {run_name!r} exists already; continue it with --resume, or choose another name.")
    return run_name


def _source(project: Project, name: str, start_from: str | None, *, resume: bool) -> str | None:
    """The run that this one starts from; a run that is continued keeps its own."""
    if start_from is not None:
        if resume:
            raise InputError("A run is continued from its own checkpoint; leave out --from, or --resume.")
        return project.run(start_from, scored=False, trained=True).name
    before = project.run(name, scored=False).record().get("from") if resume else None
    return None if before is None else str(before["run"])


class _Session:
    """One call of :func:`train`, from reading the images to the last checkpoint."""

    def __init__(
        self,
        project: Project,
        folder: Path,
        settings: TrainingSettings,
        device: torch.device,
        listener: Callable[[Message], None],
        control: Control,
        ranks: Ranks,
    ) -> None:
        self.project = project
        self.folder = folder
        self.settings = settings
        self.device = device
        self.listener = listener
        self.control = control
        self.ranks = ranks

    def tell(self, event: str, /, **data: Any) -> None:
        if self.ranks.first:
            self.listener(Message(event, data))

    def run(self, *, resume: bool, source: str | None, after_epoch: Callable[[str, int], None] | None) -> None:
        started = time.perf_counter()
        own = resume and (self.folder / checkpoint.NAME).exists()
        origin = self.folder if own else None if source is None else self.folder.parent / source
        data = self._working_set(origin, own=own)
        self.ranks.share_labels(data)
        learner = Learner(self.settings, data, self.device, self.ranks)
        first, before = 0, None
        if own:
            first = checkpoint.load(learner, self.folder)
            before = Run(self.folder).record().get("from")
        elif source is not None:
            before = self._before(source)
            begin_from(learner, self.folder.parent / source)
        if self.ranks.first:
            self._trim_history(first)
            self._write_settings(data, before)
        self.tell(
            "started",
            run=self.folder.name,
            device=self._device(),
            epochs=self.settings.epochs,
            steps=self.settings.epochs * self.settings.steps_per_epoch,
            first_step=first * self.settings.steps_per_epoch,
        )
        loop = Loop(learner, data, self.settings, self.control, self.tell)
        for epoch in range(first, self.settings.epochs):
            row = loop.epoch(epoch)
            if not row["complete"] and self.control.stopping:
                break
            if self.ranks.first:
                self._append_history(row)
                checkpoint.save(learner, self.folder, epoch + 1)
            loop.tell_epoch(row)
            if self.control.stopping or self.control.finishing:
                break
            if not self.ranks.first:
                continue
            self.tell("previews", epoch=epoch + 1, **write_previews(learner, data.cases, self.folder))
            if after_epoch is not None and epoch + 1 < self.settings.epochs:
                after_epoch(self.folder.name, epoch + 1)
        if self.control.stopping:
            self.tell("stopped")
        else:
            self.tell("trained", seconds=time.perf_counter() - started)

    def _device(self) -> str:
        return describe(self.device) + ("" if self.ranks.alone else f", in each of {self.ranks.size} processes")

    def _working_set(self, origin: Path | None, *, own: bool) -> WorkingSet:
        """The images at working resolution, as they were in the run that this one goes on or starts from.

        Parameters
        ----------
        origin : Path or None
            Folder of that run.
        own : bool
            It is this run.
        """
        dimensions = choose_dimensions(self.settings, self.project.cases, self.device.type)
        header = None if origin is None else checkpoint.read_header(origin)
        if header is not None and (own or checkpoint.working_of(header).tiling is not None):
            return checkpoint.working_set(self.project, header)  # evidence and helpers are of these very tiles
        if header is not None and self.settings.dimensions == "auto":
            dimensions = checkpoint.dimensions_of(header)
        uncut = header is not None and self.settings.tile == "auto"
        tiling = None if uncut else choose_tiling(self.settings, self.project)
        before = None if header is None else checkpoint.working_of(header)
        # the network that is gone on from knows its scale
        intensities = choose_intensities(self.settings, self.project) if before is None else before.intensities
        return WorkingSet(
            self.project,
            self.settings.max_side,
            dimensions,
            tiling=tiling,
            intensities=intensities,
            seed=self.settings.seed,
            known=() if header is None else checkpoint.order_of(self.project, header),
            spacing=before.spacing if before is not None and before.dimensions == dimensions else None,
        )

    def _before(self, source: str) -> dict[str, Any]:
        """What run.json says of the run that this one starts from."""
        path = self.folder.parent / source
        return {"run": source, "epochs": int(checkpoint.read_header(path)["epoch"]), "generation": Run(path).generation}

    def _write_settings(self, data: WorkingSet, before: dict[str, Any] | None) -> None:
        record = {
            "run": self.folder.name,
            "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "settings": json.loads(self.settings.to_json()),
            "dimensions": data.dimensions,
            "tiling": None if data.tiling is None else data.tiling.as_mapping(),
            "intensities": None if (scale := data.intensities) is None else scale.as_mapping(),
            "project": {
                "images": len(self.project.cases),
                "classes": [info.name for info in self.project.classes],
                "version": list(self.project.version()),
            },
            "versions": {
                "napari-metadcseg": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "device": self._device(),
            **({} if before is None else {"from": before}),
        }
        with storage_errors(self.folder, "Nothing was trained."):
            put(self.folder / "run.json", json.dumps(record, indent=2))

    def _append_history(self, row: dict[str, Any]) -> None:
        path = self.folder / "history.jsonl"
        with storage_errors(path, "The checkpoint before is kept."), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _trim_history(self, epochs: int) -> None:
        """Drop rows that are newer than the checkpoint: their epochs will be trained again."""
        path = self.folder / "history.jsonl"
        if not path.exists():
            return
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # cut short by a crash
                continue
            if row.get("epoch", 0) <= epochs:
                rows.append(json.dumps(row) + "\n")
        put(path, "".join(rows))
