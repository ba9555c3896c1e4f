"""Changes of large images go into the record in pieces, which are one change in all that follows from it."""

from __future__ import annotations

import sqlite3
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.data.case import Box, ClassInfo
from src_core.data.scores import Region
from src_core.review import decisions
from src_core.store import chunks, database, pieces, upgrades
from src_core.store.create import NewCase, build_project
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.store.provenance import provenance
from src_core.store.verify import problems_of, repair

SHAPE = (30, 45)
CLASSES = (
    ClassInfo(index=0, name="background", value=0, color="#000000"),
    ClassInfo(index=1, name="cell", value=1, color="#56B4E9"),
)
quick = settings(max_examples=25, deadline=None)


@pytest.fixture
def small(monkeypatch):
    """Chunks, pieces and bands of few pixels, so that a small image is a large one."""
    monkeypatch.setattr(chunks, "_EDGES", {1: 64, 2: 8, 3: 4})
    monkeypatch.setattr(pieces, "MOST", 200)
    monkeypatch.setattr(chunks, "BAND", 500)


def made(path, shape=SHAPE, seed=0, clean=False):
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 255, shape).astype(np.uint8), rng.integers(0, 2, shape).astype(np.uint8)
    trusted = 1 - mask if clean else None
    return build_project(path, [NewCase(name="a", image=image, given=mask, clean=trusted)], CLASSES, author="ada")


def region(box, number=1):
    return Region(
        id=f"a#{number}", number=number, case_id=0, image="a", kind="error", score=9.0, pixels=4, given=0, proposed=1,
        box=box, trust=0.2, uncertainty=0.1,
    )  # fmt: skip


def stroke(project, box, value=1):
    label = np.full(box.shape, value, np.uint8)
    project.commit(Change(0, Action.EDIT, Patch(box, label, project.read_verified(project.cases[0], box))))


def masks(project):
    return [plane.copy() for plane in project.read_labels(project.cases[0])]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# ------------------------------------------------------------------ boxes


@quick
@given(st.lists(st.integers(1, 60), min_size=2, max_size=3).map(tuple), st.integers(1, 3000))
def test_boxes_of_pieces_and_bands_cover_an_image_once(shape, most):
    for boxes in (pieces.piece_boxes(shape, most), chunks.band_boxes(shape, most)):
        seen = np.zeros(shape, int)
        for box in boxes:
            seen[box.slices] += 1
        assert (seen == 1).all()


def test_boxes_by_hand():
    assert [box.shape for box in pieces.piece_boxes((1024, 1024))] == [(1024, 1024)]
    assert {box.shape for box in pieces.piece_boxes((4096, 4096))} == {(512, 2048)}
    assert {box.shape for box in pieces.piece_boxes((64, 512, 512))} == {(64, 64, 256)}
    assert [box.shape for box in chunks.band_boxes((8192, 8192))] == [(8192, 8192)]
    assert [box.shape[0] for box in chunks.band_boxes((30_000, 30_000))] == [2048] * 14 + [1328]


corners = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 9), st.integers(1, 9))


@quick
@given(st.lists(corners, min_size=1, max_size=8))
def test_boxes_set_apart_hold_all_and_do_not_meet(found):
    boxes = [Box((a, b), (a + high, b + wide)) for a, b, high, wide in found]
    groups = pieces.apart(boxes)
    assert all(any(box.is_inside(group) for group in groups) for box in boxes)
    assert not any(one.meets(other) for k, one in enumerate(groups) for other in groups[:k])


# ------------------------------------------------------------------ one change


def test_marking_a_large_image_as_right_is_one_change_in_pieces(tmp_path, small):
    with made(tmp_path / "p") as project:
        case = project.cases[0]
        stroke(project, Box((3, 3), (9, 20)))
        before = masks(project)
        record = project.commit(decisions.verify_image(project, case))
        after = masks(project)
        assert record.box == Box.whole(SHAPE)
        count = project._db.execute("SELECT count(*) FROM piece WHERE row = ?", (record.id,)).fetchone()[0]
        assert count == len(pieces.piece_boxes(SHAPE)) > 5
        assert project._db.execute("SELECT before, after FROM journal WHERE id = ?", (record.id,)).fetchone() == (
            None, None,
        )  # fmt: skip
        assert same(after, (before[0], decisions.kinds_of(project.read_given(case), before[0])))
        assert project.is_wholly_verified(case)
        assert (provenance(project, case) != 4).all()
        assert problems_of(project) == []
        undone = project.undo()
        assert (undone.target, undone.box) == (record.id, record.box)
        assert same(masks(project), before)
        assert project.verified_count(case) == {}
        assert project.redo().target == record.id
        assert same(masks(project), after)
        assert project.can_undo
        assert problems_of(project) == []
    with Project.open(tmp_path / "p") as reader:
        assert same(masks(reader), after)
        assert len(reader.history()) == 4


