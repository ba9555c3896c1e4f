"""The helpers of the warm-up, its end, and that nothing changes where the judge is not earned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import ndimage

from src_core.config import preset
from src_core.data.case import CaseInfo, MaskEncoding
from src_core.data.noise import grow_or_shrink
from src_core.infer.score import Scorer
from src_core.meta.judge import Judge
from src_core.review.regions import find_regions
from src_core.train import checkpoint
from src_core.train.cases import CaseSet, WorkCase
from src_core.train.control import Control
from src_core.train.crossfit import Side, as_unverified, halves
from src_core.train.evidence import boundary_offset
from src_core.train.learner import Learner
from src_core.train.loop import Loop
from src_core.train.run import train
from src_core.train.warmup import has_flattened, rise

ENCODING = MaskEncoding(suffix=".png", dtype="uint8", values={0: 0, 1: 1})
PLAIN = {"mask_offsets": False, "guided": False}


def quiet(*_arguments, **_data):
    """Nobody listens."""


def discs(count: int = 8, verified: int = 4, *, grown: bool = True) -> CaseSet:
    """Bright discs whose masks are drawn too large."""
    rng = np.random.default_rng(0)
    cases = []
    for index in range(count):
        y, x = np.indices((48, 48)) - rng.uniform(18, 30, (2, 1, 1))
        true = np.hypot(y, x) <= rng.uniform(6, 11)
        given = grow_or_shrink(true, 0.7, grow=True) if grown else true
        image = ndimage.gaussian_filter(true.astype(np.float32), 1) * 3 + rng.normal(0, 0.5, true.shape)
        known = index < verified
        label = torch.from_numpy((true if known else given).astype(np.uint8))
        cases.append(
            WorkCase(
                None,
                torch.from_numpy(image[None].astype(np.float32)),
                label,
                torch.from_numpy(given.astype(np.uint8)),
                torch.full_like(label, int(known)),
            )
        )
    return CaseSet(cases, 2)


def loop_of(data: CaseSet, settings) -> Loop:
    return Loop(Learner(settings, data, torch.device("cpu")), data, settings, Control(), quiet)


def test_halves_keep_neighbours_together_and_hide_what_is_verified():
    data = discs()
    assert halves(data.cases) == (frozenset({0, 1}), frozenset({2, 3}))
    hidden = as_unverified(data.cases[0])
    assert not hidden.verified_X.any()
    assert torch.equal(hidden.label_X, data.cases[0].given_X)
    assert data.cases[0].verified_X.all()


def test_a_judge_is_earned_and_its_labels_are_better_than_the_given_ones(tiny):
    data = discs(12, 6)
    settings = tiny(epochs=4, steps_per_epoch=25, warmup_fraction=0.5, max_side=48, patch_size=48, learning_rate=5e-3)
    loop = loop_of(data, settings)
    rows = [loop.epoch(number) for number in range(4)]
    learner = loop.learner
    assert learner.warmup_end == 2
    assert [row["judge"] is None for row in rows] == [True, True, True, False]
    assert [row["stage"] for row in rows] == ["warm-up", "warm-up", "meta", "meta"]
    assert all(row["held_out"] for row in rows)
    assert isinstance(learner.judge, Judge)
    assert any(bool(maps.any()) for maps in learner.weigher.memory.maps)
    scorer = Scorer(learner, data.cases)
    errors = {"given": 0.0, "proposed": 0.0}
    for index, case in enumerate(data.cases[6:], start=6):
        given = case.given_X.numpy()
        maps = scorer.maps([index], given, np.zeros_like(given))
        truth = ndimage.gaussian_filter(case.image_IX[0].numpy(), 1) > 1.5
        errors["given"] += (given != truth).mean()
        errors["proposed"] += (maps.proposed != truth).mean()
    assert errors["proposed"] < 0.6 * errors["given"]


@pytest.mark.parametrize("grown", [False, True])
def test_without_offsets_and_guidance_the_network_is_that_of_mixed_training_bit_by_bit(tiny, grown):
    data = discs(grown=grown)
    nets = []
    for method in ("mixed", "metadcseg"):
        loop = loop_of(data, tiny(epochs=3, method=method, warmup_fraction=0.4, **PLAIN))
        for number in range(3):
            loop.epoch(number)
        if not grown:  # nothing is wrong, so nothing can be learned about errors
            assert loop.learner.judge is None
        nets.append(loop.learner.network.state_dict())
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])


def test_the_helpers_never_learn_what_was_held_out(tiny):
    """Verified labels of the held-out half may say anything: the helpers stay the same, bit by bit."""
    states = []
    for scrambled in (False, True):
        data = discs()
        if scrambled:
            for index in (0, 1):
                data.cases[index].label_X = data.cases[index].label_X.roll(9, 0)  # as many pixels of each class
        loop = loop_of(data, tiny(epochs=2, steps_per_epoch=4, warmup_fraction=1.0))
        plan = loop.epoch(0)
        assert plan["held_out"]
        states.append([twin.network.state_dict() for twin in loop.learner.twins])
    first, second = ([before[k] for before in states] for k in (0, 1))
    assert all(torch.equal(first[0][name], first[1][name]) for name in first[0])
    assert any(not torch.equal(second[0][name], second[1][name]) for name in second[0])


@pytest.mark.parametrize("stop_at", [3, 7])
def test_a_run_resumed_in_the_warm_up_or_after_equals_an_uninterrupted_one(make_project, tiny, stop_at):
    path = make_project(8, trusted=5)
    settings = tiny(epochs=4, warmup_fraction=0.5, learning_rate=3e-3)
    names = []
    for stops in (False, True):
        control = Control()

        def listener(message, control=control, stops=stops):
            if stops and message.type == "progress" and message.data["step"] == stop_at:
                control.stop()

        name = train(path, None, settings, listener=listener, control=control)
        if stops:
            train(path, name, settings, resume=True, listener=quiet, control=Control())
        names.append(name)
    whole, resumed = (load_file(path / "runs" / name / checkpoint.NAME) for name in names)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_warm_up_ends_where_the_curve_flattens(tiny):
    x = np.arange(1, 31, dtype=float)
    curve = rise(x, 0.8, 1.0, 5.0)
    # the slope of 1 - exp(-x / 5) falls by nine tenths within 5 ln 10 = 11.5 epochs of the first
    assert not has_flattened(curve[:11])
    assert has_flattened(curve[:14])
    assert not has_flattened([0.1, 0.9])
    data = discs(verified=0)
    settings = tiny(method="teacher", epochs=20, steps_per_epoch=1, warmup_by_curve=True, warmup_fraction=1.0)
    for points, expected in ((13, 14), (3, None)):
        loop = loop_of(data, settings)
        loop.learner.agreement = list(curve[:points])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("src_core.train.loop.agreement", lambda *_, points=points: float(curve[points]))
            assert loop.epoch(points)["stage"] == "warm-up"
        assert loop.learner.warmup_end == expected


def test_a_shared_bias_is_measured_in_pixels():
    data = discs(2, 1, grown=False)
    case = data.cases[0]
    assert boundary_offset(data.cases) == pytest.approx(0, abs=0.01)
    grown = ndimage.distance_transform_edt(case.label_X.numpy() == 0) <= 3
    larger = dataclasses.replace(case, given_X=torch.from_numpy(grown.astype(np.uint8)))
    assert boundary_offset([larger]) == pytest.approx(2.9, abs=0.4)
    shrunk = ndimage.distance_transform_edt(case.label_X.numpy()) > 2
    smaller = dataclasses.replace(case, given_X=torch.from_numpy(shrunk.astype(np.uint8)))
    assert boundary_offset([smaller]) == pytest.approx(-1.9, abs=0.5)
    assert boundary_offset([data.cases[1]]) is None


def test_a_batch_with_few_verified_pixels_is_doubled():
    data = discs(verified=0)
    data.cases[0].verified_X[:8, :8] = 1
    learner = Learner(preset("quick", network="unet", base_width=8, patch_size=32), data, torch.device("cpu"))
    side = Side(learner, data, frozenset())
    batch = side.verified(np.random.default_rng(0), (0,), 2, frozenset())
    assert len(batch.crops) == 4
    data.cases[0].verified_X[:] = 1
    batch = Side(learner, data, frozenset()).verified(np.random.default_rng(0), (0,), 2, frozenset())
    assert len(batch.crops) == 2


def test_an_object_that_nobody_drew_becomes_a_suspect_region(tiny):
    """An empty mask over an image that shows an object: a region is put forward although nothing is labelled."""
    data = discs(12, 6)
    data.cases[-1].label_X[:], data.cases[-1].given_X[:] = 0, 0
    settings = tiny(epochs=4, steps_per_epoch=25, warmup_fraction=0.5, max_side=48, patch_size=48, learning_rate=5e-3)
    loop = loop_of(data, settings)
    for number in range(4):
        loop.epoch(number)
    case = data.cases[-1]
    empty = np.zeros(case.shape, np.uint8)
    maps = Scorer(loop.learner, data.cases).maps([len(data.cases) - 1], empty, empty)
    info = CaseInfo(id=0, name="case", shape=case.shape, channels=1, spacing=(1.0, 1.0), encoding=ENCODING)
    regions, _ = find_regions(
        info, trust=maps.trust, uncertainty=maps.uncertainty, label=empty, proposed=maps.proposed, verified=empty
    )
    truth = ndimage.gaussian_filter(case.image_IX[0].numpy(), 1) > 1.5
    assert regions
    assert (regions[0].given, regions[0].proposed) == (0, 1)
    assert regions[0].pixels > 0.5 * truth.sum()
