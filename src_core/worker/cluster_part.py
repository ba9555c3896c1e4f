"""What runs on the workers of a Dask cluster. Light to import: torch comes with the first piece of work."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from src_core import __version__
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from src_core.infer.collect import ScoredCase
    from src_core.infer.score import RunScorer, Seen
    from src_core.messages import Message
    from src_core.train.control import Control

logger = logging.getLogger(__name__)

SEEN = ".seen-"
"""Name of a small file under ``runs/`` by which a worker tells that its disk is the one that we look at."""

_work = threading.Lock()
"""One piece of work at a time in each process: torch uses all threads of the worker for it."""

_ready: dict[str, RunScorer] = {}
_controls: dict[str, Control] = {}


def look(project: str, token: str) -> str:
    """Why this worker cannot work at a project; empty if it can.

    Parameters
    ----------
    project : str
        Its folder, as the client sees it.
    token : str
        What a file under ``runs/`` is named after.
    """
    folder = Path(project)
    if not folder.is_dir():
        return f"it has no folder {project}"
    if not (folder / "runs" / (SEEN + token)).is_file():
        return f"its folder {project} is another one than yours"
    return ""


def version() -> str:
    """Which version of this package the worker has."""
    return __version__


class Scoring(NamedTuple):
    """One scoring of a run; each worker reads the run once for it.

    Attributes
    ----------
    project, run : str
    token : str
        The next scoring has another one, and reads the run anew.
    device : str
    threads : int
        As in the settings; 0 are as many as Dask gives to the worker.
    kept : tuple of int
        Ids of images whose scores stay as they are.
    """

    project: str
    run: str
    token: str
    device: str
    threads: int
    kept: tuple[int, ...] = ()


def look_part(scoring: Scoring, share: int, shares: int) -> list[Seen]:
    """A share of what is looked at to find centers and scale."""
    with _at_work(scoring) as (_, ready):
        return ready.scorer.look(share, shares)


def joined(parts: list[list[Seen]]) -> list[Seen]:
    """All that was looked at, in order."""
    return [each for part in parts for each in part]


def score_part(scoring: Scoring, position: int, seen: list[Seen]) -> ScoredCase:
    """Score one image or volume of the project, by its place among those that are to be scored."""
    with _at_work(scoring) as (project, ready):
        if not ready.scorer.settled:
            ready.scorer.settle(seen)
        return ready.score(project, position)


@contextmanager
def _at_work(scoring: Scoring) -> Iterator[tuple[Project, RunScorer]]:
    import torch

    from src_core.infer.score import RunScorer

    with _work, Project.open(scoring.project) as project:
        torch.set_num_threads(scoring.threads or _threads())
        if scoring.token not in _ready:
            _ready.clear()
            run = project.run(scoring.run, scored=False, trained=True)
            _ready[scoring.token] = RunScorer(project, run, device=scoring.device, kept=scoring.kept)
        yield project, _ready[scoring.token]


def train_part(project: str, run: str, token: str, options: dict[str, Any]) -> str:
    """Train a run; what is told comes as events of the topic ``token``.

    Parameters
    ----------
    project : str
    run : str
        Its name is new. If there is a checkpoint of it nevertheless, another worker has begun and was lost: go on.
    token : str
    options : dict
        ``settings``, ``resume``, ``from``: as in the message ``start``.
    """
    from dataclasses import replace

    from distributed import get_worker

    from src_core.config import TrainingSettings
    from src_core.train import checkpoint
    from src_core.train.run import train

    worker, control, key = get_worker(), _control(token), get_worker().get_current_task()
    settings = TrainingSettings.from_mapping(options["settings"])
    settings = replace(settings, threads=settings.threads or _threads())
    begun = (Path(project) / "runs" / run / checkpoint.NAME).exists()

    def say(message: Message) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":  # nobody waits for it any more
            control.stop()
        worker.log_event(token, message.to_line())

    with _work:
        return train(
            project,
            run,
            settings,
            resume=begun,
            start_from=None if begun else options["from"],
            listener=say,
            control=control,
        )


def ask(token: str, what: str) -> None:
    """Pause, resume, stop or finish the training of a token, if it is this worker's."""
    if what in ("pause", "resume", "stop", "finish"):
        getattr(_control(token), what)()


def forget(token: str) -> None:
    """Free what is kept for a token."""
    _ready.pop(token, None)
    _controls.pop(token, None)


def _control(token: str) -> Control:
    from src_core.train.control import Control

    return _controls.setdefault(token, Control())


def _threads() -> int:
    from distributed import get_worker

    return int(get_worker().state.nthreads)