def test_it_equals_a_change_in_one_row(tmp_path, small, monkeypatch):
    found = []
    for name, most in (("pieces", 200), ("row", 10**6)):
        monkeypatch.setattr(pieces, "MOST", most)
        with made(tmp_path / name, clean=True) as project:
            case = project.cases[0]
            stroke(project, Box((3, 3), (9, 20)))
            project.commit(decisions.verify_image(project, case))
            stroke(project, Box((0, 0), (2, 2)))
            stroke(project, Box((28, 40), (30, 45)), 0)
            project.commit(decisions.confirm(project, region(Box((10, 10), (12, 13))), np.ones((2, 3), bool)))
            confirmed = project.history(1)[0]
            project.undo()
            states = [masks(project)]
            project.redo()
            states += [masks(project), [provenance(project, case)]]
            facts = [(row.action, row.target, row.pixels, row.region) for row in project.history()]
            found.append((states, facts, project.verified_count(case), confirmed.pixels))
            assert problems_of(project) == []
            assert project.unconfirmed_strokes(case) == []
    assert found[0][1:] == found[1][1:]
    assert all(same(one, other) for one, other in zip(found[0][0], found[1][0], strict=True))


def test_confirming_strokes_far_apart_reads_what_lies_around_them_only(tmp_path, small, monkeypatch):
    read = []
    with made(tmp_path / "p") as project:
        for start in ((0, 0), (28, 43)):
            stroke(project, Box(start, (start[0] + 2, start[1] + 2)))
        given_of = Project.read_given
        monkeypatch.setattr(Project, "read_given", lambda *args: (read.append(args[2]), given_of(*args))[1])
        project.commit(decisions.confirm(project, region(Box((1, 1), (3, 3))), np.ones((2, 2), bool)))
        assert read == [Box((0, 0), (3, 3)), Box((28, 43), (30, 45))]
        assert project.history(1)[0].box.is_inside(Box.whole(SHAPE))
        assert problems_of(project) == []


def test_what_is_verified_already_takes_no_space(tmp_path, small):
    with made(tmp_path / "p") as project:
        case = project.cases[0]
        project.commit(decisions.verify_image(project, case))
        again = project.commit(decisions.verify_image(project, case))
        assert project._db.execute("SELECT count(*) FROM piece WHERE row = ?", (again.id,)).fetchone()[0] == 1
        assert problems_of(project) == []


# ------------------------------------------------------------------ in two steps


def test_a_change_that_was_prepared_is_recorded_now_and_applied_later(tmp_path, small):
    with made(tmp_path / "p") as project:
        case = project.cases[0]
        change = project.prepare(decisions.verify_image(project, case))
        assert project.history() == []
        record = project.commit(change, later=True)
        assert project.version() == (record.id, record.id - 1)
        seen = masks(project)
        assert project.is_wholly_verified(case)
        assert not project._arrays.read(0, "verified").any()
        project.catch_up()
        assert project.version() == (record.id, record.id)
        assert same(masks(project), seen)
        project.undo(later=True)
        stroke(project, Box((0, 0), (4, 4)))  # the next change brings what was left
        assert project.version() == (3, 3)
        assert problems_of(project) == []
        project.catch_up()
    project.catch_up()  # closed meanwhile: left to the next opening


def test_a_change_that_another_came_before_is_read_anew(tmp_path, small):
    with made(tmp_path / "p") as project:
        case = project.cases[0]
        change = project.prepare(decisions.verify_image(project, case))
        label = 1 - project.read_label(case, Box((0, 0), (30, 10)))
        project.commit(decisions.edit(project, case, Box((0, 0), (30, 10)), label))
        project.commit(change)
        assert np.array_equal(project.read_label(case, Box((0, 0), (30, 10))), label)
        assert problems_of(project) == []


