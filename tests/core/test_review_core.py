"""Suspect regions, the queue, and decisions."""

from __future__ import annotations

import numpy as np
import pytest

from src_core.data.case import IGNORE, Box, Verified
from src_core.data.scores import ImageScore, Region
from src_core.review import decisions
from src_core.review.arrival import arrival
from src_core.review.queue import ReviewQueue
from src_core.review.regions import find_regions, image_score
from src_core.review.rollup import by_class, by_image
from src_core.store.journal import Action
from src_core.store.project import Project
from tests.conftest import CLASSES, SIZE


@pytest.fixture
def case(make_project):
    with Project.open(make_project()) as project:
        return project.cases[-1]


def blank():
    return {
        "trust": np.ones((SIZE, SIZE), np.float32),
        "label": np.zeros((SIZE, SIZE), np.uint8),
        "proposed": np.zeros((SIZE, SIZE), np.uint8),
        "verified": np.zeros((SIZE, SIZE), np.uint8),
    }


def doubt(maps, rows, columns, trust=0.1, proposed=1):
    maps["trust"][rows, columns] = trust
    maps["proposed"][rows, columns] = proposed


NO_BAND = np.zeros((SIZE, SIZE), np.float32)


def test_regions_by_hand(case):
    maps = blank()
    doubt(maps, slice(2, 8), slice(3, 13))  # 60 px, missing in an empty label
    doubt(maps, slice(30, 40), slice(30, 40), trust=0.4)  # 100 px
    doubt(maps, slice(60, 62), slice(60, 62))  # too small
    band = NO_BAND.copy()
    band[30:40, 30:39] = 0.9
    regions, numbers = find_regions(case, uncertainty=band, **maps)
    assert [region.pixels for region in regions] == [100, 60]  # 60 and 54 wrong pixels expected
    assert [region.score for region in regions] == pytest.approx([60, 54], rel=1e-5)
    assert [region.kind for region in regions] == ["ambiguous", "error"]
    assert regions[1].box == Box((2, 3), (8, 13))
    assert (regions[1].given, regions[1].proposed) == (0, 1)
    assert np.array_equal(numbers == regions[1].number, np.pad(np.ones((6, 10), bool), ((2, 56), (3, 51))))
    assert all(region.id.startswith(f"{case.name}#") for region in regions)


def test_a_region_goes_as_far_as_the_proposal_differs(case):
    maps = blank()
    doubt(maps, slice(2, 12), slice(2, 12), trust=0.9)  # not doubted by itself
    doubt(maps, slice(30, 40), slice(30, 40), trust=0.9)
    maps["trust"][35, 35] = 0.6  # one doubted pixel
    (found,), _ = find_regions(case, uncertainty=NO_BAND, **maps)
    assert (found.box, found.pixels) == (Box((30, 30), (40, 40)), 100)
    assert found.score == pytest.approx(99 * 0.1 + 0.4, rel=1e-4)


def test_verified_unlabelled_and_agreeing_pixels_are_no_regions(case):
    for name, value in (("verified", Verified.CONFIRMED), ("label", IGNORE), ("proposed", 0)):
        maps = blank()
        doubt(maps, slice(2, 12), slice(2, 12))
        maps[name][2:12, 2:12] = value
        regions, numbers = find_regions(case, uncertainty=NO_BAND, **maps)
        assert regions == []
        assert not numbers.any()


def test_different_proposals_are_different_regions(case):
    maps = blank()
    doubt(maps, slice(2, 12), slice(2, 12), proposed=1)
    doubt(maps, slice(2, 12), slice(12, 22), proposed=2)
    regions, _ = find_regions(case, uncertainty=NO_BAND, **maps)
    assert sorted(region.proposed for region in regions) == [1, 2]
    assert len({region.id for region in regions}) == 2


def test_the_id_names_the_pixels_and_the_proposal(case):
    maps = blank()
    doubt(maps, slice(2, 12), slice(2, 12))
    (first,), _ = find_regions(case, uncertainty=NO_BAND, **maps)
    doubt(maps, slice(2, 12), slice(2, 12), trust=0.3)  # other trust, same question
    (second,), _ = find_regions(case, uncertainty=NO_BAND, **maps)
    assert first.id == second.id
    maps["proposed"][5, 5] = 0
    (third,), _ = find_regions(case, uncertainty=NO_BAND, **maps)
    assert third.id != first.id


