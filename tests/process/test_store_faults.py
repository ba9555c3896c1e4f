"""Full and read-only disks, folders that vanish, damaged files: one sentence each, and nothing confirmed is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src_core.data.case import Box
from src_core.errors import MetaDCSegError, ProjectDamagedError, ProjectError
from src_core.store.create import build_project
from src_core.store.export import export
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.process.crash_server import CLASSES, ROOT, cases

pytestmark = pytest.mark.process

BOX = Box((2, 3), (9, 12))


def stroke(project, value=1, box=BOX):
    values = np.full(box.shape, value, np.uint8)
    return project.commit(Change(project.case("b").id, Action.EDIT, Patch(box, values, values)))


@pytest.fixture
def path(tmp_path):
    with build_project(tmp_path / "p", cases("ab", 0), CLASSES) as project:
        stroke(project, 0)
        return project.path


def masks(project):
    return [plane.tobytes() for case in project.cases for plane in project.read_labels(case)]


def in_own_mounts(code, disk, *words):
    """What a script said, in lines of JSON; it may mount what it likes."""
    script = [sys.executable, "-c", code, str(disk), *map(str, words)]
    done = subprocess.run(
        ["unshare", "--mount", *script], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounting is not permitted here")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# ------------------------------------------------------------------ disks

FULL = """
import json, os, subprocess, sys
from contextlib import closing
from pathlib import Path
from src_core.errors import MetaDCSegError, StorageError
from src_core.store import durable
from src_core.store.create import build_project
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.process.crash_server import CLASSES, cases, change
from tests.process.test_store_faults import masks, stroke

disk, what = Path(sys.argv[1]), sys.argv[2]
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]).returncode:
    sys.exit(77)
durable.BATCH = 1

def fill(leave):
    with open(disk / "filler", "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"0" * 4096)
            except OSError:
                break
    os.truncate(disk / "filler", max(0, os.path.getsize(disk / "filler") - leave))

def act(project, path):
    if what == "commit":
        change(project, {"do": "verify_image", "case": "b"})
    elif what == "undo":
        project.undo()
    elif what == "export":
        export(project, disk / "out", ["cleaned", "provenance"], "npy")
    else:
        build_project(disk / "new", cases("a", 0), CLASSES).close()

path = disk / "p.metadcseg"
for leave in range(0, 400_000, 4096):
    subprocess.run(["rm", "-rf", *disk.glob("*"), *disk.glob(".*.partial")])
    with build_project(path, cases("ab", 0), CLASSES) as project:
        stroke(project, 0)
        before, rows = masks(project), project.version()[0]
        fill(leave)
        said = None
        try:
            act(project, path)
        except StorageError as error:
            said = str(error)
        now = project.version()[0] - rows
        after = masks(project)
    os.remove(disk / "filler")
    left = [str(file) for file in disk.glob("out/*/*") if "partial" in file.name] + [
        str(file) for file in disk.glob("*new*") if what == "create" and said]
    with Project.open(path, write=True) as project:
        print(json.dumps({
            "said": said, "rows": now, "changed": after != before, "left": left, "whole": problems_of(project),
            "kept": masks(project) == after and project.version()[0] - rows == now}))
    if said is None:
        break
"""


@pytest.mark.parametrize("what", ["commit", "undo", "export", "create"])
def test_a_disk_that_is_full_at_any_moment(what, tmp_path):
    told = in_own_mounts(FULL, tmp_path, what)
    assert told[0]["said"] is not None
    assert told[-1]["said"] is None
    for one in told:
        assert one["whole"] == []
        assert one["kept"]
        assert one["left"] == []
        assert one["changed"] == bool(one["rows"])  # what is recorded is what is read
        if one["said"] is not None:
            assert "Traceback" not in one["said"]
            assert one["said"].endswith("then try again.")
            expected = {"export": "complete", "create": "Nothing was created"}
            known = "recorded" if one["rows"] else "Nothing was changed"
            assert expected.get(what, known) in one["said"]


READ_ONLY = """
import json, subprocess, sys
from pathlib import Path
from src_core.errors import MetaDCSegError
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.verify import problems_of

disk, path = Path(sys.argv[1]), Path(sys.argv[2])
if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk]).returncode:
    sys.exit(77)
