"""A Dask cluster of two processes on the loopback interface scores and trains as this process does."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from src_core.cli import main
from src_core.errors import InputError, ProjectLockedError, SettingsError
from src_core.infer.score import score_run
from src_core.store.add import add_cases
from src_core.store.create import NewCase
from src_core.store.project import Project
from src_core.store.run_files import held
from src_core.store.runs import MAPS
from src_core.train import checkpoint, volume_parts
from src_core.train.control import Control
from src_core.train.run import train
from src_core.worker import cluster_part
from src_core.worker.client import WorkerClient
from src_core.worker.cluster import Cluster, connected
from src_core.worker.cluster_scoring import score_on_cluster
from src_core.worker.cluster_training import train_on_cluster
from src_core.worker.states import TERMINAL, WorkerState

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

# a cluster that is closed leaves sockets to the collector, and says of workers that were killed that they are gone
pytestmark = [pytest.mark.process, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def cluster():
    """Two workers of one thread each; killed ones come back."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as found:
        yield found


def quiet(_message):
    """Nobody listens."""


def scores_of(path, name):
    with Project.open(path) as project:
        run = project.run(name)
        found = {
            f"{case.name}.{kind}": run.read_map(case.id, kind)
            for case in project.cases
            for kind in MAPS
            if kind != "cleanlab"
        }
        held_out = {case.name: run.held_out_by(case.id) for case in project.cases}
        return run.generation, found, run.images(), run.regions(), held_out


def same_scores(before, now):
    generation, maps, *ranked = before
    again, found, *same = now
    assert same == ranked
    for key, values in maps.items():
        np.testing.assert_array_equal(found[key], values, err_msg=key)
    return again - generation


def test_scores_of_a_cluster_are_those_of_one_process_also_when_a_worker_is_lost(make_project, tiny, cluster, capsys):
    path = make_project(8, 5)
    name = train(path, None, tiny(epochs=2), listener=quiet, control=Control())
    score_run(path, name, device="cpu", threads=1, listener=quiet)
    before, address = scores_of(path, name), cluster.scheduler_address
    assert main(["score", str(path), "--dask", address]) == 0
    assert "generation 2" in capsys.readouterr().out
    assert same_scores(before, scores_of(path, name)) == 1
    assert not list((path / "runs").glob(".seen*"))
    with distributed.Client(cluster, set_as_default=False) as client:
        pids = list(client.run(os.getpid).values())
    assert len(pids) == 2

    def kill_one(message):
        if message.type == "scoring" and pids:
            os.kill(pids.pop(), signal.SIGKILL)
            pids.clear()

    assert score_on_cluster(path, name, address=address, listener=kill_one) == 3
    assert not pids
    assert same_scores(before, scores_of(path, name)) == 2
    control = Control()

    def stop(message):
        assert message.type != "scored"
        control.stop()

    assert score_on_cluster(path, name, address=address, listener=stop, control=control) == 0
    assert same_scores(before, scores_of(path, name)) == 2  # what was there stays
    heard = []
    with Project.open(path, write=True) as project:
        first = project.cases[0]
        image, given = project.read_image(first), project.read_given(first)
        added = add_cases(project, [NewCase(name=key, image=image, given=given) for key in ("new", "other")])
    assert score_on_cluster(path, name, address=address, listener=heard.append) == 4
    assert [message.data["total"] for message in heard if message.type == "scoring"] == [2, 2]
    _, maps, *_ = scores_of(path, name)
    for key, values in before[1].items():
        np.testing.assert_array_equal(maps[key], values, err_msg=key)
    assert score_run(path, name, device="cpu", threads=1, listener=quiet, everything=True) == 5
    _, again, *_ = scores_of(path, name)
    for key in (f"{case.name}.{kind}" for case in added for kind in ("trust", "proposed", "regions")):
        np.testing.assert_array_equal(maps[key], again[key], err_msg=key)


def limit_of_large_volumes(voxels):
    from src_core.train import volume_parts

    volume_parts.LARGE = voxels


def test_a_large_volume_is_scored_here_and_the_others_there(make_project, tiny, cluster, monkeypatch):
    path = make_project(3, 2)
    rng = np.random.default_rng(0)
    made = [
        NewCase(
            name=f"volume-{depth}",
            image=rng.random((depth, 20, 16)).astype(np.float32),
            given=(rng.random((depth, 20, 16)) < 0.3).astype(np.uint8),
            spacing=(2.0, 1.0, 1.0),
        )
        for depth in (4, 9, 3)
    ]
    with Project.open(path, write=True) as project:
        add_cases(project, made)
    monkeypatch.setattr(volume_parts, "LARGE", 2000)
    name = train(path, None, tiny(epochs=1), listener=quiet, control=Control())
    score_run(path, name, device="cpu", threads=1, listener=quiet)
    before, heard = scores_of(path, name), []
    with distributed.Client(cluster, set_as_default=False) as client:
        client.run(limit_of_large_volumes, 2000)
        found = score_on_cluster(path, name, address=cluster.scheduler_address, threads=1, listener=heard.append)
        client.run(limit_of_large_volumes, 2**25)
    assert found == 2
    assert same_scores(before, scores_of(path, name)) == 1
    assert [message.data["total"] for message in heard if message.type == "scoring"] == [6] * 6


