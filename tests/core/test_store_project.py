"""The project on disk: what is committed stays, what is undone is as before, one writer at a time."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src_core.data.case import Box, Verified
from src_core.errors import (
    InputError,
    ProjectDamagedError,
    ProjectError,
    ProjectLockedError,
    ProjectReadOnlyError,
    StorageError,
)
from src_core.store import arrays
from src_core.store.create import NewCase, build_project, kinds_of
from src_core.store.journal import Action, Change, Patch, pack, unpack
from src_core.store.project import Project
from tests.conftest import CLASSES

BOX = Box((2, 3), (6, 9))


def patch(label: int, box: Box = BOX, verified: int = 0) -> Patch:
    return Patch(box, np.full(box.shape, label, np.uint8), np.full(box.shape, verified, np.uint8))


def test_given_masks_stay_known_beside_trusted_ones(make_project, phantoms):
    with Project.open(make_project(4, trusted=2)) as project:
        first, last = project.cases[0], project.cases[-1]
        truth = phantoms[0].truth
        assert np.array_equal(project.read_label(first), truth)
        given = project.read_given(first)
        assert not np.array_equal(given, truth)
        assert np.array_equal(project.read_verified(first), kinds_of(given, truth))
        assert not project.read_verified(last).any()
        assert np.array_equal(project.read_label(last), project.read_given(last))
        counts = project.verified_counts()
        assert sorted(counts) == [project.cases[0].id, project.cases[1].id]
        assert sum(counts[first.id].values()) == truth.size


def test_kinds_of_verification_by_hand():
    given, label = np.array([[0, 1, 1, 0, 255]], np.uint8), np.array([[0, 1, 0, 1, 255]], np.uint8)
    assert kinds_of(given, label).tolist() == [
        [Verified.BACKGROUND, Verified.CONFIRMED, Verified.CORRECTED, Verified.CORRECTED, Verified.NO]
    ]


def test_commit_undo_redo_and_what_they_tell(make_project):
    path = make_project()
    with Project.open(path, write=True, author="ada") as project:
        case = project.cases[-1]
        before = project.read_label(case), project.read_verified(case)
        record = project.commit(Change(case.id, Action.ACCEPT, patch(1, verified=2), region="r#1", run="run-001"))
        assert record.author == "ada"
        assert record.pixels == int((before[0][2:6, 3:9] != 1).sum())
        assert (project.read_label(case)[2:6, 3:9] == 1).all()
        assert project.decisions() == {"r#1": Action.ACCEPT}
        assert project.verified_counts()[case.id] == {Verified.CORRECTED: 24}
        undone = project.undo()
        assert undone.target == record.id
        assert np.array_equal(project.read_label(case), before[0])
        assert np.array_equal(project.read_verified(case), before[1])
        assert project.decisions() == {}
        assert case.id not in project.verified_counts()
        project.redo()
        assert project.decisions() == {"r#1": Action.ACCEPT}
        assert project.redo() is None
    with Project.open(path, write=True) as again:  # over sessions, too
        assert [r.action for r in again.history(3)] == [Action.REDO, Action.UNDO, Action.ACCEPT]
        again.undo()
        assert np.array_equal(again.read_label(case), before[0])
        assert again.undo() is None  # imported masks are where the project starts


def test_a_new_change_forgets_what_could_be_redone(make_project):
    with Project.open(make_project(), write=True) as project:
        case = project.cases[-1]
        project.commit(Change(case.id, Action.EDIT, patch(1)))
        project.undo()
        project.commit(Change(case.id, Action.SKIP, region="r#2"))
        assert not project.can_redo
        assert project.decisions() == {"r#2": Action.SKIP}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["edit", "undo", "redo"]), st.integers(0, 20), st.integers(0, 3)),
        max_size=20,
    )
)
def test_any_sequence_equals_a_plain_list_of_states(tmp_path_factory, steps):
    start = np.zeros((24, 24), np.uint8)
    folder = tmp_path_factory.mktemp("model")
    with build_project(folder / "p", [NewCase(name="a", image=start, given=start)], CLASSES) as project:
        case = project.cases[0]
        done, undone = [start.copy()], []
        for action, place, label in steps:
            if action == "edit":
                box = Box((place, 0), (place + 4, 7))
                project.commit(Change(case.id, Action.EDIT, patch(label, box)))
                state = done[-1].copy()
                state[box.slices] = label
                done.append(state)
                undone.clear()
            elif action == "undo":
                assert (project.undo() is None) == (len(done) == 1)
                if len(done) > 1:
                    undone.append(done.pop())
            else:
                assert (project.redo() is None) == (not undone)
                if undone:
                    done.append(undone.pop())
            assert np.array_equal(project.read_label(case), done[-1])
        assert project.version()[0] == project.version()[1]


def test_what_was_committed_but_not_applied_is_applied_on_opening(make_project, monkeypatch):
    path = make_project()
    with Project.open(path, write=True) as project:
        case = project.cases[-1]
        with monkeypatch.context() as patched:
            patched.setattr(arrays.ArrayStore, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
            with pytest.raises(StorageError, match=r"the disk is full.*recorded"):
                project.commit(Change(case.id, Action.EDIT, patch(1)))
        assert project.version() == (project.version()[1] + 1, project.version()[1])
    with Project.open(path, write=True) as again:
        assert (again.read_label(case)[2:6, 3:9] == 1).all()
        assert len(set(again.version())) == 1
        again.undo()
        assert len(set(again.version())) == 1


def test_a_full_disk_for_the_record_changes_nothing(make_project):
    path = make_project()
    with Project.open(path, write=True) as project:
        case = project.cases[-1]
        before = project.read_label(case)
        pages = project._db.execute("PRAGMA page_count").fetchone()[0]
        project._db.execute(f"PRAGMA max_page_count = {pages}")
        noisy = np.random.default_rng(0).integers(0, 2, case.shape).astype(np.uint8)
        big = Patch(Box.whole(case.shape), noisy, noisy)
        with pytest.raises(StorageError, match="Nothing was changed"):
            project.commit(Change(case.id, Action.EDIT, big, note="x" * 100_000))
        assert np.array_equal(project.read_label(case), before)
        assert len(set(project.version())) == 1


def test_one_writer_and_any_number_of_readers(make_project):
    path = make_project()
    with Project.open(path, write=True) as writer:
        with pytest.raises(ProjectLockedError, match="open in another window or command"):
            Project.open(path, write=True)
        with Project.open(path) as reader:
            case = writer.cases[-1]
            version = reader.version()
            writer.commit(Change(case.id, Action.EDIT, patch(1)))
            assert reader.version() > version
            assert np.array_equal(reader.read_labels(case)[0], writer.read_label(case))
            with pytest.raises(ProjectReadOnlyError, match="read-only"):
                reader.commit(Change(case.id, Action.EDIT, patch(0)))
    Project.open(path, write=True).close()


def test_rows_of_the_journal_are_never_changed_or_removed(make_project):
    with Project.open(make_project(), write=True) as project:
        for statement in ("UPDATE journal SET author = 'x'", "DELETE FROM journal"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                project._db.execute(statement)


def test_a_patch_that_does_not_fit_is_refused(make_project):
    with Project.open(make_project(), write=True) as project:
        with pytest.raises(InputError, match="inside of"):
            project.commit(Change(project.cases[0].id, Action.EDIT, patch(1, Box((60, 0), (70, 4)))))
        assert not project.can_undo


def test_what_is_no_project_is_said(tmp_path, make_project):
    with pytest.raises(ProjectError, match="There is no project"):
        Project.open(tmp_path / "nothing")
    path = make_project()
    (path / "project.db").write_bytes(b"this is no database, however long it is" * 100)
    with pytest.raises(ProjectDamagedError, match="cannot be read"):
        Project.open(path)


def test_a_failed_creation_leaves_nothing(tmp_path):
    image = np.zeros((8, 8), np.uint8)

    def cases():
        yield NewCase(name="a", image=image, given=image)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_project(tmp_path / "p", cases(), CLASSES)
    with pytest.raises(InputError, match="8 x 8"):
        build_project(tmp_path / "p", [NewCase(name="a", image=np.zeros((9, 8)), given=image)], CLASSES)
    assert list(tmp_path.iterdir()) == []
    build_project(tmp_path / "p", [NewCase(name="a", image=image, given=image)], CLASSES).close()
    with pytest.raises(InputError, match="exists already"):
        build_project(tmp_path / "p", [], CLASSES)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_packed_pixels_come_back(height, width, seed):
    rng = np.random.default_rng(seed)
    label, verified = (rng.integers(0, 256, (height, width)).astype(np.uint8) for _ in range(2))
    found = unpack(pack(label, verified), Box((0, 0), (height, width)))
    assert np.array_equal(found.label, label)
    assert np.array_equal(found.verified, verified)
    with pytest.raises(ProjectDamagedError):
        unpack(pack(label, verified)[:-3], Box((0, 0), (height, width)))


def test_what_cannot_be_removed_is_said(tmp_path, monkeypatch, caplog):
    folder = tmp_path / "given-up"
    folder.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr("src_core.store.arrays.shutil.rmtree", lambda _path, **_options: None)
        arrays.discard(folder)
    assert "delete it by hand" in caplog.text
    arrays.discard(folder)
    assert not folder.exists()
