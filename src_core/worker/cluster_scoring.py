"""Scoring on a Dask cluster: workers look at images, this process writes what they found."""

from __future__ import annotations

import queue
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch

from src_core.errors import InputError
from src_core.infer.collect import InParts, ScoredCase, collect
from src_core.infer.score import RunScorer, model_of
from src_core.messages import Message
from src_core.store.project import Project
from src_core.store.run_files import held
from src_core.store.score_update import ScoreUpdate, to_keep
from src_core.train import checkpoint
from src_core.train.volume_parts import is_large
from src_core.worker.cluster import Cluster, connected
from src_core.worker.cluster_part import Scoring, joined, look_part, score_part

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from distributed import Future

    from src_core.store.runs import Run
    from src_core.train.control import Control

AHEAD = 2
"""Images that each worker has in hand or before it, so that it never waits, and maps do not pile up."""

_LOOK_EVERY = 1.0


def score_on_cluster(
    project_path: str | Path,
    run_name: str | None,
    *,
    address: str,
    device: str = "auto",
    threads: int = 0,
    everything: bool = False,
    listener: Callable[[Message], None],
    control: Control | None = None,
) -> int:
    """As :func:`~src_core.infer.score.score_run`, the images spread over the workers of a cluster.

    Parameters
    ----------
    project_path, run_name, everything, listener, control
        As there.
    address : str
        Of the Dask scheduler.
    device, threads
        Of each worker; 0 threads are as many as Dask gives it.

    Returns
    -------
    int
        Generation of the scores; 0 if it was stopped.

    Raises
    ------
    InputError
        If there is no such cluster, or none of its workers sees the project.
    WorkerError
        If the cluster is lost; the scores before are still there.
    """
    with Project.open(project_path) as project, ExitStack() as stack:
        run = project.run(run_name, scored=False, trained=True)
        stack.enter_context(held(run.path, "be scored"))
        _refuse_tiles(project, run)
        folder = project.path.absolute()
        cluster = stack.enter_context(connected(address, folder))
        if cluster.notice:
            listener(Message("notice", {"text": cluster.notice}))

        made_by = model_of(run)
        kept = frozenset() if everything else to_keep(run, made_by, project.cases)
        scoring = Scoring(str(folder), run.name, cluster.token, device, threads, tuple(sorted(kept)))

        shares = max(len(cluster.workers()), 1)
        looks = [cluster.submit(look_part, scoring, at, shares, name=f"look-{at}") for at in range(shares)]
        seen = cluster.submit(joined, looks, name="seen")

        def begin(position: int) -> Future:
            return cluster.submit(score_part, scoring, position, seen, name=f"score-{position}")

        large = [case for case in project.cases if is_large(case.shape) and case.id not in kept]
        count = len(project.cases) - len(kept) - len(large)
        update, scored = ScoreUpdate(run, made_by, kept), spread(cluster, begin, count)
        here = _scored_here(project, run, update, device, threads, kept) if large else ()
        return collect(project, run, update, scored, count, listener=listener, control=control, large=here)


def _scored_here(
    project: Project, run: Run, update: ScoreUpdate, device: str, threads: int, kept: Collection[int]
) -> tuple[InParts, ...]:
    """Large volumes, whose parts follow each other, are scored by this process, after the others."""
    if threads:
        torch.set_num_threads(threads)
    return RunScorer(project, run, device=device, kept=kept).large(project, update)


def _refuse_tiles(project: Project, run: Run) -> None:
    tiling = checkpoint.working_of(checkpoint.read_header(run.path)).tiling
    large = [] if tiling is None else [case.name for case in project.cases if tiling.cuts(case)]
    if large:
        raise InputError(
            f"{large[0]} is so large that run {run.name} works on it in tiles, which are scored on one machine so far; "
            "score it without --dask."
        )


def spread(cluster: Cluster, begin: Callable[[int], Future], count: int) -> Iterator[ScoredCase]:
    """Results of pieces of work as they come, a few for each worker begun at a time.

    What a lost worker had in hand, or had done and not handed over, is done again by another one.
    """
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    begun = finished = 0
    while finished < count:
        while begun < count and begun - finished < AHEAD * max(len(cluster.workers()), 1):
            begin(begun).add_done_callback(done.put)
            begun += 1
        future = _next(cluster, done)
        yield _result(cluster, future)
        future.release()
        finished += 1


def _next(cluster: Cluster, done: queue.SimpleQueue[Future]) -> Future:
    while True:
        try:
            return done.get(timeout=_LOOK_EVERY)
        except queue.Empty:
            cluster.watch()


def _result(cluster: Cluster, future: Future) -> ScoredCase:
    while True:
        try:
            found: ScoredCase = future.result(timeout=_LOOK_EVERY)
        except TimeoutError:  # its worker was lost in between
            cluster.watch()
        else:
            return found