subprocess.run(["cp", "-r", path, disk], check=True)
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
here = disk / path.name
with Project.open(here) as project:
    print(json.dumps([problems_of(project), len(project.history())]))
    try:
        export(project, disk / "out", ["cleaned"], "npy")
    except MetaDCSegError as error:
        print(json.dumps([type(error).__name__, str(error)]))
try:
    Project.open(here, write=True)
except MetaDCSegError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def test_a_read_only_disk(path, tmp_path):
    with Project.open(path) as project:
        rows = len(project.history())
    disk = tmp_path / "disk"
    disk.mkdir()
    whole, exported, opened = in_own_mounts(READ_ONLY, disk, path)
    assert whole == [[], rows]
    assert exported[0] == opened[0] == "StorageError"
    assert "read-only" in exported[1]
    assert "read-only" in opened[1]


def test_a_read_only_disk_with_a_project_that_was_not_closed(path, tmp_path, server):
    server("change", path, changes=[{"do": "undo"}], die=True)
    (path / "project.db-shm").unlink()
    disk = tmp_path / "disk"
    disk.mkdir()
    code = "try:\n" + "\n".join(f"    {line}" for line in READ_ONLY.strip().splitlines() if "\n" not in line)
    code += "\nexcept MetaDCSegError as error:\n    print(json.dumps(str(error)))\n"
    *_, said = in_own_mounts(code, disk, path)
    assert "copy it to a disk that can be written" in said


# ------------------------------------------------------------------ folders that vanish


@pytest.mark.parametrize("gone", ["deleted", "moved", "replaced"])
def test_a_project_that_vanishes_while_it_is_open(path, gone, tmp_path):
    elsewhere = tmp_path / "elsewhere.metadcseg"
    with Project.open(path, write=True) as project:
        before = masks(project)
        if gone == "replaced":
            shutil.copytree(path, elsewhere)
            shutil.rmtree(path)
            build_project(path, cases("xy", 1), CLASSES).close()
        elif gone == "moved":
            path.rename(elsewhere)
        else:
            shutil.rmtree(path)
        for act in (lambda: stroke(project), project.undo):
            with pytest.raises(
                ProjectError, match=r"was moved, replaced or deleted while it was open.*nothing was changed"
            ):
                act()
        if gone != "replaced":
            with pytest.raises(ProjectDamagedError, match="is missing"):
                masks(project)
            with pytest.raises(ProjectDamagedError):
                export(project, tmp_path / "out", ["cleaned"], "npy")
            assert not path.exists()  # nor did anything make half of it anew
    if gone != "deleted":
        with Project.open(elsewhere, write=True) as project:
            assert masks(project) == before
            assert problems_of(project) == []


# ------------------------------------------------------------------ sessions side by side


def test_a_lock_that_a_dead_process_left(path):
    (path / "lock").touch()
    (path / "lock.json").write_text(json.dumps({"pid": 2**22 + 1, "host": "gone", "since": "2020"}), encoding="utf-8")
    with Project.open(path, write=True) as project:
        stroke(project)


def test_who_only_reads_sees_what_was_just_confirmed(path, server):
    with Project.open(path) as reader:
        case, before = reader.case("b"), reader.version()
        server("change", path, changes=[{"do": "accept", "case": "b", "start": [2, 3], "stop": [9, 12]}], die=True)
        assert reader.version()[0] == before[0] + 1
        assert (reader.read_label(case, BOX) == 1).all()
        assert (reader.read_verified(case)[BOX.slices] > 0).all()
        assert sum(reader.verified_count(case).values()) == 63
        assert list(reader.decisions().values()) == ["accept"]
        server("change", path, changes=[{"do": "undo"}, {"do": "skip", "case": "a", "start": [0, 0], "stop": [1, 1]}])
        assert list(reader.decisions().values()) == ["skip"]
        assert not reader.verified_count(case)
        assert (reader.read_label(case, BOX) == 0).all()
        assert problems_of(reader) == []


