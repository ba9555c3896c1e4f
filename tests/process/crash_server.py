"""A warm process that forks children, each of which does one thing to a project and is killed at a step of choice.

Started by :class:`Server`, spoken to in lines of JSON. It imports what the children need and has no threads, so a child
costs a fork and not the start of Python.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from src_core.data.case import Box, ClassInfo
from src_core.data.scores import ImageScore, Region
from src_core.review import decisions
from src_core.store import chunks, create, durable, export, pieces
from src_core.store.add import add_cases
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.store.runs import ScoreWriter
from tests.process import steps
from tests.process.disk import Disk

ROOT = Path(__file__).parents[2]
SIDE = 24
_connect = sqlite3.connect
CLASSES = (
    ClassInfo(index=0, name="background", value=0, color="#000000"),
    ClassInfo(index=1, name="organ", value=255, color="#56B4E9"),
)


def region(case, box: Box, number: int = 1) -> Region:
    """A region that nobody found, for decisions."""
    return Region(
        id=f"{case.name}#{box.start}{box.stop}", number=number, case_id=case.id, image=case.name, kind="error",
        score=9.0, pixels=4, given=0, proposed=1, box=box, trust=0.2, uncertainty=0.1,
    )  # fmt: skip


def cases(names: str, seed: int) -> list[create.NewCase]:
    """Small images with random masks; the first has a trusted one."""
    rng = np.random.default_rng(seed)
    made = []
    for index, name in enumerate(names):
        given, clean = rng.integers(0, 2, (2, SIDE, SIDE)).astype(np.uint8)
        image = rng.integers(0, 255, (SIDE, SIDE)).astype(np.uint8)
        made.append(create.NewCase(name=name, image=image, given=given, clean=None if index else clean))
    return made


# ------------------------------------------------------------------ what a child can do


def change(project: Project, what: dict[str, Any]) -> None:
    """One change of a project, as the window makes it."""
    name = what["do"]
    if name in ("undo", "redo"):
        getattr(project, name)()
        return
    case = project.case(what["case"])
    if what.get("in_pieces"):  # this process is a child's, so nobody else sees it
        pieces.MOST, chunks._EDGES = 100, {**chunks._EDGES, 2: 8}
    if name == "verify_image":
        project.commit(decisions.verify_image(project, case))
        return
    box = Box(tuple(what["start"]), tuple(what["stop"]))
    mask, values = np.ones(box.shape, bool), np.full(box.shape, what.get("label", 1), np.uint8)
    if name == "edit":
        made = decisions.edit(project, case, box, values)
    elif name == "write":  # as edit, but also when nothing changes
        made = Change(case.id, Action.EDIT, Patch(box, values, project.read_verified(case, box)))
    elif name == "accept":
        made = decisions.accept(project, region(case, box), mask, values)
    elif name == "skip":
        made = decisions.skip(region(case, box))
    else:
        made = getattr(decisions, name)(project, region(case, box), mask)
    if made is not None:
        project.commit(made)


def work(order: dict[str, Any], say: int) -> None:
    """What the child does; a byte goes to ``say`` after each thing that is confirmed."""
    durable.BATCH = order.get("batch", durable.BATCH)
    if order.get("lie"):
        durable.sync_file = lambda _path: None
    path, what = Path(order["path"]), order["what"]
    if what == "create":
        create.build_project(path, cases("a", 1), CLASSES, author="child").close()
        os.write(say, b".")
    elif what == "add":
        with Project.open(path, write=True, author="child") as project:
            add_cases(project, cases("xy", 2))
            os.write(say, b".")
    elif what == "score":
        score(path, order["value"])
        os.write(say, b".")
    elif what == "export":
        with Project.open(path) as project:
            export.export(project, order["out"], ["cleaned", "provenance"], "npy")
        os.write(say, b".")
    else:
        with Project.open(path, write=True, author="child") as project:
            for one in order["changes"]:
                change(project, one)
                os.write(say, b".")
            if order.get("die"):
                os.kill(os.getpid(), signal.SIGKILL)


def score(path: Path, value: float) -> None:
    """Write scores whose maps, regions and images all tell ``value``."""
    run = path / "runs" / "run-001"
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text('{"started": "1", "settings": {}}', encoding="utf-8")
    writer = ScoreWriter(run, run.name)
    with Project.open(path) as project:
        for case in project.cases:
            writer.write(case.id, {"trust": np.full(case.shape, value, np.float32)})
        regions = [region(case, Box((0, 0), (2, 2)), number=int(100 * value)) for case in project.cases]
        images = [
            ImageScore(case_id=c.id, image=c.name, score=value, estimated_wrong_pixels=1.0) for c in project.cases
        ]
    writer.finish(images, regions)


# ------------------------------------------------------------------ the server


def serve() -> None:
    """Answer orders from stdin until it ends."""
    can = steps.available()
    _answer({"traces": can})
    for line in sys.stdin:
        order = json.loads(line)
        answer = order_child(order, trace=can and order.get("trace", True))
        _answer(answer)


def _answer(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def order_child(order: dict[str, Any], *, trace: bool) -> dict[str, Any]:
    reader, say = os.pipe()
    os.set_blocking(reader, False)
    kill = order.get("kill_before")
    if trace:
        disk = Disk(Path(order["folder"]), Path(order["images"]), reader) if "images" in order else None
        outcome = steps.run(
            lambda: work(order, say),
            Path(order["folder"]),
            kill_before=kill,
            before=None if disk is None else disk.before,
            synced=None if disk is None else disk.synced,
        )
        said = disk.finish() if disk is not None else _drain(reader)
    else:
        outcome = run_hooked(lambda: work(order, say), order["folder"], kill)
        said = _drain(reader)
    os.close(reader)
    os.close(say)
    return {"steps": outcome.steps, "killed": outcome.killed, "status": outcome.status, "said": said}


def _drain(reader: int) -> int:
    try:
        return len(os.read(reader, 65536))
    except BlockingIOError:
        return 0


def run_hooked(work: Any, folder: str, kill_before: int | None) -> steps.Outcome:
    """Where children may not be traced: steps are what Python itself does, and statements of SQLite."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        count = 0

        def step(*_args: object) -> None:
            nonlocal count
            count += 1
            os.write(writer, b".")
            if count == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(event: str, args: tuple[Any, ...]) -> None:
            changes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
            opens = event == "open" and isinstance(args[2], int) and args[2] & (os.O_CREAT | os.O_TRUNC)
            if (changes or opens) and str(args[0]).startswith(folder):
                step()

        def connect(*args: Any, **more: Any) -> sqlite3.Connection:
            connection = _connect(*args, **more)
            connection.set_trace_callback(step)
            return connection

        status = 91
        try:
            sys.addaudithook(hook)
            sqlite3.connect = connect
            work()
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    os.close(writer)
    taken = 0
    while part := os.read(reader, 65536):
        taken += len(part)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return steps.Outcome(taken, killed, os.waitstatus_to_exitcode(status))


class Server:
    """The other end: starts the process and gives it orders."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.process.crash_server import serve; serve()"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.kills = 0
        self.traces: bool = self._heard()["traces"]

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def __call__(self, what: str, path: Path, **order: Any) -> dict[str, Any]:
        """Have a child do something; how it ended."""
        assert self._process.stdin is not None
        order = {"what": what, "path": str(path), "folder": str(path.parent), **order}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._heard()
        assert answer["killed"] or answer["status"] == (-signal.SIGKILL if order.get("die") else 0), answer
        self.kills += answer["killed"]
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
