"""What the decisions of a review found, and the estimate of what is left."""

from __future__ import annotations

import json

import numpy as np
import pytest

from src_core.data.case import Box, is_verified
from src_core.review import decisions
from src_core.review.hits import KINDS, Cells, HitModel, cells_of, kind_of, log_odds_of_error
from src_core.review.regions import find_regions, image_score, rest_of
from src_core.review.stopping import StopEstimator, estimate
from src_core.review.unasked import wrong_left
from src_core.store import ranking
from src_core.store.project import Project
from src_core.store.runs import ScoreWriter
from tests.conftest import SIZE

SQUARE = (slice(2, 12), slice(2, 12))  # 100 px, trust 0.2: 80 wrong ones expected
BAR = (slice(40, 45), slice(2, 12))  # 50 px, trust 0.4: 30
SPOT = (slice(60, 62), slice(60, 63))  # 6 px, trust 0.5, too small for a region: 3
TRUSTED = 0.99


def write_scores(project, *, run="made-up", spare=()):
    """Scores by hand: in each image that nobody verified, a square, a bar and a spot are doubted."""
    folder = project.path / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"run": run, "started": "2025"}), encoding="utf-8")
    writer = ScoreWriter(folder, run)
    regions, images = [], []
    for case in project.cases:
        label, verified = project.read_labels(case)
        trust, proposed = np.full(case.shape, TRUSTED, np.float32), label.copy()
        for where, value in ((SQUARE, 0.2), (BAR, 0.4), (SPOT, 0.5)):
            trust[where] = value
            proposed[where] = 1 - label[where]
        trust[is_verified(verified)] = 1
        maps = {"trust": trust, "label": label, "proposed": proposed, "verified": verified}
        found, numbers = find_regions(case, uncertainty=np.zeros(case.shape, np.float32), **maps)
        writer.write(case.id, {"trust": trust, "proposed": proposed, "regions": numbers})
        regions += found
        images.append(image_score(case, numbers=numbers, row=project.version()[1], **maps))
    writer.finish(images, regions)


@pytest.fixture
def project(make_project):
    with Project.open(make_project(), write=True, author="ada") as opened:
        write_scores(opened)
        yield opened


def hand(project, place=0):
    """A region of the queue with its mask and proposal."""
    run = project.run()
    region = run.regions()[place]
    return region, run.read_map(region.case_id, "regions") == region.number, run.read_map(region.case_id, "proposed")


def accept(project, place=0):
    region, mask, proposed = hand(project, place)
    return project.commit(decisions.accept(project, region, mask, proposed, "made-up"))


def keep(project, place=0):
    region, mask, _ = hand(project, place)
    return project.commit(decisions.keep(project, region, mask, "made-up"))


def paint(project, case, where):
    """A stroke that turns the labels of a window round."""
    box = Box(tuple(edge.start for edge in where), tuple(edge.stop for edge in where))
    project.commit(decisions.edit(project, case, box, 1 - project.read_label(case, box)))


def verify_whole(project, case):
    project.commit(decisions.verify_image(project, case))


def ledger(project):
    return StopEstimator(project, project.run()).ledger()


# ------------------------------------------------------------------ sums


def test_sums_outside_of_regions_by_hand():
    trust = np.array([[0.5, 0.6, 0.9, 1.0], [0.2, 0.95, 0.8, 0.3]], np.float32)
    label = np.array([[1, 0, 1, 0], [1, 255, 0, 1]], np.uint8)
    verified = np.array([[0, 0, 0, 1], [0, 0, 5, 0]], np.uint8)  # 5: nobody could tell, so nobody vouches
    numbers = np.array([[0, 0, 0, 0], [0, 0, 0, 7]], np.int32)
    rest = rest_of(trust=trust, label=label, verified=verified, numbers=numbers)
    assert (rest.doubted_pixels, rest.trusted_pixels, rest.foreground) == (3, 2, 4)
    assert rest.doubted_wrong == pytest.approx(0.5 + 0.4 + 0.8, abs=1e-3)
    assert rest.trusted_wrong == pytest.approx(0.1 + 0.2, abs=1e-3)


