"""Volumes end to end, without a window: train, score, review, export."""

from __future__ import annotations

import gzip
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from scipy import ndimage

from src_core.config import preset
from src_core.data.case import IGNORE, Box, CaseInfo, ClassInfo, MaskEncoding, Verified
from src_core.data.slices import best_slice, slice_axis, slices_text
from src_core.errors import SettingsError
from src_core.infer.predict import Predictor
from src_core.infer.score import score_run
from src_core.review import decisions
from src_core.store.create import NewCase, build_project
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.verify import problems_of
from src_core.train.augment import back_to_case, random_matrix, sample
from src_core.train.cases import WorkingSet
from src_core.train.control import Control
from src_core.train.crossfit import halves
from src_core.train.dimensions import choose_dimensions, patch_shape, volume_shape, working_spacing
from src_core.train.run import train
from src_core.train.sampler import Sampler
from src_core.train.windows import covering, in_windows
from src_core.train.working import Working, enlarged, normalise, slabs

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color="#000000"),
    ClassInfo(index=1, name="organ", value=1, color="#56B4E9"),
)
ENCODING = MaskEncoding(suffix=".nii.gz", dtype="uint8", values={0: 0, 1: 1})
HEARTS = Path(__file__).parents[2].parent / "shared" / "data" / "la-heart-volumes"
SHAPE = (12, 48, 40)
SPACING = (2.0, 1.0, 1.0)


def ball(seed: int, shape=SHAPE, spacing=SPACING):
    """A bright ball in noise, and its mask."""
    rng = np.random.default_rng(seed)
    places = np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1))
    middle = np.array(shape) * spacing / 2 + rng.uniform(-2, 2, 3)
    truth = (np.sqrt(((places - middle.reshape(3, 1, 1, 1)) ** 2).sum(0)) < 9).astype(np.uint8)
    image = 100 + 60 * ndimage.gaussian_filter(truth.astype(float), 0.7) + rng.normal(0, 8, shape)
    return image.astype(np.float32), truth


