"""Regions of large images are answered in parts, which come to what they come to when held whole."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.data.case import IGNORE, Box, Verified
from src_core.review import decisions
from src_core.review.region_parts import parts_of, values_in
from src_core.review.together import accept_together, undo_together
from src_core.store import chunks, pieces
from src_core.store.create import NewCase, build_project
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.store.provenance import provenance
from src_core.store.verify import problems_of

from .test_big_record import CLASSES, SHAPE, region
from .test_unlabelled import ENCODING

MOST = 200


@pytest.fixture
def small(monkeypatch):
    """Chunks and pieces of few pixels, so that a small image is a large one."""
    monkeypatch.setattr(chunks, "_EDGES", {1: 64, 2: 8, 3: 4})
    monkeypatch.setattr(pieces, "MOST", MOST)


def in_parts(values, box, most=MOST):
    """Reads values of a box, and never more at once than is a piece."""

    def read(part):
        assert part.is_inside(box)
        assert np.prod(part.shape) <= most
        return values[part.within(box)]

    return read


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.data())
def test_parts_cover_a_box_once(shape, data):
    start = [data.draw(st.integers(0, edge - 1)) for edge in shape]
    stop = [data.draw(st.integers(a + 1, edge)) for a, edge in zip(start, shape, strict=True)]
    box = Box(tuple(start), tuple(stop))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_EDGES", {1: 64, 2: 8, 3: 4})
        patch.setattr(pieces, "MOST", data.draw(st.integers(1, 400)))
        parts = parts_of(shape, box)
        assert len(parts) == 1 or np.prod(box.shape) > pieces.MOST
    seen = np.zeros(shape, int)
    for part in parts:
        assert part.is_inside(box)
        seen[part.slices] += 1
    assert (seen[box.slices] == 1).all()
    assert seen.sum() == np.prod(box.shape)


def test_values_by_hand():
    whole = np.arange(20).reshape(4, 5)
    box, part = Box((1, 1), (4, 5)), Box((2, 3), (4, 5))
    for values in (whole, whole[box.slices], in_parts(whole[box.slices], box)):
        assert values_in(values, box, part).tolist() == [[13, 14], [18, 19]]


HOW = ("accept", "keep", "confirm", "unsure")


def made(path, seed, without_mask):
    """An image with strokes, some confirmed, and a region somewhere in it; a fifth of it has no label."""
    rng = np.random.default_rng(seed)
    given_ = rng.integers(0, 2, SHAPE).astype(np.uint8)
    given_[rng.random(SHAPE) < 0.2] = IGNORE
    more = {"encoding": ENCODING} if without_mask else {}
    case = NewCase(name="a", image=rng.integers(0, 255, SHAPE).astype(np.uint8), given=given_, **more)
    project = build_project(path, [case], CLASSES, author="ada")
    for box in (Box((2, 3), (9, 12)), Box((20, 30), (29, 44))):
        label = rng.integers(0, 2, box.shape).astype(np.uint8)
        kinds = rng.choice([Verified.NO, Verified.CONFIRMED, Verified.UNSURE], box.shape).astype(np.uint8)
        project.commit(Change(0, Action.EDIT, Patch(box, label, kinds)))
    return project


def asked(seed, without_mask):
    rng = np.random.default_rng(seed + 1)
    box = Box.whole(SHAPE) if rng.random() < 0.4 else Box((3, 2), (28, 41))
    found = replace(region(box), kind="unlabelled" if without_mask else "error")
    proposed = rng.choice([0, 1, IGNORE], box.shape, p=[0.5, 0.45, 0.05]).astype(np.uint8)
    return found, rng.random(box.shape) < rng.choice([0.0, 0.02, 0.7, 1.0]), proposed


def state(project):
    case = project.cases[0]
    return [*project.read_labels(case), provenance(project, case)], project.verified_count(case), project.decisions()


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one[0], other[0], strict=True)) and one[1:] == other[1:]


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(HOW), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_answers_in_parts_are_those_of_the_whole(tmp_path_factory, how, seed, without_mask, again):
    folder, results = tmp_path_factory.mktemp("p"), []
    asked_of, mask, proposed = asked(seed, without_mask)
    for lazily in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunks, "_EDGES", {1: 64, 2: 8, 3: 4})
            patch.setattr(pieces, "MOST", MOST if lazily else 2**20)
            with made(folder / str(lazily), seed, without_mask) as project:
                values = [mask, proposed]
                if lazily:
                    values = [in_parts(each, asked_of.box) for each in values]
                if again:  # what was verified by the first answer is decided anew
                    project.commit(decisions.keep(project, asked_of, values[0]))
                before = state(project)
                change = getattr(decisions, how)(project, asked_of, *values[: 2 if how == "accept" else 1])
                assert (change.parts is not None) == lazily
                record, after = project.commit(change), state(project)
                results.append((record.pixels, record.scores, before, after))
                project.undo()
                assert same(state(project), before)
                project.redo()
                assert same(state(project), after)
                assert problems_of(project) == []
    (pixels, scores, before, after), (pixels_, scores_, before_, after_) = results
    assert (pixels, scores) == (pixels_, scores_)
    assert same(before, before_)
    assert same(after, after_)


def test_what_was_prepared_holds_only_until_the_next_change(tmp_path, small):
    asked_of, mask, proposed = asked(3, without_mask=True)
    box = Box((5, 30), (9, 40))
    with made(tmp_path / "p", 3, without_mask=True) as project:
        values = [in_parts(each, asked_of.box) for each in (mask, proposed)]
        prepared = project.prepare(decisions.accept(project, asked_of, *values))
        painted = np.ones(box.shape, np.uint8)
        project.commit(decisions.edit(project, project.cases[0], box, painted))
        project.commit(prepared)
        assert np.array_equal(project.read_label(project.cases[0], box), painted)  # what was painted stays
        assert problems_of(project) == []


def test_proposals_accepted_together_in_parts_are_turned_back_together(tmp_path, small):
    boxes = Box((0, 0), (16, 45)), Box((14, 0), (30, 45))
    with made(tmp_path / "p", 5, without_mask=False) as project:
        before = state(project)
        found = [replace(region(box, number), id=f"a#{number}") for number, box in enumerate(boxes)]
        ones = [in_parts(np.ones(box.shape, kind), box) for box in boxes for kind in (bool, np.uint8)]
        record = accept_together(project, [(found[0], *ones[:2]), (found[1], *ones[2:])], "r")
        assert record.box == Box.whole(SHAPE)
        assert (project.read_label(project.cases[0]) == 1).all() == (before[0][0] != IGNORE).all()
        assert set(project.decisions()) == {"a#0", "a#1"}
        assert undo_together(project).pixels == record.pixels
        assert same(state(project), before)


def test_memory_does_not_follow_the_size(tmp_path):
    """All of an image without a mask is accepted, turned back, and answered by what was painted."""
    peaks = []
    for side in (2048, 4096):
        image = np.zeros((side, side), np.uint8)
        case = NewCase(name="a", image=image, given=np.full_like(image, IGNORE), encoding=ENCODING)
        asked_of = replace(region(Box.whole(image.shape)), kind="unlabelled", pixels=image.size)
        with build_project(tmp_path / str(side), [case], CLASSES, author="ada") as project:
            tracemalloc.start()
            project.commit(decisions.accept(project, asked_of, everywhere, striped))
            assert project.read_label(project.cases[0], Box((0, 6), (1, 10))).tolist() == [[0, 0, 1, 1]]
            project.undo()
            project.commit(decisions.edit(project, project.cases[0], Box((0, 0), (9, 9)), np.ones((9, 9), np.uint8)))
            record = project.commit(decisions.confirm(project, replace(asked_of, given=IGNORE), everywhere))
            assert record.scores["found"] == round(81 / side**2, 5)
            project.undo()
            for other in (decisions.keep, decisions.unsure):
                project.commit(other(project, asked_of, everywhere))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def everywhere(box):
    return np.ones(box.shape, bool)


def striped(box):
    columns = np.arange(box.start[1], box.stop[1]) // 8 % 2
    return np.broadcast_to(columns, box.shape).astype(np.uint8)


def test_a_reader_of_another_session_sees_it_whole(tmp_path, small):
    asked_of, mask, proposed = asked(11, without_mask=True)
    with made(tmp_path / "p", 11, without_mask=True) as project:
        values = [in_parts(each, asked_of.box) for each in (mask, proposed)]
        project.commit(decisions.accept(project, asked_of, *values), later=True)
        seen = project.read_labels(project.cases[0])
        with Project.open(project.path) as reader:
            assert all(np.array_equal(a, b) for a, b in zip(reader.read_labels(reader.cases[0]), seen, strict=True))
