"""The window is closed, or the application left, while something runs beside it: nothing is left and nothing breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from napari_metadcseg import background
from napari_metadcseg.background import Background, check
from src_core.errors import InputError
from src_core.store.journal import Action
from src_core.store.project import Project
from tests.plugin.test_controller_logic import add_scores

pytestmark = [pytest.mark.process, pytest.mark.gui]

ROOT = Path(__file__).parents[2]
MOMENTS = [
    ("score", "close"),
    ("score", "quit"),
    ("score", "end"),
    ("export", "close"),
    ("export", "quit"),
    ("export", "end"),
    ("levels", "close"),
    ("levels", "end"),
    ("mark", "close"),
    ("mark", "end"),
    ("decide", "end"),
    ("train", "close"),
]


@pytest.fixture(scope="module")
def warm():
    """A process that has imported all that a window needs."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.process.closing_window"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        yield process
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize(("work", "way"), MOMENTS)
def test_the_process_ends_well(warm, make_project, phantoms, tmp_path, work, way):
    path = make_project()
    add_scores(path, {slice_.name: slice_.truth for slice_ in phantoms})
    said, number = tmp_path / "stderr", tmp_path / "process"
    asked = {"path": str(path), "work": work, "way": way, "stderr": str(said), "process": str(number)}
    warm.stdin.write(json.dumps(asked) + "\n")
    warm.stdin.flush()
    status = warm.stdout.readline().strip()
    assert (status, said.read_text(encoding="utf-8")) == ("0", "")
    with Project.open(path, write=True) as project:  # it is free again
        marked = [project.is_wholly_verified(case) for case in project.cases[3:]]
        assert any(marked) == (work == "mark")
        accepted = [record for record in project.history() if record.action is Action.ACCEPT]
        assert len(accepted) == (work == "decide")
    left = [file for file in tmp_path.rglob("*") if "partial" in file.name or "staging" in file.name]
    assert left == []
    if work == "score":
        with pytest.raises(ProcessLookupError):
            os.kill(int(number.read_text(encoding="utf-8")), 0)


class Unheard:
    """Fails when it is told anything."""

    def __call__(self, what):
        raise AssertionError(f"told {what!r} after the end")


def test_work_is_cut_off_at_its_next_check(qapp):
    ours, begun, ended = Background(), threading.Event(), []

    def work():
        begun.set()
        try:
            while True:
                check(1, 2)
        finally:
            ended.append(True)

    ours.run(work, Unheard(), Unheard())
    assert begun.wait(30)
    ours.close()
    assert ended == [True]
    ours.close()
    ours.run(lambda: ended.append("late"), Unheard(), Unheard())
    qapp.processEvents()
    assert ended == [True]


def test_other_windows_go_on(qapp, wait_until):
    ours, theirs, go, told = Background(), Background(), threading.Event(), []
    theirs.run(lambda: go.wait(30) and check(), told.append, Unheard())
    ours.close()
    go.set()
    wait_until(lambda: told == [None])
    theirs.close()


def test_a_decision_is_finished_and_an_unwanted_project_closed(qapp, make_project):
    ours, go, told = Background(), threading.Event(), []
    opened = []

    def fails():
        go.wait(30)
        raise InputError("No.")

    def opens():
        opened.append(Project.open(make_project(), write=True))
        return opened[0], "rule"

    ours.run(lambda: go.wait(30), told.append, Unheard(), at_close=True)
    ours.run(fails, Unheard(), told.append, at_close=True)
    ours.run(opens, Unheard(), Unheard())
    threading.Timer(0.05, go.set).start()
    ours.close()
    assert told == [True, "No."]
    with Project.open(opened[0].path, write=True):
        pass


def test_what_goes_wrong_is_told_in_a_sentence(qapp, wait_until, caplog):
    ours, told = Background(), []
    ours.run(lambda: 1 / 0, Unheard(), told.append)
    wait_until(lambda: told)
    assert told == ["This failed unexpectedly: ZeroDivisionError: division by zero."]
    assert [record.name for record in caplog.records] == [background.__name__]
    caplog.clear()
    ours.close()


@pytest.fixture
def wait_until(qapp):
    """Function that lets the application live until a condition holds."""

    def wait(condition):
        idle, looks = threading.Event(), 0
        while not condition():
            qapp.processEvents()
            idle.wait(0.01)
            looks += 1
            assert looks < 3000, "waited in vain"

    return wait
