"""A project that is not as its record says is found out, and what can be made anew is."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
import zarr

from src_core.cli import main
from src_core.data.case import Box, Verified
from src_core.errors import ProjectDamagedError
from src_core.store import database
from src_core.store.journal import Action, Change, Patch, pack
from src_core.store.project import Project
from src_core.store.verify import problems_of, repair

BOX = Box((10, 10), (20, 24))


def patch(label, verified=0, box=BOX):
    return Patch(box, np.full(box.shape, label, np.uint8), np.full(box.shape, verified, np.uint8))


@pytest.fixture
def path(make_project):
    path = make_project(3, trusted=1)
    with Project.open(path, write=True) as project:
        case = project.cases[-1].id
        project.commit(Change(case, Action.EDIT, patch(1)))
        project.commit(Change(case, Action.SKIP, region="r#1"))
        project.commit(Change(case, Action.ACCEPT, patch(0, Verified.CORRECTED), region="r#2"))
        project.undo()
        assert problems_of(project) == []
    return path


def found(path):
    with Project.open(path) as project:
        return problems_of(project)


def alter(path, statement, *values):
    db = sqlite3.connect(path / database.NAME)
    for trigger in ("journal_is_never_changed", "journal_is_never_cut"):
        db.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    db.execute(statement, values)
    db.commit()
    db.close()


def array(path, name, case=-1):
    with Project.open(path) as project:
        return zarr.open_group(str(path / "arrays.zarr"), mode="r+")[f"cases/{project.cases[case].id:06d}/{name}"]


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("name", ["image", "given", "label", "verified"])
def test_every_flipped_bit_of_a_chunk(path, name):
    with Project.open(path) as project:
        (file,) = (path / "arrays.zarr" / "cases" / f"{project.cases[-1].id:06d}" / name).glob("c*")
    whole = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(whole), 12):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        file.write_bytes(content)
        (problem,) = found(path)
        assert f"Array {name} of image" in problem
    file.write_bytes(whole)
    assert found(path) == []


@pytest.mark.parametrize(("name", "words"), [("image", "The image"), ("given", "The given mask of image")])
def test_sources_that_were_changed_and_sealed_anew(path, name, words):
    array(path, name, case=1)[0, 0] += 1
    problems = found(path)
    assert problems[0].startswith(words)
    assert "is not as it was when the project was made" in problems[0]


@pytest.mark.parametrize("name", ["label", "verified"])
def test_masks_that_were_changed_and_sealed_anew(path, name):
    array(path, name)[0:2, 0:2] = 7
    (problem,) = found(path)
    assert "differs from its record at 4 pixels" in problem


# ------------------------------------------------------------------ record


@pytest.mark.parametrize("row", [1, 2, 3, 4, 5])
def test_a_missing_row(path, row):
    """Of all kinds: imported, stroke, skip (which changes no pixel), decision, undo (which is the last)."""
    alter(path, "DELETE FROM journal WHERE id = ?", row)
    try:
        problems = found(path)
    except ProjectDamagedError as error:
        problems = [str(error)]
    words = ("is missing", "are missing", "turns back or repeats something that is not there")
    assert any(any(word in problem for word in words) for problem in problems)


@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_changed_patch(path, kind):
    other = pack(np.full(BOX.shape, 1, np.uint8), np.full(BOX.shape, 3, np.uint8))
    alter(path, f"UPDATE journal SET {kind} = ? WHERE id = 4", other)
    problems = found(path)
    assert "Row 4 of the record is not as it was recorded." in problems
    assert any("Change" in problem for problem in problems)  # and the masks do not fit, either


@pytest.mark.parametrize(
    "change",
    [
        "author = 'somebody'", "time = '2001-01-01T00:00:00+00:00'", "note = 'x'", "region = 'r#9'", "run = 'run-9'",
        "pixels = pixels + 1", "scores = '{}'", "action = 'keep'", "box = '[[10, 10], [20, 23]]'", "case_id = 0",
    ],
)  # fmt: skip
def test_any_other_change_of_a_row(path, change):
    alter(path, f"UPDATE journal SET {change} WHERE id = 4")
    assert "Row 4 of the record is not as it was recorded." in found(path)


def test_a_row_that_turns_back_another_than_the_next(path):
    alter(path, "UPDATE journal SET target = 2, digest = NULL WHERE id = 5")
    assert "Row 5 of the record turns back or repeats row 2, which was not next." in found(path)


def test_rows_that_were_recorded_and_are_not_there(path):
    alter(path, "UPDATE state SET value = 9 WHERE key = 'applied'")
    assert "The masks hold 9 changes and the record 5; rows of it are missing." in found(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE verified SET pixels = pixels + 1 WHERE case_id = 0 AND kind = 1",
        "DELETE FROM verified WHERE kind = 3",
        "INSERT INTO verified SELECT id, 5, 3 FROM 'case' WHERE id = 2",
    ],
)
def test_counts_that_are_wrong(path, statement):
    alter(path, statement)
    (problem,) = found(path)
    assert "The counts of verified pixels of image" in problem


def test_an_index_that_does_not_fit_its_table(path):
    """The database looks whole page by page, and is not."""
    alter(path, "PRAGMA writable_schema = ON")
    db = sqlite3.connect(path / database.NAME, isolation_level=None)
    db.execute("PRAGMA writable_schema = ON")
    swapped = "replace(sql, 'action, region', 'region, action')"
    db.execute(f"UPDATE sqlite_master SET sql = {swapped} WHERE name = 'journal_of_case'")
    db.close()
    assert any("database is damaged" in problem for problem in found(path))


# ------------------------------------------------------------------ repair


def test_repair_makes_masks_and_counts_anew(path, capsys):
    with Project.open(path) as project:
        names = [case.name for case in project.cases]
        told = [plane for case in project.cases for plane in project.read_labels(case)]
    array(path, "label")[0:2, 0:2] = 1
    array(path, "verified", case=1)[5, 5] = 2
    alter(path, "UPDATE verified SET pixels = pixels + 1 WHERE case_id = 0")
    assert len(found(path)) == 3
    assert main(["verify", str(path)]) == 1
    assert main(["verify", str(path), "--repair"]) == 0
    assert f"anew from the record: {', '.join(names)}." in capsys.readouterr().out
    with Project.open(path, write=True) as project:
        assert problems_of(project) == []
        assert repair(project) == []
        now = [plane for case in project.cases for plane in project.read_labels(case)]
        assert all(np.array_equal(one, other) for one, other in zip(told, now, strict=True))


def test_repair_does_not_trust_a_damaged_record(path):
    array(path, "label")[0:2, 0:2] = 1
    alter(path, "UPDATE journal SET author = 'somebody' WHERE id = 4")
    with Project.open(path, write=True) as project:
        with pytest.raises(ProjectDamagedError, match=r"is damaged itself.*nothing was repaired"):
            repair(project)
        assert (project.read_label(project.cases[-1])[0:2, 0:2] == 1).all()


def test_repair_does_not_trust_a_changed_given_mask(path):
    array(path, "given")[0:2, 0:2] += 1
    with Project.open(path, write=True) as project, pytest.raises(ProjectDamagedError, match="given mask of image"):
        repair(project)
