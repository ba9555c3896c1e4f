"""What follows from the record, kept up row by row, equals what follows from all of it."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src_core.data.case import IGNORE, Box, is_verified
from src_core.data.scores import Region
from src_core.errors import ProjectDamagedError
from src_core.review import decisions
from src_core.store import database
from src_core.store.create import NewCase, build_project, kinds_of
from src_core.store.journal import DECISIONS, Action, Change, Patch
from src_core.store.ledger import Ledger
from src_core.store.project import Project
from tests.conftest import CLASSES

SIDE = 16


def region(case, box, number=0):
    return Region(
        id=f"{case.name}#{number}", number=1, case_id=case.id, image=case.name, kind="error", score=1.0, pixels=1,
        given=0, proposed=1, box=box, trust=0.2, uncertainty=0.1,
    )  # fmt: skip


def made(folder):
    given = np.random.default_rng(0).integers(0, 2, (2, SIDE, SIDE)).astype(np.uint8)
    cases = [NewCase(name=name, image=plane, given=plane) for name, plane in zip("ab", given, strict=True)]
    return build_project(folder / "p", cases, CLASSES)


def slow_stacks(rows):
    undo, redo = [], []
    for row in rows:
        if row.action == Action.UNDO:
            redo.append(undo.pop())
        elif row.action == Action.REDO:
            undo.append(redo.pop())
        elif row.action != Action.IMPORT:
            undo.append(row.id)
            redo.clear()
    return undo, redo


def slow_decisions(rows):
    standing = slow_stacks(rows)[0]
    return {row.region: row.action for row in rows if row.id in standing and row.region and row.action in DECISIONS}


def slow_counts(project):
    counts = {}
    for case in project.cases:
        kinds, pixels = np.unique(project.read_verified(case), return_counts=True)
        found = {int(kind): int(number) for kind, number in zip(kinds, pixels, strict=True) if kind}
        if found:
            counts[case.id] = found
    return counts


boxes = st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(1, 6), st.integers(1, 6)).map(
    lambda box: Box(box[:2], (box[0] + box[2], box[1] + box[3]))
)
actions = st.tuples(
    st.sampled_from(["stroke", "stroke", "keep", "confirm", "unsure", "skip", "undo", "undo", "redo", "verify"]),
    st.integers(0, 1),
    boxes,
    st.sampled_from([0, 1, IGNORE]),
    st.integers(0, 3),
)


def act(project, action):
    name, number, box, label, which = action
    case = project.cases[number]
    mask = np.ones(box.shape, bool)
    if name in ("undo", "redo"):
        getattr(project, name)()
        return
    change = {
        "stroke": lambda: decisions.edit(project, case, box, np.full(box.shape, label, np.uint8)),
        "keep": lambda: decisions.keep(project, region(case, box, which), mask),
        "confirm": lambda: decisions.confirm(project, region(case, box, which), mask),
        "unsure": lambda: decisions.unsure(project, region(case, box, which), mask),
        "skip": lambda: decisions.skip(region(case, box, which)),
        "verify": lambda: decisions.verify_image(project, case),
    }[name]()
    if change is not None:
        project.commit(change)


quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(st.lists(actions, max_size=14))
def test_kept_up_row_by_row_it_equals_what_all_rows_say(tmp_path_factory, steps):
    with made(tmp_path_factory.mktemp("p")) as project, Project.open(project.path) as reader:
        for step in [("skip", 0, Box((0, 0), (1, 1)), 0, 0), *steps]:
            act(project, step)
            rows = list(reversed(project.history()))
            for session in (project, reader):
                assert session._ledger.stacks() == slow_stacks(rows)
                assert session.decisions() == slow_decisions(rows)
                assert session.verified_counts() == slow_counts(project)
        anew = Ledger(project._db)
        assert (anew.stacks(), anew.decisions(), anew.counts()) == (
            project._ledger.stacks(),
            project.decisions(),
            project.verified_counts(),
        )
        for row in rows:
            assert project._ledger.stands(row.id) == (row.id in slow_stacks(rows)[0])


def slow_confirm(project, found, mask):
    """The mask after a confirm, by looking at every pixel of the image."""
    case = project.case(found.case_id)
    label, kinds = project.read_labels(case)
    given = project.read_given(case)
    inside = (label != given) & ~is_verified(kinds)
    inside[found.box.slices] |= mask
    return label, np.where(inside, kinds_of(given, label), kinds)


@quick
@given(st.lists(actions, max_size=12), boxes)
def test_confirm_finds_every_painted_pixel(tmp_path_factory, steps, box):
    with made(tmp_path_factory.mktemp("p")) as project:
        for step in steps:
            act(project, step)
        case = project.cases[0]
        mask = np.random.default_rng(0).random(box.shape) < 0.5
        told = slow_confirm(project, region(case, box), mask)
        project.commit(decisions.confirm(project, region(case, box), mask))
        for plane, expected in zip(project.read_labels(case), told, strict=True):
            assert np.array_equal(plane, expected)
        assert project.unconfirmed_strokes(case) == []


def test_confirm_reads_no_more_than_strokes_and_region(tmp_path, monkeypatch):
    def stroke(box):
        project.commit(decisions.edit(project, case, box, 1 - project.read_label(case, box)))

    read_given, read = Project.read_given, []

    def spy(project, case, box=None):
        read.append(box)
        return read_given(project, case, box)

    with made(tmp_path) as project:
        case = project.cases[0]
        stroke(Box((0, 0), (2, 2)))
        project.commit(decisions.verify_image(project, case))
        stroke(Box((8, 8), (10, 11)))
        assert project.unconfirmed_strokes(case) == [Box((8, 8), (10, 11))]
        monkeypatch.setattr(Project, "read_given", spy)
        decisions.confirm(project, region(case, Box((9, 10), (12, 12))), np.ones((3, 2), bool))
        assert read == [Box((8, 8), (12, 12))]


def test_single_answers(tmp_path):
    with made(tmp_path) as project:
        a, b = project.cases
        assert project.decision("a#0") is None
        project.commit(decisions.keep(project, region(a, Box.whole(a.shape)), np.ones(a.shape, bool)))
        assert project.decision("a#0") == "keep"
        assert sum(project.verified_count(a).values()) == SIDE * SIDE
        assert project.is_wholly_verified(a)
        assert not project.is_wholly_verified(b)
        assert project.verified_count(b) == {}


def break_rules(path, *statements):
    db = sqlite3.connect(path / database.NAME)
    db.execute("DROP TRIGGER journal_is_never_changed")
    db.execute("DROP TRIGGER journal_is_never_cut")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE journal SET action = 'undo'", "turns back or repeats something that is not there"),
        ("INSERT INTO verified VALUES (0, 9, 5)", "of a kind 9 that does not exist"),
    ],
)
def test_a_record_that_makes_no_sense_is_said(tmp_path, statement, words):
    with made(tmp_path) as project:
        box = Box((0, 0), (2, 2))
        project.commit(Change(0, Action.EDIT, Patch(box, *np.ones((2, 2, 2), np.uint8))))
    break_rules(project.path, statement)
    with pytest.raises(ProjectDamagedError, match=words):
        Project.open(project.path)