def test_a_run_trained_on_a_cluster_is_the_one_trained_here_also_when_its_worker_is_lost(make_project, tiny, cluster):
    path, settings, control = make_project(), tiny(epochs=12), Control()
    here = train(path, None, settings, listener=quiet, control=Control())
    lost, told = [], []
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)

        def kill_it(message):
            told.append(message)
            if message.type == "epoch" and not lost:
                control.pause()
            if message.type == "paused" and not lost:
                lost.extend(pid for pid, training in client.run(_trains).values() if training)
                control.resume()
                os.kill(lost[0], signal.SIGKILL)

        options = {"address": cluster.scheduler_address, "listener": kill_it, "control": control}
        there = train_on_cluster(path, None, settings, **options)
    assert lost
    first, second = (message.data["first_step"] for message in told if message.type == "started")
    assert first == 0 < second  # the other one went on from a checkpoint
    assert told[-1].type == "trained"
    ours, theirs = (load_file(path / "runs" / name / checkpoint.NAME) for name in (here, there))
    for key, values in ours.items():
        np.testing.assert_array_equal(theirs[key], values, err_msg=key)


def _trains():
    return os.getpid(), cluster_part._work.locked()


def test_training_on_a_cluster_stops_when_asked_and_when_nobody_waits(make_project, tiny, cluster, monkeypatch):
    path, control = make_project(), Control()
    asked = {"settings": tiny(epochs=500), "address": cluster.scheduler_address}

    def stop(message):
        if message.type == "epoch":
            control.stop()

    name = train_on_cluster(path, None, **asked, listener=stop, control=control)
    done = checkpoint.read_header(path / "runs" / name)["epoch"]
    assert 1 <= done < 500

    def leave(message):
        if message.type == "epoch":
            raise KeyboardInterrupt

    monkeypatch.setattr(Cluster, "everywhere", lambda *_: None)  # as if we were killed and could ask nothing
    with pytest.raises(KeyboardInterrupt):
        train_on_cluster(path, name, **asked, resume=True, listener=leave, control=Control())
    wait_until_let_go(path / "runs" / name)
    assert done < checkpoint.read_header(path / "runs" / name)["epoch"] < 500


def test_the_training_process_of_the_window_trains_and_scores_elsewhere(make_project, tiny, cluster):
    path, client, heard, pause = make_project(), WorkerClient(), [], threading.Event()
    client.start(path, tiny(epochs=1), scheduler=cluster.scheduler_address)
    deadline = time.monotonic() + 150
    while client.state not in TERMINAL and time.monotonic() < deadline:
        heard += client.poll()
        pause.wait(0.1)
    assert client.state is WorkerState.FINISHED, (client.error, client.details)
    assert {"started", "progress", "trained", "scoring", "scored", "finished"} <= {message.type for message in heard}
    with Project.open(path) as project:
        assert project.run(client.run).generation == 1
    client.close()


def wait_until_let_go(run):
    deadline, pause = time.monotonic() + 120, threading.Event()
    while True:
        try:
            with held(run, "be looked at"):
                return
        except ProjectLockedError:
            assert time.monotonic() < deadline
            pause.wait(0.2)


def test_what_goes_wrong_on_a_worker_is_said_here(make_project, tiny, cluster):
    settings = tiny(device="cuda")
    with pytest.raises(SettingsError, match="'cuda' is not available"):
        train_on_cluster(
            make_project(), None, settings, address=cluster.scheduler_address, listener=quiet, control=Control()
        )


def test_a_project_that_no_worker_sees_is_refused(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(cluster_part, "SEEN", ".another-")  # as if the workers looked at another disk
    said = r"another one than yours.*disk that all machines share"
    with pytest.raises(InputError, match=said), connected(cluster.scheduler_address, tmp_path):
        pass


@pytest.mark.parametrize("address", ["nowhere", "tcp://", "127.0.0.1", "http//x:1", "host:port"])
def test_what_is_no_address_is_said(tmp_path, address):
    with pytest.raises(InputError, match="is no address of a Dask scheduler"), connected(address, tmp_path):
        pass


def test_nobody_at_the_address_is_one_sentence(make_project, capsys):
    with dask.config.set({"distributed.comm.timeouts.connect": "300ms"}):
        assert main(["train", str(make_project()), "--dask", "127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert "No Dask scheduler can be talked to at 127.0.0.1:1" in said
    assert "Traceback" not in said


def test_encryption_that_is_required_is_kept_to(tmp_path, cluster):
    required = {"distributed.comm.require-encryption": True}
    with (
        dask.config.set(required),
        pytest.raises(InputError, match="encryption required"),
        connected(cluster.scheduler_address, tmp_path),
    ):
        pass


def test_without_dask_the_sentence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"napari-metadcseg\[cluster\]"), connected("127.0.0.1:8786", tmp_path):
        pass