def test_image_score_by_hand(case):
    maps = blank()
    maps["label"][:10, :10] = 1
    doubt(maps, slice(0, 5), slice(0, 10), trust=0.2, proposed=0)
    score = image_score(case, **maps)
    assert score.estimated_wrong_pixels == pytest.approx(40)
    assert score.score == pytest.approx(0.4)


# ------------------------------------------------------------------ queue


def region(name: str, score: float, kind: str = "error", case_id: int = 0) -> Region:
    return Region(
        id=name, number=1, case_id=case_id, image="a", kind=kind, score=score, pixels=30, given=0, proposed=1,
        box=Box((2, 3), (6, 9)), trust=0.2, uncertainty=0.1,
    )  # fmt: skip


def test_queue_goes_round_by_score():
    queue = ReviewQueue([region("b", 2), region("a", 3), region("c", 1)])
    assert [queue.next().id for _ in range(4)] == ["a", "b", "c", "a"]
    assert queue.previous().id == "c"
    assert queue.position == 3
    assert queue.remaining == 3


def test_decided_regions_leave_and_skipped_ones_come_last():
    queue = ReviewQueue([region("a", 3), region("b", 2), region("c", 1)])
    queue.next()
    assert queue.decide({"a": "skip"}).id == "b"
    assert [r.id for r in queue.open] == ["b", "c", "a"]
    assert queue.remaining == 2
    assert queue.decide({"a": "skip", "b": "accept"}).id == "c"
    assert queue.decide({"a": "skip", "b": "accept", "c": "keep"}).id == "a"
    assert queue.decide({"a": "keep", "b": "accept", "c": "keep"}) is None
    assert queue.open == []
    assert queue.next() is None


def test_the_region_in_hand_stays_when_scores_change():
    queue = ReviewQueue([region("a", 3), region("b", 2)])
    queue.go_to("b")
    queue.update([region("x", 9), region("b", 1)], {})
    assert queue.current.id == "b"
    assert queue.position == 2
    queue.update([region("x", 9)], {})
    assert (queue.current.id, queue.position) == ("b", 0)  # until it is decided or another one is taken
    assert queue.decide({"b": "keep"}).id == "x"
    assert queue.go_to("b") is None
    assert queue.current.id == "x"


def test_searching_sorting_and_jumping():
    queue = ReviewQueue(
        [
            Region(**{**region("a", 3).__dict__, "image": "Heart_2", "trust": 0.5, "pixels": 99}),
            Region(**{**region("b", 2).__dict__, "image": "heart_1", "trust": 0.1}),
            Region(**{**region("c", 1).__dict__, "image": "brain"}),
        ]
    )
    queue.next()
    queue.search("HEART")
    assert [r.id for r in queue.open] == ["a", "b"]
    queue.sort("trust")
    assert [r.id for r in queue.open] == ["b", "a"]
    assert (queue.current.id, queue.position) == ("a", 2)
    queue.search("")
    queue.sort("image")
    assert [r.image for r in queue.open] == ["Heart_2", "brain", "heart_1"]
    queue.sort("size")
    assert queue.open[0].id == "a"
    assert queue.go_to_place(3) == queue.open[2]
    assert queue.go_to_place(4) is None
    assert queue.go_to_place(0) is None
    assert queue.position == 3


def test_sums_by_image_and_by_class():
    regions = [region("a", 3), region("b", 2, "ambiguous"), Region(**{**region("c", 9).__dict__, "image": "z"})]
    rows = by_image(regions)
    assert [(row.name, row.regions, row.errors, row.wrong_pixels, row.first) for row in rows] == [
        ("z", 1, 1, 9, "c"),
        ("a", 2, 1, 5, "a"),
    ]
    (both,) = by_class(regions, CLASSES)
    assert (both.name, both.regions, both.first) == ("background → organ", 3, "c")


def test_what_new_scores_changed_by_hand():
    def image(number, wrong):
        return ImageScore(case_id=number, image=f"i{number}", score=0.1, estimated_wrong_pixels=wrong)

    found = arrival(
        [image(0, 100), image(1, 50), image(2, 10)],
        [region("a", 3), region("b", 2)],
        [image(0, 90), image(1, 5), image(2, 10.2), image(3, 7)],
        [region("b", 2), region("c", 1), region("d", 1)],
    )
    assert (found.new, found.gone, found.stayed) == (2, 1, 1)
    assert [(move.image, move.before, move.after) for move in found.moved] == [("i1", 50, 5), ("i0", 100, 90)]


