"""kill -9 at every step of everything that writes: what was confirmed is there, and nothing else."""

from __future__ import annotations

import shutil
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest

from src_core.store.create import build_project
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.process.crash_server import CLASSES, SIDE, cases, score

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

HISTORY = [
    {"do": "write", "case": "a", "start": [0, 0], "stop": [20, 5], "label": 1},
    {"do": "accept", "case": "b", "start": [1, 1], "stop": [7, 7]},
    {"do": "skip", "case": "b", "start": [8, 8], "stop": [9, 9]},
    {"do": "write", "case": "b", "start": [4, 4], "stop": [12, 12], "label": 0},
    {"do": "undo"},
]
STROKE = {"do": "write", "case": "b", "start": [2, 3], "stop": [9, 12], "label": 1}
CHANGES = {
    "commit": [{"do": "accept", "case": "b", "start": [2, 3], "stop": [9, 12]}],
    "undo": [{"do": "undo"}],
    "redo": [{"do": "redo"}],
    "stroke and confirm": [STROKE, {"do": "confirm", "case": "b", "start": [0, 0], "stop": [3, 3]}],
    "verify image": [{"do": "verify_image", "case": "b"}],
    "verify image in pieces": [{"do": "verify_image", "case": "b", "in_pieces": True}, {"do": "undo"}, {"do": "redo"}],
    "open and close": [],
}


@pytest.fixture
def template(quick_folder, server):
    """A project with some history whose session was killed when all of it was confirmed."""
    path = quick_folder / "template" / "p.metadcseg"
    build_project(path, cases("ab", 0), CLASSES).close()
    assert server("change", path, changes=HISTORY, die=True)["said"] == len(HISTORY)
    return path


def state(path: Path, *, write: bool) -> tuple:
    """All that a project tells; it must be whole."""
    with Project.open(path, write=write) as project:
        assert problems_of(project) == []
        masks = [plane.tobytes() for case in project.cases for plane in project.read_labels(case)]
        rows = [(row.id, row.action, row.target) for row in project.history()]
        return masks, rows, project.decisions(), project._ledger.stacks(), project.verified_counts()


def copied(template: Path, name: str) -> Path:
    folder = template.parents[1] / name
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(template.parent, folder) / template.name


def killed_at_every_step(server, start, what, **order):
    """Path and outcome of each kill, and at last of the run that was not killed; ``start`` gives a fresh path."""
    for step in count(1):
        path = start()
        ended = server(what, path, kill_before=step, **order)
        yield path, ended
        if not ended["killed"]:
            assert step > 10
            return


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_killed_at_every_step(server, template, changes):
    states = [state(copied(template, "0"), write=True)]
    for number in range(1, len(changes) + 1):
        path = copied(template, str(number))
        server("change", path, changes=changes[:number])
        states.append(state(path, write=False))
    assert len({repr(found) for found in states}) == len(states)
    for path, ended in killed_at_every_step(server, lambda: copied(template, "work"), "change", changes=changes):
        for write in (False, True):  # who only reads sees it at once, before anything is repeated
            found = state(path, write=write)
            assert found in states[ended["said"] : ended["said"] + 2]
    assert found == states[-1]


def test_a_change_killed_at_every_step_where_children_cannot_be_traced(server, template):
    """Then the steps are those of Python and the statements of SQLite: fewer, and none of them skipped."""
    change = CHANGES["stroke and confirm"]
    before = state(copied(template, "0"), write=True)
    kills = 0
    for path, ended in killed_at_every_step(
        server, lambda: copied(template, "work"), "change", changes=change, trace=False
    ):
        found = state(path, write=True)
        rows = len(found[1]) - len(before[1])
        assert ended["said"] <= rows <= ended["said"] + 1
        kills += ended["killed"]
    assert rows == len(change)
    assert kills > 30


def test_making_a_project_killed_at_every_step(server, quick_folder):
    path = quick_folder / "work" / "p.metadcseg"
    path.parent.mkdir()

    def start():
        shutil.rmtree(path, ignore_errors=True)
        return path

    for _, ended in killed_at_every_step(server, start, "create"):
        if path.exists():
            assert len(state(path, write=True)[1]) == 1
        assert path.exists() or not ended["said"]
    # what the killed ones left beside it went with the next
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def test_adding_images_killed_at_every_step(server, template):
    """The project is as it was, or has all of them; what was done before can still be turned back."""
    before = state(copied(template, "0"), write=True)
    sizes = set()
    for path, ended in killed_at_every_step(server, lambda: copied(template, "work"), "add"):
        with Project.open(path) as project:  # who only reads sees the one or the other, too
            count = len(project.cases)
        found = state(path, write=True)
        assert count in ((4,) if ended["said"] else (2, 4))
        rows = [row[1] for row in found[1]]
        if count == 2:
            assert found == before
        else:
            assert rows[:3] == ["import", "add", "add"]
            assert found[1][3:] == before[1]
            assert found[3] == before[3]  # undo and redo
            assert found[0][: len(before[0])] == before[0]
        left = {folder.name for folder in (path / "arrays.zarr/cases").iterdir() if folder.is_dir()}
        assert left == {f"{number:06d}" for number in range(count)}
        assert not [each for each in path.iterdir() if each.name.startswith("adding")]
        if count not in sizes:
            with Project.open(path, write=True) as project:
                assert project.undo() is not None
                assert problems_of(project) == []
        sizes.add(count)
    assert sizes == {2, 4}


def test_an_export_killed_at_every_step(server, template):
    out = template.parents[1] / "out"
    told = {file.relative_to(out): file.read_bytes() for file in exported(server, template, out)}
    assert len(told) == 4
    files = {}
    for _, _ended in killed_at_every_step(
        server, lambda: template, "export", out=str(out), folder=str(template.parents[1])
    ):
        files = {file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()}
        shown = {place: content for place, content in files.items() if not any(x.startswith(".") for x in place.parts)}
        assert shown.items() <= told.items()
        if len(shown) % 2:  # sometimes the next one finds files in place, sometimes it does not
            shutil.rmtree(out)
    assert files == told


def exported(server, path, out):
    shutil.rmtree(out, ignore_errors=True)
    with Project.open(path) as project:
        written = export(project, out, ["cleaned", "provenance"], "npy")
    files = [file for file in out.rglob("*") if file.is_file()]
    assert sorted(files) == sorted(written)
    shutil.rmtree(out)
    server("export", path, out=str(out))
    return [file for file in out.rglob("*") if file.is_file()]


def test_scores_killed_at_every_step(server, template):
    score(template, 0.25)
    for path, ended in killed_at_every_step(server, lambda: copied(template, "work"), "score", value=0.75):
        with Project.open(path) as project:
            run = project.run()
            (value,) = {float(image.score) for image in run.images()}
            assert value in ((0.75,) if ended["said"] else (0.25, 0.75))
            for case in project.cases:  # maps, regions and images are of one and the same scoring
                assert (run.read_map(case.id, "trust") == np.full((SIDE, SIDE), value, np.float32)).all()
            assert {region.number for region in run.regions()} == {int(100 * value)}
            assert run.generation == (1 if value == 0.25 else 2)
        score(path, 0.5)  # and the next scoring finds its way
        with Project.open(path) as project:
            assert (project.run().read_map(0, "trust") == np.float32(0.5)).all()
            assert project.run().images()[0].score == 0.5
        assert {left.name for left in (path / "runs" / "run-001").iterdir()} == {
            "run.json",
            "scores.zarr",
            "ranking.json",
        }
