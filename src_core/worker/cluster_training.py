"""Training on one worker of a Dask cluster, told and asked from here."""

from __future__ import annotations

import json
import queue
from typing import TYPE_CHECKING

from src_core.messages import Message
from src_core.store.project import Project
from src_core.train.run import resolve_name
from src_core.worker import cluster_part
from src_core.worker.cluster import Cluster, connected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed import Future

    from src_core.config import TrainingSettings
    from src_core.train.control import Control

_LOOK_EVERY = 0.2


def train_on_cluster(
    project_path: str | Path,
    run_name: str | None,
    settings: TrainingSettings,
    *,
    address: str,
    resume: bool = False,
    start_from: str | None = None,
    listener: Callable[[Message], None],
    control: Control,
) -> str:
    """As :func:`~src_core.train.run.train`, on one worker of a cluster, with a GPU where workers offer the resource.

    If that worker is lost, another one goes on from the last checkpoint. If we go, it ends after the step in hand.

    Parameters
    ----------
    project_path, run_name, settings, resume, start_from, listener, control
        As there. No threads in the settings are as many as Dask gives to the worker.
    address : str
        Of the Dask scheduler.

    Returns
    -------
    str
        Name of the run.

    Raises
    ------
    InputError
        If there is no such cluster, or none of its workers sees the project.
    WorkerError
        If the cluster is lost; the last checkpoint is kept.
    """
    with Project.open(project_path) as project:
        name, folder = resolve_name(project, run_name, resume=resume), project.path.absolute()
    options = {"settings": json.loads(settings.to_json()), "resume": resume, "from": start_from}
    with connected(address, folder) as cluster:
        if cluster.notice:
            listener(Message("notice", {"text": cluster.notice}))
        heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        cluster.client.subscribe_topic(cluster.token, lambda event: heard.put(event[1]))
        gpu = any(worker["resources"].get("GPU", 0) >= 1 for worker in cluster.workers().values())
        future = cluster.submit(
            cluster_part.train_part, str(folder), name, cluster.token, options, name="train", gpu=gpu
        )
        try:
            _follow(cluster, future, heard, listener, control)
            return str(future.result())
        finally:
            if not future.done():
                cluster.everywhere(cluster_part.ask, cluster.token, "stop")
            future.release()


def _follow(
    cluster: Cluster,
    future: Future,
    heard: queue.SimpleQueue[str],
    listener: Callable[[Message], None],
    control: Control,
) -> None:
    """Hand on what is told and asked until the training has ended."""
    asked = {"pause": False, "stop": False, "finish": False}
    while True:
        ended = future.done()  # asked first: what was said before the end is heard after it
        try:
            line = heard.get(timeout=_LOOK_EVERY)
            while True:
                message = Message.from_line(line)
                if message.type == "started":  # perhaps another worker, that was not asked anything yet
                    asked = dict.fromkeys(asked, False)
                listener(message)
                line = heard.get_nowait()
        except queue.Empty:
            if ended:
                return
        for what in _changes(asked, control):
            cluster.everywhere(cluster_part.ask, cluster.token, what)
        cluster.watch()


def _changes(asked: dict[str, bool], control: Control) -> list[str]:
    """What is asked now and was not before."""
    now = {"pause": control.paused, "stop": control.stopping, "finish": control.finishing}
    found = [what if now[what] else "resume" for what in now if now[what] != asked[what]]
    asked.update(now)
    return found
