"""The table of states: every state with every request and message, in the table, in the client and in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from src_core.config import preset
from src_core.errors import WorkerError
from src_core.messages import Message
from src_core.worker.client import IDLE_AFTER, SILENT_AFTER, STARTING_TAKES, WorkerClient
from src_core.worker.states import ASKED, HEARD, MOVES, TERMINAL, WorkerState, after, drawn

DOCS = Path(__file__).parents[2] / "docs" / "training.md"
S = WorkerState

BY_HAND = {
    S.IDLE: {"start": "starting", "attach": "starting"},
    S.STARTING: {
        "finish": "starting", "stop": "stopping", "end": "stopping", "started": "running",
        "finished": "finished", "stopped": "stopped", "failed": "failed", "gone": "crashed",
    },
    S.RUNNING: {
        "pause": "pausing", "finish": "running", "stop": "stopping", "end": "stopping", "paused": "paused",
        "finished": "finished", "stopped": "stopped", "failed": "failed", "gone": "crashed",
    },
    S.PAUSING: {
        "resume": "running", "finish": "running", "stop": "stopping", "end": "stopping", "paused": "paused",
        "finished": "finished", "stopped": "stopped", "failed": "failed", "gone": "crashed",
    },
    S.PAUSED: {
        "resume": "paused", "finish": "paused", "stop": "stopping", "end": "stopping", "resumed": "running",
        "finished": "finished", "stopped": "stopped", "failed": "failed", "gone": "crashed",
    },
    S.STOPPING: {
        "end": "stopping", "finished": "finished", "stopped": "stopped", "failed": "failed", "gone": "stopped",
    },
    S.STOPPED: {"start": "starting", "attach": "starting"},
    S.FINISHED: {"start": "starting", "attach": "starting"},
    S.FAILED: {"start": "starting", "attach": "starting"},
    S.CRASHED: {"start": "starting", "attach": "starting"},
}  # fmt: skip
EVERY = [(state, what) for state in S for what in (*ASKED, *HEARD)]

DATA = {
    "started": {"run": "run-007", "device": "CPU", "steps": 4, "first_step": 0},
    "failed": {"text": "It failed.", "details": "Traceback"},
}


class FakeLine:
    """A connection whose other end is the test."""

    pid = 4711

    def __init__(self):
        self.sent, self.said, self.silent, self.gone, self.killed, self.left = [], [], 0.0, False, False, None

    def send(self, message):
        self.sent.append(message.type)

    def receive(self):
        said, self.said = self.said, []
        return said

    def silent_seconds(self):
        return self.silent

    def ended(self):
        return self.gone

    def exit_status(self):
        return -9

    def kill(self):
        self.killed = True

    def last_words(self):
        return "last words"

    def let_go(self, *, keep):
        self.left = keep


def client_in(state, monkeypatch):
    line = FakeLine()
    monkeypatch.setattr("src_core.worker.client.PipeLine", lambda *_: line)
    monkeypatch.setattr("src_core.worker.client.FileLine", lambda *_: line)
    client = WorkerClient()
    client.state = state
    client._line = line if state.alive else None
    return client, line


@pytest.mark.parametrize(("state", "what"), EVERY)
def test_every_state_with_everything(state, what, monkeypatch):
    expected = BY_HAND[state].get(what)
    assert (after(state, what) or None) == expected
    client, line = client_in(state, monkeypatch)
    if what in ("start", "attach"):
        act = (lambda: client.start("p", preset("quick"))) if what == "start" else (lambda: client.attach(Path("r")))
        if expected is None:
            with pytest.raises(WorkerError, match="running already"):
                act()
        else:
            act()
    elif what in ASKED:
        getattr(client, what)()
        asked = line.killed if what == "end" else what in line.sent
        assert asked == (expected is not None)  # what the table does not know is not passed on
    elif what == "gone":
        line.gone = True
        client.poll()
    else:
        line.said = [Message(what, DATA.get(what, {}))]
        client.poll()
    assert client.state == (expected or state)
    assert bool(client.error) == (expected in ("failed", "crashed"))
    assert bool(client.details) == (expected in ("failed", "crashed"))
    if what == "started" and expected:
        assert client.run == "run-007"


def test_the_table_is_whole():
    assert set(MOVES) == set(WorkerState)
    assert {what for moves in MOVES.values() for what in moves} == {*ASKED, *HEARD}
    for state in WorkerState:
        assert state.alive == (state not in TERMINAL and state is not S.IDLE)
        if state.alive:  # every live process can be ended, and its end is always understood
            assert {"end", "finished", "stopped", "failed", "gone"} <= set(MOVES[state])
            assert {"start", "attach"}.isdisjoint(MOVES[state])
    reached, front = {S.IDLE}, {S.IDLE}
    while front:
        front = {after for state in front for after in MOVES[state].values()} - reached
        reached |= front
    assert reached == set(WorkerState)


def test_the_docs_show_the_table():
    """Make it anew with: python -c 'from src_core.worker.states import drawn; print(drawn())'."""
    assert drawn() in DOCS.read_text(encoding="utf-8")


# ------------------------------------------------------------------ silence


def test_silence_is_said_and_taken_back(monkeypatch):
    client, line = client_in(S.RUNNING, monkeypatch)
    line.silent = SILENT_AFTER - 0.1
    client.poll()
    assert client.silence == ""
    line.silent = SILENT_AFTER + 4
    client.poll()
    assert "has not answered for 10 seconds" in client.silence
    assert "Wait, or press End now" in client.silence
    assert client.state is S.RUNNING
    line.silent, line.said = 0.0, [Message("alive", {"idle_seconds": 0.2, "paused": False})]
    assert client.poll() == []  # a heartbeat is no news
    assert client.silence == ""


def test_a_process_that_answers_but_does_nothing(monkeypatch):
    client, line = client_in(S.RUNNING, monkeypatch)
    line.said = [Message("alive", {"idle_seconds": IDLE_AFTER + 60, "paused": False})]
    client.poll()
    assert "has done nothing for 3 minutes" in client.silence
    line.said = [Message("notice", {"text": "Here I am."})]
    client.poll()
    assert client.silence == ""
    client.state, line.said = S.PAUSED, [Message("alive", {"idle_seconds": 9999.0, "paused": True})]
    client.poll()
    assert client.silence == ""  # who pauses may do nothing


def test_a_slow_start_is_no_silence(monkeypatch):
    client, line = client_in(S.STARTING, monkeypatch)
    line.silent = STARTING_TAKES - 1
    client.poll()
    assert client.silence == ""
    line.silent = STARTING_TAKES + 1
    client.poll()
    assert client.silence


@pytest.mark.parametrize("kept", [False, True])
def test_hanging_up(kept, monkeypatch):
    client, line = client_in(S.RUNNING, monkeypatch)
    client.kept = kept
    client.close()
    assert line.left is kept
    assert ("stop" in line.sent) != kept
    assert (client.pid, client.state, client.kept) == (None, S.IDLE, False)
    client.close()


# ------------------------------------------------------------------ messages


@pytest.mark.parametrize(
    "line",
    ["", "{}", "[1]", "null", '{"v": 99, "type": "progress"}', '{"v": 1, "type": "dance"}', '{"v": 1, "type": []}',
     '{"v": 1, "type": "progress", "step": 3}', '{"v": 1, "type": "failed"}', '{"v": 1, "type": "started", "run"',
     "[" * 100_000],
)  # fmt: skip
def test_strange_lines_are_refused(line):
    with pytest.raises(WorkerError):
        Message.from_line(line)
