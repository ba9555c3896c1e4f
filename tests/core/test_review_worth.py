"""What a region is worth, learned from answers; and the queue that goes by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src_core.data.case import Box
from src_core.data.scores import Region
from src_core.review import decisions
from src_core.review.hits import SPREAD, WEIGHT, log_odds_of_error
from src_core.review.queue import ReviewQueue
from src_core.review.simulated import as_learned
from src_core.review.worth import FOUND, LEAST, PAIR_SPREAD, Worth, share_found
from src_core.store.project import Project


def region(name, *, pixels=100, trust=0.4, given=0, proposed=1, kind="error", case_id=0):
    return Region(
        id=str(name),
        number=1,
        case_id=case_id,
        image="image",
        kind=kind,
        score=pixels * (1 - trust) if kind != "unlabelled" else 0.0,
        pixels=pixels,
        given=given,
        proposed=proposed,
        box=Box((0, 0), (4, 4)),
        trust=trust,
        uncertainty=0.1,
    )


def two_kinds(count=30):
    """Missing objects, which are real, and false ones, which are not; the latter are a little larger."""
    missing = [region(f"missing {n}", given=0, proposed=1) for n in range(count)]
    false = [region(f"false {n}", pixels=110, given=1, proposed=0) for n in range(count)]
    return missing, false


def test_without_answers_it_is_the_expectation():
    found = Worth([region("a"), region("b", pixels=50, trust=0.2), region("c", kind="unlabelled")])
    worth = found.learned({})
    assert worth == pytest.approx({"a": 60, "b": 40, "c": 0})
    few = {"a": 0.0} | {f"elsewhere {n}": 0.0 for n in range(100)}
    assert found.learned(few) == worth


def test_a_kind_that_is_right_sinks_and_one_that_is_wrong_rises():
    missing, false = two_kinds()
    answers = {each.id: 1.0 for each in missing[:10]} | {each.id: 0.0 for each in false[:10]}
    worth = Worth([*missing, *false]).learned(answers)
    assert worth["missing 20"] > 75 > 50 > worth["false 20"]


def test_the_coefficients_are_those_of_the_highest_posterior():
    """Checked by differences of the log posterior itself, at places that nobody told the fit."""
    rng = np.random.default_rng(0)
    regions = [
        region(n, pixels=int(rng.integers(20, 900)), trust=rng.uniform(0.05, 0.7), given=n % 2) for n in range(60)
    ]
    shares = rng.uniform(0.05, 0.95, 60)
    worth = Worth(regions).learned({each.id: float(share) for each, share in zip(regions, shares, strict=True)})
    pixels = np.array([each.pixels for each in regions])
    offset = log_odds_of_error(np.array([each.trust for each in regions]))
    odd = np.arange(60) % 2
    features = np.column_stack([np.ones(60), offset, np.log(pixels / 100), 1 - odd, odd])
    spread = np.array([*SPREAD, PAIR_SPREAD, PAIR_SPREAD])
    share = np.array(list(worth.values())) / pixels
    at = np.linalg.lstsq(features, np.log(share / (1 - share)) - offset, rcond=None)[0]
    # the two pairs and the constant are told apart by their priors alone
    constant = at[0] + at[3:].mean()
    at[3:] -= at[3:].mean()
    weight = spread[0] ** 2 / (spread[0] ** 2 + PAIR_SPREAD**2 / 2)
    at[0], at[3:] = weight * constant, at[3:] + (1 - weight) * constant

    def posterior(values):
        mean = 1 / (1 + np.exp(-(offset + features @ values)))
        fit = WEIGHT * (shares * np.log(mean) + (1 - shares) * np.log(1 - mean)).sum()
        return fit - 0.5 * ((values / spread) ** 2).sum()

    best = posterior(at)
    for direction in (*np.eye(5), *rng.normal(size=(20, 5))):
        assert posterior(at + 0.01 * direction) < best
        assert posterior(at - 0.01 * direction) < best


@given(
    st.lists(
        st.tuples(
            st.integers(1, 10**9), st.floats(0, 1), st.integers(0, 3), st.integers(0, 3), st.none() | st.floats(0, 1)
        ),
        min_size=1,
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_was_answered_it_lies_between_nothing_and_all(rows, random):
    regions = [region(n, pixels=p, trust=t, given=g, proposed=w) for n, (p, t, g, w, _) in enumerate(rows)]
    answers = [(str(n), row[4]) for n, row in enumerate(rows) if row[4] is not None]
    worth = Worth(regions).learned(dict(answers))
    assert all(0 <= worth[each.id] <= each.pixels for each in regions)
    random.shuffle(answers)
    assert Worth(regions).learned(dict(answers)) == pytest.approx(worth, rel=1e-6)


# ---------------------------------------------------------------- the queue


def answer(queue, decided):
    """Say what is true of the region in hand, and go on."""
    region = queue.current
    right = region.id.startswith("false")
    decided[region.id] = "keep" if right else "accept"
    queue.answer({region.id: 0.0 if right else 1.0})
    return queue.decide(decided)


def test_the_queue_learns_after_some_answers_and_says_so():
    missing, false = two_kinds()
    queue, decided = ReviewQueue([*missing, *false]), {}
    assert queue.order == "learned"
    queue.next()
    for _ in range(LEAST - 1):
        assert answer(queue, decided).id.startswith("false")
    assert queue.lessons == 0
    assert answer(queue, decided).id.startswith("missing")
    assert queue.lessons == 1
    assert [each.id.split()[0] for each in queue.open] == ["missing"] * 30 + ["false"] * 10
    assert queue.position == 1


def test_another_order_of_choice_is_left_alone():
    missing, false = two_kinds()
    queue, decided = ReviewQueue([*missing, *false]), {}
    queue.sort("worth")
    queue.next()
    for _ in range(2 * LEAST):
        answer(queue, decided)
    assert queue.lessons == 0
    in_hand = queue.current
    queue.sort("learned")
    assert queue.learn()
    assert queue.current is in_hand
    assert not queue.learn()  # there is nothing new


def test_what_was_turned_back_teaches_nothing_and_new_scores_begin_anew():
    missing, false = two_kinds()
    queue, decided = ReviewQueue([*missing, *false]), {}
    queue.next()
    for _ in range(LEAST):
        answer(queue, decided)
    queue.set_decided({})
    assert queue.learn()
    assert queue.open[0].id.startswith("false")  # as without answers
    queue.set_decided(decided)
    assert queue.learn()
    assert queue.open[0].id.startswith("missing")
    queue.update([*missing, *false], decided)
    assert queue.open[0].id.startswith("false")
    assert queue.learn()
    assert queue.open[0].id.startswith("missing")


def test_what_has_no_label_stays_last():
    missing, false = two_kinds()
    queue, decided = ReviewQueue([*missing, *false, region("none", pixels=10**6, kind="unlabelled")]), {}
    queue.next()
    for _ in range(LEAST):
        answer(queue, decided)
    assert queue.lessons == 1
    assert queue.open[-1].id == "none"


# ---------------------------------------------------------------- through the record


def test_rows_tell_what_was_found(make_project):
    with Project.open(make_project(), write=True) as project:
        case = project.cases[-1]
        box, inside = Box((0, 0), (4, 4)), np.ones((4, 4), bool)
        label = project.read_label(case, box)
        asked = region("a", case_id=case.id, given=int(label[0, 0]), proposed=1 - int(label[0, 0]))
        assert (label == label[0, 0]).all()
        assert share_found(project.commit(decisions.skip(asked))) is None
        assert share_found(project.commit(decisions.keep(project, asked, inside))) == 0
        painted = label.copy()
        painted[0, :3] = asked.proposed
        project.commit(decisions.edit(project, case, box, painted))
        confirmed = project.commit(decisions.confirm(project, asked, inside))
        assert confirmed.scores[FOUND] == share_found(confirmed) == 3 / 16
        accepted = project.commit(decisions.accept(project, asked, inside, np.full((4, 4), asked.proposed, np.uint8)))
        assert share_found(accepted) == 1
        assert share_found(project.commit(decisions.unsure(project, asked, inside))) is None


def test_going_down_the_queue_takes_each_region_once(make_project):
    with Project.open(make_project(), write=True) as project:
        case = project.cases[-1]
        missing, false = ([Region(**{**each.__dict__, "case_id": case.id}) for each in kind] for kind in two_kinds(15))
        taken = []
        for each in as_learned(project, [*missing, *false]):
            taken.append(each.id)
            decide = decisions.keep if each.id.startswith("false") else decisions.unsure
            project.commit(decide(project, each, np.zeros((4, 4), bool)))
        assert sorted(taken) == sorted(each.id for each in [*missing, *false])
        assert taken[0].startswith("false")
