"""Passes in parts and in lower precision give the same numbers; memory that runs out is met by smaller parts."""

from __future__ import annotations

import pytest
import torch

from src_core.config import preset
from src_core.errors import SettingsError, TrainingError
from src_core.meta.derivative import gradient
from src_core.networks.registry import build_network
from src_core.store.project import Project
from src_core.train import passes as passes_module
from src_core.train.cases import WorkingSet
from src_core.train.control import Control
from src_core.train.learner import Learner
from src_core.train.loop import Loop
from src_core.train.passes import Passes, is_out_of_memory

CPU = torch.device("cpu")


@pytest.fixture
def loop_of(make_project, tiny):
    """Function that makes a loop over a small project; what it tells is in ``loop.told``."""
    projects, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)

    def make(**changes):
        project = Project.open(make_project(name=f"p{len(projects)}"))
        projects.append(project)
        settings = tiny(**{"batch_size": 4, "meta_batch_size": 4, **changes})
        data = WorkingSet(project, settings.max_side)
        told = []
        loop = Loop(
            Learner(settings, data, CPU), data, settings, Control(), lambda kind, **data: told.append((kind, data))
        )
        loop.told = told
        return loop

    yield make
    torch.set_num_threads(threads)
    for project in projects:
        project.close()


def weights_of(loop):
    return {name: value.clone() for name, value in loop.learner.network.state_dict().items()}


def fail_above(module, crops, when=lambda: True):
    """Let a network run out of memory with more than so many crops at a time, as a GPU does."""

    def refuse(_module, inputs):
        if inputs[0].shape[0] > crops and torch.is_grad_enabled() and when():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return module.register_forward_pre_hook(refuse)


@pytest.mark.parametrize("parts", [2, 3, 4, 8])
def test_parts_give_the_gradient_of_the_whole_batch(parts):
    settings = preset("quick", base_width=8, batch_size=4)
    torch.manual_seed(0)
    network = build_network(1, 3, settings)
    images, wanted = torch.randn(4, 1, 32, 32), torch.randint(3, (4, 32, 32))

    def slopes(count):
        passes = Passes(settings, CPU)
        passes.parts = count
        logits = passes(network, images)
        # no mean over crops: every crop weighs on every other
        loss = (
            torch.nn.functional.cross_entropy(logits, wanted) + logits.softmax(1).mean((0, 2, 3)).square().sum().sqrt()
        )
        return logits.detach(), gradient(network, loss)

    (logits, whole), (again, in_parts) = slopes(1), slopes(parts)
    torch.testing.assert_close(again, logits)
    for name, value in whole.items():
        torch.testing.assert_close(in_parts[name], value, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("method", ["metadcseg", "teacher", "l2b", "clean"])
def test_an_epoch_in_parts_learns_the_same(loop_of, method):
    changes = {"method": method, "cross_fit": method == "metadcseg", "warmup_fraction": 0.0, "optimizer": "sgd"}
    whole, in_parts = loop_of(**changes), loop_of(**changes)
    in_parts.learner.passes.parts = 4
    rows = [loop.epoch(0) for loop in (whole, in_parts)]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-4)
    for name, value in weights_of(whole).items():
        torch.testing.assert_close(weights_of(in_parts)[name], value, atol=1e-5, rtol=1e-3)


def test_memory_that_runs_out_halves_the_batch_and_says_so(loop_of):
    loop, whole = loop_of(optimizer="sgd"), loop_of(optimizer="sgd")
    fail_above(loop.learner.network, 1)
    assert loop.epoch(0)["complete"]
    notices = [data["text"] for kind, data in loop.told if kind == "notice" and "Memory" in data["text"]]
    assert [text.split(";")[0] for text in notices] == [
        "Memory ran out with 4 crops at a time",
        "Memory ran out with 2 crops at a time",
    ]
    assert "learns the same" in notices[0]
    assert loop.learner.passes.parts == 4
    whole.epoch(0)
    for name, value in weights_of(whole).items():
        torch.testing.assert_close(weights_of(loop)[name], value, atol=1e-5, rtol=1e-3)


def test_centers_are_moved_once_by_a_step_that_is_taken_anew(loop_of):
    changes = {"optimizer": "sgd", "warmup_fraction": 0.0, "cross_fit": False}
    loop, whole = loop_of(**changes), loop_of(**changes)
    fail_above(loop.learner.network, 1, when=lambda: loop.learner.centers.counts_R.any())
    for each in (loop, whole):
        each.epoch(0)
    assert loop.learner.passes.parts == 4
    assert whole.learner.centers.counts_R.any()
    assert torch.equal(loop.learner.centers.counts_R, whole.learner.centers.counts_R)
    torch.testing.assert_close(loop.learner.centers.values_RD, whole.learner.centers.values_RD, atol=1e-5, rtol=1e-3)


def test_memory_for_less_than_one_crop_is_a_sentence(loop_of):
    loop = loop_of()
    fail_above(loop.learner.network, 0)
    with pytest.raises(TrainingError, match="with one crop at a time; close other programs"):
        loop.epoch(0)


def test_what_counts_as_out_of_memory():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 3 bytes"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_other_errors_are_not_taken_for_it(loop_of, monkeypatch):
    loop = loop_of()

    def fail(*_args, **_more):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(loop.learner, "plain_step", fail)
    with pytest.raises(RuntimeError, match="do not fit"):
        loop.epoch(0)


# ------------------------------------------------------------------ precision


def test_auto_is_single_precision_on_the_processor():
    assert passes_module.lower_precision("auto", CPU) is None
    assert passes_module.lower_precision("float32", torch.device("cuda")) is None
    assert passes_module.lower_precision("bfloat16", CPU) is torch.bfloat16
    with pytest.raises(SettingsError, match="precision"):
        preset("quick", precision="float16")


def test_lower_precision_agrees_loosely_and_the_derivative_stays_single(loop_of, monkeypatch):
    exact, rough = loop_of(warmup_fraction=0.0), loop_of(warmup_fraction=0.0, precision="bfloat16")
    convolved, derived = [], []
    layer = next(m for m in rough.learner.network.modules() if isinstance(m, torch.nn.Conv2d))
    layer.register_forward_hook(lambda _m, _i, out: convolved.append((torch.is_grad_enabled(), out.dtype)))
    observe = rough.learner.weigher.derivative_of

    def noting(images, direction):
        del convolved[:]
        found = observe(images, direction)
        derived.extend([dtype for _, dtype in convolved] + [value.dtype for value in found])
        return found

    monkeypatch.setattr(rough.learner.weigher, "derivative_of", noting)
    rows = [loop.epoch(0) for loop in (exact, rough)]
    assert derived
    assert set(derived) == {torch.float32}
    assert (True, torch.bfloat16) in convolved  # the passes with a graph, since the last derivative
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], rel=0.03)
    assert rows[1]["loss"] != rows[0]["loss"]
    assert {value.dtype for value in rough.learner.network.state_dict().values()} == {torch.float32}
    a, b = (torch.cat([m.float().flatten() for m in loop.learner.weigher.memory.maps]) for loop in (exact, rough))
    assert a.abs().sum() > 0
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.8
