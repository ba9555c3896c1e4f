"""What the parts of the review add to a report: what is left, second raters, second opinion."""

from __future__ import annotations

import json

import pytest

from src_core.report.gather import gather
from src_core.report.write import write_report
from src_core.review.second_rater import Answer, SecondRaterSession
from src_core.review.second_sample import draw
from src_core.store.opinion import OpinionWriter
from src_core.store.project import Project
from tests.core.test_review_stopping import accept, keep, write_scores


@pytest.fixture
def project(make_project):
    with Project.open(make_project(), write=True, author="ada") as opened:
        yield opened


def test_nothing_is_told_where_nothing_was_asked(project):
    assert gather(project).to_dict()["sections"] == {}


def test_what_is_left_is_the_estimate(project):
    write_scores(project)
    accept(project, 0)
    keep(project, 1)
    section = gather(project).to_dict()["sections"]["what_is_left"]
    assert section["facts"]["Regions decided"] == 2
    assert section["facts"]["Regions that wait"] == len(project.run().regions()) - 2
    assert section["facts"]["Really wrong among the last"] == "1 of 2"
    *parts, whole = section["rows"]
    assert [row[0] for row in section["rows"]][-1] == "in all"
    for column in (1, 2, 3):
        assert sum(row[column] for row in parts) == pytest.approx(whole[column], abs=2)
    assert all(low <= middle <= high for _, middle, low, high in section["rows"])


def test_a_second_rater_is_told_by_a_row(project, tmp_path):
    write_scores(project)
    for place in (0, 1, 2):
        accept(project, place)
    keep(project, 3)
    draw(project, "bob", share=1, decoys=0)
    session = SecondRaterSession(project, "bob")
    while session.next() is not None:
        session.answer(Answer.ACCEPT)
    section = gather(project).to_dict()["sections"]["second_raters"]
    ((author, compared, agreed, *_, unsure, decoys, fooled, differ),) = section["rows"]
    assert (author, compared, agreed) == ("bob", 4, 0.75)
    assert (unsure, decoys, fooled, differ) == (0, 0, 0, 1)
    page = write_report(project, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Second raters" in page
    assert "What is left" in page
    assert "bob" in page


def test_the_second_opinion_is_told_with_its_source(project):
    write_scores(project)
    run = project.run()
    agreement = {
        "regions": 9, "spearman_queue": 0.5, "spearman_mean": None, "top": 3, "top_shared": 2,
        "regions_disputed": 0.1,
        "pixels": 100, "kappa": 0.25, "doubted_by_trust": 0.1, "doubted_by_cleanlab": 0.2,
    }  # fmt: skip
    record = {"run": run.name, "generation": run.generation, "source": "a judge", "agreement": agreement, "regions": []}
    OpinionWriter(run.path).finish(record)
    section = gather(project).to_dict()["sections"]["second_opinion"]
    assert "a judge" in section["text"]
    assert section["facts"]["Common to the first 3 of both"] == 2
    assert section["facts"]["Rank correlation of the regions by mean"] is None
    json.dumps(section, allow_nan=False)