def test_one_kind_only():
    queue = ReviewQueue([region("a", 3), region("b", 2, "ambiguous")])
    queue.next()
    queue.show("ambiguous")
    assert queue.current is None
    assert queue.next().id == "b"
    assert (queue.count("error"), queue.count("ambiguous")) == (1, 1)


# ------------------------------------------------------------------ decisions


@pytest.fixture
def open_project(make_project):
    with Project.open(make_project(), write=True) as project:
        yield project


def hand(project, given_value=0):
    """A region of the last case over pixels that are all of one given label, with its mask."""
    case = project.cases[-1]
    inside = project.read_given(case) == given_value
    rows, columns = np.nonzero(inside)
    row, column = rows[len(rows) // 2], columns[len(rows) // 2]
    box = Box((int(row), int(column)), (int(row) + 1, int(column) + 1))
    return case, Region(**{**region("r", 1, case_id=case.id).__dict__, "box": box}), np.ones((1, 1), bool)


def test_accepting_corrects_and_keeping_confirms(open_project):
    _case, found, mask = hand(open_project)
    change = decisions.accept(open_project, found, mask, np.ones((1, 1), np.uint8), "run-001")
    assert change.action is Action.ACCEPT
    assert (change.patch.label.item(), change.patch.verified.item()) == (1, Verified.CORRECTED)
    kept = decisions.keep(open_project, found, mask)
    assert (kept.patch.label.item(), kept.patch.verified.item()) == (0, Verified.BACKGROUND)
    _, organ, mask = hand(open_project, given_value=1)
    assert decisions.keep(open_project, organ, mask).patch.verified.item() == Verified.CONFIRMED
    assert decisions.skip(found).patch is None


def test_pixels_of_the_box_that_are_not_of_the_region_stay(open_project):
    case = open_project.cases[-1]
    box = Box((0, 0), (4, 4))
    found = Region(**{**region("r", 1, case_id=case.id).__dict__, "box": box})
    mask = np.eye(4, dtype=bool)
    change = decisions.accept(open_project, found, mask, np.ones((4, 4), np.uint8))
    before = open_project.read_label(case, box)
    assert np.array_equal(change.patch.label[~mask], before[~mask])
    assert not change.patch.verified[~mask].any()


def test_a_stroke_is_recorded_unverified_and_confirmed_with_the_region(open_project):
    case, found, mask = hand(open_project)
    box = Box((5, 5), (9, 9))
    painted = 1 - open_project.read_label(case, box)
    change = decisions.edit(
        open_project,
        case,
        Box((3, 3), (11, 11)),
        np.pad(painted, 2, mode="constant") * 0
        + np.where(
            np.pad(np.ones((4, 4), bool), 2),
            np.pad(painted, 2),
            open_project.read_label(case, Box((3, 3), (11, 11))),
        ),
    )
    assert change.patch.box == box  # as small as what changed
    assert not change.patch.verified.any()
    open_project.commit(change)
    open_project.commit(decisions.confirm(open_project, found, mask))
    verified = open_project.read_verified(case)
    assert (verified[box.slices] == Verified.CORRECTED).all()
    assert verified[found.box.slices].all()
    assert np.count_nonzero(verified) in (16, 17)
    assert decisions.edit(open_project, case, box, open_project.read_label(case, box)) is None


def test_confirming_reads_the_label_once(open_project, monkeypatch):
    case, found, mask = hand(open_project)
    far = Box((40, 40), (42, 43))
    open_project.commit(decisions.edit(open_project, case, far, 1 - open_project.read_label(case, far)))
    open_project.commit(decisions.edit(open_project, case, found.box, np.ones((1, 1), np.uint8)))
    read, boxes = type(open_project).read_labels, []
    monkeypatch.setattr(
        type(open_project), "read_labels", lambda self, case, box=None: (boxes.append(box), read(self, case, box))[1]
    )
    change = decisions.confirm(open_project, found, mask)
    assert len(boxes) == 1
    assert change.scores["found"] == 1  # of the region, whatever was painted elsewhere
    assert (change.patch.verified[far.within(change.patch.box)] == Verified.CORRECTED).all()


def test_painting_over_verified_pixels_keeps_them_verified(open_project):
    case = open_project.cases[-1]
    open_project.commit(decisions.verify_image(open_project, case))
    assert (open_project.read_verified(case) > 0).all()
    box = Box((5, 5), (7, 7))
    change = decisions.edit(open_project, case, box, 1 - open_project.read_label(case, box))
    assert (change.patch.verified == Verified.CORRECTED).all()
