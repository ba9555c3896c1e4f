"""Tiles are blended over their borders, and a large image is predicted as it is scored, tile by tile."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch.nn import functional

from src_core.cli import main
from src_core.data.case import Box
from src_core.data.slices import Sides
from src_core.infer import predict
from src_core.infer.export_model import export_model
from src_core.infer.predict import Predictor, predict_folder
from src_core.infer.predict_tiles import TiledPrediction
from src_core.infer.score import score_run
from src_core.infer.score_tiles import HALO
from src_core.infer.seams import REACH, Seams
from src_core.io.formats import read
from src_core.store.project import Project
from src_core.store.run_choice import use_run
from src_core.train.control import Control
from src_core.train.run import train
from src_core.train.tiles import Tiling
from tests.core.test_big_tiles import SMALLER, cells, make, quiet, settings

TILING = Tiling(step=1, longer=1)
SIDE = TILING.side


def blended(shape, say, tiling=TILING, order=None):
    """What ``say`` tells of the surroundings of each tile, blended, and put together."""
    grid, found = Sides(shape, (1.0, 1.0)), np.full(shape, np.nan, np.float32)
    seams = Seams(tiling, grid)
    for number in order or range(tiling.count(grid)):
        box = tiling.box(grid, number)
        outer = tiling.around(grid, box, HALO)
        values = seams.blend(number, box, outer, say(number, outer))
        found[box.slices] = values[0, 0].numpy()[box.within(outer)]
    return found


@hypothesis_settings(max_examples=8, deadline=None)
@given(st.tuples(st.integers(520, 1100), st.integers(500, 1100)))
def test_tiles_that_agree_are_left_as_they_are(shape):
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = blended(shape, lambda _, outer: values[outer.slices][None, None])
    assert np.allclose(found, values.numpy(), atol=1e-6)


def test_a_ramp_by_hand():
    """Two tiles beside each other, of which the first says 1 and the second 0."""
    found = blended((40, SIDE + 50), lambda number, outer: torch.full((1, 1, *outer.shape), 1.0 - number))
    assert (found[:, :SIDE] == 1).all()
    assert np.allclose(found[:, SIDE : SIDE + REACH], 1 - np.arange(REACH) / REACH)
    assert (found[:, SIDE + REACH :] == 0).all()


def test_no_step_where_four_tiles_meet():
    found = blended((SIDE + 60, SIDE + 60), lambda number, outer: torch.full((1, 1, *outer.shape), float(number)))
    assert [found[0, 0], found[0, -1], found[-1, 0], found[-1, -1]] == [0, 1, 2, 3]
    largest = max(np.abs(np.diff(found, axis=axis)).max() for axis in (0, 1))
    assert largest <= 2 / REACH + 1e-6  # without, a step of 2 between two pixels


def test_what_was_kept_of_another_row_is_not_used():
    say = lambda number, outer: torch.full((1, 1, *outer.shape), float(number))  # noqa: E731
    found = blended((3 * SIDE, SIDE), say, order=[0, 2])
    assert (found[2 * SIDE :] == 2).all()


# ------------------------------------------------------------------ a network without norms


def smoothed(image_1IX):
    """A network that sees 9 px around: what tiles say of a place is what the whole says."""
    kernel = torch.ones(1, 1, 19, 19) / 361
    near = functional.conv2d(functional.pad(image_1IX[:, :1], (9,) * 4, mode="replicate"), kernel)
    return torch.cat([near.sigmoid(), 1 - near.sigmoid()], dim=1)


def test_tiles_equal_the_whole_where_the_network_sees_no_further_than_the_halo():
    image, _ = cells((SIDE + 200, 2 * SIDE + 30))
    tiled = TiledPrediction(smoothed, lambda box: image[box.slices], image.shape, TILING, 1)
    found = np.zeros((2, *image.shape), np.float32)
    for box, opinion in tiled:
        found[(slice(None), *box.slices)] = opinion
    everything = tiled._image.image(Box.whole(image.shape))
    whole = smoothed(torch.from_numpy(everything)[None])
    assert np.abs(found - whole[0].numpy()).max() < 1e-5
    label = tiled.label()
    assert np.array_equal(label[(slice(0, 512), slice(None))], found.argmax(0)[:512])
    assert np.array_equal(label[(slice(600, 700), slice(3, 90))], found.argmax(0)[600:700, 3:90])
    again = TiledPrediction(smoothed, lambda box: image[box.slices], image.shape, TILING, 1).label()
    assert np.array_equal(again[(slice(600, 700),)], found.argmax(0)[600:700])  # a row that is asked for first


# ------------------------------------------------------------------ a run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = make(tmp_path_factory.mktemp("seams") / "p", shape=SMALLER)
    first = train(path, None, settings(), listener=quiet, control=Control())
    score_run(path, first, device="cpu", threads=1, listener=quiet)
    second = train(path, None, settings(seed=3, epochs=1, tile="off"), listener=quiet, control=Control())
    score_run(path, second, device="cpu", threads=1, listener=quiet)
    return path, first, second


def test_a_large_image_is_predicted_in_tiles(trained, tmp_path, monkeypatch):
    path, first, _ = trained
    image, _ = cells(SMALLER)
    images = tmp_path / "images"
    images.mkdir()
    np.save(images / "new.npy", image)
    asked, ask = [], Predictor._ask
    monkeypatch.setattr(Predictor, "_ask", lambda self, values: (asked.append(values.shape[2:]), ask(self, values))[1])
    monkeypatch.setattr(predict, "LAZY_FROM", 1000)
    (written,) = predict_folder(path, images, tmp_path / "out", run_name=first, device="cpu")
    assert len(asked) == 4
    assert max(max(sides) for sides in asked) < max(SMALLER)
    assert written.name == "new.tif"  # a PNG of that size could not be read again
    with Project.open(path) as project:
        predictor = Predictor(project.run(first).path, "cpu")
    tiled = predictor.in_tiles(lambda box: image[box.slices], SMALLER)
    expected = np.zeros(SMALLER, np.uint8)
    for box, opinion in tiled:
        expected[box.slices] = 255 * opinion.argmax(0)
    assert np.array_equal(read(written).pixels, expected)
    assert predictor.in_tiles(lambda box: image[box.slices], (96, 96)) is None


def test_the_run_that_is_reviewed_with_is_the_one_that_predicts(trained, tmp_path, capsys):
    path, first, second = trained
    images = tmp_path / "images"
    images.mkdir()
    np.save(images / "new.npy", cells((96, 96))[0])
    with Project.open(path, write=True) as project:
        use_run(project, project.run(first))
    results = {}
    for name in (None, first, second):
        words = ["predict", str(path), str(tmp_path / str(name)), "--images", str(images), "--device", "cpu"]
        assert main(words + ([] if name is None else ["--run", name])) == 0
        results[name] = next((tmp_path / str(name)).iterdir()).read_bytes()
    written = export_model(path, None, tmp_path / "model", "safetensors")
    assert json.loads((tmp_path / "model/model.json").read_text())["run"] == first
    assert "model.safetensors" in {file.name for file in written}
    assert results[None] == results[first]
    capsys.readouterr()


def test_a_second_opinion_of_a_large_image_comes_tile_by_tile(trained, monkeypatch):
    pytest.importorskip("cleanlab")
    from src_core.infer.second_opinion import second_opinion

    path, first, _ = trained
    record = second_opinion(path, first, device="cpu")
    with Project.open(path) as project:
        run, case = project.run(first), project.case("slide")
        quality = run.read_map(case.id, "cleanlab")
        tiled = Predictor(run.path, "cpu").in_tiles(partial(project.read_image, case), case.shape)
        label, regions = project.read_label(case), run.read_map(case.id, "regions")
        given = {region.number: region.given for region in run.regions() if region.case_id == case.id}
        for box, opinion in tiled:
            inside = regions[box.slices] == 0
            right = np.take_along_axis(opinion, label[box.slices][None].astype(int), axis=0)[0]
            assert np.allclose(quality[box.slices][inside], right[inside], atol=1e-5)
        means = {row["region"]: row["mean"] for row in record["regions"]}
        for region in run.regions():
            if region.case_id == case.id:
                mean = quality[regions == region.number].mean(dtype=np.float64)
                assert means[region.id] == pytest.approx(mean, abs=1e-4)
        assert len(given) > 0
