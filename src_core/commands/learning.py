"""train, score."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src_core.commands.progress import TrainingProgress, bar
from src_core.commands.signals import stopped_by_signals
from src_core.config import preset
from src_core.errors import InputError
from src_core.infer.predict import predict_folder
from src_core.infer.score import score_run
from src_core.store.project import Project
from src_core.store.run_record import read_settings
from src_core.train.autoconfig import machine_facts, project_facts, suggest
from src_core.train.control import Control
from src_core.train.follow_up import follow_up_settings
from src_core.train.joining import joined
from src_core.train.run import train

if TYPE_CHECKING:
    import argparse

    from src_core.config import TrainingSettings
    from src_core.messages import Message

INTERRUPTED = 130


def _settings(arguments: argparse.Namespace) -> TrainingSettings:
    names = ("method", "epochs", "dimensions", "tile", "seed", "device", "threads")
    changes = {name: getattr(arguments, name) for name in names}
    if arguments.start_from is not None:
        with Project.open(arguments.project) as project:
            before = project.run(arguments.start_from, scored=False, trained=True).settings()
        return follow_up_settings(before, **changes)
    if arguments.settings and (arguments.resume or arguments.preset or arguments.suggest):
        raise InputError("--settings brings all settings itself; leave out --preset, --suggest and --resume.")
    if arguments.settings:
        base = read_settings(Path(arguments.settings))
        return replace(base, **{name: value for name, value in changes.items() if value is not None})
    if not arguments.resume:
        settings = preset(arguments.preset or "standard", **changes)
        return _suggested(arguments.project, settings) if arguments.suggest else settings
    with Project.open(arguments.project) as project:
        base = project.run(arguments.run_name, scored=False, trained=True).settings()
    return replace(base, **{name: value for name, value in changes.items() if value is not None})


def _suggested(project: str, settings: TrainingSettings) -> TrainingSettings:
    with Project.open(project) as reader:
        suggestion = suggest(project_facts(reader), machine_facts(), settings)
    for choice in suggestion.choices:
        print(f"{choice.name} = {choice.value}: {choice.why}", file=sys.stderr)
    return suggestion.settings


def train_command(arguments: argparse.Namespace) -> int:
    """Train; the first Ctrl-C ends after the step in hand, the second at once."""
    settings = _settings(arguments)
    control = Control()
    if arguments.dask is not None:
        with stopped_by_signals(control), TrainingProgress() as progress:
            name = _train_elsewhere(arguments, settings, progress, control)
        return _told(name, arguments, control)
    with joined(settings.device) as ranks, stopped_by_signals(control, together=not ranks.alone):
        with TrainingProgress() if ranks.first else nullcontext(_nobody) as progress:
            name = train(
                arguments.project,
                arguments.run_name,
                settings,
                resume=arguments.resume,
                start_from=arguments.start_from,
                listener=progress,
                control=control,
                ranks=ranks,
            )
    if not ranks.first:
        return INTERRUPTED if control.stopping else 0
    return _told(name, arguments, control)


def _train_elsewhere(
    arguments: argparse.Namespace, settings: TrainingSettings, listener: TrainingProgress, control: Control
) -> str:
    from src_core.worker.cluster_training import train_on_cluster

    return train_on_cluster(
        arguments.project,
        arguments.run_name,
        settings,
        address=arguments.dask,
        resume=arguments.resume,
        start_from=arguments.start_from,
        listener=listener,
        control=control,
    )


def _told(name: str, arguments: argparse.Namespace, control: Control) -> int:
    if control.stopping:
        print(f"metadcseg: interrupted; go on with --resume --run {name}.", file=sys.stderr)
        return INTERRUPTED
    print(name)
    print(f"Next: metadcseg score {arguments.project} --run {name}", file=sys.stderr)
    return 0


def _nobody(_message: Message) -> None:
    """Nobody listens to what the first of several processes tells already."""


def score_command(arguments: argparse.Namespace) -> int:
    """Score a run, here or on a cluster."""
    options = {"device": arguments.device, "threads": arguments.threads, "everything": arguments.everything}
    with TrainingProgress() as progress:
        if arguments.dask is None:
            generation = score_run(arguments.project, arguments.run_name, **options, listener=progress)
        else:
            from src_core.worker.cluster_scoring import score_on_cluster

            where = {"address": arguments.dask, **options}
            generation = score_on_cluster(arguments.project, arguments.run_name, **where, listener=progress)
    print(f"Scores of generation {generation} are complete.")
    return 0


def predict_command(arguments: argparse.Namespace) -> int:
    """Predict new images."""
    with bar() as progress:
        task = progress.add_task("predicting", total=None, note="")
        written = predict_folder(
            arguments.project,
            Path(arguments.images),
            Path(arguments.directory),
            run_name=arguments.run_name,
            device=arguments.device,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(f"Wrote {len(written)} masks to {arguments.directory}")
    return 0
