"""A second opinion on the labels of a run: by hand, its agreement with trust, and that it belongs to its scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from src_core.cli import main
from src_core.errors import InputError, StorageError
from src_core.infer.imported import import_scores
from src_core.infer.opinions import label_quality
from src_core.infer.predict import Predictor
from src_core.infer.second_opinion import second_opinion
from src_core.infer.suspicion import suspicion_maps
from src_core.review import decisions
from src_core.store import opinion
from src_core.store.project import Project
from tests.core.test_cli_review import scored  # noqa: F401  a fixture
from tests.core.test_infer_imported import DRAWN, SIDE, files, foreground, make  # noqa: F401

pytest.importorskip("cleanlab")


def doubtful(*regions):
    """Trust handed in for one image: 0.1 in the given boxes, sure elsewhere."""
    trust = np.ones((SIDE, SIDE), np.float32)
    for box in regions:
        trust[box] = 0.1
    return trust


UPPER, LOWER = np.s_[0:2, 0:12], np.s_[10:12, 0:12]


@pytest.fixture
def apart(make):  # noqa: F811
    """Two regions by trust that was handed in, 24 px each; the probabilities agree on the upper one only."""
    probs, proposed = np.full((SIDE, SIDE), 0.05, np.float32), np.zeros((SIDE, SIDE), np.uint8)
    probs[DRAWN] = 0.95
    probs[UPPER] = 0.9
    for box in (DRAWN, UPPER, LOWER):
        proposed[box] = 10
    path = make(1)
    folder = path.parent / "proposed"
    folder.mkdir()
    Image.fromarray(proposed).save(folder / "im0.png")
    import_scores(path, probabilities={"im0": probs}, trust={"im0": doubtful(UPPER, LOWER)}, proposed=folder)
    return path


def test_numbers_by_hand(apart):
    steps = []
    record = second_opinion(apart, progress=lambda *step: steps.append(step))
    assert steps == [(1, 1)]
    with Project.open(apart) as project:
        run = project.run()
        quality = run.read_map(0, "cleanlab")
        means = run.second_opinion()
        upper, lower = sorted(run.regions(), key=lambda region: region.box.start)
    assert quality.dtype == np.float32
    assert quality[UPPER] == pytest.approx(0.1, abs=1e-4)
    assert quality[LOWER] == pytest.approx(0.95, abs=1e-4)
    assert means == pytest.approx({upper.id: 0.1, lower.id: 0.95}, abs=1e-4)
    rows = {row["region"]: row for row in record["regions"]}
    assert (rows[upper.id]["rank"], rows[lower.id]["rank"]) == (1, 2)
    assert (rows[upper.id]["queue_rank"], rows[lower.id]["queue_rank"]) == (1, 2)
    assert rows[upper.id]["wrong_pixels"] == pytest.approx(24 * 0.9, abs=0.01)
    found = record["agreement"]
    assert found["regions_disputed"] == 0.5
    assert (found["top"], found["top_shared"], found["regions"]) == (2, 2, 2)
    assert found["spearman_mean"] is None  # of two things
    assert found["pixels"] == SIDE * SIDE
    assert found["doubted_by_trust"] == pytest.approx(48 / 144)
    assert found["doubted_by_cleanlab"] == pytest.approx(24 / 144)
    # observed 120/144; by chance 1/3 * 1/6 + 2/3 * 5/6 = 11/18
    assert found["kappa"] == pytest.approx((120 / 144 - 11 / 18) / (1 - 11 / 18))
    assert record["out_of_fold"] is None
    assert json.loads(json.dumps(record)) == record


def test_quality_is_the_probability_of_the_label():
    quality = label_quality("x", "y")
    odds = np.random.default_rng(0).random((3, 5, 7)).astype(np.float32)
    opinion_CX = odds / odds.sum(0)
    label = np.random.default_rng(1).integers(0, 3, (5, 7)).astype(np.uint8)
    label[0, 0] = 255
    found = quality(opinion_CX, label)
    slow = [[opinion_CX[label[y, x], y, x] if label[y, x] != 255 else 0 for x in range(7)] for y in range(5)]
    np.testing.assert_allclose(found, slow)
    assert found.dtype == np.float32
    volume = quality(opinion_CX.reshape(3, 5, 7, 1), label.reshape(5, 7, 1))
    np.testing.assert_allclose(volume[..., 0], slow)


def test_a_decision_does_not_change_what_was_said_of_its_region(apart):
    before = second_opinion(apart)
    with Project.open(apart, write=True) as project:
        run = project.run()
        for region, decide in zip(run.regions(), ("accept", "keep"), strict=True):
            mask = run.read_map(0, "regions") == region.number
            if decide == "accept":
                project.commit(decisions.accept(project, region, mask, run.read_map(0, "proposed"), run.name))
            else:
                project.commit(decisions.keep(project, region, mask, run.name))
    after = second_opinion(apart)
    assert after["regions"] == before["regions"]
    assert after["agreement"]["pixels"] == SIDE * SIDE - 48  # those that nobody has looked at
    assert after["agreement"]["kappa"] is None  # neither doubts any of them


def test_it_belongs_to_its_scores(apart, tmp_path):
    with Project.open(apart) as project:
        assert project.run().second_opinion() is None
        with pytest.raises(InputError, match="has no second opinion on image 0"):
            project.run().read_map(0, "cleanlab")
    second_opinion(apart)
    probs = files(tmp_path / "probs", im0=foreground())
    with Project.open(apart) as project:
        run = project.run()
        assert len(run.second_opinion()) == 2
        import_scores(apart, probabilities=probs)
        assert run.second_opinion() is None
        assert not run.has_map("cleanlab")
        with pytest.raises(InputError, match="has no second opinion"):
            run.read_map(0, "cleanlab")
    assert list(second_opinion(apart)["regions"][0]) == ["region", "mean", "rank", "wrong_pixels", "queue_rank"]
    with Project.open(apart) as project:
        assert len(project.run().second_opinion()) == 1
        (project.run().path / opinion.FOLDER / opinion.RECORD).write_text("{", encoding="utf-8")
        assert project.run().second_opinion() is None


def test_scores_that_come_meanwhile_are_not_mixed_up(apart, tmp_path):
    second_opinion(apart)
    probs = files(tmp_path / "probs", im0=foreground())
    with pytest.raises(InputError, match="got new scores meanwhile"):
        second_opinion(apart, progress=lambda *_: import_scores(apart, probabilities=probs))
    assert not (apart / "runs" / "imported" / "opinion.partial").exists()


def test_a_region_that_trust_does_not_doubt_on_the_whole_is_not_disputed(make, tmp_path):  # noqa: F811
    """One pixel is doubted, and with it the whole group that is proposed otherwise."""
    trust = np.full((SIDE, SIDE), 0.9, np.float32)
    trust[0, 0] = 0.1
    path = make(1)
    proposed = tmp_path / "proposed"
    proposed.mkdir()
    Image.fromarray(np.full((SIDE, SIDE), 10, np.uint8)).save(proposed / "im0.png")
    import_scores(
        path, probabilities={"im0": np.zeros((SIDE, SIDE), np.float32)}, trust={"im0": trust}, proposed=proposed
    )
    record = second_opinion(path)
    assert [row["mean"] for row in record["regions"]] == [1]
    assert record["agreement"]["regions_disputed"] == 0


def test_without_regions_and_without_probabilities(make):  # noqa: F811
    path = make(2)
    import_scores(path, probabilities={"im0": foreground(doubted=0.95)}, allow_missing=True)
    record = second_opinion(path)
    assert record["regions"] == []
    assert record["agreement"]["regions_disputed"] is None
    with Project.open(path) as project:
        assert project.run().second_opinion() == {}
        with pytest.raises(InputError, match="no second opinion on image 1"):
            project.run().read_map(1, "cleanlab")
    import_scores(path, trust={name: doubtful(UPPER) for name in ("im0", "im1")}, run="trust-only")
    with pytest.raises(InputError, match=r"trust-only keeps no probabilities of image im0 .*--probabilities"):
        second_opinion(path)
    assert not (path / "runs" / "trust-only" / "opinion.partial").exists()


def test_of_a_trained_run(scored, capsys):  # noqa: F811
    """Every region, the network asked anew; then by the command line, as text and as JSON."""
    assert main(["second-opinion", str(scored), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "leans towards the given labels" in said
    assert "Cohen's kappa" in said
    with Project.open(scored) as project:
        run = project.run()
        means, regions = run.second_opinion(), run.regions()
        assert set(means) == {region.id for region in regions}
        region = regions[0]
        case = project.case(region.case_id)
        opinion_CX = Predictor(run.path, "cpu")(project.read_image(case))
        inside = run.read_map(case.id, "regions") == region.number
        assert means[region.id] == pytest.approx(float(opinion_CX[region.given][inside].mean()), abs=1e-4)
        trusted = next(case for case in project.cases if (project.read_verified(case) > 0).all())
        assert (run.read_map(trusted.id, "cleanlab") == 1).all()
    assert main(["second-opinion", str(scored), "--device", "cpu", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["out_of_fold"] is False
    assert sorted(row["rank"] for row in record["regions"]) == list(range(1, len(regions) + 1))
    assert main(["info", str(scored)]) == 0
    assert "scores of generation 1, second opinion" in capsys.readouterr().out
    assert main(["export", str(scored), str(scored.parent / "out"), "--what", "cleanlab"]) == 0
    assert len(list((scored.parent / "out" / "cleanlab").iterdir())) == 6


def test_without_cleanlab(apart, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cleanlab.segmentation.rank", None)
    with pytest.raises(InputError) as caught:
        second_opinion(apart)
    assert "needs the package cleanlab, which is not installed; install the extra with pip install" in str(caught.value)
    with Project.open(apart) as project, pytest.raises(InputError, match="The order 'cleanlab' needs the package"):
        suspicion_maps(project, project.run(), "cleanlab")


def test_other_orders_of_an_imported_run(apart, make):  # noqa: F811
    with Project.open(apart) as project:
        run = project.run()
        doubt = suspicion_maps(project, run, "cleanlab")[0]
        assert doubt[UPPER] == pytest.approx(0.9, abs=1e-4)
        unsure = suspicion_maps(project, run, "entropy")[0]
        assert unsure[UPPER] == pytest.approx(0.468996, abs=1e-3)
        assert run.read_probabilities(project.case(0), 3) is None  # as if damaged


def test_a_disk_that_fills_up_leaves_the_opinion_before(apart, monkeypatch):
    before = second_opinion(apart)

    def full(*_words):
        raise OSError(28, "no space")

    monkeypatch.setattr("src_core.store.opinion.chunks.ChunkedArray.write", full)
    with pytest.raises(StorageError, match="disk is full"):
        second_opinion(apart)
    with Project.open(apart) as project:
        assert project.run().opinion_record() == before
