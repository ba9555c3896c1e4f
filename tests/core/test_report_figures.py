"""The figures of a report: worked out by hand on a small project, and against the project itself on any history."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from importlib import resources

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src_core.data.case import IGNORE, Box, Verified, vouched
from src_core.errors import InputError
from src_core.report.figures import SCHEMA_VERSION
from src_core.report.gather import gather
from src_core.report.sections import Section
from src_core.review import decisions
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.store.provenance import PROVENANCE, provenance
from tests.reviewed import CLASSES, REGIONS, at, cases, everywhere, filled, region, reviewed_project


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return reviewed_project(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def report(path):
    with Project.open(path) as project:
        return gather(project).to_dict()


def test_totals_by_hand(report):
    assert report["totals"] == {
        "images_verified": 2,  # c and d
        "images_partly": 2,
        "images_open": 0,
        "images_trusted": 1,
        "images_changed": 3,
        "pixels": 400,
        "pixels_labelled": 390,
        "pixels_vouched": 30 + 8 + 100 + 100,
        "share_vouched": 238 / 390,
        "pixels_changed": 22 + 6 + 5,
        "share_changed": 33 / 390,
        "decisions": 6,
        "strokes": 2,
        "regions_decided": 4,
        "regions_open": 3,  # a#3 was turned back, a#4 nobody saw, b#3 was skipped; d is verified altogether
        "dice": pytest.approx((40 / 62 + 0 + 0 + 1) / 4),
    }
    assert report["project"] == {
        "name": "study",
        "images": 4,
        "classes": 3,
        "record": 11,  # the trusted mask, 8 decisions and strokes, one turned back, and that
        "first": "2026-05-03T23:40:00.000+00:00",
        "last": "2026-05-04T00:01:47.000+00:00",
    }


def test_classes_by_hand(report):
    found = {row["name"]: (row["pixels_before"], row["pixels_after"]) for row in report["classes"]}
    assert found == {"background": (350, 357), "organ": (40, 27), "tumour": (0, 6)}
    assert {row["name"]: (row["mm2_before"], row["mm2_after"]) for row in report["classes"]} == {
        "background": (15.0, 19.5), "organ": (10.0, 5.5), "tumour": (0.0, 0.0),
    }  # fmt: skip
    assert report["images_in_mm"] == 1
    assert [tuple(row.values()) for row in report["conversions"]] == [
        ("organ", "background", 20), ("background", "organ", 7), ("background", "tumour", 6),
    ]  # fmt: skip


def test_decisions_by_hand(report):
    assert report["decisions"] == {
        "accept": 1, "keep": 1, "confirm": 1, "edit": 2, "skip": 1, "unsure": 1, "verify_image": 1,
    }  # fmt: skip
    assert report["authors"] == [
        {
            "name": "ada", "decisions": 5, "strokes": 1,
            "first": "2026-05-03T23:40:00.000+00:00", "last": "2026-05-03T23:56:40.000+00:00",
        },
        {
            "name": "ben <ben@example.org>", "decisions": 1, "strokes": 1,
            "first": "2026-05-04T00:01:40.000+00:00", "last": "2026-05-04T00:01:47.000+00:00",
        },
    ]  # fmt: skip
    assert [(row["day"], row["author"], sum(row["kinds"].values())) for row in report["days"]] == [
        ("2026-05-03", "ada", 6),
        ("2026-05-04", "ben <ben@example.org>", 2),
    ]
    assert report["days"][1]["kinds"]["verify_image"] == 1


def test_review_by_hand(report):
    assert report["review"] == {
        "regions": 3,  # a#1, a#2, b#1
        "changed": 2,  # a#1 by the proposal, b#1 by hand
        "hit_rate": 2 / 3,
        "median_seconds": 4.0,  # of 4, 12 and 2; the pause of 982 is none
        "timed": 3,
        "seconds_at_work": 18.0,
    }


def test_where_labels_come_from_by_hand(report):
    assert report["verified"] == {"confirmed": 10, "corrected": 31, "background": 197, "unsure": 10}
    assert report["provenance"] == {
        "original": 150, "confirmed": 10, "accepted": 20, "background confirmed": 197, "changed, not confirmed": 2,
        "unsure": 10, "edited": 6, "trusted mask": 5,
    }  # fmt: skip


def test_trust_and_run_by_hand(report):
    assert report["trust"] == {
        "images": 4,
        "mean_scored": (50 + 67.5 + 100 + 87.5) / 390,
        "mean_now": (30 + 35 + 8 + 82 * 0.75 + 100 + 100) / 390,
        "wrong_scored": 53.5,
        "wrong_now": 35.0,  # the 70 px of a that nobody vouches for
    }
    run = report["run"]
    assert (run["name"], run["epochs"], run["generation"]) == ("run-001", 4, 1)
    assert run["held_out"] == {"epoch": 3, "dice": 0.625, "best_epoch": 2, "best_dice": 0.75}
    assert run["settings"]["method"] == "metadcseg"


def test_images_by_hand(report):
    images = {row["name"]: row for row in report["images"]}
    assert images["a"] == {
        "name": "a", "status": "partly", "trusted": False, "shape": [10, 10], "pixels_changed": 22,
        "pixels_vouched": 30, "dice": pytest.approx(40 / 62), "regions_decided": 2, "regions_open": 2,
        "trust_scored": 0.5, "trust_now": 0.65, "wrong_scored": 50.0, "wrong_now": 35.0,
    }  # fmt: skip
    assert images["c"]["trusted"]
    assert images["d"]["regions_open"] == 0
    assert [images[name]["status"] for name in "abcd"] == ["partly", "partly", "verified", "verified"]


def test_the_json_keeps_to_its_schema(report, path):
    schema = json.loads(resources.files("src_core.report").joinpath("report.schema.json").read_text())
    assert schema["properties"]["schema_version"]["const"] == SCHEMA_VERSION == report["schema_version"]
    jsonschema.validate(report, schema)
    with Project.open(path) as project:
        jsonschema.validate(gather(project, sources=True, sections=(rows_of_record,)).to_dict(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**report, "more": 1}, schema)


def test_a_project_without_run_and_decisions(tmp_path):
    image = np.zeros((8, 8), np.uint8)
    with build_project(tmp_path / "new", [NewCase(name="a", image=image, given=image)], CLASSES) as project:
        report = gather(project).to_dict()
        with pytest.raises(InputError, match="no run 'run-007'"):
            gather(project, "run-007")
    assert (report["run"], report["trust"], report["totals"]["regions_open"]) == (None, None, None)
    assert report["review"]["hit_rate"] is None
    assert report["review"]["median_seconds"] is None
    assert report["authors"] == report["days"] == report["conversions"] == []
    assert report["classes"][1]["mm2_before"] is None
    assert report["images"][0]["dice"] == 1.0
    schema = json.loads(resources.files("src_core.report").joinpath("report.schema.json").read_text())
    jsonschema.validate(report, schema)


def test_scores_that_are_just_being_replaced_are_left_out(tmp_path):
    path = reviewed_project(tmp_path)
    shutil.rmtree(path / "runs" / "run-001" / "scores.zarr" / "cases" / "000000")
    with Project.open(path) as project:
        report = gather(project)
    assert report.trust.images == 3
    assert report.trust.wrong_scored == 3.5
    assert (report.images[0].trust_now, report.images[0].wrong_scored) == (None, None)
    assert report.images[1].trust_scored == 0.75


def test_source_paths_are_told_only_when_asked(path):
    with Project.open(path) as project:
        assert "/ward/7" not in json.dumps(gather(project).to_dict())
        told = gather(project, sources=True).to_dict()["images"]
    assert told[0]["image_path"] == "/ward/7/a.png"
    assert told[1]["mask_path"] == "/ward/7/masks/b.png"


def test_an_answer_that_comes_back_to_the_given_label_changed_nothing(tmp_path):
    """Painted and painted back, then confirmed; and a region that was kept first and accepted later."""
    with build_project(tmp_path / "p", cases("ab"), CLASSES) as project:
        case, box = project.case("b"), Box((0, 0), (1, 2))
        for label in (2, 0):
            project.commit(decisions.edit(project, case, box, np.full((1, 2), label, np.uint8)))
        project.commit(decisions.confirm(project, REGIONS["b#1"], everywhere(REGIONS["b#1"])))
        assert gather(project).review.changed == 0
        one = REGIONS["a#1"]
        project.commit(decisions.keep(project, one, everywhere(one)))
        assert gather(project).review.changed == 0
        project.commit(decisions.accept(project, one, everywhere(one), filled(one, 0)))
        assert gather(project).review.changed == 1
        project.undo()
        review = gather(project).review
        assert (review.regions, review.changed) == (2, 0)


def test_verified_pixels_that_are_painted_over_count_for_the_region_that_confirms_them(tmp_path):
    with build_project(tmp_path / "p", cases("b"), CLASSES) as project:
        one = region("a", 1, (0, 2), (0, 4))  # the only case has the id 0
        project.commit(decisions.keep(project, one, everywhere(one)))
        case = project.case("b")
        project.commit(decisions.edit(project, case, Box((0, 0), (1, 2)), np.full((1, 2), 2, np.uint8)))
        project.commit(decisions.confirm(project, one, everywhere(one)))
        assert gather(project).review.changed == 1


def test_the_time_of_each_person_is_their_own(tmp_path):
    """Two who decide in turns: their gaps are 20 and 20, not 10."""
    with build_project(tmp_path / "p", cases("b"), CLASSES) as project:
        one = region("a", 1, (0, 2), (0, 4))
        for step in range(4):
            project.author = f"person {step % 2}"
            with at(10 * step):
                project.commit(decisions.skip(one))
        with at(10):  # the clock of the machine was set back
            project.commit(decisions.skip(one))
        review = gather(project).review
        assert (review.median_seconds, review.timed, review.seconds_at_work) == (20.0, 2, 40.0)


def rows_of_record(project, run):
    return Section(
        key="rows", title="Rows", facts={"rows": project.version()[0], "run": run and run.name},
        columns=("what", "share"), rows=(("all", 1.0), ("none", float("nan"))),
    )  # fmt: skip


def test_others_add_sections(path):
    with Project.open(path) as project:
        data = gather(project, sections=(rows_of_record, lambda _project, _run: None)).to_dict()
    assert data["sections"] == {
        "rows": {
            "title": "Rows", "text": "", "facts": {"rows": 11, "run": "run-001"}, "columns": ["what", "share"],
            "rows": [["all", 1.0], ["none", None]],
        }
    }  # fmt: skip


STEPS = st.lists(
    st.tuples(st.sampled_from(["accept", "keep", "edit", "confirm", "skip", "unsure", "image", "undo", "redo"]),
              st.integers(0, 1), st.integers(0, 7), st.integers(0, 2)),
    max_size=14,
)  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_any_history_is_told_as_the_project_is(tmp_path_factory, steps):
    with build_project(tmp_path_factory.mktemp("any") / "p", cases("bc"), CLASSES) as project:
        for action, image, row, label in steps:
            take(project, action, "ab"[image], row, label)
        report = gather(project)
        labels = {case.id: project.read_label(case) for case in project.cases}
        changed = sum(int((labels[case.id] != project.read_given(case)).sum()) for case in project.cases)
        assert report.totals.pixels_changed == changed == sum(row.pixels for row in report.conversions)
        after = np.bincount(np.concatenate([label.ravel() for label in labels.values()]), minlength=IGNORE + 1)
        assert [row.pixels_after for row in report.classes] == after[:3].tolist()
        counts = Counter()
        for kinds in project.verified_counts().values():
            counts.update(kinds)
        assert report.verified == {kind.name.lower(): counts[kind] for kind in Verified if kind}
        assert report.totals.pixels_vouched == vouched(counts)
        maps = np.concatenate([provenance(project, case).ravel() for case in project.cases])
        assert report.provenance == {name: int((maps == value).sum()) for name, value in PROVENANCE.items()}
        settled = Counter(project.decisions().values())
        assert report.totals.regions_decided == settled.total() - settled["skip"]
        assert report.review.regions == settled["accept"] + settled["keep"] + settled["confirm"]


def take(project, action, image, row, label):
    one = region(image, row, (row, row + 2), (row, row + 3))
    case = project.cases["ab".index(image)]
    match action:
        case "accept":
            project.commit(decisions.accept(project, one, everywhere(one), filled(one, label)))
        case "keep":
            project.commit(decisions.keep(project, one, everywhere(one)))
        case "confirm":
            project.commit(decisions.confirm(project, one, everywhere(one)))
        case "unsure":
            project.commit(decisions.unsure(project, one, everywhere(one)))
        case "skip":
            project.commit(decisions.skip(one))
        case "image":
            project.commit(decisions.verify_image(project, case))
        case "edit":
            change = decisions.edit(project, case, one.box, filled(one, label))
            if change is not None:
                project.commit(change)
        case "undo":
            project.undo()
        case _:
            project.redo()


def test_what_is_done_after_the_record_was_read_is_left_out(tmp_path, monkeypatch):
    """The other session goes on while images are counted: the figures stay those of one moment."""
    path = reviewed_project(tmp_path)
    with Project.open(path) as reader, Project.open(path, write=True) as writer:
        before = gather(reader).to_dict()
        read = Project.read_given

        def meanwhile(project, case, box=None):
            if project is reader:
                with at(5000):
                    writer.undo() if case.name == "b" else writer.commit(decisions.verify_image(writer, case))
            return read(project, case, box)

        monkeypatch.setattr(Project, "read_given", meanwhile)
        after = gather(reader).to_dict()
        monkeypatch.undo()
        assert {**after, "made": ""} == {**before, "made": ""}
        assert gather(reader).to_dict()["totals"] != before["totals"]
