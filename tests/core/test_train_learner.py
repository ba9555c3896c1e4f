"""Steps, plans, resuming, and the failure modes of the method."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from src_core.data.case import IGNORE, Verified
from src_core.errors import CheckpointError, InputError, TrainingError
from src_core.infer.score import score_run
from src_core.losses.pixel import one_hot
from src_core.store.project import Project
from src_core.train import checkpoint
from src_core.train.cases import WorkCase, WorkingSet
from src_core.train.control import Control
from src_core.train.evidence import make_plan
from src_core.train.learner import Learner
from src_core.train.run import train
from src_core.train.sampler import Sampler, assign_roles
from src_core.train.steps import Judgement
from src_core.train.weighting import Target

METHODS = ("metadcseg", "l2b", "teacher", "mixed", "finetune", "noisy", "clean")


def quiet(_message):
    """Nobody listens."""


def run(path, settings, **more):
    return train(
        path,
        None,
        settings,
        listener=more.pop("listener", quiet),
        control=more.pop("control", Control()),
        **more,
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_scores(make_project, tiny, method):
    path = make_project()
    messages = []
    name = run(path, tiny(method=method, warmup_fraction=0.3), listener=messages.append)
    assert score_run(path, name, device="cpu", listener=messages.append) == 1
    kinds = [message.type for message in messages]
    assert kinds.count("progress") == 6
    assert kinds.count("epoch") == 3
    assert {"started", "verified", "trained", "scoring", "scored"} <= set(kinds)
    assert all(np.isfinite(m.data["loss"]) for m in messages if m.type == "progress")
    with Project.open(path) as project:
        found = project.run(name)
        assert found.settings().method == method
        for case in project.cases:
            trust = found.read_map(case.id, "trust")
            assert trust.dtype == np.float32
            assert trust.shape == case.shape
            assert trust.min() >= 0
            assert trust.max() <= 1
            both = found.read_map(case.id, "alpha") + found.read_map(case.id, "beta")
            assert both.max() <= 1 + 1e-6
        trusted = project.cases[0]
        assert (found.read_map(trusted.id, "trust") == 1).all()
        assert np.array_equal(found.read_map(trusted.id, "proposed"), project.read_label(trusted))
        assert [row.image for row in found.images()][-1] in {case.name for case in project.cases}
        for row in found.images():
            trust, inside = (found.read_map(row.case_id, key) for key in ("trust", "regions"))
            verified = project.read_verified(project.case(row.case_id))
            outside = (inside == 0) & (verified == 0)
            assert row.row == project.version()[1]
            assert row.rest.doubted_pixels + row.rest.trusted_pixels == outside.sum()
            assert row.rest.doubted_wrong + row.rest.trusted_wrong == pytest.approx((1 - trust)[outside].sum(), abs=0.1)


def weights_of(path, name):
    return load_file(path / "runs" / name / checkpoint.NAME)


def test_the_same_seed_gives_the_same_numbers(make_project, tiny):
    path = make_project()
    first, second = (weights_of(path, run(path, tiny())) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = weights_of(path, run(path, tiny(seed=1)))
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_resumed_run_equals_an_uninterrupted_one(make_project, tiny):
    path = make_project()
    settings = tiny(epochs=4, warmup_fraction=0.25)
    whole = weights_of(path, run(path, settings))
    control = Control()

    def stop_in_third_epoch(message):
        if message.type == "progress" and message.data["step"] == 5:
            control.stop()

    name = run(path, settings, listener=stop_in_third_epoch, control=control)
    with Project.open(path) as project:
        assert len(project.run(name, scored=False).history()) == 2
    train(path, name, settings, resume=True, listener=quiet, control=Control())
    resumed = weights_of(path, name)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_pausing_waits_and_finishing_keeps_a_checkpoint(make_project, tiny):
    path = make_project()
    control, heard = Control(), []

    def listener(message):
        heard.append(message.type)
        if heard.count("progress") == 1 and message.type == "progress":
            control.pause()
        if message.type == "paused":
            control.finish()

    name = run(path, tiny(), listener=listener, control=control)
    assert heard.count("progress") == 1
    assert heard[-1] == "trained"
    assert (path / "runs" / name / checkpoint.NAME).is_file()


def test_checkpoints_that_do_not_fit_are_said(make_project, tiny):
    path = make_project()
    name = run(path, tiny())
    file = path / "runs" / name / checkpoint.NAME
    with pytest.raises(CheckpointError, match="trained with base_width = 8, now 16"):
        train(path, name, tiny(base_width=16), resume=True, listener=quiet, control=Control())
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        score_run(path, name, listener=quiet)
    file.unlink()
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        score_run(path, name, listener=quiet)


def test_a_run_that_ended_before_its_first_checkpoint_starts_anew(make_project, tiny):
    path = make_project()
    control = Control()
    control.stop()
    name = run(path, tiny(), control=control)
    assert not (path / "runs" / name / checkpoint.NAME).exists()
    assert train(path, name, tiny(), resume=True, listener=quiet, control=Control()) == name
    with Project.open(path) as project:
        assert len(project.run(name, scored=False).history()) == 3


def test_run_names(make_project, tiny):
    path = make_project()
    with pytest.raises(InputError, match="has no run to continue"):
        run(path, tiny(), resume=True)
    for bad in ("../x", "", "a b"):
        with pytest.raises(InputError, match="cannot be used"):
            train(path, bad, tiny(), listener=quiet, control=Control())
    assert train(path, "mine", tiny(epochs=1), listener=quiet, control=Control()) == "mine"
    with pytest.raises(InputError, match="exists already"):
        train(path, "mine", tiny(), listener=quiet, control=Control())
    assert run(path, tiny(epochs=1)) == "run-001"


# ------------------------------------------------------------------ verified pixels


def working_set(path, max_side=48):
    with Project.open(path) as project:
        return WorkingSet(project, max_side)


def learner_of(path, settings):
    data = working_set(path, settings.max_side)
    return Learner(settings, data, torch.device("cpu")), data


def test_labels_that_are_not_verified_have_no_influence_on_the_verified_loss(make_project, tiny):
    learner, data = learner_of(make_project(), tiny())
    rng = np.random.default_rng(0)
    batch = Sampler(data.cases, 32).verified(rng, (0, 1), 2)
    scrambled = torch.where(batch.verified_BX, batch.labels_BX, 1 - batch.labels_BX.clamp(max=1))
    kinds = batch.kinds_BX.clone()
    kinds[:, :, :16] = 0
    some = type(batch)(batch.crops, batch.images_BIX, batch.labels_BX, batch.candidates_BX, kinds)
    other = type(batch)(
        batch.crops,
        batch.images_BIX,
        torch.where(kinds > 0, batch.labels_BX, scrambled),
        batch.candidates_BX,
        kinds,
    )
    assert torch.equal(learner.verified_loss(some), learner.verified_loss(other))


def test_held_out_cases_give_no_gradient_through_their_verified_pixels(make_project, tiny):
    learner, data = learner_of(make_project(), tiny())
    sampler = Sampler(data.cases, 32)
    batch = sampler.training(np.random.default_rng(1), 2)
    every = frozenset(range(len(data.cases)))
    valid = learner._valid(batch, batch.labels_BX, every)
    assert not (valid * batch.verified_BX).any()
    valid = learner._valid(batch, batch.labels_BX, frozenset())
    assert torch.equal(valid > 0, batch.labels_BX != IGNORE)


def test_verified_pixels_are_pinned(make_project, tiny):
    learner, data = learner_of(make_project(), tiny())
    batch = Sampler(data.cases, 32).verified(np.random.default_rng(0), (0,), 2)
    half = torch.full((2, 2, 32, 32), 0.5)
    pinned = learner._pinned(batch, Target(half, half))
    inside = batch.verified_BX.unsqueeze(1).expand_as(half)
    expected = one_hot(batch.labels_BX, 2)
    for values in pinned:
        assert torch.equal(values[inside], expected[inside])
        assert (values[~inside] == 0.5).all()


def test_batches_take_verified_crops_of_other_cases(make_project, tiny):
    data = working_set(make_project(6, trusted=3))
    sampler = Sampler(data.cases, 32)
    rng = np.random.default_rng(0)
    for _ in range(10):
        assert set(sampler.verified(rng, (1, 2), 2).cases) <= {1, 2}
    assert sampler.verified(rng, (4, 5), 2) is None


def test_roles_split_from_eight_verified_cases_on(make_project):
    few = working_set(make_project(6, trusted=6, name="few")).cases
    assert not assign_roles(few, split=True).split
    many = working_set(make_project(8, trusted=8, name="many")).cases
    roles = assign_roles(many, split=True)
    assert roles.split
    assert sorted(roles.meta + roles.support) == list(range(8))
    assert not assign_roles(many, split=False).split


def verify(data: WorkingSet, kinds) -> None:
    """Give the cases other verified masks, in memory."""
    for case, kind in zip(data.cases, kinds, strict=True):
        case.verified_X = torch.as_tensor(kind, dtype=torch.uint8).expand(case.shape).clone()


def test_what_little_verification_allows(make_project, tiny):
    data = working_set(make_project(6, trusted=0))
    plan = make_plan(data, tiny())
    assert not plan.use_meta
    assert "Nothing is verified yet" in plan.notice
    data.cases[0].verified_X[:10, :10] = 1
    plan = make_plan(data, tiny())
    assert not plan.use_meta
    assert "Only 100 pixels are verified" in plan.notice
    verify(data, [1, 0, 0, 0, 0, 0])
    data.cases[0].label_X[:] = 0
    assert "all 2304 verified pixels are of one class" in make_plan(data, tiny()).notice.lower()
    data = working_set(make_project(6, trusted=1, name="one"))
    plan = make_plan(data, tiny())
    assert plan.use_meta
    assert plan.low_evidence
    assert "believed with care" in plan.notice


def test_corrections_alone_count_less(make_project, tiny):
    data = working_set(make_project(6, trusted=0))
    verify(data, [Verified.CORRECTED] * 5 + [Verified.CONFIRMED])
    plan = make_plan(data, tiny())
    assert plan.corrected_weight == pytest.approx(1 / 5)
    assert "corrections" in plan.notice
    verify(data, [Verified.CORRECTED, *[Verified.BACKGROUND] * 5])
    assert make_plan(data, tiny()).corrected_weight == 1


def test_what_is_verified_meanwhile_is_taken_up_at_the_next_epoch(make_project, tiny):
    from src_core.review import decisions

    path = make_project(6, trusted=2)
    heard = []
    with Project.open(path, write=True) as writer:

        def listener(message):
            if message.type == "epoch" and message.data["epoch"] == 1:
                writer.commit(decisions.verify_image(writer, writer.cases[-1]))
            if message.type == "verified":
                heard.append(message.data["images"])

        run(path, tiny(), listener=listener)
    assert heard == [2, 3]


# ------------------------------------------------------------------ images without the usual


@pytest.mark.parametrize("label", [0, IGNORE])
def test_images_without_foreground_or_without_label_train(make_project, tiny, label):
    learner, data = learner_of(make_project(), tiny())
    for case in data.cases[3:]:
        case.label_X[:] = label
        case.given_X[:] = label
    rng = np.random.default_rng(0)
    sampler = Sampler(data.cases, 32)
    judgement = Judgement(*[sampler.verified(rng, (0, 1), 2)] * 2)
    batch = sampler.training(rng, 2)
    report = learner.weighted_step(batch, judgement, excluded=frozenset(), emphasis_floor=0.5, use_meta=True, rate=0.2)
    assert np.isfinite(report.loss)
    assert all(torch.isfinite(value).all() for value in learner.network.state_dict().values())


def test_weights_that_are_no_numbers_change_nothing(make_project, tiny, monkeypatch):
    learner, data = learner_of(make_project(), tiny())
    monkeypatch.setattr(
        "src_core.meta.derivative.logits_along",
        lambda network, _v, x: (network(x).detach(), torch.full_like(network(x), torch.nan).detach()),
    )
    sampler = Sampler(data.cases, 32)
    rng = np.random.default_rng(0)
    judgement = Judgement(*[sampler.verified(rng, (0, 1), 2)] * 2)
    report = learner.weighted_step(
        sampler.training(rng, 2), judgement, excluded=frozenset(), emphasis_floor=1.0, use_meta=True, rate=0.2
    )
    assert report.counters["non_finite"] == 1
    assert np.isfinite(report.loss)
    assert not any(values.any() for values in learner.weigher.memory.maps)


def test_a_vanishing_direction_freezes_the_memory(make_project, tiny):
    learner, _ = learner_of(make_project(), tiny())
    for length in (1.0, 1.1, 0.9):
        learner.weigher._watch(length, {})
        assert not learner.weigher.exhausted
    learner.weigher._watch(1e-5, {})
    assert learner.weigher.exhausted


def test_training_that_diverges_is_said(make_project, tiny, monkeypatch):
    monkeypatch.setattr("src_core.train.learner.soft_dice_loss", lambda p, *_: p.sum() * torch.nan)
    with pytest.raises(TrainingError, match="diverged"):
        run(make_project(), tiny())


def test_history_and_settings_are_written_as_json(make_project, tiny):
    path = make_project()
    name = run(path, tiny())
    rows = [json.loads(line) for line in (path / "runs" / name / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["complete"] for row in rows)
    record = json.loads((path / "runs" / name / "run.json").read_text())
    assert record["settings"]["base_width"] == 8
    assert record["project"]["images"] == 6


def test_unequal_sizes_and_small_images_are_scored_at_their_own_size(tmp_path, tiny):
    from src_core.store.create import NewCase, build_project
    from tests.conftest import CLASSES

    rng = np.random.default_rng(0)
    cases = []
    for index, shape in enumerate([(20, 30), (70, 40), (16, 16)]):
        label = np.zeros(shape, np.uint8)
        label[4:10, 4:12] = 1
        image = rng.normal(size=shape).astype(np.float32) + 3 * label
        cases.append(NewCase(name=f"i{index}", image=image, given=label, clean=label if index == 0 else None))
    with build_project(tmp_path / "p", cases, CLASSES) as project:
        path = project.path
    name = run(path, tiny(min_verified=10))
    score_run(path, name, listener=quiet)
    with Project.open(path) as project:
        for case in project.cases:
            assert project.run(name).read_map(case.id, "trust").shape == case.shape


def test_working_case_reads_what_it_should():
    tensor = torch.zeros(4, 4, dtype=torch.uint8)
    case = WorkCase(None, torch.zeros(1, 4, 4), tensor + 1, tensor, tensor)
    assert torch.equal(case.candidate_X, tensor + 1)
    assert case.verified_pixels == 0