def test_where_a_review_starts(project):
    start = ledger(project)
    assert start.waiting == 6
    assert start.hits == []
    assert start.found == 0
    assert start.left_in_regions.tolist() == [100, 100, 100, 50, 50, 50]
    expected, most, checked, found = start.outside("doubted")
    assert expected.sum() == pytest.approx(3 * 3)
    assert most == 3 * 6
    assert checked.size == found.size == 0
    expected, most, *_ = start.outside("trusted")
    assert most == 3 * (SIZE * SIZE - 156)
    assert expected.sum() == pytest.approx(0.01 * most, rel=1e-3)
    assert start.foreground == sum(int((project.read_label(case) > 0).sum()) for case in project.cases)


# ------------------------------------------------------------------ decisions


def test_decisions_on_the_whole_and_taken_back(project):
    estimator = StopEstimator(project, project.run())
    accept(project, 0)
    keep(project, 1)
    project.commit(decisions.skip(hand(project, 2)[0], "made-up"))
    now = estimator.ledger()
    assert now.hits == [True, False]
    assert now.found == 100
    assert now.waiting == 4  # what was skipped waits
    assert now.left_in_regions.tolist() == [0, 0, 100, 50, 50, 50]
    assert now.foreground == sum(int((project.read_label(case) > 0).sum()) for case in project.cases)
    for _ in range(3):
        project.undo()
    assert estimator.ledger().hits == []
    assert estimator.ledger().waiting == 6
    assert estimator.ledger().foreground == sum(int((project.read_label(case) > 0).sum()) for case in project.cases)
    project.redo()
    assert estimator.ledger().hits == [True]
    keep(project, 0)  # decided anew: the label that was accepted is right, so the one before was wrong
    assert estimator.ledger().hits == [True]
    assert estimator.ledger().found == 100


def test_unsure_does_not_wait_but_its_pixels_are_left(project):
    region, mask, _ = hand(project)
    project.commit(decisions.unsure(project, region, mask, "made-up"))
    now = ledger(project)
    assert now.waiting == 5
    assert now.left_in_regions[0] == 100
    assert now.hits == []
    assert now.is_unsure(region.id)
    accept(project)
    assert not ledger(project).is_unsure(region.id)
    assert ledger(project).hits == [True]


def test_painting_tells_how_much_was_wrong(project):
    region, mask, _ = hand(project)
    case = project.case(region.case_id)
    paint(project, case, (slice(2, 12), slice(2, 5)))  # 30 of the 100 px
    assert ledger(project).found == 0  # strokes count when they are confirmed
    project.commit(decisions.confirm(project, region, mask, "made-up"))
    now = ledger(project)
    assert now.share_wrong(region.id) == pytest.approx(0.3)
    assert now.hits == [True]
    assert now.found == 30
    assert now.cells().counts.sum(axis=0).tolist() == [0, 1, 0, 0, 0, 0]  # more than a tenth, less than half


def test_painting_outside_of_regions_is_not_expected_to_be_wrong_any_more(project):
    region, mask, _ = hand(project)
    case = project.case(region.case_id)
    before = ledger(project).outside("trusted")[1]
    paint(project, case, (slice(20, 30), slice(20, 30)))
    project.commit(decisions.confirm(project, region, mask, "made-up"))
    assert ledger(project).outside("trusted")[1] == before - 100


def test_keeping_what_was_painted(project):
    region, *_ = hand(project)
    paint(project, project.case(region.case_id), (slice(2, 12), slice(2, 4)))
    keep(project)
    assert ledger(project).share_wrong(region.id) == pytest.approx(0.2)


def test_an_image_verified_whole_checks_the_trusted_pixels(project):
    case = project.case(hand(project)[0].case_id)
    accept(project)  # all of the square
    paint(project, case, (slice(30, 32), slice(30, 40)))  # 20 trusted px were wrong
    paint(project, case, (slice(60, 62), slice(60, 61)))  # 2 px of the spot
    paint(project, case, (slice(40, 45), slice(2, 7)))  # half of the bar
    verify_whole(project, case)
    now = ledger(project)
    assert now.checked == 1
    _, _, checked, found = now.outside("trusted")
    assert checked == pytest.approx([0.01 * (SIZE * SIZE - 156)], rel=1e-3)
    assert found == [20]
    assert [values.tolist() for values in now.outside("doubted")[2:]] == [[3.0], [2.0]]
    assert now.waiting == 4
    assert now.hits == [True]  # of the bar nobody was asked
    assert now.found == 100 + 20 + 2 + 25
    counts = now.cells().counts.sum(axis=0)
    assert counts[kind_of(None, accepted=True)] == 1  # the square: decided on the whole, as before
    assert counts[kind_of(0.5, accepted=False)] == 1
    assert now.outside("trusted")[1] == 2 * (SIZE * SIZE - 156)
    project.undo()
    assert ledger(project).checked == 0


