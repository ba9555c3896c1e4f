"""The real training process: talking to it, pausing, killing, resuming."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src_core.errors import WorkerError
from src_core.messages import Message
from src_core.store.project import Project
from src_core.worker.client import WorkerClient, crash_sentence
from src_core.worker.states import WorkerState

pytestmark = pytest.mark.process
PATIENCE = 240


@pytest.fixture
def client():
    made = WorkerClient()
    yield made
    made.close()
    assert made.pid is None


def follow(client, until, limit=PATIENCE):
    """Poll until a condition on (client, messages so far) holds."""
    heard = []
    deadline = time.monotonic() + limit
    while not until(client, heard):
        heard += client.poll()
        assert time.monotonic() < deadline, (
            client.state,
            client.error,
            client.details,
            [m.type for m in heard][-5:],
        )
        time.sleep(0.01)
    return heard


def ended(client, _heard):
    return not client.state.alive


def first_epoch(_client, heard):
    return any(message.type == "epoch" for message in heard)


def test_train_and_score(client, make_project, tiny):
    path = make_project()
    client.start(path, tiny())
    assert client.state is WorkerState.STARTING
    with pytest.raises(WorkerError, match="running already"):
        client.start(path, tiny())
    heard = follow(client, lambda c, _h: c.state is WorkerState.RUNNING)
    assert os.getpriority(os.PRIO_PROCESS, client.pid) == 10
    session = Path(f"/proc/{client.pid}/autogroup")
    assert not session.exists() or session.read_text().endswith("nice 10\n")
    heard += follow(client, ended)
    assert client.state is WorkerState.FINISHED
    kinds = [message.type for message in heard]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert "scored" in kinds
    with Project.open(path) as project:
        assert project.run().name == client.run


def test_pause_resume_stop(client, make_project, tiny):
    client.start(make_project(), tiny(epochs=400))
    follow(client, first_epoch)
    client.pause()
    assert client.state is WorkerState.PAUSING
    follow(client, lambda c, _h: c.state is WorkerState.PAUSED)
    client.resume()
    follow(client, lambda c, _h: c.state is WorkerState.RUNNING)
    client.stop()
    follow(client, ended)
    assert client.state is WorkerState.STOPPED
    assert client.error == ""


def test_it_stands_aside_within_a_step_and_goes_on(client, make_project, tiny, monkeypatch):
    monkeypatch.setattr("src_core.worker.client.ASIDE_SECONDS", 5.0)  # however late a busy machine asks again
    client.start(make_project(), tiny(epochs=4000))
    follow(client, first_epoch)
    client.stand_aside()
    time.sleep(1)  # what was said before is read
    client.poll()
    heard, last = [], time.monotonic() + 3
    while time.monotonic() < last:
        client.stand_aside()
        time.sleep(0.05)
        heard += client.poll()
    assert [message.type for message in heard] == []
    assert client.state is WorkerState.RUNNING
    assert client.silence == ""
    follow(client, lambda _c, heard: sum(message.type == "progress" for message in heard) > 1)


def test_a_killed_process_is_said_and_can_be_continued(client, make_project, tiny):
    path = make_project()
    settings = tiny(epochs=6)
    client.start(path, settings)
    heard = follow(client, first_epoch)
    os.kill(client.pid, signal.SIGKILL)
    follow(client, ended)
    assert client.state is WorkerState.CRASHED
    assert "memory ran out" in client.error
    assert "Continue" in client.error
    done = sum(message.type == "epoch" for message in heard)
    client.start(path, settings, run=client.run, resume=True)
    heard = follow(client, ended)
    assert client.state is WorkerState.FINISHED
    first = next(message for message in heard if message.type == "started").data["first_step"]
    assert 0 < first // settings.steps_per_epoch <= done + 5
    with Project.open(path) as project:
        assert [row["epoch"] for row in project.run().history()] == [1, 2, 3, 4, 5, 6]


def test_a_failure_is_said_in_a_sentence(client, tmp_path, tiny):
    client.start(tmp_path / "nothing", tiny())
    follow(client, ended)
    assert client.state is WorkerState.FAILED
    assert "There is no project" in client.error
    assert "Traceback" in client.details


def test_it_ends_with_the_window(make_project, tiny):
    """The process ends by itself when the other end of its input goes away."""
    command = [sys.executable, "-m", "src_core.worker", str(make_project())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    import json

    settings = json.loads(tiny(epochs=1000).to_json())
    process.stdin.write(Message("start", {"settings": settings}).to_line())
    process.stdin.flush()
    for line in process.stdout:
        if Message.from_line(line).type == "epoch":
            break
    process.stdin.close()
    rest = process.stdout.read()
    assert process.wait(PATIENCE) == 0
    assert '"stopped"' in rest
    process.stdout.close()


def test_messages_go_round_and_strangers_are_refused():
    message = Message("notice", {"text": "Grüße"})
    assert Message.from_line(message.to_line()) == message
    for line in ("", "{}", '{"v": 99, "type": "progress"}', '{"v": 1, "type": "dance"}', "[1]"):
        with pytest.raises(WorkerError):
            Message.from_line(line)


def test_crash_sentences():
    assert "SIGKILL" in crash_sentence(-9)
    assert "exit status 3" in crash_sentence(3)