def cases(count=4, trusted=2, shape=SHAPE, spacing=SPACING):
    for number in range(count):
        image, truth = ball(number, shape, spacing)
        given = truth.copy()
        given[shape[0] // 2 :, :, : shape[2] // 2] = 0  # half of it was forgotten in half of the slices
        yield NewCase(
            name=f"vol{number}",
            image=image,
            given=given,
            clean=truth if number < trusted else None,
            spacing=spacing,
            unit="mm",
            encoding=ENCODING,
        )


@pytest.fixture
def project_path(tmp_path):
    project = build_project(tmp_path / "volumes", cases(), CLASSES, author="tester")
    project.close()
    return project.path


def settings(**changes):
    values = {"epochs": 2, "steps_per_epoch": 3, "base_width": 8, "patch_size": 32, "max_side": 40}
    values |= {"batch_size": 2, "meta_batch_size": 2, "threads": 1, "device": "cpu", "min_verified": 100}
    return preset("quick", **{**values, **changes})


def info(shape, spacing, id_=0):
    return CaseInfo(id=id_, name=f"case{id_}", shape=shape, channels=1, spacing=spacing, encoding=ENCODING)


def quiet(_message):
    pass


# ------------------------------------------------------------------ in how many dimensions


@pytest.mark.parametrize(
    ("asked", "shapes", "spacing", "device", "found"),
    [
        ("auto", [(64, 64, 64)], (1.0, 1.0, 1.0), "cuda", "3d"),
        ("auto", [(64, 64, 64)], (1.0, 1.0, 1.0), "cpu", "2d"),
        ("auto", [(64, 64, 64)], (4.0, 1.0, 1.0), "cuda", "2d"),
        ("auto", [(20, 64, 64)], (1.0, 1.0, 1.0), "cuda", "2d"),
        ("auto", [(64, 64, 64), (64, 64)], (1.0, 1.0, 1.0), "cuda", "2d"),
        ("2d", [(64, 64, 64)], (1.0, 1.0, 1.0), "cuda", "2d"),
        ("2.5d", [(64, 64, 64)], (1.0, 1.0, 1.0), "cpu", "2.5d"),
        ("3d", [(20, 64, 64)], (1.0, 1.0, 1.0), "cpu", "3d"),
    ],
)
def test_dimensions_follow_the_setting_the_images_and_the_device(asked, shapes, spacing, device, found):
    images = [info(shape, spacing[: len(shape)]) for shape in shapes]
    assert choose_dimensions(settings(dimensions=asked), images, device) == found


@pytest.mark.parametrize("asked", ["2.5d", "3d"])
def test_images_are_not_learned_as_volumes(asked):
    images = [info((64, 64, 64), (1.0,) * 3), info((64, 64), (1.0, 1.0), 1)]
    with pytest.raises(SettingsError, match="1 of 2 images have one slice only \\(case1\\)"):
        choose_dimensions(settings(dimensions=asked), images, "cpu")


def test_slices_lie_across_the_coarsest_axis():
    assert slice_axis(info((9, 9, 9), (1.0, 1.0, 1.0))) == 0
    assert slice_axis(info((9, 9, 9), (1.0, 3.0, 1.0))) == 1
    assert slice_axis(info((9, 9, 9), (0.5, 0.5, 3.0))) == 2


def test_the_working_spacing_is_one_for_all_directions():
    thin = info((20, 100, 100), (6.0, 0.5, 0.5))
    assert working_spacing([thin], 512) == 2.0  # a third of the distance of slices
    assert volume_shape(thin, 2.0) == (60, 25, 25)
    even = info((88, 200, 140), (0.625,) * 3)
    assert working_spacing([even], 256) == 0.625
    assert working_spacing([even], 100) == pytest.approx(1.25)
    assert volume_shape(even, 1.25) == (44, 100, 70)


def test_crops_of_volumes_have_sides_that_the_network_takes():
    assert patch_shape(settings(patch_size=160), [(64, 64)]) == (160, 160)
    assert patch_shape(settings(patch_size=160), [(300, 300, 300)]) == (64, 64, 48)
    thin = patch_shape(settings(patch_size=160), [(20, 300, 300)])
    assert thin[0] == 32
    assert all(side % 16 == 0 for side in thin)
    assert np.prod(thin) <= 1.5 * 8 * 160**2


# ------------------------------------------------------------------ cutting, and back


def test_a_volume_is_normalised_as_one(project_path):
    with Project.open(project_path) as project:
        data = WorkingSet(project, 40, "2d")
        image = project.read_image(project.cases[0])
    slices = [case for case in data.cases if case.info.id == 0]
    assert [case.at for case in slices] == list(range(12))
    whole = torch.stack([case.image_IX[0] for case in slices])
    assert whole.shape == (12, 40, 33)
    assert abs(float(whole.mean())) < 0.05
    assert float(whole[6].mean()) > float(whole[0].mean()) + 0.1  # slices of their own would be equal
    expected = normalise(image, 1, 3)[0]
    assert whole[6].max() == pytest.approx(expected[6].max(), abs=0.5)


def test_the_neighbours_of_a_slice_are_channels():
    volume = np.arange(5, dtype=np.float32).reshape(5, 1, 1) * np.ones((5, 4, 4), np.float32)
    working = Working(channels=1, max_side=64, dimensions="2.5d")
    images = working.images(info((5, 4, 4), (2.0, 1.0, 1.0)), volume)
    assert working.input_channels == 3
    order = torch.stack([image[:, 0, 0] for image in images]).argsort(dim=1, stable=True)
    assert (order == torch.arange(3)).all()
    assert torch.equal(images[1][0], images[0][1])
    assert torch.equal(images[0][0], images[0][1])  # before the first there is the first
    assert images[1].data_ptr() == images[0].data_ptr() + 16 * 4  # one memory


def test_the_best_slice_shows_most_and_lies_in_the_middle_of_equals():
    mask = np.zeros((6, 5, 4), bool)
    mask[1:5, 2, 2] = True
    assert best_slice(mask, 0) == 2
    mask[4, 3, 2] = True
    assert best_slice(mask, 0) == 4
    assert best_slice(mask, 1) == 2


def test_slices_are_told_as_the_slider_counts_them():
    volume = info((9, 20, 20), (3.0, 1.0, 1.0))
    assert slices_text(Box((2, 0, 0), (5, 9, 9)), volume) == "slices 2 to 4 of 0 to 8"
    assert slices_text(Box((2, 0, 0), (3, 9, 9)), volume) == "slice 2 of 0 to 8"
    assert slices_text(Box((0, 0), (3, 9)), info((9, 20), (1.0, 1.0))) == ""


@pytest.mark.parametrize("rows", [7, 100])
def test_maps_are_enlarged_slab_by_slab_as_at_once(rows, monkeypatch):
    monkeypatch.setattr("src_core.train.working.SLAB_VOXELS", rows * 21 * 17)
    values = torch.rand(1, 2, 6, 10, 8)
    size = (15, 21, 17)
    parts = slabs(size)
    assert len(parts) == max(1, -(-15 // rows))
    found = torch.cat([enlarged(values, size, part) for part in parts], dim=2)
    expected = torch.nn.functional.interpolate(values, size=size, mode="trilinear", align_corners=False)
    assert torch.allclose(found, expected, atol=1e-5)


def test_windows_add_up_to_the_whole_away_from_the_rim():
    """A network that sees 2 px around each: equal everywhere, also at the rim, as it is padded alike there."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv3d(4, 2, 3, padding=1)]
    network = torch.nn.Sequential(*layers).eval()
    image = torch.randn(1, 1, 70, 50, 20)
    seen = []

    def predict(part):
        seen.append(tuple(part.shape[2:]))
        return network(part)

    with torch.no_grad():
        tiled = in_windows(predict, image, (32, 32, 32))
        assert set(seen) == {(32, 32, 20)}
        assert float((tiled - network(image)).abs().max()) < 1e-5
        seen.clear()
        assert torch.equal(in_windows(predict, image, (80, 64, 32)), network(image))
        assert seen == [(70, 50, 20)]


def test_windows_to_look_at_begin_in_the_middle():
    assert covering((40, 40), None) == [(slice(0, 40), slice(0, 40))]
    found = covering((100, 40, 33), (32, 32, 32))
    assert found[0] == (slice(34, 66), slice(4, 36), slice(0, 32))
    assert len(found) == 3


@settings_of_hypothesis(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_what_a_crop_says_goes_back_to_its_place_only(seed, outside):
    """In a window of the volume, as if it had been laid over the whole."""
    rng = np.random.default_rng(seed)
    shape, crop = (20, 40, 36), (8, 16, 12)
    center = tuple(rng.uniform(-4 if outside else 8, edge + (4 if outside else -8)) for edge in shape)
    matrix = random_matrix(rng, center, crop)
    places = torch.stack(torch.meshgrid(*(torch.arange(float(edge)) for edge in shape), indexing="ij"))
    back, covered, window = back_to_case(sample(places, matrix, crop, nearest=False, border=False), matrix, shape)
    inverse = np.linalg.inv(matrix[:, :3])
    whole = sample(
        torch.ones(1, *crop), np.column_stack([inverse, -inverse @ matrix[:, 3]]), shape, nearest=False, border=False
    )
    assert torch.equal(whole[0][window] > 0.999, covered)
    assert int((whole[0] > 0.999).sum()) == int(covered.sum())  # nothing of it lies outside of the window
    corners = np.array(list(product(*((0, edge - 1) for edge in crop), [1]))) @ matrix.T
    inside = bool(((corners >= 0) & (corners <= np.array(shape) - 1)).all())
    if inside:  # where a crop reaches beyond the volume, it was filled with zeros
        laid = back[:, covered] / whole[0][window][covered]  # up to a thousandth of a covered pixel lies outside
        assert float((laid - places[:, *window][:, covered]).abs().max()) < 0.01


# ------------------------------------------------------------------ held together


def test_slices_of_a_volume_are_held_out_together(tmp_path):
    with build_project(tmp_path / "all", cases(4, trusted=4), CLASSES) as project:
        data = WorkingSet(project, 40, "2d")
    first, second = halves(data.cases)
    assert {data.cases[index].info.id for index in first} == {0, 1}
    assert {data.cases[index].info.id for index in second} == {2, 3}
    assert len(first) == len(second) == 24
    assert data.verified_summary()["images"] == 4


def test_volumes_and_images_are_as_likely_as_each_other(tmp_path):
    image, truth = ball(9)
    flat = NewCase(name="flat", image=image[6], given=truth[6], spacing=(1.0, 1.0), unit="mm", encoding=ENCODING)
    with build_project(tmp_path / "mixed", [*cases(1, trusted=0), flat], CLASSES) as project:
        data = WorkingSet(project, 40, "2d")
    sampler, rng = Sampler(data.cases, 32), np.random.default_rng(0)
    drawn = [index for _ in range(60) for index in sampler.training(rng, 2).cases]
    assert data.cases[0].info.name == "flat"
    assert drawn.count(0) == 60
    with_organ = [index for index in drawn if index > 0 and bool((data.cases[index].label_X == 1).any())]
    assert len(with_organ) / 60 > 0.7


def test_what_is_verified_meanwhile_reaches_every_slice(project_path):
    with Project.open(project_path, write=True) as project:
        data = WorkingSet(project, 40, "2d")
        assert not data.refresh()
        project.commit(decisions.verify_image(project, project.case(3)))
        assert data.refresh()
    of_it = [case for case in data.cases if case.info.id == 3]
    assert all(bool((case.verified_X > 0).all()) for case in of_it)
    assert data.verified_summary()["images"] == 3


# ------------------------------------------------------------------ the whole way


def review_some(path, most=3):
    """Settle some regions as a person would; the region ids."""
    done = []
    with Project.open(path, write=True) as project:
        run = project.run(None)
        for region in run.regions()[:most]:
            case = project.case(region.case_id)
            mask = run.read_map(case.id, "regions", region.box) == region.number
            assert mask.ndim == 3
            assert int(mask.sum()) == region.pixels
            proposed = run.read_map(case.id, "proposed", region.box)
            before = project.read_label(case, region.box)
            project.commit(decisions.accept(project, region, mask, proposed, run.name))
            after, kinds = project.read_labels(case, region.box)
            assert np.array_equal(after, np.where(mask, proposed, before))
            assert (kinds[mask] == Verified.CORRECTED).all()
            done.append(region.id)
        project.undo()
        assert np.array_equal(project.read_label(case, region.box), before)
        project.redo()
    return done


@pytest.mark.parametrize("dimensions", ["2d", "2.5d", "3d"])
def test_a_project_of_volumes_is_trained_scored_and_reviewed(project_path, dimensions):
    name = train(project_path, None, settings(dimensions=dimensions), listener=quiet, control=Control())
    assert score_run(project_path, name, device="cpu", threads=1, listener=quiet) == 1
    with Project.open(project_path) as project:
        run = project.run(None)
        assert run.record()["dimensions"] == dimensions
        for case in project.cases:
            for map_ in ("trust", "alpha", "beta", "uncertainty", "proposed", "regions"):
                assert run.read_map(case.id, map_).shape == SHAPE
        label, verified = project.read_labels(project.cases[0])
        assert (run.read_map(0, "trust")[(verified > 0) & (label != IGNORE)] == 1).all()
        image = project.read_image(project.cases[3])
        opinion = Predictor(run.path, "cpu")(image, SPACING)
    assert opinion.shape == (2, *SHAPE)
    assert np.allclose(opinion.sum(0), 1, atol=1e-4)
    assert review_some(project_path)
    assert train(
        project_path, name, settings(dimensions=dimensions, epochs=3), resume=True, listener=quiet, control=Control()
    )
    with Project.open(project_path) as project:
        assert problems_of(project) == []


# ------------------------------------------------------------------ real data, where it is


def read_nifti(path):
    """Array (Z, H, W) and spacing of a little-endian NIfTI-1 file."""
    raw = gzip.decompress(path.read_bytes())
    sides, code = np.frombuffer(raw, "<i2", 4, 40)[1:], int(np.frombuffer(raw, "<i2", 1, 70)[0])
    sizes, start = np.frombuffer(raw, "<f4", 4, 76)[1:], int(np.frombuffer(raw, "<f4", 1, 108)[0])
    values = np.frombuffer(raw, {2: "u1", 4: "<i2", 16: "<f4"}[code], int(np.prod(sides)), start)
    return values.reshape(sides, order="F").T, tuple(map(float, sizes[::-1]))


@pytest.mark.skipif(not HEARTS.is_dir(), reason="the real data is not beside the project")
def test_hearts_are_trained_scored_reviewed_and_exported(tmp_path):
    made = []
    for number, path in enumerate(sorted(HEARTS.glob("*_image.nii.gz"))):
        image, spacing = read_nifti(path)
        truth, _ = read_nifti(path.with_name(path.name.replace("image", "label")))
        image, truth = image[::8, ::3, ::3], (truth[::8, ::3, ::3] > 0).astype(np.uint8)
        given = np.stack([ndimage.binary_dilation(each, iterations=2) for each in truth]).astype(np.uint8)
        made.append(
            NewCase(
                name=path.name.split("_")[0],
                image=image,
                given=given,
                clean=truth if number == 0 else None,
                spacing=(8 * spacing[0], 3 * spacing[1], 3 * spacing[2]),
                unit="mm",
                encoding=ENCODING,
            )
        )
    with build_project(tmp_path / "hearts", made, CLASSES, author="tester") as project:
        path = project.path
        assert [slice_axis(case) for case in project.cases] == [0, 0, 0]
    name = train(path, None, settings(), listener=quiet, control=Control())
    assert score_run(path, name, device="cpu", threads=1, listener=quiet) == 1
    done = review_some(path)
    with Project.open(path) as project:
        assert set(done) <= set(project.decisions())
        written = export(project, tmp_path / "out", ["cleaned", "trust"], "npy")
        for case, file in zip(project.cases, written[: len(project.cases)], strict=True):
            assert np.array_equal(np.load(file), project.read_label(case))
        assert problems_of(project) == []