def test_strokes_before_the_scores_are_no_findings(make_project):
    with Project.open(make_project(), write=True) as project:
        case = project.cases[-1]
        paint(project, case, (slice(30, 32), slice(30, 40)))
        write_scores(project)
        verify_whole(project, case)
        _, _, _, found = ledger(project).outside("trusted")
        assert found == [0]


def test_images_verified_before_the_scores_say_nothing(project):
    verify_whole(project, project.cases[0])  # it came with a trusted mask
    now = ledger(project)
    assert now.outside("trusted")[2].size == 0
    assert now.found == 0


def test_scores_of_an_older_version_are_read_from_the_maps(project):
    start = ledger(project)
    path = project.run().path / ranking.NAME
    older = json.loads(path.read_text(encoding="utf-8"))
    del older["images"]["rest"], older["images"]["row"]
    path.write_text(json.dumps(older), encoding="utf-8")
    assert estimate(ledger(project)) == estimate(start)
    accept(project)
    assert ledger(project).found == 100


def test_decisions_before_a_run_was_scored_again_are_evidence(project):
    accept(project, 0)
    keep(project, 1)
    write_scores(project)
    now = ledger(project)
    assert now.hits == []
    assert now.waiting == 4
    counts = now.cells().counts.sum(axis=0)
    assert [counts[kind_of(None, accepted=accepted)] for accepted in (True, False)] == [1, 1]


def random_step(project, rng):
    """Something that a person may do."""
    regions = project.run().regions()
    place = int(rng.integers(len(regions)))
    region, mask, proposed = hand(project, place)
    case = project.case(region.case_id)
    match int(rng.integers(9)):
        case 0 | 1:
            project.commit(decisions.accept(project, region, mask, proposed, "made-up"))
        case 2 | 3:
            project.commit(decisions.keep(project, region, mask, "made-up"))
        case 4:
            top, left = rng.integers(0, SIZE - 20, 2).tolist()
            paint(project, case, (slice(top, top + 15), slice(left, left + 20)))
        case 5:
            project.commit(decisions.confirm(project, region, mask, "made-up"))
        case 6:
            verify_whole(project, case)
        case 7:
            project.undo()
        case 8:
            project.redo()


def snapshot(ledger):
    parts = [values for part in ("doubted", "trusted") for values in ledger.outside(part)]
    return [ledger.hits, ledger.found, ledger.foreground, ledger.waiting, ledger.left_in_regions.tolist(),
            *(np.sort(np.atleast_1d(values)).tolist() for values in parts)]  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_kept_up_to_date_it_is_as_read_anew(project, seed):
    rng = np.random.default_rng(seed)
    estimator = StopEstimator(project, project.run())
    for step in range(24):
        random_step(project, rng)
        estimator.ledger()
        if step % 4 == 3:
            assert snapshot(estimator.ledger()) == snapshot(ledger(project))
    now = estimator.ledger()
    open_pixels = 0
    for case in project.cases:
        verified = project.read_verified(case)
        trust = project.run().read_map(case.id, "trust")
        inside = project.run().read_map(case.id, "regions") > 0
        open_pixels += int((~is_verified(verified) & inside & (trust < 1)).sum())
    assert now.left_in_regions.sum() == open_pixels
    for case in project.cases:  # strokes count when they are confirmed
        verify_whole(project, case)
    now = estimator.ledger()
    assert not now.left_in_regions.any()
    assert now.foreground == sum(int((project.read_label(case) > 0).sum()) for case in project.cases)


# ------------------------------------------------------------------ estimates


def cells(pixels, trust, decided=(), kind=0):
    """Regions alike: some that wait, and some that were decided."""
    size = np.log(np.full(pixels.size + len(decided), 100.0))
    odds = log_odds_of_error(np.full(size.shape, trust))
    kinds = np.concatenate([np.full(pixels.size, -1), np.full(len(decided), kind)]).astype(int)
    return cells_of(odds, size, kinds, np.concatenate([pixels, np.zeros(len(decided))]))


def draws(cells_):
    return HitModel(cells_, np.random.default_rng(1)).wrong_left()


def test_without_decisions_the_estimate_is_what_trust_says():
    found = draws(cells(np.full(500, 100.0), 0.5))
    assert np.median(found) == pytest.approx(25_000, rel=0.06)
    low, high = np.quantile(found, [0.05, 0.95])
    assert low < 17_000  # nobody has checked whether trust means what it says
    assert high > 33_000


