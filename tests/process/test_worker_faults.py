"""Twenty random faults in the suite; ``benchmarks/worker/faults.py`` makes two hundred."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from src_core.train import checkpoint
from src_core.train.control import Control
from src_core.train.run import train
from src_core.worker.client import WorkerClient
from src_core.worker.states import WorkerState
from tests.process.crash_server import ROOT
from tests.process.test_worker_process import follow

pytestmark = pytest.mark.process


def test_twenty_faults(tmp_path):
    if not hasattr(os, "fork"):
        pytest.skip("needs signals")
    command = [sys.executable, "-m", "tests.process.faults", str(tmp_path), "--count", "20", "--seed", "1"]
    may_mount = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    if may_mount:
        command = ["unshare", "--mount", *command, "--mount"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 20
    for row in rows:
        assert row["works"], row
        assert (row["left"], row["zombies"], row["shared_memory"]) == ([], [], []), row
        assert row["slowest_poll"] < 1.0, row
        assert "Traceback" not in row["said"]


def test_a_run_killed_within_an_epoch_ends_as_one_that_was_not(make_project, tiny):
    """All tensors of the last checkpoint, and its header: weights, optimiser, teacher, helpers, evidence, judge."""
    path = make_project(8, trusted=4)
    settings = tiny(epochs=6, steps_per_epoch=4)
    client = WorkerClient()
    client.start(path, settings, run="killed")

    def within_the_fourth(_client, heard):
        return any(message.type == "progress" and message.data["step"] == 14 for message in heard)

    heard = follow(client, within_the_fourth)
    os.kill(client.pid, 9)
    follow(client, lambda c, _h: not c.state.alive)
    assert client.state is WorkerState.CRASHED
    assert not any(message.type == "epoch" and message.data["epoch"] == 6 for message in heard)
    told = []
    train(path, "killed", settings, resume=True, listener=told.append, control=Control())
    assert told[0].data["first_step"] > 0
    train(path, "whole", settings, listener=lambda _message: None, control=Control())
    killed, whole = (path / "runs" / name / checkpoint.NAME for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()
    names = checkpoint.read_header(whole.parent)
    assert names["folds"] == [[0, 1], [2, 3]]
