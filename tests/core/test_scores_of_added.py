"""A run that has not seen all images: what it says of them, and how the others come to scores, too."""

from __future__ import annotations

import numpy as np
import pytest

from src_core.cli import main
from src_core.errors import MetaDCSegError
from src_core.infer.opinions import opinions
from src_core.infer.score import score_run
from src_core.report.gather import gather
from src_core.review.run_comparison import compare_runs
from src_core.store.add import add_cases
from src_core.store.create import NewCase
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.runs import ScoreWriter
from src_core.train.control import Control
from src_core.train.run import train


def quiet(_message):
    """Nobody listens."""


@pytest.fixture
def grown(make_project, tiny, phantoms):
    """A project with a scored run, to which two images were added then."""
    path = make_project(count=5)
    name = train(path, None, tiny(), listener=quiet, control=Control())
    score_run(path, name, device="cpu", listener=quiet)
    with Project.open(path, write=True) as project:
        new = [NewCase(name=f"0-{slice_.name}", image=slice_.image, given=slice_.truth) for slice_ in phantoms[6:]]
        add_cases(project, new)
    return path


def maps_of(project, run, case):
    names = ("trust", "alpha", "beta", "uncertainty", "proposed", "regions")
    return {name: run.read_map(case.id, name) for name in names}


def test_a_run_says_which_images_it_has_scores_of(grown):
    with Project.open(grown) as project:
        run = project.run()
        assert [run.covers(case.id) for case in project.cases] == [False, False, *[True] * 5]
        assert project.cases[0].name.startswith("0-")
        with pytest.raises(MetaDCSegError, match="make the scores again with 'metadcseg score'"):
            run.read_map(project.cases[0].id, "trust")


def test_everything_that_reads_maps_goes_without(grown, tmp_path):
    with Project.open(grown) as project:
        run = project.run()
        covered = {case.name for case in project.cases[2:]}
        assert {case.name for case, _ in opinions(project, run, device="cpu")} == covered
        written = export(project, tmp_path / "out", ["trust", "band", "proposed", "cleaned"])
        assert len([file for file in written if file.parent.name == "trust"]) == 5
        assert len([file for file in written if file.parent.name == "proposed"]) == 7
        report = gather(project)
        assert [image.trust_scored is None for image in report.images] == [True, True, *[False] * 5]
        found = compare_runs(project, run, run)
        assert found is None or not found.worse
    assert main(["rank", str(grown), "--by", "image", "--format", "csv"]) == 0
    assert main(["estimate", str(grown)]) == 0


def test_only_what_is_missing_is_scored(grown):
    heard = []
    with Project.open(grown) as project:
        run = project.run()
        before = {case.id: maps_of(project, run, case) for case in project.cases[2:]}
        rows = {row.case_id: row for row in run.images()}
        regions = {region.id for region in run.regions()}
        scored = run.case_folder(project.cases[2].id).stat().st_ino
    assert score_run(grown, None, device="cpu", listener=heard.append) == 2
    assert [message.data["total"] for message in heard if message.type == "scoring"] == [2, 2]
    with Project.open(grown) as project:
        run = project.run()
        assert all(run.covers(case.id) for case in project.cases)
        assert run.case_folder(project.cases[2].id).stat().st_ino != scored  # in a new generation
        for case_id, maps in before.items():
            for name, values in maps.items():
                assert np.array_equal(run.read_map(case_id, name), values)
        assert {row.case_id: row for row in run.images() if row.case_id in rows} == rows
        assert regions <= {region.id for region in run.regions()}
        assert heard[-1].data["regions"] == len(run.regions())
        new = {case.id: maps_of(project, run, case) for case in project.cases[:2]}
    # all anew: what was added has the same scores, as those of others do not depend on it
    assert main(["score", str(grown), "--all", "--device", "cpu"]) == 0
    with Project.open(grown) as project:
        run = project.run()
        assert run.generation == 3
        for case_id, maps in (before | new).items():
            for name, values in maps.items():
                assert np.array_equal(run.read_map(case_id, name), values), name
    heard.clear()
    score_run(grown, None, device="cpu", listener=heard.append)  # nothing is missing: all, as always
    assert heard[-2].data["total"] == 7


def test_scores_of_another_model_are_not_kept(grown, tiny):
    heard = []
    train(grown, "run-001", tiny(epochs=4), resume=True, listener=quiet, control=Control())
    score_run(grown, "run-001", device="cpu", listener=heard.append)
    assert heard[-2].data["total"] == 7


def test_a_scoring_that_is_stopped_keeps_what_was_there(grown):
    control = Control()
    control.stop()
    assert score_run(grown, None, device="cpu", listener=quiet, control=control) == 0
    with Project.open(grown) as project:
        run = project.run()
        assert run.generation == 1
        assert [run.covers(case.id) for case in project.cases] == [False, False, *[True] * 5]
        assert run.read_map(project.cases[2].id, "trust").shape == project.cases[2].shape


def test_covers_asks_no_disk_for_arrays(make_project):
    """Ten thousand questions to a run whose maps are not there: the ranking alone tells."""
    path = make_project(count=2)
    folder = path / "runs/run-009"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"started": "1", "settings": {}}', encoding="utf-8")
    ScoreWriter(folder, "run-009").finish([], [])
    with Project.open(path) as project:
        run = project.run("run-009")
        assert not any(run.covers(case_id) for case_id in range(10_000))
        assert not project.run("run-009", scored=False).covers(0)
