"""decide and verify on the command line: a scripted review, and whether a project is whole."""

from __future__ import annotations

import csv
import io
import sqlite3

import numpy as np
import pytest
import zarr

from src_core.cli import main
from src_core.data.case import Box, Verified
from src_core.data.scores import ImageScore
from src_core.review.regions import find_regions
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.store.runs import ScoreWriter
from src_core.train.control import Control
from tests.core.test_train_learner import quiet, train


@pytest.fixture
def scored(make_project, tiny):
    """A project with hand-made scores: in each image that nobody verified, two squares are put forward."""
    path = make_project(6)
    run = train(path, None, tiny(epochs=1, method="noisy"), listener=quiet, control=Control())
    regions, images = [], []
    with Project.open(path) as project:
        writer = ScoreWriter(project.run(run, scored=False).path, run)
        for case in project.cases:
            label, verified = project.read_labels(case)
            trust, proposed = np.ones(case.shape, np.float32), label.copy()
            for start in (2, 40):
                square = (slice(start, start + 6), slice(2, 8))
                trust[square], proposed[square] = 0.2, 1 - label[square]
            zeros = np.zeros(case.shape, np.float32)
            found, numbers = find_regions(
                case, trust=trust, uncertainty=zeros, label=label, proposed=proposed, verified=verified
            )
            maps = {"trust": trust, "alpha": trust, "beta": zeros, "uncertainty": zeros}
            writer.write(case.id, {**maps, "proposed": proposed, "regions": numbers})
            regions += found
            images.append(ImageScore(case_id=case.id, image=case.name, score=0.5, estimated_wrong_pixels=1.0))
        writer.finish(images, regions)
    return path


def listed(path, capsys):
    capsys.readouterr()
    assert main(["rank", str(path), "--by", "region", "--format", "csv"]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def decide(path, folder, rows, header="region,decision"):
    file = folder / "decisions.csv"
    file.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return main(["decide", str(path), "--decisions", str(file), "--author", "ada"])


def test_a_scripted_review_is_a_review(scored, tmp_path, capsys):
    rows = listed(scored, capsys)
    first, second, third = (row["region"] for row in rows[:3])
    assert decide(scored, tmp_path, [(first, "accept"), (second, "keep"), (third, "skip")]) == 0
    assert "Recorded 3 decisions (1 accept, 1 keep, 1 skip)" in capsys.readouterr().out
    left = [row["region"] for row in listed(scored, capsys)]
    assert first not in left
    assert second not in left
    assert third in left  # what was skipped comes again
    with Project.open(scored) as project:
        assert project.decisions() == {first: "accept", second: "keep", third: "skip"}
        by_id = {region.id: region for region in project.run().regions()}
        accepted, kept = by_id[first], by_id[second]
        case = project.case(accepted.case_id)
        mask = project.run().read_map(case.id, "regions") == accepted.number
        assert (project.read_label(case)[mask] == accepted.proposed).all()
        assert (project.read_verified(case)[mask] == Verified.CORRECTED).all()
        case = project.case(kept.case_id)
        mask = project.run().read_map(case.id, "regions") == kept.number
        assert (project.read_label(case)[mask] == project.read_given(case)[mask]).all()
        assert (project.read_verified(case)[mask] > 0).all()
        assert {record.author for record in project.history(3)} == {"ada"}
    assert main(["verify", str(scored)]) == 0
    assert "is whole: 6 images" in capsys.readouterr().out


def test_a_file_that_cannot_be_used_changes_nothing(scored, tmp_path, capsys):
    region = listed(scored, capsys)[0]["region"]
    with Project.open(scored) as project:
        before = project.version()
    for rows, header, words in (
        ([(region, "accept"), ("nobody#1", "keep")], "region,decision", "line 3: run run-001 has no region 'nobody#1'"),
        ([(region, "maybe")], "region,decision", "the decision is 'maybe', expected one of accept, keep, skip"),
        ([(region, "accept"), (region, "keep")], "region,decision", "stands in the file before"),
        ([(region, "accept")], "id,what", "expected the columns region,decision"),
    ):
        assert decide(scored, tmp_path, rows, header) == 2
        assert words in capsys.readouterr().err
    assert main(["decide", str(scored), "--decisions", str(tmp_path / "none.csv")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    with Project.open(scored) as project:
        assert project.version() == before


def painted(path):
    """A project with strokes, one of them turned back; the case that was painted."""
    with Project.open(path, write=True) as project:
        case = project.cases[-1]
        for start in (0, 4):
            box = Box((start, 0), (start + 8, 8))
            values = np.full((8, 8), start // 4, np.uint8)
            project.commit(Change(case.id, Action.EDIT, Patch(box, values, values)))
        project.undo()
        return case


def test_a_project_is_whole_after_any_history(make_project, capsys):
    path = make_project()
    case = painted(path)
    assert main(["verify", str(path)]) == 0
    with Project.open(path, write=True) as project:
        project.redo()
        assert case.name == project.cases[-1].name
    assert main(["verify", str(path)]) == 0
    assert "changes played back" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["label", "verified"])
def test_a_mask_that_differs_from_its_record_is_said(make_project, capsys, name):
    path = make_project()
    case = painted(path)
    zarr.open_group(str(path / "arrays.zarr"), mode="r+")[f"cases/{case.id:06d}/{name}"][20, 20] = 3
    assert main(["verify", str(path)]) == 1
    assert f"of image {case.name} differs from its record at 1 pixels" in capsys.readouterr().out


def test_counts_and_changes_that_are_not_applied_are_said(make_project, capsys):
    path = make_project()
    case = painted(path)
    db = sqlite3.connect(path / "project.db")
    db.execute("UPDATE verified SET pixels = pixels + 1 WHERE case_id = ?", (case.id,))
    db.execute("INSERT OR IGNORE INTO verified VALUES (?, 1, 7)", (case.id,))
    db.execute("UPDATE state SET value = value - 1 WHERE key = 'applied'")
    db.commit()
    db.close()
    assert main(["verify", str(path)]) == 1
    said = capsys.readouterr().out
    assert "1 recorded changes are not applied" in said
    assert f"counts of verified pixels of image {case.name}" in said


def test_an_array_that_is_missing_is_said(make_project, capsys):
    path = make_project()
    case = painted(path)
    target = path / "arrays.zarr" / "cases" / f"{case.id:06d}" / "image"
    target.rename(target.with_name("elsewhere"))
    assert main(["verify", str(path)]) == 1
    assert "is missing" in capsys.readouterr().out
