"""Two processes that train one run learn what one process learns, and none outlives the others."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest

from src_core.store.run_files import held
from src_core.train import checkpoint
from src_core.train.control import Control
from src_core.train.ranks import ALONE
from src_core.train.run import train as train_here
from tests.process.rank_worker import METHODS, SHORT, STEPS, train

pytestmark = pytest.mark.process

TIMEOUT = 300


@pytest.fixture
def started():
    """Function that starts a command whose processes end with the test."""
    processes = []

    def start(*command, **more):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": ""}
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, start_new_session=True, text=True, **more
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface has another name")
def test_two_ranks_learn_what_one_process_learns(make_project, started, tmp_path):
    path, meet, outs = make_project(8, 5), tmp_path / "meet", [tmp_path / "0.npz", tmp_path / "1.npz"]
    ranks = [
        started("-m", "tests.process.rank_worker", str(path), str(rank), "2", str(meet), str(out))
        for rank, out in enumerate(outs)
    ]
    alone = {
        f"{method}/{name}": value
        for method, changes in METHODS.items()
        for name, value in train(path, ALONE, **changes).items()
    }
    assert ranks[1].wait(TIMEOUT) == 9
    assert ranks[0].wait(TIMEOUT) == 0  # it noticed that the other one had died, and said so
    assert "Another process of this training ended" in outs[0].with_suffix(".npz.said").read_text(encoding="utf-8")
    found = [dict(np.load(out)) for out in outs]
    noticed = [list(one.pop("noticed")) for one in found]
    said = "Memory ran out with 2 crops at a time in each process; going on with 1 at a time, which takes longer"
    assert noticed == [[f"{said} and learns the same."] * len(SHORT)] * 2
    for name, value in list(alone.items()):
        method, _, rest = name.partition("/")
        alone |= {f"{where}/{rest}": value for where in SHORT if method == "default"}
    assert set(found[0]) == set(found[1]) == set(alone)
    for name, value in alone.items():
        np.testing.assert_allclose(found[0][name], value, rtol=0, atol=1e-8, err_msg=name)
        np.testing.assert_array_equal(found[0][name], found[1][name], err_msg=name)
    assert alone["default/steps"] == STEPS
    assert any(name.startswith("default/2.network") for name in alone)  # the helpers took part
    assert max(np.abs(alone[f"default/0.memory.{case}"]).max() for case in range(8)) > 0.5


@pytest.fixture
def torchrun_on(started, tiny, tmp_path):
    """Function that lets torchrun train a project with two ranks for very long, and waits for the first checkpoint."""

    def start(path, *more):
        settings = tmp_path / "settings.json"
        settings.write_text(json.dumps({"settings": json.loads(tiny(epochs=500).to_json())}), encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        run = "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port)
        command = "-m", "src_core", "train", str(path), "--settings", str(settings), "--run-name", "both", *more
        torchrun = started("-m", *run, *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: (path / "runs/both" / checkpoint.NAME).exists() or torchrun.poll() is not None)
        assert torchrun.poll() is None, torchrun.communicate()
        return torchrun, port

    return start


def test_torchrun_trains_one_run_and_an_interrupt_keeps_it(make_project, torchrun_on):
    path = make_project()
    torchrun, _ = torchrun_on(path)
    os.killpg(torchrun.pid, signal.SIGINT)  # as a terminal does: to torchrun and both ranks
    said = torchrun.communicate(timeout=TIMEOUT)[1]
    assert said.count("interrupted; go on with --resume --run both") == 1, said
    assert "in each of 2 processes" in json.loads((path / "runs/both/run.json").read_text(encoding="utf-8"))["device"]
    rows = [json.loads(line)["epoch"] for line in (path / "runs/both/history.jsonl").read_text().splitlines()]
    assert rows == list(range(1, len(rows) + 1))  # one of them wrote
    assert checkpoint.read_header(path / "runs/both")["epoch"] == len(rows) < 500


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("which", [0, 1])
def test_a_rank_that_is_killed_ends_all_and_the_run_goes_on(make_project, torchrun_on, tiny, which):
    path = make_project()
    torchrun, port = torchrun_on(path)
    ranks = ranks_of(torchrun.pid)
    assert sorted(ranks) == [0, 1]
    wide = {at for pid in ranks.values() for at in listening(pid) if not ip_address(at[0]).is_loopback}
    assert {number for _, number in wide} <= {port}  # torch's own, where ranks meet
    os.kill(ranks[which], signal.SIGKILL)
    said = torchrun.communicate(timeout=60)[1]
    assert torchrun.returncode
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks.values())
    ends = "Another process of this training ended", "This process was told to end, as by torchrun when another"
    assert sum(map(said.count, ends)) == 1, said
    assert "--resume" in said
    assert "unexpected" not in said
    with held(path / "runs/both", "be looked at"):
        done = checkpoint.read_header(path / "runs/both")["epoch"]
    assert done
    resumed = train_here(
        path, "both", tiny(epochs=done + 1), listener=lambda _message: None, control=Control(), resume=True
    )
    assert resumed == "both"
    rows = [json.loads(line)["epoch"] for line in (path / "runs/both/history.jsonl").read_text().splitlines()]
    assert rows == list(range(1, done + 2))


def ranks_of(parent):
    """Processes that torchrun has started, by rank."""
    found = {}
    for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        variables = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
        found |= {int(each.removeprefix(b"RANK=")): int(number) for each in variables if each.startswith(b"RANK=")}
    return found


def listening(pid):
    """Address and port of each socket at which a process waits for others."""
    psutil = pytest.importorskip("psutil")
    connections = psutil.Process(pid).net_connections("inet")
    return [tuple(found.laddr) for found in connections if found.status == psutil.CONN_LISTEN]


def wait_for(holds):
    deadline = time.monotonic() + TIMEOUT
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        pause.wait(0.1)
