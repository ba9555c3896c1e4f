"""Images that came without a mask: regions of their own kind, what decisions make of them, and what is exported."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.cli import main
from src_core.data.case import IGNORE, NO_MASK, Box, MaskEncoding, Verified, keep_what_teaches
from src_core.errors import InputError
from src_core.review import decisions
from src_core.review.queue import ReviewQueue
from src_core.review.region_parts import pixels_of, values_in
from src_core.review.regions import REACH, find_regions, image_score
from src_core.review.stopping import StopEstimator
from src_core.store import chunks, pieces
from src_core.store.create import NewCase, build_project
from src_core.store.export import export, without_label
from src_core.store.project import Project
from src_core.store.provenance import PROVENANCE, provenance
from src_core.store.runs import ScoreWriter
from src_core.store.verify import problems_of
from tests.conftest import CLASSES, SIZE
from tests.core.test_big_regions import by_blocks, case_of, scored

ENCODING = MaskEncoding(suffix=".png", dtype="uint8", values={0: 0, 1: 255}, extra={NO_MASK: True})
ORGAN = (slice(10, 30), slice(10, 40))
BLANK = np.full((SIZE, SIZE), IGNORE, np.uint8)


def bare(shape):
    return replace(case_of(shape), encoding=ENCODING)


def proposal():
    proposed = np.zeros((SIZE, SIZE), np.uint8)
    proposed[ORGAN] = 1
    return proposed


def write_scores(project):
    """Scores by hand: the same proposal everywhere, and doubt where it differs from a label."""
    folder = project.path / "runs/made-up"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"run": "made-up", "started": "2025"}), encoding="utf-8")
    writer = ScoreWriter(folder, "made-up")
    regions, images = [], []
    for case in project.cases:
        label, verified = project.read_labels(case)
        proposed = proposal()
        trust = np.where(label == IGNORE, 0, np.where(proposed == label, 0.99, 0.2)).astype(np.float32)
        uncertainty = np.full(case.shape, 0.25 if case.name == "c" else 0.5, np.float32)
        maps = {"trust": trust, "label": label, "proposed": proposed, "verified": verified}
        found, numbers = find_regions(case, uncertainty=uncertainty, **maps)
        writer.write(case.id, {"trust": trust, "proposed": proposed, "regions": numbers, "uncertainty": uncertainty})
        regions += found
        images.append(image_score(case, numbers=numbers, row=project.version()[1], **maps))
    writer.finish(images, regions)


@pytest.fixture
def project(tmp_path, phantoms):
    """Image a has a mask, which lacks the organ; b and c came without one."""
    given_ = np.zeros((SIZE, SIZE), np.uint8)
    given_[50:56, 50:56] = 1
    given_[60:] = IGNORE  # left out on purpose
    cases = [NewCase(name="a", image=phantoms[0].image, given=given_)]
    cases += [NewCase(name=name, image=phantoms[1].image, given=BLANK, encoding=ENCODING) for name in "bc"]
    with build_project(tmp_path / "p", cases, CLASSES, author="ada") as made:
        write_scores(made)
        yield made


def hand(project, image="b"):
    run = project.run()
    (region,) = (region for region in run.regions() if region.image == image and not region.labelled)
    return region, run.read_map(region.case_id, "regions") == region.number, run.read_map(region.case_id, "proposed")


def test_the_whole_image_is_a_region_of_its_own_kind(project):
    region, mask, _ = hand(project)
    assert mask.all()
    assert (region.kind, region.score, region.trust, region.given, region.proposed) == ("unlabelled", 0.0, 0.0, 255, 0)
    assert (region.pixels, region.box, region.uncertainty) == (SIZE * SIZE, Box((0, 0), (SIZE, SIZE)), 0.5)
    kinds = {r.kind for r in project.run().regions() if r.image == "a"}
    assert kinds == {"error"}  # what a mask leaves out on purpose is no region
    scores = {row.image: row.score for row in project.run().images()}
    assert scores["b"] == 0
    assert scores["a"] > 0


def test_the_rest_of_an_image_is_asked_about_once_a_part_is_drawn():
    """Two pieces that a drawn stripe parts, and a speck that is too small."""
    wide = 11 + REACH
    label = np.full((12, wide), IGNORE, np.uint8)
    label[:, 5 : 5 + REACH] = 1
    label[0, 5 + REACH : -1] = 0
    label[1, -2:] = 0
    verified = np.where(label != IGNORE, Verified.CORRECTED, 0).astype(np.uint8)
    zeros = np.zeros(label.shape, np.float32)
    proposed = np.ones(label.shape, np.uint8)
    proposed[5:, :5] = 0
    maps = {"trust": zeros, "uncertainty": zeros, "label": label, "proposed": proposed, "verified": verified}
    found, _ = find_regions(bare(label.shape), **maps)
    assert sorted((region.pixels, region.proposed) for region in found) == [(60, 0), (65, 1)]
    proposed[:] = IGNORE  # and nothing where nothing is proposed
    assert find_regions(bare(label.shape), **maps)[0] == []


def test_its_name_does_not_hang_on_the_proposal():
    blank = np.full((8, 8), IGNORE, np.uint8)
    zeros = np.zeros((8, 8), np.float32)
    maps = {"trust": zeros, "uncertainty": zeros, "label": blank, "verified": np.zeros_like(blank)}
    names = set()
    for proposed in (np.zeros_like(blank), np.eye(8, dtype=np.uint8)):
        ((region,), _) = find_regions(bare((8, 8)), proposed=proposed, **maps)
        names.add(region.id)
    assert len(names) == 1


@settings(max_examples=60, deadline=None)
@given(scored(), st.integers(REACH, 17), st.integers(1, 25), st.floats(0.2, 1), st.integers(0, 99))
def test_blocks_give_the_regions_of_the_whole(maps, edge, min_pixels, share, seed):
    holes = np.random.default_rng(seed).random(maps["label"].shape) < share
    maps["label"] = np.where(holes, IGNORE, maps["label"])
    case = bare(maps["label"].shape)
    expected, whole = find_regions(case, **maps, min_pixels=min_pixels)
    found, numbers, quality = by_blocks(case, maps, edge, min_pixels)
    assert np.array_equal(numbers, whole)
    for one, other in zip(
        sorted(found, key=lambda region: region.number), sorted(expected, key=lambda region: region.number), strict=True
    ):
        for name in ("id", "kind", "pixels", "given", "proposed", "box"):
            assert getattr(one, name) == getattr(other, name), name
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert (one.kind == "unlabelled") == (one.score == 0 and one.trust == 0)
    del maps["uncertainty"]
    told = image_score(case, **maps, numbers=whole, row=7)
    assert quality.estimated_wrong_pixels == pytest.approx(told.estimated_wrong_pixels)
    for name in ("doubted_pixels", "trusted_pixels", "foreground"):
        assert getattr(quality.rest, name) == getattr(told.rest, name)


# ------------------------------------------------------------------ the queue


def test_suspect_regions_come_first_and_the_others_are_one_filter_away(project):
    queue = ReviewQueue(project.run().regions(), {})
    assert [region.image for region in queue.open] == ["a", "a", "b", "c"]  # b is the one that is less sure
    for order in ("trust", "size", "worth"):
        queue.sort(order)
        assert [region.labelled for region in queue.open] == [True, True, False, False]
    assert (queue.count("error"), queue.count("unlabelled")) == (2, 2)
    queue.show("unlabelled")
    assert [region.image for region in queue.open] == ["b", "c"]
    assert [region.image for region in project.run().regions()] == ["a", "a", "b", "c"]


# ------------------------------------------------------------------ decisions


def state(project):
    case = project.case("b")
    return [values.copy() for values in project.read_labels(case)], project.verified_count(case), project.decisions()


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one[0], other[0], strict=True)) and one[1:] == other[1:]


def taken_back(project, before, after):
    project.undo()
    assert same(state(project), before)
    project.redo()
    assert same(state(project), after)
    assert problems_of(project) == []


def test_accept_takes_all_of_the_proposal_over(project):
    region, mask, proposed = hand(project)
    before = state(project)
    project.commit(decisions.accept(project, region, mask, proposed, "made-up"))
    label, verified = project.read_labels(project.case("b"))
    assert np.array_equal(label, proposal())
    assert (verified == Verified.CORRECTED).all()
    assert project.is_wholly_verified(project.case("b"))
    assert (provenance(project, project.case("b")) == PROVENANCE["accepted"]).all()
    taken_back(project, before, state(project))


def test_accept_leaves_what_was_painted(project):
    region, mask, proposed = hand(project)
    box = Box((40, 0), (44, 10))
    project.commit(decisions.edit(project, project.case("b"), box, np.ones(box.shape, np.uint8)))
    project.commit(decisions.accept(project, region, mask, proposed))
    expected = proposal()
    expected[box.slices] = 1
    label, verified = project.read_labels(project.case("b"))
    assert np.array_equal(label, expected)
    assert (verified > 0).all()


def test_keep_leaves_it_without_a_label_and_out_of_the_queue(project):
    region, mask, _ = hand(project)
    project.commit(decisions.keep(project, region, mask))
    label, verified = project.read_labels(project.case("b"))
    assert (label == IGNORE).all()
    assert not verified.any()
    queue = ReviewQueue(project.run().regions(), project.decisions())
    assert [region.image for region in queue.open if not region.labelled] == ["c"]
    write_scores(project)  # also when it is scored again
    queue.update(project.run().regions(), project.decisions())
    assert [region.image for region in queue.open if not region.labelled] == ["c"]
    project.undo()
    queue.set_decided(project.decisions())
    assert [region.image for region in queue.open if not region.labelled] == ["b", "c"]


def test_confirm_takes_what_was_painted_and_background_elsewhere(project):
    region, mask, _ = hand(project)
    box = Box((5, 5), (9, 20))
    project.commit(decisions.edit(project, project.case("b"), box, np.ones(box.shape, np.uint8)))
    before = state(project)
    project.commit(decisions.confirm(project, region, mask))
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[box.slices] = 1
    label, verified = project.read_labels(project.case("b"))
    assert np.array_equal(label, expected)
    assert (verified == Verified.CORRECTED).all()
    assert project.unconfirmed_strokes(project.case("b")) == []
    taken_back(project, before, state(project))


def test_an_image_without_a_label_cannot_be_marked_as_right(project):
    case = project.case("b")
    with pytest.raises(InputError, match="Image b has no mask yet, so there is nothing to verify; accept"):
        decisions.verify_image(project, case)
    box = Box((5, 5), (9, 20))
    project.commit(decisions.edit(project, case, box, np.ones(box.shape, np.uint8)))
    before = state(project)
    project.commit(decisions.verify_image(project, case))
    assert (project.read_label(case) == 0).sum() == SIZE * SIZE - 60
    assert project.is_wholly_verified(case)
    taken_back(project, before, state(project))


def test_unsure_changes_nothing_and_is_not_asked_again(project):
    region, mask, _ = hand(project)
    before = state(project)
    project.commit(decisions.unsure(project, region, mask))
    after = state(project)
    assert after[2] == {region.id: "unsure"}
    assert same((before[0], before[1], {}), (after[0], after[1], {}))


def test_first_labels_teach_as_confirmed_ones_do(project):
    label = np.array([0, 1, IGNORE, 1, 0], np.uint8)
    kinds = np.array([2, 2, 2, 5, 0], np.uint8)
    keep_what_teaches(project.case("b"), label, kinds)
    assert kinds.tolist() == [Verified.BACKGROUND, Verified.CONFIRMED, 0, 0, 0]
    kinds = np.array([2, 2, 2, 5, 0], np.uint8)
    keep_what_teaches(project.case("a"), label, kinds)
    assert kinds.tolist() == [2, 2, 0, 0, 0]


# ------------------------------------------------------------------ from the maps of a run


def test_the_pixels_of_a_run_are_read_in_parts_as_whole(project, monkeypatch):
    run = project.run()
    asked_of, mask, proposed = hand(project)
    small_ = pixels_of(run, asked_of)
    monkeypatch.setattr(pieces, "MOST", 200)
    large = pixels_of(run, asked_of)
    assert [callable(each) for each in (*small_, *large)] == [False, False, True, True]
    part = Box((8, 8), (20, 31))
    for values in (small_, large):
        assert np.array_equal(values_in(values[0], asked_of.box, part), mask[part.slices])
        assert np.array_equal(values_in(values[1], asked_of.box, part), proposed[part.slices])


def test_scores_that_are_replaced_meanwhile_stop_an_answer(project, monkeypatch):
    monkeypatch.setattr(pieces, "MOST", 200)
    monkeypatch.setattr(chunks, "_EDGES", {1: 64, 2: 8, 3: 4})
    run, (asked_of, _, _) = project.run(), hand(project)
    change = decisions.accept(project, asked_of, *pixels_of(run, asked_of))
    rows = project.version()[0]
    write_scores(project)
    with pytest.raises(InputError, match="New scores have replaced those that b#"):
        project.commit(change)
    assert project.version()[0] == rows
    assert (project.read_label(project.case("b")) == IGNORE).all()
    assert problems_of(project) == []


# ------------------------------------------------------------------ what follows


def test_they_are_not_counted_as_wrong_labels(project):
    estimator = StopEstimator(project, project.run())
    before = estimator.now()
    assert before.waiting == 2
    assert before.foreground == 36
    for image, decide in (("b", "accept"), ("c", "confirm")):
        region, mask, proposed = hand(project, image)
        more = (proposed,) if decide == "accept" else ()
        project.commit(getattr(decisions, decide)(project, region, mask, *more, run="made-up"))
    after = estimator.now()
    assert after.foreground == 36 + 600
    for name in ("wrong", "in_regions", "doubted", "trusted", "waiting", "decided", "hits", "found"):
        assert getattr(after, name) == getattr(before, name), name
    again = StopEstimator(project, project.run()).now()
    assert (again.wrong, again.foreground, again.decided) == (after.wrong, after.foreground, 0)


def test_no_mask_is_made_up(project, tmp_path, capsys):
    what = ["cleaned", "proposed"]

    def exported(name):
        written = export(project, tmp_path / name, what, "npy")
        return {f"{file.parent.name}/{file.stem}": np.load(file) for file in written}

    found = exported("none")
    assert set(found) == {"cleaned/a", "proposed/a", "proposed/b", "proposed/c"}
    assert np.array_equal(found["proposed/b"], proposal() * 255)
    assert without_label(project) == ["b", "c"]
    region, mask, proposed = hand(project)
    project.commit(decisions.accept(project, region, mask, proposed))
    assert without_label(project) == ["c"]
    assert np.array_equal(exported("one")["cleaned/b"], proposal() * 255)
    project.close()
    assert main(["export", str(project.path), str(tmp_path / "out"), "--what", "cleaned,trust"]) == 0
    assert "No cleaned mask of 1 image that came without one and that nobody decided on: c." in capsys.readouterr().out
    assert main(["rank", str(project.path), "--by", "region", "--kind", "unlabelled", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_whole_way(make_folders, tiny, tmp_path, monkeypatch, capsys):
    """Half of the images have masks; the tiny model proposes the others, and one proposal is accepted and exported."""
    folder = make_folders(count=6, trusted=3)
    for path in sorted((folder / "masks").iterdir())[4:]:
        path.unlink()
    project = str(tmp_path / "p.metadcseg")
    sources = [f"--{name.replace('trusted', 'clean-masks')}={folder / name}" for name in ("images", "masks", "trusted")]
    assert main(["create", project, *sources]) == 2
    assert "has no mask" in capsys.readouterr().err
    assert main(["create", project, *sources, "--allow-missing-masks"]) == 0
    settings_ = folder / "run.json"
    settings_.write_text(json.dumps({"settings": json.loads(tiny().to_json())}))
    assert main(["train", project, "--settings", str(settings_), "--threads", "1"]) == 0
    assert main(["score", project, "--device", "cpu"]) == 0
    capsys.readouterr()
    assert main(["rank", project, "--by", "region", "--kind", "unlabelled", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["pixels"] for row in rows] == [SIZE * SIZE] * 2
    (folder / "d.csv").write_text(f"region,decision\n{rows[0]['region']},accept\n{rows[1]['region']},keep\n")
    assert main(["decide", project, "--decisions", str(folder / "d.csv")]) == 0
    assert main(["export", project, str(tmp_path / "out"), "--what", "cleaned,proposed", "--format", "npy"]) == 0
    assert f"nobody decided on: {rows[1]['image']}." in capsys.readouterr().out
    cleaned, proposed = (tmp_path / "out" / name / f"{rows[0]['image']}.npy" for name in ("cleaned", "proposed"))
    assert np.array_equal(np.load(cleaned), np.load(proposed))
    assert not (tmp_path / "out/cleaned" / f"{rows[1]['image']}.npy").exists()
    assert main(["verify", project]) == 0
    assert main(["estimate", project]) == 0
    assert main(["report", project, str(tmp_path / "r.json")]) == 0
    assert main(["train", project, "--from", "run-001", "--threads", "1", "--epochs", "1"]) == 0
    with Project.open(project) as opened:
        assert len(opened.runs()) == 2
