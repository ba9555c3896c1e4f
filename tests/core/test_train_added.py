"""Training takes up images that are added while it runs; those that it had keep their place and their evidence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from src_core.errors import CheckpointError
from src_core.infer.score import score_run
from src_core.store.add import add_cases
from src_core.store.create import NewCase
from src_core.store.project import Project
from src_core.train import checkpoint
from src_core.train.cases import WorkingSet
from src_core.train.control import Control
from src_core.train.learner import Learner
from src_core.train.run import train
from src_core.train.tiles import Tiling


def quiet(_message):
    """Nobody listens."""


def add(path, phantoms, *names):
    """Add phantoms with trusted masks under these names, which come before all others."""
    with Project.open(path, write=True) as project:
        pairs = zip(names, phantoms[6:], strict=False)
        add_cases(project, [NewCase(name=n, image=s.image, given=1 - s.truth, clean=s.truth) for n, s in pairs])


def weights_of(path, name):
    return load_file(path / "runs" / name / checkpoint.NAME)


def test_a_working_set_takes_them_up_behind_the_others(make_project, phantoms):
    path = make_project(count=4, trusted=1)
    with Project.open(path) as project:
        data = WorkingSet(project, 48)
        before = list(data.cases)
        assert not data.refresh()
        add(path, phantoms, "0-new", "0-more")
        assert data.refresh()
        assert data.cases[:4] == before
        assert [case.info.name for case in data.cases[4:]] == ["0-new", "0-more"]
        assert data.order == [0, 1, 2, 3, 4, 5]
        assert len(data.groups) == 6
        assert (data.cases[4].verified_X > 0).all()
        assert data.verified_summary()["images"] == 3
        assert not data.refresh()
        follower = WorkingSet(project, 48, known=[2, 0, 1, 3])
        assert [case.info.id for case in follower.cases] == [2, 0, 1, 3, 4, 5]
        assert follower.known == 4


def test_another_process_takes_up_the_same(make_project, phantoms):
    path = make_project(count=4, trusted=1)
    with Project.open(path) as project, Project.open(path) as other:
        tiling = Tiling(step=1, longer=32)
        first, second = (WorkingSet(each, 48, tiling=tiling) for each in (project, other))
        add(path, phantoms, "0-new")
        first.refresh()
        second.follow(first.order, first.tiles)
        assert second.order == first.order
        assert second.tiles == first.tiles
        for one, two in zip(first.cases, second.cases, strict=True):
            assert torch.equal(one.image_IX, two.image_IX)


def test_running_training_takes_them_up_and_goes_on_from_its_checkpoint(make_project, tiny, phantoms):
    """Added after the first epoch; a run that is stopped after the third ends as one that is not."""
    settings = tiny(epochs=4, warmup_fraction=0.25)
    found = {}
    for name, stops in (("whole", False), ("resumed", True)):
        path = make_project(count=5, trusted=4, name=name)
        control, summaries = Control(), []

        def listener(message, path=path, control=control, summaries=summaries, stops=stops):
            if message.type == "verified":
                summaries.append(message.data["images"])
            if message.type == "epoch" and message.data["epoch"] == 1:
                add(path, phantoms, "0-new")
            if message.type == "progress" and message.data["step"] == 7 and stops:
                control.stop()

        run = train(path, None, settings, listener=listener, control=control)
        assert summaries == [4, 5]
        if stops:
            train(path, run, settings, resume=True, listener=quiet, control=Control())
        found[name] = weights_of(path, run)
        header = checkpoint.read_header(path / "runs" / run)
        assert header["cases"] == [0, 1, 2, 3, 4, 5]
        assert header["learned"] == [0, 1, 2, 3, 5]
        assert score_run(path, run, device="cpu", listener=quiet) == 1
    assert found["whole"].keys() == found["resumed"].keys()
    assert "memory/5" in found["whole"]
    assert all(torch.equal(found["whole"][key], found["resumed"][key]) for key in found["whole"])


def test_a_checkpoint_finds_its_images_again(make_project, tiny, phantoms):
    path = make_project(count=5, trusted=4)
    run = train(path, None, tiny(), listener=quiet, control=Control())
    folder = path / "runs" / run
    kept = weights_of(path, run)
    add(path, phantoms, "0-new")
    with Project.open(path) as project:
        header = checkpoint.read_header(folder)
        data = checkpoint.working_set(project, header)
        assert [case.info.id for case in data.cases] == [0, 1, 2, 3, 4, 5]
        learner = Learner(tiny(), data, torch.device("cpu"))
        checkpoint.load(learner, folder)
        for index in range(5):
            assert torch.equal(learner.weigher.memory.maps[index], kept[f"memory/{index}"])
        assert not learner.weigher.memory.maps[5].any()
        older = {name: value for name, value in header.items() if name != "cases"}
        assert checkpoint.order_of(project, older) == (0, 1, 2, 3, 4)
        with pytest.raises(CheckpointError, match="of another project"):
            checkpoint.order_of(project, {**header, "cases": [0, 1, 2, 3, 4, 9]})
        with pytest.raises(CheckpointError, match="of another project"):
            checkpoint.order_of(project, {**header, "cases": [0, 1, 2]})
    again = train(path, None, tiny(epochs=1), start_from=run, listener=quiet, control=Control())
    assert checkpoint.read_header(path / "runs" / again)["cases"] == [0, 1, 2, 3, 4, 5]
    other = train(path, None, tiny(epochs=1), listener=quiet, control=Control())
    assert checkpoint.read_header(path / "runs" / other)["cases"] == [5, 0, 1, 2, 3, 4]  # a new run has them by name
    assert np.isfinite(weights_of(path, other)["memory/0"].numpy()).all()
