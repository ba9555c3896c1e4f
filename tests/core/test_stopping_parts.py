"""What the decisions on a large image found is played back in parts, and only where something was changed."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import astuple

import numpy as np
import pytest

from src_core.data.case import Box
from src_core.data.scores import ImageScore, Rest
from src_core.review import decisions
from src_core.review.outcomes import Outcomes
from src_core.review.replay import replayed, scored_rest
from src_core.store import chunks, pieces, ranking
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.store.runs import Run, ScoreWriter
from tests.conftest import CLASSES, SIZE

from .test_review_stopping import paint, random_step, verify_whole, write_scores

MOST = 256


def small_parts(patch):
    """Pieces of few pixels, and nothing is read that is larger than one."""
    patch.setattr(chunks, "_EDGES", {1: 64, 2: 16, 3: 4})
    patch.setattr(pieces, "MOST", MOST)
    asked = []

    def only_parts(read):
        def checked(self, *parts):
            box = parts[-1]
            assert isinstance(box, Box), "it was asked for whole"
            assert np.prod(box.shape) <= MOST
            asked.append(box)
            return read(self, *parts)

        return checked

    for owner, name in ((Run, "read_map"), (Project, "read_given"), (Project, "read_label")):
        patch.setattr(owner, name, only_parts(getattr(owner, name)))
    return asked


def standing(project):
    run = project.run()
    outcomes = Outcomes(project, run, run.images(), run.regions())
    outcomes.update()
    return outcomes.standing


def alike(one, other):
    for name in ("record", "findings", "unsure", "foreground"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("rest", "check"):
        mine, theirs = (getattr(each, name) for each in (one, other))
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert np.allclose(np.ravel(astuple(mine)), np.ravel(astuple(theirs)), atol=2e-3), name


def forget_sums(project):
    """As scores of an older version, which tell neither sums nor rows."""
    path = project.run().path / ranking.NAME
    older = json.loads(path.read_text(encoding="utf-8"))
    del older["images"]["rest"], older["images"]["row"]
    path.write_text(json.dumps(older), encoding="utf-8")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_played_back_in_parts_is_what_the_whole_comes_to(make_project, seed, old):
    rng = np.random.default_rng(seed)
    with Project.open(make_project(), write=True, author="ada") as project:
        for case in project.cases[:2]:  # before it was scored
            top, left = rng.integers(0, SIZE - 20, 2).tolist()
            paint(project, case, (slice(top, top + 15), slice(left, left + 20)))
        write_scores(project)
        for _ in range(20):
            random_step(project, rng)
        verify_whole(project, project.cases[-1])
        if old:
            forget_sums(project)
        whole = standing(project)
        with pytest.MonkeyPatch.context() as patch:
            small_parts(patch)
            parts = standing(project)
        assert len(whole) == len(parts) > 0
        assert any(each.check for each in whole)
        for one, other in zip(whole, parts, strict=True):
            alike(one, other)


def test_only_what_was_changed_is_read(make_project, monkeypatch):
    with Project.open(make_project(), write=True, author="ada") as project:
        write_scores(project)
        case = project.case(project.run().regions()[0].case_id)
        paint(project, case, (slice(20, 24), slice(40, 44)))
        region = next(each for each in project.run().regions() if each.case_id == case.id)
        inside = project.run().read_map(case.id, "regions", region.box) == region.number
        project.commit(decisions.confirm(project, region, inside, "made-up"))
        asked = small_parts(monkeypatch)
        (found,) = standing(project)
    assert found.findings
    # the box of the row goes from the square, in the first block, to the stroke
    assert {box.start for box in asked} == {(y, x) for y in (0, 16) for x in (0, 16, 32)}
    assert len(asked) == 3 * 6


def test_memory_does_not_follow_the_size(tmp_path):
    peaks = []
    for side in (2048, 4096):
        image = np.zeros((side, side), np.uint8)
        with build_project(tmp_path / str(side), [NewCase(name="a", image=image, given=image)], CLASSES) as project:
            writer = ScoreWriter(project.path / "runs/r", "r")
            trust = np.full(image.shape, 0.9, np.float32)
            writer.write(0, {"trust": trust, "regions": np.zeros(image.shape, np.int32)})
            writer.finish([ImageScore(case_id=0, image="a", score=0, estimated_wrong_pixels=0)], [])
            del trust
            box = Box((0, 0), (100, 100))
            project.commit(decisions.edit(project, project.cases[0], box, np.ones(box.shape, np.uint8)))
            record = project.commit(decisions.verify_image(project, project.cases[0]))
            scored = ImageScore(case_id=0, image="a", score=0, estimated_wrong_pixels=0, row=0)
            run = Run(project.path / "runs/r")
            tracemalloc.start()
            assert scored_rest(project, run, scored) == Rest(
                doubted_pixels=0,
                doubted_wrong=0,
                trusted_pixels=side**2,
                trusted_wrong=pytest.approx(0.1 * side**2),
                foreground=0,
            )
            (found,) = replayed(project, run, scored, [record], [])
            assert found.check.trusted == (pytest.approx(0.1 * side**2), 10_000)
            assert (found.rest.trusted_pixels, found.rest.trusted_wrong, found.rest.foreground) == (0, 0, 10_000)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
