"""Where two raters differ, the region is decided once more: the label is the first one's, the proposal the second's."""

from __future__ import annotations

import numpy as np
import pytest

from src_core.review import decisions
from src_core.review.queue import ReviewQueue
from src_core.review.second_rater import Answer, SecondRaterSession
from src_core.review.second_sample import draw
from src_core.review.third_look import looks
from src_core.store.project import Project
from tests.core.test_review_stopping import accept, keep, write_scores


@pytest.fixture
def project(make_project):
    """Two regions that ada accepted and two that she kept; bob says the contrary of one of each."""
    with Project.open(make_project(), write=True, author="ada") as opened:
        write_scores(opened)
        for place in (0, 1):
            accept(opened, place)
        for place in (2, 3):
            keep(opened, place)
        draw(opened, "bob", share=1, decoys=0)
        session = SecondRaterSession(opened, "bob")
        regions = [region.id for region in opened.run().regions()]
        shown = session.next()
        while shown is not None:
            region = opened.samples.items(1)[shown.number].region
            first = Answer.ACCEPT if regions.index(region) in (0, 1) else Answer.KEEP
            other = Answer.KEEP if first is Answer.ACCEPT else Answer.ACCEPT
            shown = session.answer(other if regions.index(region) in (0, 2) else first)
        yield opened


def test_only_what_differs_is_there_with_both_answers(project):
    regions = {region.id: region for region in project.run().regions()}
    found = {look.region.id: look for look in looks(project)}
    ids = list(regions)
    assert set(found) == {ids[0], ids[2]}
    for place, words in ((0, "as ada left it (accepted the proposal)"), (2, "as ada left it (kept the label)")):
        look, region = found[ids[place]], regions[ids[place]]
        assert words in look.words
        assert "bob" in look.words
        assert look.region.box == region.box
        label = project.read_label(project.case(region.case_id), region.box)
        assert look.mask.any()
        assert (label[look.mask] != look.proposed[look.mask]).all()
        assert (look.region.given, look.region.proposed) == (
            (region.proposed, region.given) if place == 0 else (region.given, region.proposed)
        )


def test_the_new_decision_takes_the_place_of_the_old_one(project):
    look = next(look for look in looks(project) if "accepted" in look.words.split("proposal as")[0])
    case = project.case(look.region.case_id)
    before = project.read_label(case, look.region.box)
    project.commit(decisions.accept(project, look.region, look.mask, look.proposed, "made-up"))
    after = project.read_label(case, look.region.box)
    assert (after[look.mask] == look.proposed[look.mask]).all()
    assert np.array_equal(after[~look.mask], before[~look.mask])
    assert look.region.id not in {left.region.id for left in looks(project)}
    project.undo()
    assert look.region.id in {left.region.id for left in looks(project)}
    assert np.array_equal(project.read_label(case, look.region.box), before)


def test_keeping_settles_it_too(project):
    look = looks(project)[0]
    before = project.read_label(project.case(look.region.case_id))
    project.commit(decisions.keep(project, look.region, look.mask, "made-up"))
    assert np.array_equal(project.read_label(project.case(look.region.case_id)), before)
    assert [left.region.id for left in looks(project)] != [look.region.id]
    assert len(looks(project)) == 1


def test_the_queue_shows_them_until_each_is_decided(project):
    found = looks(project)
    queue = ReviewQueue(project.run().regions(), project.decisions())
    usual = [region.id for region in queue.open]
    queue.look_again(look.region for look in found)
    assert [region.id for region in queue.open] == [look.region.id for look in found]
    first = queue.next()
    assert first is not None
    assert queue.position == 1
    queue.update(project.run().regions(), project.decisions())
    assert queue.current is first
    assert queue.decide(project.decisions()).id == found[1].region.id
    assert queue.decide(project.decisions()) is None
    assert queue.open == []
    queue.show_only(None)
    assert [region.id for region in queue.open] == usual
