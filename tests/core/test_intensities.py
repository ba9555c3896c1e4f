"""One scale for each image, or for all of a project."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src_core.config import preset
from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.infer.export_model import export_model
from src_core.infer.predict import Predictor
from src_core.infer.score import score_run
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.train import checkpoint
from src_core.train.autoconfig import MachineFacts, project_facts, suggest
from src_core.train.control import Control
from src_core.train.evidence import _class_weights
from src_core.train.intensities import Intensities, choose_intensities, intensities_of
from src_core.train.run import train
from src_core.train.working import normalise

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=1, color=OKABE_ITO[1]),
)
MACHINE = MachineFacts(memory=None, gpu=False, speed=40.0)


def made(folder, *, air, images=4):
    """Slices whose organ has 40 to 60; around it is air, or water."""
    rng = np.random.default_rng(0)
    cases = []
    for number in range(images):
        mask = np.zeros((48, 48), np.uint8)
        mask[12:36, 14:34] = 1
        image = np.where(mask > 0, rng.integers(40, 61, mask.shape), air).astype(np.int16)
        clean = mask if number < 2 else None
        cases.append(NewCase(name=f"s{number}", image=image, given=mask, clean=clean))
    build_project(folder, cases, CLASSES, author="ada").close()
    return folder


def test_each_image_by_itself_by_hand():
    """Of 1,000 even values 0 to 999 the percentiles cut 5 off either end; the rest is spread around its middle."""
    values = np.arange(1000, dtype=np.float32)
    found = Intensities.of(values)
    assert (found.low, found.high) == pytest.approx((4.995, 994.005))
    assert found.mean == pytest.approx(499.5)
    scaled = found.applied(values)
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.std() == pytest.approx(1, abs=1e-5)
    assert scaled[0] == scaled[4]
    np.testing.assert_array_equal(normalise(values.reshape(20, 50), 1)[0].ravel(), scaled)


def test_all_alike_keeps_what_differs_between_images():
    shared = Intensities(low=0, high=100, mean=50, spread=25)
    dark, light = (normalise(np.full((4, 4), value), 2, intensities=shared) for value in (25, 100))
    assert dark.shape == (2, 4, 4)
    assert (dark == -1).all()
    assert (light == 2).all()
    assert (normalise(np.full((4, 4), 1000), 1, intensities=shared) == 2).all()


@pytest.mark.parametrize(("air", "shared"), [(-1000, True), (0, False)])
def test_hounsfield_units_are_noticed(tmp_path, air, shared):
    with Project.open(made(tmp_path / "p.metadcseg", air=air)) as project:
        found = choose_intensities(preset("quick"), project)
        notes = suggest(project_facts(project), MACHINE, preset("quick")).notes
        forced = choose_intensities(preset("quick", intensities="project"), project)
        assert choose_intensities(preset("quick", intensities="image"), project) is None
    assert (found is not None) == shared
    assert ("Hounsfield" in notes[0]) == shared
    assert 40 <= forced.low < forced.mean < forced.high <= 60  # of the organ, whatever is around it


@pytest.fixture
def trained(tmp_path, tiny):
    path = made(tmp_path / "p.metadcseg", air=-1000)
    settings = tiny(epochs=1, network="unet", max_side=48)
    return path, train(path, None, settings, listener=lambda _: None, control=Control()), settings


def test_the_scale_of_a_run_stays_with_it(trained, tmp_path):
    path, run, settings = trained
    score_run(path, run, listener=lambda _: None)
    with Project.open(path) as project:
        stored = project.run(run)
        chosen = choose_intensities(settings, project)
        image = project.read_image(project.cases[3])
        record = stored.record()
    header = checkpoint.read_header(stored.path)
    assert intensities_of(header["intensities"]) == intensities_of(record["intensities"]) == chosen
    predictor = Predictor(stored.path, "cpu")
    # brighter by 30 than anything in the organ: clipped to its upper end, as an image by itself would not be
    np.testing.assert_array_equal(predictor(np.where(image > 0, 90, image)), predictor(np.where(image > 0, 120, image)))
    follower = train(path, None, settings, listener=lambda _: None, control=Control(), start_from=run)
    with Project.open(path) as project:
        assert checkpoint.read_header(project.run(follower, scored=False).path)["intensities"] == header["intensities"]


def test_a_model_for_elsewhere_says_the_scale(trained, tmp_path):
    path, run, _ = trained
    export_model(path, run, tmp_path / "model", "safetensors")
    clip, scale = json.loads((tmp_path / "model/model.json").read_text())["preprocessing"][:2]
    with Project.open(path) as project:
        image = np.asarray(project.read_image(project.cases[0]), np.float64)
    by_hand = (np.clip(image, clip["low"], clip["high"]) - scale["subtract"]) / scale["divide_by"]
    np.testing.assert_allclose(by_hand, np.load(tmp_path / "model/test_input.npy")[0, 0], atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_bioimageio_scales_alike(trained, tmp_path):
    core = pytest.importorskip("bioimageio.core")
    path, run, _ = trained
    export_model(path, run, tmp_path / "model", "bioimageio")
    summary = core.test_description(tmp_path / "model/rdf.yaml", weight_format="torchscript")
    assert summary.status == "passed", summary.format()


@pytest.mark.parametrize(("power", "weights"), [(0, [1, 1, 1]), (0.5, [5 / 7, 5, 1]), (1, [25 / 49, 5, 1])])
def test_rare_classes_weigh_more_by_a_power(power, weights):
    """Of 50 pixels 49 and 1 are of two classes, half of them would be 25; at most 5 times, and a third was not seen."""
    np.testing.assert_allclose(_class_weights(np.array([49, 1, 0]), power), weights, rtol=1e-6)


@given(
    st.dictionaries(st.sampled_from(["low", "high", "mean", "spread"]), st.none() | st.floats() | st.text(max_size=2))
)
def test_from_json_it_is_sound_or_refused(values):
    try:
        found = intensities_of(values)
    except ValueError:
        return
    assert found.low < found.high
    assert found.spread > 0