@pytest.mark.parametrize(("kind", "low", "high"), [(KINDS - 2, 0, 7000), (KINDS - 1, 38_000, 50_000)])
def test_many_decisions_outweigh_trust(kind, low, high):
    """500 regions like those that wait were all kept, or all accepted."""
    found = draws(cells(np.full(500, 100.0), 0.4, decided=range(500), kind=kind))
    assert low <= np.median(found) <= high


def test_the_share_that_was_wrong_counts_where_it_is_known():
    """Painted regions of which three in ten pixels were wrong; decisions on the whole would all have been 'keep'."""
    found = draws(cells(np.full(500, 100.0), 0.4, decided=range(300), kind=kind_of(0.3, accepted=False)))
    assert np.median(found) == pytest.approx(15_000, rel=0.35)
    assert np.quantile(found, 0.95) - np.quantile(found, 0.05) < 10_000


def test_kinds_of_findings():
    assert [kind_of(share, accepted=False) for share in (0.0, 0.1, 0.11, 0.5, 0.6, 0.9, 0.95, 1.0)] == [
        *(0, 0, 1, 1, 2, 2, 3, 3)
    ]
    assert kind_of(None, accepted=False) == KINDS - 2
    assert kind_of(None, accepted=True) == KINDS - 1


def test_gathering_keeps_the_sums():
    rng = np.random.default_rng(0)
    odds, size, left = rng.normal(size=300), rng.uniform(3, 8, 300), rng.integers(0, 2, 300) * 50.0
    gathered = cells_of(odds, size, np.where(left > 0, -1, 4), left)
    assert isinstance(gathered, Cells)
    assert gathered.pixels.sum() == left.sum()
    assert gathered.squares.sum() == (left**2).sum()
    assert gathered.counts.sum() == (left == 0).sum()
    assert len(gathered.odds) < 300


def test_labels_that_nobody_asks_about():
    rng = np.random.default_rng(2)
    expected, none = np.full(50, 40.0), np.zeros(0)
    unchecked = wrong_left(expected, 1e6, none, none, 0.8, rng)
    assert np.median(unchecked) == pytest.approx(2000, rel=0.1)
    low, high = np.quantile(unchecked, [0.05, 0.95])
    assert 400 < low < 700
    assert 6000 < high < 9500
    thrice = wrong_left(expected, 1e6, np.full(30, 40.0), np.full(30, 120.0), 0.8, rng)
    assert np.median(thrice) == pytest.approx(6000, rel=0.15)
    low, high = np.quantile(thrice, [0.05, 0.95])
    assert high - low < 3500
    assert wrong_left(expected, 300, none, none, 0.8, rng).max() <= 300
    assert not wrong_left(np.zeros(3), 0, none, none, 0.8, rng).any()


def test_the_estimate_and_its_curve(project):
    estimator = StopEstimator(project, project.run(), last=3)
    first = estimator.now()
    assert first == StopEstimator(project, project.run(), last=3).now()  # the same figures again
    for place, decide in enumerate((accept, keep, keep, keep)):
        decide(project, place)
    curve = estimator.curve()
    assert curve[0] == first
    assert [point.decided for point in curve] == [0, 1, 2, 3, 4]
    assert [point.waiting for point in curve] == [6, 5, 4, 3, 2]
    assert (curve[-1].hits, curve[-1].last, curve[-1].hit_rate) == (0, 3, 0)
    assert curve[-1] == estimator.now() == StopEstimator(project, project.run(), last=3).now()
    for point in curve:
        parts = (point.in_regions, point.doubted, point.trusted)
        for end in ("low", "value", "high"):
            assert getattr(point.wrong, end) == pytest.approx(sum(getattr(part, end) for part in parts))
        assert point.wrong.low <= point.wrong.value <= point.wrong.high
    assert curve[-1].in_regions.high <= 100
    project.undo()
    assert [point.decided for point in estimator.curve()] == [0, 1, 2, 3]


def test_a_long_curve_has_few_points_and_keeps_them(project):
    estimator = StopEstimator(project, project.run())
    for _ in range(12):
        keep(project)
        project.undo()
    for place in range(6):
        keep(project, place)
    assert [point.decided for point in estimator.curve(points=3)] == [0, 4, 6]
    assert [point.decided for point in estimator.curve(points=100)] == [0, 1, 2, 3, 4, 5, 6]
