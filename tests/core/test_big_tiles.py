"""Images that are much longer than the working resolution are worked on in tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from src_core.config import preset
from src_core.data.case import IGNORE, Box, ClassInfo, Verified
from src_core.data.slices import Sides
from src_core.infer.predict import Predictor
from src_core.infer.score import score_run
from src_core.review import decisions
from src_core.review.regions import find_regions
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.train import checkpoint, tile_pool
from src_core.train.autoconfig import machine_facts, project_facts, suggest
from src_core.train.cases import WorkingSet
from src_core.train.control import Control
from src_core.train.run import train
from src_core.train.tile_reader import TileReader, block_means, centres
from src_core.train.tiles import Tiling, choose_tiling, tiling_of, windows_of
from src_core.train.working import normalise

SHAPE = (1100, 1300)
SMALLER = (530, 580)
CLASSES = (
    ClassInfo(index=0, name="background", value=0, color="#000000"),
    ClassInfo(index=1, name="cell", value=255, color="#56B4E9"),
)


def cells(shape=SHAPE, radius=6, pitch=40, seed=0):
    """An image with discs, brighter than what is around them, and their mask."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[: shape[0], : shape[1]]
    mask = ((y % pitch - pitch // 2) ** 2 + (x % pitch - pitch // 2) ** 2 <= radius**2).astype(np.uint8)
    image = 80 + 90 * mask + rng.normal(0, 12, shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def make(path, *, shape=SHAPE, radius=6, pitch=40, small=True):
    """One large image with a row of wrong labels, and small ones whose masks are trusted."""
    image, mask = cells(shape, radius, pitch)
    given = mask.copy()
    given[:, 500:540] = 0  # across the border between the first two tiles
    cases = [NewCase(name="slide", image=image, given=given)]
    for number in range(4 if small else 0):
        image, mask = cells((96, 96), seed=number + 1)
        cases.append(NewCase(name=f"small-{number}", image=image, given=mask, clean=mask))
    build_project(path, cases, CLASSES).close()
    return path


def settings(**changes):
    chosen = {
        **{"epochs": 2, "steps_per_epoch": 2, "max_side": 64, "patch_size": 32, "base_width": 8, "batch_size": 2},
        **{"meta_batch_size": 2, "device": "cpu", "threads": 1, **changes},
    }
    return preset("quick", **chosen)


def quiet(_message):
    pass


# ------------------------------------------------------------------ which, and how


def test_images_whose_structures_would_vanish_are_cut(tmp_path):
    with Project.open(make(tmp_path / "p", small=False)) as project:
        found = choose_tiling(settings(), project)
        assert found is not None
        assert (found.step, found.longer, found.edge, found.side) == (1, 256, 512, 512)
        assert "small structures are 11 px across, and shrunk to 64 px they would have 0.52" in found.why
        assert choose_tiling(settings(tile="off"), project) is None
        assert choose_tiling(settings(max_side=352), project) is None  # not 4 times as long
        assert choose_tiling(settings(max_side=512, tile="on"), project) is not None
        facts = project_facts(project)
        assert suggest(facts, machine_facts(), settings()).settings.tile == "auto"


def test_images_with_large_structures_are_shrunk_as_always(tmp_path):
    with Project.open(make(tmp_path / "p", radius=150, pitch=600, small=False)) as project:
        assert choose_tiling(settings(), project) is None  # 266 px of 1300 are 13 of 64
        forced = choose_tiling(settings(tile="on"), project)
        assert forced is not None
        assert forced.step == 16


def test_tiles_cover_the_image_once():
    tiling = Tiling(step=2, longer=1)
    grid = Sides((1100, 1300), (1.0, 1.0))
    seen = np.zeros(grid.shape, dtype=int)
    for number in range(tiling.count(grid)):
        seen[tiling.box(grid, number).slices] += 1
    assert tiling.side % 512 == 0
    assert (seen == 1).all()
    around = tiling.around(grid, tiling.box(grid, 1), 16)
    assert around == Box((0, 480), (544, 1056))


@pytest.mark.parametrize("values", [{"step": 3, "longer": 9}, {"step": 1}, {"step": 1, "longer": 0}])
def test_a_header_with_tiles_that_make_no_sense_is_refused(values):
    with pytest.raises(ValueError, match="tiles"):
        tiling_of(values)


def test_blocks_of_pixels():
    values = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    assert block_means(values, 2).tolist() == [[[2.5, 4.5], [8.5, 10.5]]]  # the last row stands for one more
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert centres(labels, 2).tolist() == [[5, 7], [9, 11]]
    assert windows_of((700, 90_000), 2048, 16)[-1].stop[1] <= 90_000


def test_tiles_are_normalised_as_the_image(tmp_path):
    with Project.open(make(tmp_path / "p", small=False)) as project:
        case = project.cases[0]
        whole = normalise(project.read_image(case), 1)
        box = Box((512, 512), (1024, 1024))
        tile = TileReader(project, case, Tiling(step=1, longer=1), 1).image(box)
        assert np.abs(tile - whole[(slice(None), *box.slices)]).max() < 0.05


# ------------------------------------------------------------------ what is learned from


def test_the_sample_takes_what_is_verified(tmp_path, monkeypatch):
    monkeypatch.setattr(tile_pool, "POOL_PIXELS", 4 * 512**2)
    path = make(tmp_path / "p", small=False)
    tiling = Tiling(step=1, longer=1)
    with Project.open(path, write=True) as project:
        case = project.cases[0]
        box = Box((600, 1100), (700, 1200))
        project.commit(
            decisions.Change(
                case.id,
                decisions.Action.CONFIRM,
                decisions.Patch(box, project.read_label(case, box), np.full(box.shape, 1, np.uint8)),
            )
        )
        chosen = tile_pool.choose_tiles(project, case, tiling, 1, seed=3)
        assert len(chosen) == 4
        assert 5 in chosen  # second row, third column
        assert chosen == tile_pool.choose_tiles(project, case, tiling, 1, seed=3)
        data = WorkingSet(project, 64, tiling=tiling, seed=3)
        assert data.tiles == {case.id: chosen}
        assert [each.tile for each in data.cases] == list(chosen)
        assert data.verified_summary()["pixels"] == 100 * 100
        assert len(set(data.groups)) == 4  # tiles are no group
        at = chosen.index(5)
        assert data.cases[at].verified_X[88:188, 76:176].all()
        project.undo()
        assert data.refresh()
        assert data.verified_summary()["pixels"] == 0


def test_small_images_are_as_they_were(tmp_path):
    """Beside a large image that is cut, and without one, small images are worked on in the same way."""
    with Project.open(make(tmp_path / "p")) as project:
        small = [case for case in project.cases if case.name.startswith("small")]
        cut = WorkingSet(project, 64, tiling=choose_tiling(settings(), project))
        for case in small:
            one = next(each for each in cut.cases if each.info == case)
            plain = WorkingSet._load(WorkingSet(project, 64), case)[0]
            for name in ("image_IX", "label_X", "given_X", "verified_X"):
                assert torch.equal(getattr(one, name), getattr(plain, name))


# ------------------------------------------------------------------ the whole way


def test_a_large_image_is_trained_scored_and_corrected(tmp_path):
    path, heard = make(tmp_path / "p", shape=SMALLER), []
    name = train(path, None, settings(), listener=quiet, control=Control())
    assert score_run(path, name, device="cpu", threads=1, listener=heard.append) == 1
    progress = [(message.data["done"], message.data["total"]) for message in heard if message.type == "scoring"]
    assert progress == [(done, 8) for done in range(1, 9)]  # 4 small images and 4 tiles
    with Project.open(path, write=True) as project:
        run, case = project.run(None), project.case("slide")
        assert run.record()["tiling"]["step"] == 1
        header = checkpoint.read_header(run.path)
        assert header["tiles"] == {str(case.id): list(range(4))}
        maps = {key: run.read_map(case.id, key) for key in ("trust", "uncertainty", "proposed")}
        label, verified = project.read_labels(case)
        regions, numbers = find_regions(case, **maps, label=label, verified=verified)
        assert np.array_equal(run.read_map(case.id, "regions"), numbers)
        assert {region.id for region in regions} == {r.id for r in run.regions() if r.case_id == case.id}
        assert {image.image for image in run.images()} == {each.name for each in project.cases}
        assert Predictor(run.path, "cpu")(project.read_image(case)).shape == (2, *SMALLER)
        region = next((r for r in run.regions() if r.case_id == case.id), None)
        if region is not None:
            mask = run.read_map(case.id, "regions", region.box) == region.number
            project.commit(decisions.keep(project, region, mask))
    assert train(path, name, settings(epochs=3), resume=True, listener=quiet, control=Control()) == name
    assert score_run(path, name, device="cpu", threads=1, listener=quiet) == 2
    with Project.open(path) as project:
        label, verified = project.read_labels(project.case("slide"))
        trust = project.run(None).read_map(project.case("slide").id, "trust")
        known = (verified != Verified.NO) & (verified != Verified.UNSURE) & (label != IGNORE)
        assert (trust[known] == 1).all()


def test_a_scoring_that_is_stopped_leaves_nothing(tmp_path):
    path = make(tmp_path / "p", shape=SMALLER, small=False)
    name = train(path, None, settings(epochs=1), listener=quiet, control=Control())
    control = Control()

    def stop(message):
        if message.type == "scoring" and message.data["done"] == 2:
            control.stop()

    assert score_run(path, name, device="cpu", threads=1, listener=stop, control=control) == 0
    assert not [each for each in (path.with_suffix(".metadcseg") / "runs" / name).iterdir() if "scores" in each.name]
