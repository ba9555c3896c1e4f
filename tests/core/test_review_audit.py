"""The audit: by hand, without bias, and what it says while it is not finished. And what samples are stored as."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from src_core.cli import main
from src_core.data.case import Box
from src_core.data.scores import Region, Rest
from src_core.errors import InputError, ProjectReadOnlyError, SettingsError, StorageError
from src_core.review import advice, audit, decisions
from src_core.review.ledger import Ledger
from src_core.review.queue import ReviewQueue
from src_core.review.replay import Finding, Outcome
from src_core.review.stopping import Amount, Estimate, StopEstimator
from src_core.store import database
from src_core.store.journal import Action, Record
from src_core.store.project import Project
from src_core.store.samples import WITHDRAWN, Item, Rating, Sample
from tests.core.test_review_stopping import accept, hand, keep, project, write_scores  # noqa: F401  a fixture

LEVEL = 0.9


def made_up(pixels):
    """Regions of these sizes, and a review of them that begins."""
    regions = [
        Region(
            id=f"a#{number}", number=number, case_id=0, image="a", kind="error", score=1, pixels=size, given=0,
            proposed=1, box=Box((0, 0), (1, 1)), trust=0.5, uncertainty=0,
        )
        for number, size in enumerate(pixels, start=1)
    ]  # fmt: skip
    rest = Rest(doubted_pixels=0, doubted_wrong=0, trusted_pixels=0, trusted_wrong=0, foreground=1000)
    return regions, Ledger(regions, {0: rest})


def settle(ledger, region, wrong, action=Action.ACCEPT):
    record = Record(
        id=1, time="", author="", case_id=0, action=action, region=region.id, run="r", note="", box=None, target=None,
        pixels=0,
    )  # fmt: skip
    if action == Action.UNSURE:
        ledger.add(Outcome(record=record, unsure=True))
    else:
        whole = wrong in (0, region.pixels)
        kind = Action.ACCEPT if wrong else Action.KEEP
        row = Record(**{**vars(record), "action": kind})
        ledger.add(Outcome(record=row, findings=(Finding(region, wrong, 0, not whole),)))


def sample_of(regions, drawn, found=0, every=False):
    """A sample by hand: the places of the regions in the order they were drawn."""
    places = {}
    for place, index in enumerate(drawn):
        places.setdefault(index, []).append(place)
    items = [
        Item(number=number, case_id=0, region=regions[index].id, kind="audit", box=regions[index].box,
             facts={"draws": where, "pixels": float(regions[index].pixels)})
        for number, (index, where) in enumerate(places.items())
    ]  # fmt: skip
    settings = {"draws": len(drawn), "every": every, "pixels": float(sum(r.pixels for r in regions)), "found": found}
    return Sample(author="ada", purpose="audit", run="r", seed=0, settings=settings), items


def tail(value, hits, tries):
    """Chance to see at least so many hits."""
    return binom.sf(hits - 1, tries, value)


def test_by_hand():
    regions, ledger = made_up([100] * 100)
    sample, items = sample_of(regions, range(20))
    for index in range(20):
        settle(ledger, regions[index], 100 if index < 3 else 0)
    found = audit.result(sample, items, ledger, LEVEL)
    # 300 of the 1,500 expected ones were found by the audit itself
    assert found.value == pytest.approx(10_000 * 3 / 20 - 300)
    assert tail((found.low + 300) / 10_000, 3, 20) == pytest.approx(0.05)
    assert 1 - tail((found.high + 300) / 10_000, 4, 20) == pytest.approx(0.05)
    assert (found.answered, found.draws, found.waiting) == (20, 20, ())


def test_nothing_found_is_not_nothing_left():
    regions, ledger = made_up([100] * 100)
    sample, items = sample_of(regions, range(20))
    for index in range(20):
        settle(ledger, regions[index], 0)
    found = audit.result(sample, items, ledger, LEVEL)
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(10_000 * (1 - 0.05 ** (1 / 20)))


def test_the_first_draws_are_a_sample_too():
    regions, ledger = made_up([100] * 100)
    sample, items = sample_of(regions, [5, 7, 5, 9, 11])
    untouched = audit.result(sample, items, ledger, LEVEL)
    assert (untouched.value, untouched.low, untouched.high) == (None, 0, 10_000)
    settle(ledger, regions[5], 100)
    settle(ledger, regions[11], 0)  # out of turn: it counts when its turn comes
    found = audit.result(sample, items, ledger, LEVEL)
    assert found.answered == 1
    assert found.waiting == (regions[7].id, regions[9].id)
    settle(ledger, regions[7], 0)
    found = audit.result(sample, items, ledger, LEVEL)
    assert found.answered == 3
    assert found.value == pytest.approx(10_000 * 2 / 3 - 100)  # the region drawn twice counts twice
    settle(ledger, regions[9], 50)  # painted: half of it
    assert audit.result(sample, items, ledger, LEVEL).value == pytest.approx(10_000 * 2.5 / 5 - 150)


def test_what_nobody_could_tell_widens_the_interval():
    regions, ledger = made_up([100] * 100)
    sample, items = sample_of(regions, range(10))
    for index in range(9):
        settle(ledger, regions[index], 0)
    sure = made_up([100] * 100)[1]
    for index in range(10):
        settle(sure, regions[index], 0)
    settle(ledger, regions[9], 0, Action.UNSURE)
    found = audit.result(sample, items, ledger, LEVEL)
    assert found.waiting == ()
    assert found.low == 0
    assert found.high > audit.result(sample, items, sure, LEVEL).high


def test_with_few_regions_all_are_taken():
    regions, ledger = made_up([100, 50])
    sample, items = sample_of(regions, [1, 0], every=True)
    assert audit.result(sample, items, ledger, LEVEL).high == 150
    settle(ledger, regions[1], 50)
    found = audit.result(sample, items, ledger, LEVEL)
    assert (found.value, found.low, found.high) == (None, 0, 100)
    settle(ledger, regions[0], 0)
    found = audit.result(sample, items, ledger, LEVEL)
    assert (found.value, found.low, found.high) == (0, 0, 0)  # nothing is left


@pytest.mark.parametrize("share", [0.05, 0.4])
def test_without_bias_and_with_the_promised_coverage(share):
    """Sizes that differ by a hundred times, errors that are more frequent in large regions."""
    rng = np.random.default_rng(4)
    pixels = rng.lognormal(5, 1.2, 300).astype(int) + 20
    wrong = rng.random(300) < share * np.clip(np.log(pixels) / 5, 0, 2)
    truth = int(pixels[wrong].sum())
    regions, start = made_up(pixels.tolist())
    values, inside = [], 0
    for _ in range(400):
        ledger = start.copy()
        sample, items = sample_of(regions, rng.choice(300, 20, p=pixels / pixels.sum()).tolist())
        for item in items:
            index = int(item.region.split("#")[1]) - 1
            settle(ledger, regions[index], int(pixels[index] * wrong[index]))
        found = audit.result(sample, items, ledger, LEVEL)
        left = truth - ledger.found_in_regions
        inside += found.low <= left <= found.high
        values.append(found.value + ledger.found_in_regions)
    spread = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - truth) < 4 * spread + 0.01 * truth
    assert inside / 400 >= 0.88


# ------------------------------------------------------------------ on a project


def test_drawn_and_decided(project):  # noqa: F811
    run = project.run()
    estimator = StopEstimator(project, run)
    accept(project, 0)
    with pytest.raises(InputError, match="expected 1 or more"):
        audit.draw(project, estimator, draws=0)
    audit.draw(project, estimator, draws=3, seed=1)
    found = audit.current(project, estimator, LEVEL)
    assert found.answered == 0
    assert set(found.waiting) < {region.id for region in run.regions()[1:]}
    queue = ReviewQueue(run.regions(), project.decisions())
    queue.go_to(run.regions()[0].id)
    queue.show_only(found.waiting)
    assert queue.current is None
    assert tuple(region.id for region in queue.open) == found.waiting
    by_id = {region.id: region for region in run.regions()}
    for region_id in found.waiting:
        region = by_id[region_id]
        mask = run.read_map(region.case_id, "regions") == region.number
        project.commit(decisions.keep(project, region, mask, run.name))
        queue.decide(project.decisions())
    assert queue.open == []
    queue.show_only(None)
    assert queue.open
    done = audit.current(project, estimator, LEVEL)
    assert (done.value, done.waiting) == (0, ())
    project.undo()
    assert audit.current(project, estimator, LEVEL).waiting == (found.waiting[-1],)
    write_scores(project)  # other scores: the audit was of others
    assert audit.current(project, StopEstimator(project, project.run()), LEVEL) is None


def test_nothing_to_audit(project):  # noqa: F811
    for place in range(6):
        keep(project, place)
    with pytest.raises(InputError, match="nothing to audit"):
        audit.draw(project, StopEstimator(project, project.run()))


# ------------------------------------------------------------------ storage


def rating(store, sample, answer="keep", **changes):
    values = {
        "author": "bob", "sample": sample, "item": 0, "case_id": 3, "region": "a#1", "box": Box((0, 0), (2, 3)),
        "shown": {"given": 0}, "answer": answer, "seconds": 1.5,
    }  # fmt: skip
    return store.rate(Rating(**{**values, **changes}))


def drawn(project):  # noqa: F811
    box = Box((0, 0), (2, 3))
    item = Item(
        number=0, case_id=3, region="a#1", kind="real", box=box, mask=np.eye(2, 3, dtype=bool),
        label=np.arange(6, dtype=np.uint8).reshape(2, 3), proposed=np.ones((2, 3), np.uint8), facts={"score": 2.5},
    )  # fmt: skip
    sample = Sample(author="bob", purpose="test", run="made-up", seed=4, settings={"share": 0.1})
    return project.samples.add(sample, [item]), item


def test_samples_and_answers_come_back_as_they_were(project):  # noqa: F811
    store = project.samples
    sample, item = drawn(project)
    (found,) = store.all("test")
    assert (found.id, found.author, found.run, found.seed, found.settings) == (
        sample,
        "bob",
        "made-up",
        4,
        {"share": 0.1},
    )
    assert store.all("audit") == []
    (back,) = store.items(sample)
    for name in ("mask", "label", "proposed"):
        assert np.array_equal(getattr(back, name), getattr(item, name))
    assert (back.box, back.facts, back.kind) == (item.box, item.facts, item.kind)
    painted = np.full((2, 3), 2, np.uint8)
    first = rating(store, sample, painted=painted)
    assert np.array_equal(store.standing(sample)[0].painted, painted)
    rating(store, sample, WITHDRAWN, target=first)
    assert store.standing(sample) == {}
    rating(store, sample, "accept")
    assert store.standing(sample)[0].answer == "accept"
    assert [row.answer for row in store.ratings(sample)] == ["keep", WITHDRAWN, "accept"]


@pytest.mark.parametrize("table", ["sample", "item", "rating"])
@pytest.mark.parametrize("change", ["UPDATE {} SET case_id = 1", "DELETE FROM {}"])
def test_rows_are_never_changed(project, table, change):  # noqa: F811
    sample, _ = drawn(project)
    rating(project.samples, sample)
    db = sqlite3.connect(project.path / database.NAME)
    words = change.format(table).replace("case_id = 1", "seed = 1" if table == "sample" else "case_id = 1")
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        db.execute(words)
    db.close()


def test_a_sample_is_stored_whole_or_not_at_all(project):  # noqa: F811
    twice = [Item(number=0, case_id=3, region="a#1", kind="real", box=Box((0, 0), (1, 1)))] * 2
    sample = Sample(author="bob", purpose="test", run="made-up", seed=4)
    with pytest.raises((sqlite3.IntegrityError, StorageError)):
        project.samples.add(sample, twice)
    assert project.samples.all("test") == []


def test_reading_only(make_project):
    path = make_project()
    with Project.open(path) as reader, pytest.raises(ProjectReadOnlyError, match="open it for writing"):
        drawn(reader)


def test_a_record_of_version_2_is_read_and_upgraded_when_written(make_project):
    path = make_project()
    db = sqlite3.connect(path / database.NAME)
    for table in ("rating", "item", "sample"):
        db.execute(f"DROP TABLE {table}")
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()
    with Project.open(path) as reader:
        assert reader.samples.all("audit") == []
    with Project.open(path, write=True) as project:  # noqa: F811
        sample, _ = drawn(project)
        rating(project.samples, sample)
        assert project.database_faults() == []
    with Project.open(path) as reader:
        assert len(reader.samples.standing(sample)) == 1


# ------------------------------------------------------------------ words


def told(**changes):
    values = {
        "wrong": Amount(1234, 812, 1938), "in_regions": Amount(300, 100, 700), "doubted": Amount(34, 12, 38),
        "trusted": Amount(900, 700, 1200), "foreground": 300_000, "decided": 50, "waiting": 45, "hits": 3, "last": 20,
        "found": 9000, "checked": 0,
    }  # fmt: skip
    return Estimate(**{**values, **changes})


def test_the_sentence():
    assert advice.sentence(told()) == (
        "About 1,200 (810 to 1,900) wrong pixels left, 0.41 % of the labelled foreground. "
        "Of the last 20 regions 3 were really wrong."
    )
    assert advice.hits(told(hits=0)) == "Of the last 20 regions none were really wrong."
    assert advice.hits(told(hits=1)) == "Of the last 20 regions 1 was really wrong."
    assert advice.hits(told(last=0, hits=0)) == "No region was decided yet."
    assert "% of" not in advice.sentence(told(foreground=0))
    assert "in the 45 regions that wait" in advice.where(told())
    assert "was not checked" in advice.basis(told())
    assert "checked on 2 images" in advice.basis(told(checked=2))
    assert "none in regions, as none waits" in advice.where(told(waiting=0))


@pytest.mark.parametrize(
    ("value", "words"), [(0.3, 0), (7.4, 7), (12, 12), (99.6, 100), (1234, 1200), (98_765, 99_000)]
)
def test_two_digits(value, words):
    assert advice.rounded(value) == words


def test_the_rule():
    rule = advice.StopRule(share=0.01, hit_rate=0.1, last=20)
    verdict = advice.verdict(rule, told())  # 1,938 of 300,000
    assert verdict.stop
    assert "at most 0.65 %" in verdict.words
    many = {"wrong": Amount(4000, 2000, 6000)}
    assert not advice.verdict(rule, told(**many)).stop
    assert "up to 2 % of the labelled foreground may be wrong" in advice.verdict(rule, told(**many)).words
    assert advice.verdict(rule, told(**many, hits=1)).stop  # 5 %
    assert not advice.verdict(rule, told(**many, hits=2)).stop  # 10 % is not less than 10 %
    assert not advice.verdict(rule, told(**many, hits=0, last=19)).stop
    assert not advice.verdict(advice.StopRule(share=None, hit_rate=None), told()).stop
    assert advice.verdict(rule, told(**many, waiting=0)).stop
    for bad in ({"share": 0}, {"share": 1.5}, {"hit_rate": -1}, {"last": 0}):
        with pytest.raises(SettingsError, match="expected"):
            advice.StopRule(**bad)


# ------------------------------------------------------------------ command line


def said(capsys, *words):
    capsys.readouterr()
    assert main([*map(str, words)]) == 0
    return capsys.readouterr().out


def test_the_command_line(make_project, tmp_path, capsys):
    path = make_project()
    with Project.open(path, write=True) as opened:
        write_scores(opened)
        accept(opened, 0)
        keep(opened, 1)
    words = said(capsys, "estimate", path)
    assert words.startswith("About ")
    assert "Of the last 2 regions 1 was really wrong." in words
    assert "Audit" not in words
    rows = list(csv.DictReader(io.StringIO(said(capsys, "estimate", path, "--format", "csv"))))
    assert [row["decided"] for row in rows] == ["0", "1", "2"]
    assert float(rows[0]["wrong_low"]) <= float(rows[0]["wrong"]) <= float(rows[0]["wrong_high"])
    drawn_ids = said(capsys, "audit", path, "--draws", "2", "--seed", "1", "--author", "ada").splitlines()
    assert drawn_ids[0] == "region"
    assert said(capsys, "audit", path, "--draws", "2").splitlines() == drawn_ids  # taken up, not drawn anew
    file = tmp_path / "decisions.csv"
    file.write_text("region,decision\n" + "".join(f"{region},keep\n" for region in drawn_ids[1:]), encoding="utf-8")
    assert main(["decide", str(path), "--decisions", str(file)]) == 0
    found = json.loads(said(capsys, "estimate", path, "--format", "json", "--limit", "100"))
    assert found["audit"]["value"] == 0
    assert found["stop"]
    assert len(found["curve"]) == 1 + 2 + len(drawn_ids) - 1
    assert "Audit of 2 random draws" in said(capsys, "estimate", path)
    assert main(["estimate", str(path), "--limit", "0"]) == 2
    assert main(["estimate", str(path), "--run", "none"]) == 2
    assert main(["audit", str(path), "--seed", "-1"]) == 2


# ------------------------------------------------------------------ coverage


@pytest.fixture
def study(monkeypatch):
    """The study of benchmarks/stopping."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks" / "stopping"))
    import study

    yield study
    for name in ("study", "rehearsal"):
        sys.modules.pop(name, None)


def test_intervals_hold_in_simulated_reviews(study, tmp_path):
    """A small piece of the study: six reviews, trust as calibrated and twice too sure of the labels."""
    from rehearsal import SETTINGS, calibration, slices

    fitted = calibration("quality", 0.2, 30)
    inside, errors = {"wrong": [], "in_regions": [], "trusted": []}, []
    for seed in range(3):
        made = slices(seed, 8, "quality", 0.2)
        for name in ("calibrated", "too trusting"):
            rows = study.rehearse(seed, SETTINGS[name], made, fitted, tmp_path / f"{seed}-{name}")
            for row in (row for row in rows if row["stop"] != "audit"):
                for part, holds in inside.items():
                    told, truth = row["estimate"][part], row["truth"][part]
                    holds.append(told["low"] - 1 <= truth <= told["high"] + 1)
                if name == "calibrated":
                    errors.append(row["estimate"]["wrong"]["value"] / row["truth"]["wrong"] - 1)
    assert {part: np.mean(holds) >= 0.9 for part, holds in inside.items()} == dict.fromkeys(inside, True)
    assert abs(np.mean(errors)) < 0.35
