"""Training on from a finished run: what is taken over, what stays held out, what is recorded."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src_core.cli import main
from src_core.errors import CheckpointError, InputError
from src_core.review.decisions import verify_image
from src_core.store.project import Project
from src_core.train import checkpoint
from src_core.train.cases import WorkingSet
from src_core.train.control import Control
from src_core.train.follow_up import follow_up_settings
from src_core.train.learner import Learner
from src_core.train.run import train
from src_core.train.warm_start import extended, start_from

CPU = torch.device("cpu")


def trained(path, settings, **how):
    heard = []
    name = train(path, how.pop("run", None), settings, listener=heard.append, control=Control(), **how)
    return name, heard


def verify(path, *positions):
    with Project.open(path, write=True) as project:
        for index in positions:
            project.commit(verify_image(project, project.cases[index]))


def learner_of(project, settings):
    return Learner(settings, WorkingSet(project, settings.max_side), CPU)


# ------------------------------------------------------------------ who holds out what


def test_a_fresh_case_goes_to_its_neighbour():
    folds = (frozenset({1, 2}), frozenset({8, 9}))
    assert extended(folds, [3, 7], [1, 2, 3, 7, 8, 9]) == (frozenset({1, 2, 3}), frozenset({7, 8, 9}))
    # as near to both: to the smaller part
    assert extended((frozenset({0}), frozenset({4, 5})), [2], [0, 2, 4, 5]) == (frozenset({0, 2}), frozenset({4, 5}))
    # what is verified no more is held out no more
    assert extended(folds, [], [1, 9]) == (frozenset({1}), frozenset({9}))


@given(st.data())
def test_held_out_stays_held_out(data):
    before = data.draw(st.sets(st.integers(0, 30), min_size=4))
    middle = sorted(before)[len(before) // 2]
    folds = (frozenset(i for i in before if i < middle), frozenset(i for i in before if i >= middle))
    now = data.draw(st.sets(st.integers(0, 30)))
    seen_by_both = data.draw(st.sets(st.integers(0, 30)))
    fresh = sorted(now - before - seen_by_both)
    parts = extended(folds, fresh, sorted(now))
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == (before & now) | set(fresh)
    for part, fold in zip(parts, folds, strict=True):  # nobody is asked about what it has learned from
        assert part - set(fresh) <= fold


# ------------------------------------------------------------------ a run from a run


def test_what_is_taken_over(make_project, tiny):
    path = make_project(8, trusted=4)
    settings = tiny(epochs=4)
    first, _ = trained(path, settings)
    verify(path, 5)
    with Project.open(path) as project:
        folder = project.run(first, scored=False).path
        before = learner_of(project, settings)
        checkpoint.load(before, folder)
        learner = learner_of(project, follow_up_settings(settings))
        assert start_from(learner, folder) == 4
    for name in ("network", "teacher"):
        for key, value in getattr(before, name).state_dict().items():
            assert torch.equal(getattr(learner, name).state_dict()[key], value)
    assert all(map(torch.equal, learner.weigher.memory.maps, before.weigher.memory.maps))
    assert learner.steps == before.steps
    assert (learner.judge, learner.trust_scale) == (before.judge, before.trust_scale)
    assert learner.warmup_end == 0
    assert [sorted(fold) for fold in before.folds] == [[0, 1], [2, 3]]
    assert [sorted(fold) for fold in learner.folds] == [[0, 1], [2, 3, 5]]
    assert len(learner.twins) == 2


def test_helpers_begin_when_there_is_enough_that_nobody_has_seen(make_project, tiny):
    path = make_project(8, trusted=2)
    settings = tiny(epochs=2)
    first, _ = trained(path, settings)
    verify(path, 2, 3, 4)
    with Project.open(path) as project:
        folder = project.run(first, scored=False).path
        few = learner_of(project, follow_up_settings(settings))
        start_from(few, folder)
        assert few.twins == []
    verify(path, 6)
    with Project.open(path) as project:
        learner = learner_of(project, follow_up_settings(settings))
        start_from(learner, folder)
    assert [sorted(fold) for fold in learner.folds] == [[2, 3], [4, 6]]  # never those that were seen verified
    for twin in learner.twins:
        for key, value in learner.network.state_dict().items():
            assert torch.equal(twin.network.state_dict()[key], value)
        assert len(twin.optimizer.state) == len(learner.optimizer.state) > 0


def test_a_run_from_a_run(make_project, tiny):
    path = make_project(8, trusted=4)
    settings = tiny(epochs=6)
    first, _ = trained(path, settings)
    verify(path, 5, 6)
    follow = follow_up_settings(settings)
    assert (follow.epochs, follow.warmup_fraction) == (2, 0.0)
    assert follow.learning_rate == settings.learning_rate / 2
    second, heard = trained(path, follow, start_from=first)
    assert second == "run-002"
    assert {message.data["stage"] for message in heard if message.type == "progress"} == {"meta"}
    with Project.open(path) as project:
        record = project.run(second, scored=False).record()
        assert record["from"] == {"run": first, "epochs": 6, "generation": 0}
        header = checkpoint.read_header(project.run(second, scored=False).path)
    assert header["folds"] == [[0, 1], [2, 3, 5, 6]]
    losses = [message.data["loss"] for message in heard if message.type == "progress"]
    fresh = [m.data["loss"] for m in trained(path, settings, run="fresh")[1] if m.type == "progress"]
    assert np.mean(losses) < np.mean(fresh[: len(losses)])  # it need not begin from nothing


def test_a_run_from_a_run_can_be_continued_when_the_first_is_gone(make_project, tiny):
    path = make_project(6, trusted=4)
    settings = tiny(epochs=3)
    first, _ = trained(path, settings)
    follow = follow_up_settings(settings, epochs=2)
    whole, _ = trained(path, follow, start_from=first, run="whole")
    control = Control()

    def after_first(message):
        if message.type == "epoch":
            control.stop()

    train(path, "cut", follow, start_from=first, listener=after_first, control=control)
    folder = path / "runs"
    (folder / first / checkpoint.NAME).unlink()
    trained(path, follow, run="cut", resume=True)
    assert (folder / "cut" / checkpoint.NAME).read_bytes() == (folder / whole / checkpoint.NAME).read_bytes()
    assert json.loads((folder / "cut" / "run.json").read_text())["from"]["run"] == first
    (folder / "cut" / checkpoint.NAME).unlink()
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        trained(path, follow, run="cut", resume=True)


def test_what_cannot_be_gone_on_from_is_said(make_project, tiny):
    path = make_project()
    settings = tiny(epochs=1)
    with pytest.raises(InputError, match="no run"):
        trained(path, settings, start_from="run-009")
    first, _ = trained(path, settings)
    with pytest.raises(CheckpointError, match="base_width"):
        trained(path, follow_up_settings(tiny(epochs=1, base_width=16)), start_from=first)
    with pytest.raises(InputError, match="leave out --from, or --resume"):
        trained(path, settings, start_from=first, resume=True)
    with pytest.raises(InputError, match="method metadcseg, not noisy"):
        follow_up_settings(settings, method="noisy")


def test_on_the_command_line(make_project, tiny, capsys):
    path = make_project()
    first, _ = trained(path, tiny(epochs=2))
    assert main(["train", str(path), "--from", first, "--run", "more", "--threads", "1"]) == 0
    assert capsys.readouterr().out.strip() == "more"
    assert json.loads((path / "runs/more/run.json").read_text())["from"]["run"] == first
    assert main(["train", str(path), "--from", first, "--method", "noisy"]) == 2
