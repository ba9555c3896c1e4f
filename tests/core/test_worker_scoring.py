"""When a run is scored on the way, by a clock that the test turns."""

from __future__ import annotations

from itertools import pairwise

import pytest

from src_core.train.control import Control
from src_core.worker.scoring import AGAIN_AFTER, FIRST_AFTER, SHARE, ScoresOnTheWay


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("takes", [1.0, 20.0])
def test_scores_come_early_and_take_a_small_share(takes):
    clock, scored = Clock(), []

    def score(run):
        scored.append((run, clock.now - 100))
        clock.now += takes
        return len(scored)

    on_the_way = ScoresOnTheWay(score, clock)
    for number in range(400):  # epochs of 2 s
        clock.now += 2
        on_the_way.after_epoch("run-001", number + 1)
    times = [time for _, time in scored]
    assert FIRST_AFTER <= times[0] < FIRST_AFTER + 2
    pause = max(AGAIN_AFTER, SHARE * takes)
    gaps = [later - earlier - takes for earlier, later in pairwise(times)]
    assert all(pause <= gap < pause + 2 for gap in gaps)
    assert len(scored) * takes <= 0.15 * (clock.now - 100)


def test_a_queue_is_there_while_training_goes_on(make_project, tiny):
    """A quick look is a generation of its own; the numbers of training do not change by it."""
    from src_core.infer.score import score_run
    from src_core.store.project import Project
    from src_core.train.checkpoint import NAME
    from src_core.train.run import train

    path, heard, seen = make_project(), [], []

    def look(run, _epochs):
        score_run(path, run, device="cpu", quick=True, listener=heard.append)
        with Project.open(path) as project:
            seen.append((project.run(run).generation, len(project.run(run).images())))

    train(path, "looked-at", tiny(), listener=heard.append, control=Control(), after_epoch=look)
    train(path, "left-alone", tiny(), listener=heard.append, control=Control())
    assert seen == [(1, 6), (2, 6)]
    one, other = ((path / "runs" / name / NAME).read_bytes() for name in ("looked-at", "left-alone"))
    assert one == other
