"""Levels of large images: by hand, against slow references, followed, cut short and damaged."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from src_core.data.case import Box
from src_core.store import display, levels
from src_core.store.create import NewCase, build_project
from src_core.store.levels import Levels, halved, is_large, level_shapes
from src_core.store.runs import ScoreWriter
from tests.conftest import CLASSES

BLOCK = 16


@pytest.fixture(autouse=True)
def low_limits(monkeypatch):
    monkeypatch.setattr(levels, "LARGE", 40)
    monkeypatch.setattr(levels, "COARSEST", BLOCK)
    monkeypatch.setattr(levels, "BLOCK", BLOCK)


def made(folder, values, how, row=3):
    found = Levels(folder, values.shape, values.dtype, how)
    for _ in found.make(lambda box: values[box.slices], row):
        pass
    return found


def mean_slowly(values):
    """Pixel by pixel."""
    height, width = values.shape[:2]
    found = np.zeros((-(-height // 2), -(-width // 2), *values.shape[2:]), values.dtype)
    for y, x in np.ndindex(found.shape[:2]):
        part = values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(float)
        mean = part.mean(axis=(0, 1))
        found[y, x] = np.floor(mean + 0.5) if np.issubdtype(values.dtype, np.integer) else mean
    return found


def test_halves_by_hand():
    values = np.array([[0, 1, 10], [2, 4, 20], [100, 200, 255]], np.uint8)
    assert halved(values, "mean").tolist() == [[2, 15], [150, 255]]  # 7 / 4 = 1.75; 30 / 2; 300 / 2
    assert halved(values, "nearest").tolist() == [[0, 10], [100, 255]]
    bright = np.full((2, 2), 65535, np.uint16)
    assert halved(bright, "mean").tolist() == [[65535]]
    assert halved(np.array([[0.0, 1.0], [0.5, 0.5]], np.float32), "mean").tolist() == [[0.5]]
    assert halved(np.array([[-4, -2], [-3, -3]], np.int16), "mean").tolist() == [[-3]]
    assert halved(np.zeros((3, 4, 3), np.uint8), "mean").shape == (2, 2, 3)


def test_shapes_by_hand():
    assert level_shapes((100, 33, 3)) == [(50, 17, 3), (25, 9, 3), (13, 5, 3)]
    assert level_shapes((16, 16)) == []
    assert is_large((41, 3))
    assert not is_large((40, 40))
    assert not is_large((100, 100, 100))


sides = st.integers(1, 70)


@settings(max_examples=25, deadline=None)
@given(height=sides, width=sides, color=st.booleans(), seed=st.integers(0, 99))
def test_levels_are_those_of_a_slow_reference(tmp_path_factory, height, width, color, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, *([3] if color else []))).astype(np.uint8)
    mask = rng.integers(0, 3, (height, width)).astype(np.uint8)
    folder = tmp_path_factory.mktemp("levels")
    found, masks = made(folder / "image", image, "mean"), made(folder / "mask", mask, "nearest")
    assert found.row == masks.row == 3
    for level in range(1, len(found.shapes) + 1):
        image = mean_slowly(image)
        assert np.array_equal(found.read(level), image)
        assert np.array_equal(masks.read(level), mask[:: 2**level, :: 2**level])
        assert np.array_equal(zarr.open_array(str(folder / f"image/{level}"), mode="r")[:], image)
    assert max(image.shape[:2]) <= BLOCK


@settings(max_examples=25, deadline=None)
@given(data=st.data(), height=st.integers(17, 70), width=st.integers(17, 70))
def test_followed_changes_are_as_if_made_anew(tmp_path_factory, data, height, width):
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 3, (height, width)).astype(np.uint8)
    found = made(tmp_path_factory.mktemp("levels") / "mask", mask, "nearest")
    for _ in range(3):
        start = data.draw(st.tuples(st.integers(0, height - 1), st.integers(0, width - 1)))
        stop = data.draw(st.tuples(st.integers(start[0] + 1, height), st.integers(start[1] + 1, width)))
        box = Box(start, stop)
        mask[box.slices] = rng.integers(0, 3, box.shape)
        found.follow(box, mask[box.slices])
    for level in range(1, len(found.shapes) + 1):
        assert np.array_equal(found.read(level), mask[:: 2**level, :: 2**level])


def test_what_was_cut_short_is_not_complete_and_can_be_made_again(tmp_path):
    mask = np.ones((70, 70), np.uint8)
    found = Levels(tmp_path / "mask", mask.shape, mask.dtype, "nearest")
    assert found.row is None
    assert not found.read(1).any()
    steps = found.make(lambda box: mask[box.slices], 5)
    next(steps)
    assert found.row is None
    assert 0 < found.read(1).sum() < 35 * 35  # what is there is shown
    steps.close()
    again = made(tmp_path / "mask", mask, "nearest", row=7)
    assert again.row == 7
    assert again.read(1).all()


def test_damage_is_shown_as_nothing_and_made_again(tmp_path):
    mask = np.ones((70, 70), np.uint8)
    found = made(tmp_path / "mask", mask, "nearest")
    chunk = tmp_path / "mask/1/c.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    assert not found.read(1, Box((0, 0), (4, 5))).any()
    assert found.read(1, Box((0, 0), (4, 5))).shape == (4, 5)
    assert found.row is None
    assert found.read(2).all()
    with pytest.raises(ValueError, match="damaged"):
        found.follow(Box((0, 0), (3, 3)), mask[:3, :3])


def test_new_projects_have_levels_of_large_images(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    large, small = (rng.integers(0, 255, (side, 50, 3)).astype(np.uint8) for side in (61, 20))
    given = rng.integers(0, 2, (61, 50)).astype(np.uint8)
    clean = 1 - given
    monkeypatch.setattr(levels, "LARGE", 55)
    cases = [
        NewCase(name="large", image=large, given=given, clean=clean),
        NewCase(name="small", image=small, given=given[:20]),
    ]
    with build_project(tmp_path / "study", cases, CLASSES) as project:
        case, other = project.cases
        root = project.path / display.NAME
        assert display.is_complete(root, case)
        assert not display.is_complete(root, other)
        image, masks = display.image_levels(root, case, np.uint8, (3,)), display.mask_levels(root, case)
        assert np.array_equal(image.read(1), mean_slowly(large))
        assert np.array_equal(masks["label"].read(2), clean[::4, ::4])
        assert masks["verified"].read(1).all()
        assert image.row == masks["label"].row == project.version()[0] == 1
        (root / "cases/000000/image/zarr.json").unlink()
        assert not display.is_complete(root, case)


def test_scores_have_levels_of_large_images(tmp_path):
    label = np.random.default_rng(2).integers(0, 2, (61, 50)).astype(np.uint8)
    cases = [
        NewCase(name="large", image=label * 9, given=label),
        NewCase(name="small", image=label[:30, :30] * 9, given=label[:30, :30]),
    ]
    with build_project(tmp_path / "study", cases, CLASSES) as project:
        large, small = project.cases
        folder = project.path / "runs/one"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text('{"started": "1"}', encoding="utf-8")
        writer = ScoreWriter(folder, "one")
        for case in project.cases:
            proposed = 1 - label[: case.shape[0], : case.shape[1]]
            writer.write(case.id, {"trust": proposed / np.float32(3), "proposed": proposed})
        assert writer.finish([], []) == 1
        run, root = project.run("one"), project.path / display.NAME
        where = {"root": root, "maps": run.case_folder(large.id), "run": "one", "generation": 1, "case": large}
        trust, proposed = (display.map_levels(name=name, **where) for name in ("trust", "proposed"))
        assert trust.folder.is_relative_to(run.path)
        assert np.array_equal(trust.read(1), mean_slowly(run.read_map(large.id, "trust")))
        assert np.array_equal(proposed.read(2), 1 - label[::4, ::4])
        assert not (run.case_folder(small.id) / display.WITHIN).exists()
        none = display.map_levels(name="cleanlab", **where)
        assert none.row is None
        assert none.folder.is_relative_to(root)


def test_levels_of_older_scores_are_removed(tmp_path):
    for run, generation in (("one", 1), ("one", 2), ("two", 1)):
        (tmp_path / f"runs/{run}/{generation}/000000").mkdir(parents=True)
    display.forget_runs(tmp_path, "one", 2)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("runs/*/*")) == ["runs/one/2", "runs/two/1"]
    display.forget_runs(tmp_path, "three", 1)