def test_what_was_left_for_later_is_there_after_the_session(tmp_path, small):
    with made(tmp_path / "p") as project:
        project.commit(decisions.verify_image(project, project.cases[0]), later=True)
        seen = masks(project)
    with Project.open(tmp_path / "p") as reader:
        assert same(masks(reader), seen)
        assert problems_of(reader) == []
    with Project.open(tmp_path / "p", write=True) as writer:
        assert writer.version() == (1, 1)
        assert same(masks(writer), seen)


# ------------------------------------------------------------------ damage


def alter(path, statement, *values):
    db = sqlite3.connect(path / database.NAME)
    for trigger in ("piece_is_never_changed", "piece_is_never_cut"):
        db.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    db.execute(statement, values)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM piece WHERE id = 3",
        "DELETE FROM piece",
        "UPDATE piece SET after = before WHERE id = 2",
        "UPDATE piece SET pixels = 7 WHERE id = 2",
        "UPDATE piece SET kinds = '{}' WHERE id = 2",
        "INSERT INTO piece (row, box, pixels, kinds, before, after) SELECT row, box, pixels, kinds, before, after "
        "FROM piece WHERE id = 1",
    ],
)
def test_a_piece_that_was_changed_lost_or_added_is_found(tmp_path, small, statement):
    with made(tmp_path / "p") as project:
        project.commit(decisions.verify_image(project, project.cases[0]))
        path = project.path
    alter(path, statement)
    with Project.open(path) as reader:
        assert "Row 1 of the record is not as it was recorded." in problems_of(reader)


def test_pieces_are_never_changed_or_removed(tmp_path, small):
    with made(tmp_path / "p") as project:
        project.commit(decisions.verify_image(project, project.cases[0]))
        for statement in ("UPDATE piece SET pixels = 1", "DELETE FROM piece"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                project._db.execute(statement)


@pytest.mark.parametrize("name", ["label", "verified"])
@pytest.mark.parametrize("write", [True, False])
def test_a_damaged_mask_is_made_anew_band_by_band(tmp_path, small, name, write, caplog):
    with made(tmp_path / "p", clean=True) as project:
        stroke(project, Box((5, 5), (12, 40)))
        project.commit(decisions.verify_image(project, project.cases[0]))
        seen, path = masks(project), project.path
    next(iter(sorted((path / "arrays.zarr/cases/000000" / name).glob("c*")))).write_bytes(b"nonsense")
    with Project.open(path, write=write) as again:
        assert same(masks(again), seen)
        assert np.array_equal(again.read_verified(again.cases[0], Box((2, 2), (20, 30))), seen[1][2:20, 2:30])
        assert bool(problems_of(again)) != write
    assert "made anew" in caplog.text


def test_repair_counts_band_by_band(tmp_path, small):
    with made(tmp_path / "p") as project:
        case = project.cases[0]
        project.commit(decisions.verify_image(project, case))
        told = dict(project.verified_count(case))
        project._db.execute("UPDATE verified SET pixels = pixels + 1")
        project._ledger.reload()
        assert problems_of(project) == ["The counts of verified pixels of image a are not those of its record."]
        assert repair(project) == ["a"]
        assert project.verified_count(case) == told
        assert problems_of(project) == []


def test_a_project_of_version_4_is_read_and_goes_on(tmp_path, small):
    with made(tmp_path / "p") as project:
        stroke(project, Box((0, 0), (4, 4)))
        path = project.path
    db = sqlite3.connect(path / database.NAME)
    db.execute("DROP TABLE piece")
    db.execute("PRAGMA user_version = 4")
    db.commit()
    db.close()
    with Project.open(path) as reader:
        assert problems_of(reader) == []
        assert reader.read_label(reader.cases[0])[:4, :4].all()
    with Project.open(path, write=True) as writer:
        assert writer._db.execute("PRAGMA user_version").fetchone()[0] == upgrades.VERSION
        writer.commit(decisions.verify_image(writer, writer.cases[0]))
        assert problems_of(writer) == []


def test_memory_does_not_follow_the_size(tmp_path, monkeypatch):
    """Marking, turning back and playing back take no more for four times the pixels."""
    monkeypatch.setattr(chunks, "BAND", 2**20)
    peaks = []
    for side in (2048, 4096):
        with made(tmp_path / str(side), (side, side)) as project:
            case = project.cases[0]
            tracemalloc.start()
            project.commit(decisions.verify_image(project, case))
            project.undo()
            assert problems_of(project) == []
            project.restore(case)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]
