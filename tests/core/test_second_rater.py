"""The second rater: what is drawn and shown, that nothing tells decoys from regions, and what agreement means."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from src_core.cli import main
from src_core.data.case import is_verified
from src_core.errors import InputError
from src_core.review import decisions, second_sample
from src_core.review.agreement import agreement, cohens_kappa, dice_of, sentences
from src_core.review.components import gathered
from src_core.review.regions import MIN_PIXELS, REACH
from src_core.review.second_rater import Answer, SecondRaterSession, Shown, sample_of, unfinished
from src_core.review.second_sample import BAD, GOOD, REAL, draw, first_result
from src_core.store import chunks, pieces
from src_core.store.project import Project
from src_core.store.samples import WITHDRAWN
from src_core.store.verify import problems_of
from tests.core.test_review_stopping import accept, hand, keep, paint, write_scores


@pytest.fixture
def project(make_project):
    """Six regions decided by ada: three accepted, two kept, one painted by half and confirmed."""
    with Project.open(make_project(), write=True, author="ada") as opened:
        write_scores(opened)
        for place in range(3):
            accept(opened, place)
        for place in (3, 4):
            keep(opened, place)
        region, mask, _ = hand(opened, 5)
        top, left = region.box.start
        paint(opened, opened.case(region.case_id), (slice(top, top + 5), slice(left, left + 6)))
        opened.commit(decisions.confirm(opened, region, mask, "made-up"))
        yield opened


def items_of(project, author="bob"):
    return project.samples.items(sample_of(project, author).id)


# ------------------------------------------------------------------ what is drawn


def test_regions_are_shown_as_the_first_rater_saw_them(project):
    drawn = draw(project, "bob", share=1, decoys=0)
    assert (drawn.real, drawn.decoys, drawn.wanted) == (6, 0, 0)
    run = project.run()
    by_id = {region.id: region for region in run.regions()}
    items = items_of(project)
    assert {item.region for item in items} == set(by_id)
    assert [item.number for item in items] == list(range(6))
    for item in items:
        region = by_id[item.region]
        numbers = run.read_map(item.case_id, "regions")[item.box.slices]
        given = project.read_given(project.case(item.case_id), item.box)
        assert np.array_equal(item.mask, numbers == region.number)
        assert np.array_equal(item.label[item.mask], given[item.mask])
        assert (item.proposed[item.mask] == region.proposed).all()
    assert Counter(item.facts["first"] for item in items) == {"accept": 3, "keep": 2, "confirm": 1}


def test_when_the_run_was_scored_anew_the_record_tells_the_region(project):
    draw(project, "bob", share=1, decoys=0)
    before = {item.region: item for item in items_of(project)}
    write_scores(project)
    assert project.run().regions() == []
    assert draw(project, "bob", share=1, decoys=0).real == 5  # what was painted reaches beyond its region
    for item in items_of(project):
        for name in ("mask", "label", "proposed"):
            assert np.array_equal(getattr(item, name), getattr(before[item.region], name))


@pytest.fixture
def small_pieces(monkeypatch):
    """Decisions on regions of more than 20 px go into the record in parts."""
    monkeypatch.setattr(chunks, "_EDGES", {1: 64, 2: 4, 3: 4})
    monkeypatch.setattr(pieces, "MOST", 20)


def test_regions_that_were_decided_in_parts_are_shown_alike(small_pieces, project):
    rows = project._db.execute("SELECT count(DISTINCT row) FROM piece").fetchone()[0]
    assert rows == 6
    draw(project, "bob", share=1, decoys=0)
    painted = next(item for item in items_of(project) if item.facts["first"] == "confirm")
    now = project.read_label(project.case(painted.case_id), painted.box)
    assert np.array_equal(first_result(project, painted)[painted.mask], now[painted.mask])
    assert (now[painted.mask] != painted.label[painted.mask]).any()
    test_when_the_run_was_scored_anew_the_record_tells_the_region(project)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["accept", "keep"]), st.floats(0, 100)), min_size=4, max_size=60),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.integers(0, 5),
)
def test_every_kind_has_its_part(kinds, share, seed):
    records = [FakeRecord(index, kind, {"score": score}) for index, (kind, score) in enumerate(kinds)]
    chosen = second_sample._stratified(records, share, np.random.default_rng(seed))
    assert len(chosen) == len({record.id for record in chosen}) == max(1, round(share * len(records)))
    for kind in ("accept", "keep"):
        expected = len(chosen) * sum(record.action == kind for record in records) / len(records)
        assert abs(sum(record.action == kind for record in chosen) - expected) <= 1


class FakeRecord:
    def __init__(self, id, action, scores):
        self.id, self.action, self.scores = id, action, scores


def test_every_decision_has_the_same_chance():
    records = [FakeRecord(index, "keep", {"score": index}) for index in range(7)]
    times = Counter(
        record.id
        for seed in range(700)
        for record in second_sample._stratified(records, 0.3, np.random.default_rng(seed))
    )
    assert min(times.values()) > 150  # 200 each
    assert max(times.values()) < 250


def test_nobody_is_their_own_second_rater_unless_asked(project):
    with pytest.raises(InputError, match="All decisions are by ada, who cannot be their own second rater"):
        draw(project, "ada")
    assert draw(project, "ada", share=1, decoys=0, same_person=True).real == 6
    project.author = "bob"
    keep(project, 0)  # decided anew
    assert draw(project, "ada", share=1, decoys=0).real == 1
    assert draw(project, "bob", share=1, decoys=0).real == 5


def test_what_was_turned_back_is_not_drawn(project):
    project.undo()
    assert draw(project, "bob", share=1, decoys=0).real == 5
    region, mask, _ = hand(project, 0)
    project.commit(decisions.unsure(project, region, mask, "made-up"))
    assert draw(project, "bob", share=1, decoys=0).real == 4


def test_bad_input_is_said(project, make_project):
    for words in ({"share": 0}, {"share": 1.2}, {"decoys": 0.6}, {"decoys": -0.1}):
        with pytest.raises(InputError, match="expected"):
            draw(project, "bob", **words)
    with Project.open(make_project(name="new"), write=True) as new, pytest.raises(InputError, match="review some"):
        draw(new, "bob")
    with pytest.raises(InputError, match="No sample was drawn"):
        SecondRaterSession(project, "bob")
    draw(project, "bob", decoys=0)
    with pytest.raises(InputError, match="No sample was drawn for eve yet"):
        SecondRaterSession(project, "eve")


# ------------------------------------------------------------------ decoys


def test_decoys_are_right_and_wrong_in_equal_parts_and_known(project):
    drawn = draw(project, "bob", share=1, decoys=0.4, seed=3)
    assert (drawn.real, drawn.decoys, drawn.wanted) == (6, 4, 4)
    items = items_of(project)
    kinds = Counter(item.kind for item in items)
    assert kinds == {REAL: 6, GOOD: 2, BAD: 2}
    sizes = [int(item.mask.sum()) for item in items if item.kind == REAL]
    for item in (item for item in items if item.kind != REAL):
        case = project.case(item.case_id)
        truth = project.read_label(case, item.box)
        assert is_verified(project.read_verified(case, item.box)[item.mask]).all()
        right, wrong = (item.label, item.proposed) if item.kind == GOOD else (item.proposed, item.label)
        assert np.array_equal(right, truth)
        assert np.array_equal(wrong != truth, item.mask)
        assert gathered(item.mask.astype(np.int32), (REACH, REACH)).max() == 1
        assert min(sizes) / 2.5 <= item.mask.sum() <= max(sizes) * 2.5
        assert item.mask.sum() >= MIN_PIXELS
        assert all(item.mask.any(axis=axis).all() for axis in (0, 1))  # the box is tight, as that of a region


def test_items_do_not_meet(project):
    draw(project, "bob", share=1, decoys=0.5, seed=1)
    seen = {}
    for item in items_of(project):
        count = seen.setdefault(item.case_id, np.zeros(project.case(item.case_id).shape, int))
        count[item.box.slices] += item.mask
    assert max(count.max() for count in seen.values()) == 1


def test_they_are_mixed_by_the_seed(project):
    orders = []
    for seed in (1, 1, 2, 3):
        draw(project, "bob", share=1, decoys=0.4, seed=seed)
        orders.append([(item.kind, item.region) for item in items_of(project)])
    assert orders[0] == orders[1]
    assert len({str(order) for order in orders[1:]}) == 3


def test_without_verified_foreground_there_are_no_decoys(make_project):
    with Project.open(make_project(trusted=0), write=True, author="ada") as project:
        write_scores(project)
        keep(project, 0)
        drawn = draw(project, "bob", share=1, decoys=0.5)
        assert (drawn.real, drawn.wanted) == (1, 1)
        assert drawn.decoys <= 1


# ------------------------------------------------------------------ blindness


FIELDS = {"number", "total", "case_id", "image_name", "image", "label", "proposed", "mask", "box"}


def test_what_is_shown_tells_nothing(project):
    draw(project, "bob", share=1, decoys=0.4, seed=3)
    session = SecondRaterSession(project, "bob")
    kinds = {item.number: item for item in items_of(project)}
    shown = list(session.waiting())
    assert {field.name for field in dataclasses.fields(Shown)} == FIELDS
    assert [one.number for one in shown] == list(range(10))
    for one in shown:
        assert set(vars(one)) == FIELDS
        types = {name: type(value) for name, value in vars(one).items()}
        assert types == {name: type(value) for name, value in vars(shown[0]).items()}
        words = repr({name: value for name, value in vars(one).items() if not isinstance(value, np.ndarray)})
        for secret in (REAL, GOOD, BAD, kinds[one.number].region, "accept", "keep", "confirm", "ada"):
            assert f"'{secret}'" not in words
        case = project.case(one.case_id)
        assert one.label.shape == one.proposed.shape == one.mask.shape == case.shape
        assert np.array_equal(one.label != one.proposed, one.mask)
        assert np.array_equal(one.label[~one.mask], project.read_label(case)[~one.mask])
        assert len(np.unique(one.label[one.mask])) == len(np.unique(one.proposed[one.mask])) == 1
        inside = np.zeros(case.shape, bool)
        inside[one.box.slices] = True
        assert not (one.mask & ~inside).any()
        assert one.label.dtype == one.proposed.dtype == np.uint8


def test_the_first_labels_stay(project):
    draw(project, "bob", share=1, decoys=0.4, seed=3)
    before = {case.id: project.read_labels(case) for case in project.cases}
    version = project.version()
    session = SecondRaterSession(project, "bob")
    session.next()
    while session.current is not None:
        session.answer(Answer.ACCEPT)
    assert session.progress.answered == 10
    assert project.version() == version
    for case in project.cases:
        assert all(np.array_equal(a, b) for a, b in zip(before[case.id], project.read_labels(case), strict=True))
    assert problems_of(project) == []


# ------------------------------------------------------------------ answering


def test_answers_are_kept_over_days_and_taken_back_by_one_more_row(project):
    draw(project, "bob", share=1, decoys=0)
    sample = sample_of(project, "bob").id
    ticks = iter(np.arange(0, 1000, 2.5).tolist())
    session = SecondRaterSession(project, "bob", clock=lambda: next(ticks))
    assert session.current is None
    with pytest.raises(InputError, match="take the next one"):
        session.answer(Answer.KEEP)
    assert session.next().number == 0
    assert session.answer(Answer.KEEP).number == 1
    assert session.answer(Answer.UNSURE).number == 2
    (first, second) = project.samples.ratings(sample)
    assert (first.author, first.answer, first.seconds) == ("bob", "keep", 2.5)
    assert first.shown["pixels"] in (50, 100)
    assert second.answer == "unsure"
    later = SecondRaterSession(project, "bob")
    assert (later.progress.answered, later.progress.total) == (2, 6)
    assert later.next().number == 2
    assert later.undo().number == 1
    assert [row.answer for row in project.samples.ratings(sample)] == ["keep", "unsure", WITHDRAWN]
    assert later.progress.answered == 1
    assert later.answer(Answer.ACCEPT).number == 2
    later.go_to(0)
    later.answer(Answer.ACCEPT)  # thought better of it
    assert project.samples.standing(sample)[0].answer == "accept"
    later.undo()
    assert project.samples.standing(sample)[0].answer == "keep"
    with pytest.raises(InputError, match="no item 6"):
        later.go_to(6)
    assert unfinished(project, "bob")
    assert not unfinished(project, "eve")
    while later.undo() is not None:
        pass
    assert later.progress.answered == 0
    assert len(project.samples.ratings(sample)) == 4 + 4


def test_painting_belongs_to_its_answer(project):
    draw(project, "bob", share=1, decoys=0)
    session = SecondRaterSession(project, "bob")
    shown = session.next()
    with pytest.raises(InputError, match="a painting is not there"):
        session.answer(Answer.PAINTED)
    with pytest.raises(InputError, match="a painting is there"):
        session.answer(Answer.KEEP, shown.label)
    with pytest.raises(InputError, match=r"is \(3, 3\), expected"):
        session.answer(Answer.PAINTED, np.zeros((3, 3), np.uint8))
    session.answer(Answer.PAINTED, shown.proposed)  # of the whole image; its box is kept
    (rating,) = project.samples.ratings(sample_of(project, "bob").id)
    assert np.array_equal(rating.painted, shown.proposed[shown.box.slices])


# ------------------------------------------------------------------ agreement


def answers(yes_yes, yes_no, no_yes, no_no):
    pairs = [(True, True)] * yes_yes + [(True, False)] * yes_no + [(False, True)] * no_yes + [(False, False)] * no_no
    return np.array(pairs, dtype=bool).reshape(-1, 2).T


def test_kappa_by_hand():
    # the same answer in 35 of 50; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    kappa, low, high = cohens_kappa(*answers(20, 5, 10, 15))
    assert kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert 0.1 < low < 0.25
    assert 0.5 < high < 0.65


def test_kappa_at_its_ends():
    kappa, low, high = cohens_kappa(*answers(10, 0, 0, 10))
    assert kappa == high == 1
    assert 0.5 < low < 0.95  # twenty regions do not prove that they never differ
    assert cohens_kappa(*answers(0, 10, 10, 0))[0] == pytest.approx(-1)
    for counts in ((5, 0, 0, 0), (0, 0, 0, 5), (0, 0, 0, 0)):
        assert cohens_kappa(*answers(*counts)) == (None, None, None)
    assert cohens_kappa(*answers(5, 5, 0, 0))[0] == 0


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_kappa_is_that_of_scikit_learn_and_in_its_interval(counts):
    first, second = answers(*counts)
    kappa, low, high = cohens_kappa(first, second)
    if kappa is not None:
        assert kappa == pytest.approx(cohen_kappa_score(first, second))
        assert low <= kappa <= high


def test_dice_by_hand():
    a = np.array([1, 1, 0, 2, 2, 255], np.uint8)
    b = np.array([1, 0, 0, 2, 2, 255], np.uint8)
    assert dice_of([(a, b)]) == pytest.approx((2 / 3 + 1) / 2)
    assert dice_of([(a[:3], b[:3]), (a[3:], b[3:])]) == pytest.approx((2 / 3 + 1) / 2)  # over all pixels together
    assert dice_of([(a * 0, b * 0)]) is None
    assert dice_of([]) is None


def test_agreement_by_hand(project):
    """Bob accepts what ada accepted but the first, keeps what she kept but one, and paints what she painted."""
    draw(project, "bob", share=1, decoys=0.4, seed=3)
    session = SecondRaterSession(project, "bob")
    regions = [region.id for region in project.run().regions()]
    fooled = {GOOD: 0, BAD: 0}
    for item in items_of(project):
        shown = session.go_to(item.number)
        if item.kind == REAL:
            place = regions.index(item.region)
            if place == 5:
                painted = shown.label.copy()
                top, left = shown.box.start
                painted[top : top + 5, left : left + 6] = 1 - painted[top : top + 5, left : left + 6]
                session.answer(Answer.PAINTED, painted)
            else:
                answer = {0: Answer.KEEP, 1: Answer.ACCEPT, 2: Answer.ACCEPT, 3: Answer.UNSURE, 4: Answer.ACCEPT}
                session.answer(answer[place])
        elif fooled[item.kind] == 0 and item.kind == GOOD:  # one wrong proposal is accepted
            fooled[GOOD] = 1
            session.answer(Answer.ACCEPT)
        else:
            session.answer(Answer.KEEP if item.kind == GOOD else Answer.ACCEPT)
    found = agreement(project, sample_of(project, "bob"))
    assert (found.items, found.answered, found.compared, found.unsure) == (10, 10, 5, 1)
    # ada: accept accept accept keep accept (30 of 50 px painted); bob: keep accept accept accept accept
    assert found.agreed == pytest.approx(3 / 5)
    assert found.kappa == pytest.approx(cohen_kappa_score([1, 1, 1, 0, 1], [0, 1, 1, 1, 1]))
    assert (found.decoys, found.fooled, found.good_shown, found.good_accepted) == (4, 1, 2, 1)
    assert (found.bad_shown, found.bad_kept) == (2, 0)
    assert [(row.region, row.first, row.second, row.pixels) for row in found.disagreements] == [
        (regions[0], "accept", "keep", 100), (regions[4], "keep", "accept", 50),
    ]  # fmt: skip
    assert found.disagreements[0].first_author == "ada"
    assert found.dice == pytest.approx(dice_by_hand(project, regions))
    words = sentences(found)
    assert "the answer was the same in 60 %" in words
    assert "1 of 2 wrong proposals were accepted, 0 of 2 planted errors were kept" in words
    assert f"{regions[0]}: accept, keep (100 px)" in words


def dice_by_hand(project, regions):
    """Over squares 0 to 2 and bars 4 and 5, which hold one label each."""
    by_id = {region.id: region for region in project.run().regions()}
    ada, bob = [], []
    for place, (one, other) in {0: (1, 0), 1: (1, 1), 2: (1, 1), 4: (0, 1)}.items():
        region = by_id[regions[place]]
        pair = region.given, region.proposed
        ada.append(np.full(region.pixels, pair[one]))
        bob.append(np.full(region.pixels, pair[other]))
    painted = by_id[regions[5]]
    both = np.concatenate([np.full(30, 1 - painted.given), np.full(20, painted.given)])
    ada, bob = np.concatenate([*ada, both]), np.concatenate([*bob, both])
    return 2 * np.sum((ada == 1) & (bob == 1)) / (np.sum(ada == 1) + np.sum(bob == 1))


def test_agreement_without_answers(project):
    draw(project, "bob", share=1, decoys=0.4)
    found = agreement(project, sample_of(project, "bob"))
    assert (found.compared, found.agreed, found.kappa, found.dice, found.decoys) == (0, None, None, None, 0)
    assert sentences(found) == "bob answered 0 of 10 items."


# ------------------------------------------------------------------ command line


def said(capsys, *words, status=0):
    capsys.readouterr()
    assert main([*map(str, words)]) == status
    return capsys.readouterr()


def test_the_command_line(project, tmp_path, capsys):
    path = project.path
    project.close()
    assert "cannot be their own" in said(capsys, "second-rater", "start", path, "--author", "ada", status=2).err
    assert "No sample was drawn yet" in said(capsys, "agreement", path, status=2).err
    words = ("second-rater", "start", path, "--author", "bob", "--share", "1", "--decoys", "0.4", "--seed", "3")
    listed = said(capsys, *words)
    assert "Drawn: 10 items." in listed.err
    rows = list(csv.DictReader(io.StringIO(listed.out)))
    assert [row["item"] for row in rows] == [str(number) for number in range(10)]
    assert list(rows[0]) == ["item", "image", "pixels", "given", "proposed", "z0", "y0", "x0", "z1", "y1", "x1"]
    file = tmp_path / "answers.csv"

    def answer(lines, status=0):
        file.write_text("item,decision\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return said(capsys, "second-rater", "answer", path, "--author", "bob", "--decisions", file, status=status)

    refused = answer(["0,accept", "10,keep", "1,skip", "0,keep"], status=2).err
    for complaint in ("no item '10'", "the decision is 'skip'", "item '0' stands in the file before"):
        assert complaint in refused
    assert "0 of 10 items" in said(capsys, "agreement", path).out
    assert "Recorded 3 answers; 3 of 10 items have one." in answer(["0,accept", "1,keep", "2,unsure"]).out
    again = said(capsys, *words)
    assert "not finished" in again.err
    assert len(again.out.splitlines()) == 1 + 7
    answer([f"{number},accept" for number in range(3, 10)])
    found = json.loads(said(capsys, "agreement", path, "--format", "json").out)
    assert found["answered"] == 10
    assert found["bad_kept"] + found["good_accepted"] == found["fooled"]
    assert "Cohen's kappa" in said(capsys, "agreement", path).out
    assert main(["verify", str(path)]) == 0


def test_a_volume_can_be_altered():
    """The pieces are made in any number of dimensions."""
    from src_core.review.decoys import _altered, _parts

    rng, reach = np.random.default_rng(0), (1, REACH, REACH)
    label = np.zeros((12, 40, 40), np.uint8)
    label[3:9, 10:30, 10:30] = 1
    for _ in range(6):
        wrong = _altered(label, 1, 200, rng)
        assert (wrong != label).any()
        for part in _parts(label, wrong, 200, reach, rng):
            assert part.sum() <= 200
            assert gathered(part.astype(np.int32), reach).max() == 1


def test_lost_pixels_get_the_label_beside_them():
    from src_core.review.decoys import _altered

    label = np.ones((40, 40), np.uint8)
    label[:, 20:] = 2
    rng = np.random.default_rng(1)
    for _ in range(8):
        assert set(np.unique(_altered(label, 1, 100, rng))) <= {1, 2}
    label[:] = 1
    assert set(np.unique(_altered(label, 1, 100, rng))) <= {0, 1}
