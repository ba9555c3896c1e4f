"""A training process whose window stops listening, goes, is killed, or comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from src_core.errors import WorkerError
from src_core.messages import Message
from src_core.store.project import Project
from src_core.worker import client as client_module
from src_core.worker.client import WorkerClient
from src_core.worker.mailbox import ASKED, RECORD, FileLine, find_kept, is_alive
from src_core.worker.states import WorkerState
from tests.process.test_worker_process import ended, first_epoch, follow

pytestmark = pytest.mark.process
PATIENCE = 240


@pytest.fixture
def client():
    made = WorkerClient()
    yield made
    made.kept = False
    made.close()
    for thread in threading.enumerate():
        if thread.name.startswith("metadcseg-end-"):
            thread.join(PATIENCE)


def gone(pid):
    """True when there is no such process, not even as a zombie."""
    return not psutil.pid_exists(pid)


def wait_until(condition, limit=PATIENCE):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_stopped_process_is_noticed_and_can_be_ended(client, make_project, tiny, monkeypatch):
    monkeypatch.setattr(client_module, "SILENT_AFTER", 4.0)
    client.start(make_project(), tiny(epochs=10_000))
    follow(client, first_epoch)
    pid = client.pid
    os.kill(pid, signal.SIGSTOP)
    follow(client, lambda c, _h: c.silence)
    assert "has not answered" in client.silence
    assert client.state is WorkerState.RUNNING
    os.kill(pid, signal.SIGCONT)
    follow(client, lambda c, _h: not c.silence)
    os.kill(pid, signal.SIGSTOP)
    client.end()
    follow(client, ended)
    assert client.state is WorkerState.STOPPED
    assert client.error == ""
    assert gone(pid)


def test_hanging_up_waits_for_nothing_and_leaves_nothing(client, make_project, tiny, monkeypatch):
    """Not even a process that is stopped and hears nothing."""
    monkeypatch.setattr("src_core.worker.line.GRACE", 1.0)
    client.start(make_project(), tiny(epochs=10_000))
    follow(client, first_epoch)
    pid = client.pid
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 0.5
    assert client.state is WorkerState.IDLE
    wait_until(lambda: gone(pid))


def test_a_kept_run_goes_on_and_is_taken_up(client, make_project, tiny):
    path = make_project()
    client.start(path, tiny(epochs=10_000))
    follow(client, first_epoch)
    with pytest.raises(WorkerError, match="running already"):
        client.attach(path)
    pid, run = client.pid, client.run
    client.keep(True)
    client.close()
    with Project.open(path) as project:
        folder = find_kept(found.path for found in project.runs())
    assert folder == path / "runs" / run
    other = WorkerClient()
    other.attach(folder)
    assert other.pid == pid
    heard = follow(other, lambda c, h: c.state is WorkerState.RUNNING and first_epoch(c, h))
    assert heard[0].type == "started"  # all that it has said is heard again
    steps = sum(message.type == "progress" for message in heard)
    follow(other, lambda _c, h: sum(m.type == "progress" for m in h) > 4)  # and it goes on
    assert steps
    other.pause()
    follow(other, lambda c, _h: c.state is WorkerState.PAUSED)
    other.resume()
    follow(other, lambda c, _h: c.state is WorkerState.RUNNING)
    os.kill(pid, signal.SIGKILL)
    follow(other, ended)
    assert other.state is WorkerState.CRASHED
    assert "ended unexpectedly" in other.error
    assert "press Continue" in other.error
    wait_until(lambda: gone(pid))
    assert find_kept([folder]) is None
    assert not is_alive(folder)
    with pytest.raises(WorkerError, match="press Continue"):
        FileLine(folder)


WINDOW = """
import json, os, sys, time
from src_core.config import TrainingSettings
from src_core.worker.client import WorkerClient
client = WorkerClient()
client.start(sys.argv[1], TrainingSettings.from_mapping(json.loads(sys.argv[2])))
client.keep(sys.argv[3] == "keep")
told = False
while True:
    for message in client.poll():
        if message.type == "epoch" and not told:
            print(client.pid, client.run, flush=True)
            told = True
    time.sleep(0.02)
"""


@pytest.mark.parametrize("how", ["keep", "stopped"])
def test_a_window_that_is_killed(make_project, tiny, how):
    """Training ends with it, also when it was stopped and heard nothing, unless it was to be kept."""
    path, settings = make_project(), tiny(epochs=10_000).to_json()
    window = subprocess.Popen(
        [sys.executable, "-c", WINDOW, str(path), settings, how], stdout=subprocess.PIPE, text=True
    )
    pid, run = window.stdout.readline().split()
    if how == "stopped":
        os.kill(int(pid), signal.SIGSTOP)
    window.kill()
    window.wait()
    window.stdout.close()
    folder = path / "runs" / run
    if how != "keep":
        wait_until(lambda: gone(int(pid)))
        assert not is_alive(folder)
        return
    told = (folder / "messages.jsonl").stat().st_size
    wait_until(lambda: (folder / "messages.jsonl").stat().st_size > told + 2000)
    with (folder / ASKED).open("a", encoding="utf-8") as file:
        file.write("nonsense\n" + Message("stop").to_line())
    wait_until(lambda: gone(int(pid)))
    said = [json.loads(line)["type"] for line in (folder / "messages.jsonl").read_text().splitlines()]
    assert said[-1] == "stopped"


def test_a_record_of_a_process_that_is_no_more_misleads_nobody(tmp_path):
    (tmp_path / RECORD).write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere"}), encoding="utf-8")
    assert find_kept([tmp_path]) is None
    for words in ("", "{}", '{"pid": "x", "host": 3}', "[]"):
        (tmp_path / RECORD).write_text(words, encoding="utf-8")
        assert find_kept([tmp_path]) is None


def test_a_line_that_is_not_finished_waits_for_its_end(tmp_path):
    from src_core.worker.mailbox import _Follower

    path = tmp_path / "messages.jsonl"
    follower = _Follower(path)
    assert follower.read() == []
    line = Message("notice", {"text": "Grüße"}).to_line().encode()
    path.write_bytes(line + line[:20])
    assert len(follower.read()) == 1
    assert follower.read() == []
    with path.open("ab") as file:
        file.write(line[20:] + b"rubbish\n" + line)
    assert [message.data["text"] for message in follower.read()] == ["Grüße", "Grüße"]
