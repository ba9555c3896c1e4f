"""The runs of a project folder, and which one a name means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_core.errors import InputError
from src_core.store.run_choice import choose
from src_core.store.runs import RECORD, Run, not_trained

if TYPE_CHECKING:
    from pathlib import Path


def list_runs(project: Path) -> list[Run]:
    """Runs of a project folder, newest first."""
    folder = project / "runs"
    if not folder.is_dir():
        return []
    found = [Run(path) for path in folder.iterdir() if not path.name.startswith(".") and (path / RECORD).is_file()]
    return sorted(found, key=lambda run: (run.started, run.name), reverse=True)


def find_run(project: Path, name: str | None, *, scored: bool, trained: bool) -> Run:
    """A run of a project folder by name, or the one to take; see :meth:`~src_core.store.project.Project.run`."""
    runs = list_runs(project)
    fitting = _by_name(runs, name)
    if not fitting:
        wanted = "no run yet" if name is None else f"no run {name!r}"
        there = ", ".join(run.name for run in runs)
        hint = f"there are: {there}" if there else "train one with 'metadcseg train' or in the window"
        raise InputError(f"Project {project.stem} has {wanted}; {hint}.")
    if trained:
        imported = [run for run in fitting if run.imported]
        fitting = [run for run in fitting if not run.imported]
        if not fitting:
            raise not_trained(imported[0].name, imported[0].source)
    chosen = choose(project, fitting).run if scored and len(fitting) > 1 else fitting[0]
    if chosen is not None and scored and not chosen.has_scores:
        chosen = None
    if chosen is None:
        raise InputError(f"Run {fitting[0].name} has no scores yet; make them with 'metadcseg score {project}'.")
    return chosen


def find_model(project: Path, name: str | None) -> Run:
    """The run whose network is taken: by name, else the trained one that is reviewed with; the newest without scores.

    Raises
    ------
    InputError
        If there is none.
    """
    trained = [] if name is not None else [run for run in list_runs(project) if not run.imported]
    return choose(project, trained).run or find_run(project, name, scored=False, trained=True)


def _by_name(runs: list[Run], name: str | None) -> list[Run]:
    """All of them without a name; else the one that is called so, or was once."""
    if name is None:
        return runs
    return [run for run in runs if run.name == name] or [run for run in runs if name in run.names]
