"""What follows the scores takes volumes: import, second opinion, simulation, audit, second rater, export, report."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from src_core.data.case import IGNORE
from src_core.infer.imported import import_scores
from src_core.infer.suspicion import suspicion_maps
from src_core.report.write import write_report
from src_core.review import audit, decisions, second_sample
from src_core.review.agreement import agreement, sentences
from src_core.review.decoys import make_pieces
from src_core.review.second_rater import Answer, SecondRaterSession
from src_core.review.simulated import SimulatedAnnotator, by_suspicion
from src_core.review.stopping import StopEstimator
from src_core.store.create import NewCase, build_project
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.provenance import PROVENANCE
from src_core.store.verify import problems_of

from .test_volumes import CLASSES, ENCODING, SHAPE, SPACING, ball


def damaged(truth):
    """A piece is missing in some slices, and another one too much."""
    given = truth.copy()
    given[4:8, :, :18] = 0
    given[2:5, 2:9, 26:36] = 1
    return given


@pytest.fixture
def scored(tmp_path):
    """Four volumes, one of them verified, with imported scores that know the truth; and the truth."""
    truth = {f"vol{number}": ball(number)[1] for number in range(4)}
    cases = [
        NewCase(
            name=name,
            image=ball(number)[0],
            given=damaged(mask),
            clean=mask if number == 0 else None,
            spacing=SPACING,
            unit="mm",
            encoding=ENCODING,
        )
        for number, (name, mask) in enumerate(truth.items())
    ]
    build_project(tmp_path / "study", cases, CLASSES, author="ada").close()
    path = tmp_path / "study.metadcseg"
    rng = np.random.default_rng(0)
    opinions = {name: np.where(mask, 0.9, 0.1) + rng.uniform(-0.05, 0.05, SHAPE) for name, mask in truth.items()}
    found = import_scores(path, probabilities={name: values.astype(np.float32) for name, values in opinions.items()})
    assert found.images == 4
    assert found.regions >= 6  # in the three that nobody has verified a piece too little and one too much
    return path, truth


def decide_all(project, most=99):
    """Accept every region; how many."""
    run = project.run(None)
    regions = run.regions()[:most]
    for region in regions:
        mask = run.read_map(region.case_id, "regions", region.box) == region.number
        proposed = run.read_map(region.case_id, "proposed", region.box)
        project.commit(decisions.accept(project, region, mask, proposed, run.name))
    return len(regions)


def test_an_imported_review_of_volumes_ends_in_the_truth(scored, tmp_path):
    path, truth = scored
    with Project.open(path, write=True, author="ada") as project:
        assert {region.box.start[0] for region in project.run(None).regions()} == {2, 4}
        decide_all(project)
        written = export(project, tmp_path / "out", ["cleaned", "proposed", "trust", "provenance"], "npy")
        assert len(written) == 16
        assert problems_of(project) == []
    for name, mask in truth.items():
        assert np.array_equal(np.load(tmp_path / f"out/cleaned/{name}.npy"), mask)
        trust = np.load(tmp_path / f"out/trust/{name}.npy")
        assert trust.dtype == np.float32
        assert trust.shape == SHAPE
        origin = np.load(tmp_path / f"out/provenance/{name}.npy")
        changed = PROVENANCE["trusted mask" if name == "vol0" else "accepted"]
        assert (origin[mask != damaged(mask)] == changed).all()


def test_a_simulated_annotator_works_down_volumes_in_any_order(scored):
    path, truth = scored
    with Project.open(path, write=True, author="robot") as project:
        run = project.run(None)
        orders = [run.regions(), by_suspicion(run.regions(), run, suspicion_maps(project, run, "entropy"))]
        assert {region.id for region in orders[0]} == {region.id for region in orders[1]}
        true = {case.id: truth[case.name] for case in project.cases}
        annotator = SimulatedAnnotator(project, run, true, rng=np.random.default_rng(0))
        rows = list(annotator.review(orders[1]))
    wrong = sum(int((damaged(mask) != mask).sum()) for name, mask in truth.items() if name != "vol0")
    assert rows[0].wrong_pixels_left == wrong
    assert rows[-1].wrong_pixels_left == 0
    assert rows[-1].dice == 1


def test_what_is_left_is_estimated_and_audited(scored):
    path, _ = scored
    with Project.open(path, write=True, author="ada") as project:
        estimator = StopEstimator(project, project.run(None))
        before = estimator.now()
        assert before.wrong.high > 0
        sample = audit.draw(project, estimator, draws=3)
        assert len(project.samples.items(sample)) == 3
        decide_all(project)
        after = audit.current(project, estimator, 0.8)
        assert after.waiting == ()
        assert estimator.now().in_regions.value == 0


def test_a_second_rater_judges_regions_and_decoys_of_volumes(scored):
    path, _ = scored
    with Project.open(path, write=True, author="ada") as project:
        decide_all(project)
        pieces = make_pieces(project, 2, [60, 120], [], np.random.default_rng(1))
        assert pieces
        assert all(piece.mask.ndim == 3 for piece in pieces)
        second_sample.draw(project, "ben", share=1.0, seed=1)
        session = SecondRaterSession(project, "ben")
        shown = session.next()
        while shown is not None:
            assert shown.label.shape == SHAPE
            assert (shown.label != shown.proposed)[shown.mask].all()
            shown = session.answer(Answer.ACCEPT)
        found = agreement(project, project.samples.all(second_sample.PURPOSE)[0])
        assert sentences(found)


@pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="cleanlab is not installed")
def test_a_second_opinion_on_volumes(scored):
    from src_core.infer.second_opinion import second_opinion

    path, truth = scored
    record = second_opinion(path)
    assert record["regions"]
    assert all(row["mean"] < 0.3 for row in record["regions"])
    with Project.open(path) as project:
        quality = project.run(None).read_map(1, "cleanlab")
        label = project.read_label(project.case("vol1"))
    wrong = (label != truth["vol1"]) & (label != IGNORE)
    assert quality.shape == SHAPE
    assert quality[wrong].max() < quality[~wrong].min()


def test_the_report_shows_the_slice_that_changed_most(scored, tmp_path):
    path, _ = scored
    with Project.open(path, write=True, author="ada") as project:
        decide_all(project)
        write_report(project, tmp_path / "report.html", pictures=2)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "slice 4" in text
    assert json.dumps("vol1")[1:-1] in text