# ------------------------------------------------------------------ damaged files


def chunk(path, name, case="b"):
    with Project.open(path) as project:
        folder = path / "arrays.zarr" / "cases" / f"{project.case(case).id:06d}" / name
    (found,) = (file for file in folder.iterdir() if file.name.startswith("c"))
    return found


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


DAMAGES = [cut, flip, lambda file: os.truncate(file, 0), Path.unlink]
IDS = ["cut", "flipped", "emptied", "missing"]


@pytest.mark.parametrize("damage", DAMAGES, ids=IDS)
@pytest.mark.parametrize("name", ["label", "verified"])
def test_a_damaged_mask_is_made_anew_from_the_record(path, name, damage, caplog):
    with Project.open(path) as project:
        told = masks(project)
    damage(chunk(path, name))
    with Project.open(path) as reader:
        assert any("cannot be read" in problem for problem in problems_of(reader))
        assert masks(reader) == told
        assert any("cannot be read" in problem for problem in problems_of(reader))  # reading leaves it as it is
    with Project.open(path, write=True) as writer:
        stroke(writer)
        assert problems_of(writer) == []
        writer.undo()
        assert masks(writer) == told
    assert "made anew from the record" in caplog.text


def test_a_damaged_mask_on_a_full_disk_is_read_from_the_record(path, monkeypatch):
    with Project.open(path) as project:
        told = masks(project)
    cut(chunk(path, "label"))

    def full(*_args):
        raise OSError(28, "full")

    with Project.open(path, write=True) as project:
        with monkeypatch.context() as patched:
            patched.setattr("src_core.store.chunks.os.replace", full)
            assert masks(project) == told
        assert problems_of(project) != []
        assert masks(project) == told
        assert problems_of(project) == []


@pytest.mark.parametrize("damage", DAMAGES, ids=IDS)
@pytest.mark.parametrize("name", ["image", "given"])
def test_a_damaged_image_is_said(path, name, damage):
    damage(chunk(path, name))
    with Project.open(path) as project:
        with pytest.raises(ProjectDamagedError, match=rf"Array {name} of image .* cannot be read.*backup"):
            getattr(project, f"read_{name}")(project.case("b"))
        (problem,) = problems_of(project)
        assert "cannot be read" in problem


def test_a_damaged_page_of_the_record_is_said(path, tmp_path):
    """Every page of the database in turn, overwritten; whatever is asked then, it is told in a sentence or works."""
    whole = (path / "project.db").read_bytes()
    rng = np.random.default_rng(0)
    said = []
    for page in range(len(whole) // 4096):
        content = bytearray(whole)
        content[page * 4096 : (page + 1) * 4096] = rng.bytes(4096)
        copy = tmp_path / "damaged.metadcseg"
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns("project.db*"))
        (copy / "project.db").write_bytes(content)
        for write in (False, True):
            said.append(ask_everything(copy, write=write))
        shutil.rmtree(copy)
    assert sum(bool(sentences) for sentences in said) > len(said) * 2 / 3
    assert all("Traceback" not in sentence for sentences in said for sentence in sentences)


def ask_everything(path, *, write):
    said = []
    try:
        with Project.open(path, write=write) as project:
            found = problems_of(project)
            said += found
            for act in (
                project.history,
                project.decisions,
                project.verified_counts,
                project.version,
                lambda: masks(project),
            ):
                said += sentence(act)
            if write:
                said += sentence(lambda: stroke(project)) + sentence(project.undo)
    except MetaDCSegError as error:
        said.append(str(error))
    return said


def sentence(act):
    try:
        act()
    except MetaDCSegError as error:
        return [str(error)]
    return []
