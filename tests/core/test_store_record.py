"""What a row of the record tells: the scores at the time, who changed a pixel, and records of an older version."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from src_core.data.case import Box, Verified, is_verified, vouched
from src_core.data.scores import Region
from src_core.review import decisions
from src_core.store import database
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.provenance import PROVENANCE, provenance
from src_core.store.verify import problems_of

BOX = Box((10, 10), (14, 14))


@pytest.fixture
def project(make_project):
    with Project.open(make_project(), write=True, author="ada") as opened:
        yield opened


def region(case, box=BOX) -> Region:
    return Region(
        id=f"{case.name}#1", number=1, case_id=case.id, image=case.name, kind="error", score=12.3456, pixels=16,
        given=0, proposed=1, box=box, trust=0.2, uncertainty=0.1,
    )  # fmt: skip


def everywhere(box=BOX):
    return np.ones(box.shape, bool)


def test_a_decision_remembers_what_was_shown(project):
    case = project.cases[-1]
    project.commit(decisions.keep(project, region(case), everywhere(), "run-001"))
    project.commit(decisions.skip(region(case)))
    skipped, kept = project.history(2)
    assert kept.scores == {
        "kind": "error", "score": 12.346, "pixels": 16, "given": 0, "proposed": 1, "trust": 0.2, "uncertainty": 0.1,
    }  # fmt: skip
    assert skipped.scores == kept.scores
    assert kept.author == "ada"
    assert project.record(kept.id) == kept


def test_unsure_is_not_verified_and_not_asked_again(project):
    case = project.cases[-1]
    half = everywhere()
    half[:2] = False
    project.commit(decisions.keep(project, region(case), half))
    before = project.read_label(case)
    project.commit(decisions.unsure(project, region(case), everywhere(), "run-001"))
    kinds = project.read_verified(case, BOX)
    assert (kinds[:2] == Verified.UNSURE).all()
    assert is_verified(kinds[2:]).all()  # what somebody vouched for stays
    assert not is_verified(kinds[:2]).any()
    assert np.array_equal(project.read_label(case), before)
    assert project.decisions()[region(case).id] == "unsure"
    counts = project.verified_counts()[case.id]
    assert counts[Verified.UNSURE] == 8
    assert vouched(counts) == 8
    assert problems_of(project) == []
    project.undo()
    assert not (project.read_verified(case) == Verified.UNSURE).any()
    assert Verified.UNSURE not in project.verified_counts()[case.id]


def test_a_later_decision_settles_unsure_pixels(project):
    case = project.cases[-1]
    project.commit(decisions.unsure(project, region(case), everywhere()))
    project.commit(decisions.accept(project, region(case), everywhere(), np.ones(BOX.shape, np.uint8)))
    assert is_verified(project.read_verified(case, BOX)).all()
    assert Verified.UNSURE not in project.verified_counts()[case.id]


def test_what_somebody_vouched_for_meanwhile_stays_unless_it_is_the_same_question(project):
    case = project.cases[-1]
    half = everywhere()
    half[:2] = False
    before = project.read_label(case, BOX)
    project.commit(decisions.skip(region(case)))
    other = Region(**{**region(case).__dict__, "id": "another"})
    project.commit(decisions.keep(project, other, half))
    turned = 1 - before
    project.commit(decisions.accept(project, region(case), everywhere(), turned))
    assert np.array_equal(project.read_label(case, BOX), np.where(half, before, turned))
    project.commit(decisions.keep(project, region(case), everywhere()))
    project.commit(decisions.accept(project, region(case), everywhere(), turned))
    assert np.array_equal(project.read_label(case, BOX), turned)


def test_provenance_tells_whose_hand_it_was(project, tmp_path):
    case = project.cases[-1]
    given = project.read_given(case)
    turned = 1 - given
    boxes = {name: Box((row, 0), (row + 2, 8)) for name, row in zip("aeskup", range(0, 12, 2), strict=True)}
    accepted, edited, stroke, kept, unsure, undone = (boxes[name] for name in "aeskup")
    project.commit(decisions.accept(project, region(case, accepted), everywhere(accepted), turned[accepted.slices]))
    project.commit(decisions.edit(project, case, edited, turned[edited.slices]))
    project.commit(decisions.confirm(project, region(case, edited), everywhere(edited)))
    project.commit(decisions.edit(project, case, stroke, turned[stroke.slices]))
    project.commit(decisions.keep(project, region(case, kept), everywhere(kept)))
    project.commit(decisions.unsure(project, region(case, unsure), everywhere(unsure)))
    project.commit(decisions.accept(project, region(case, undone), everywhere(undone), turned[undone.slices]))
    project.undo()
    found = provenance(project, case)
    assert (found[accepted.slices] == PROVENANCE["accepted"]).all()
    assert (found[edited.slices] == PROVENANCE["edited"]).all()
    assert (found[stroke.slices] == PROVENANCE["changed, not confirmed"]).all()
    assert set(np.unique(found[kept.slices])) <= {PROVENANCE["confirmed"], PROVENANCE["background confirmed"]}
    assert (found[unsure.slices] == PROVENANCE["unsure"]).all()
    assert (found[undone.slices] == PROVENANCE["original"]).all()
    assert (found[12:] == PROVENANCE["original"]).all()
    trusted = provenance(project, project.cases[0])
    changed = project.read_label(project.cases[0]) != project.read_given(project.cases[0])
    assert (trusted[changed] == PROVENANCE["trusted mask"]).all()
    (path,) = [path for path in export(project, tmp_path / "out", ["provenance"]) if path.stem == case.name]
    assert path.exists()


def as_version_1(path):
    """Make the record what the first version wrote."""
    db = sqlite3.connect(path / database.NAME)
    db.execute("DROP INDEX journal_of_case")
    for table, column in (("journal", "digest"), ('"case"', "digests"), ("journal", "scores")):
        db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    db.execute("DELETE FROM state WHERE key = 'digest'")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()


def test_a_record_of_version_1_is_read_and_upgraded_when_written(make_project):
    path = make_project()
    with Project.open(path, write=True) as project:
        case = project.cases[-1]
        project.commit(decisions.keep(project, region(case), everywhere()))
    as_version_1(path)
    with Project.open(path) as reader:
        assert reader.history(1)[0].scores == {}
        assert reader.decisions() == {region(case).id: "keep"}
        assert problems_of(reader) == []
    with Project.open(path, write=True) as project:
        project.commit(decisions.skip(region(case)))
        skipped, kept = project.history(2)
        assert skipped.scores["trust"] == 0.2
        assert kept.scores == {}
        assert problems_of(project) == []
