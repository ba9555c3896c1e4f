"""Runs whose scores were made elsewhere: numbers by hand, what is refused, and what stays."""

from __future__ import annotations

import errno
import json
import math
import os

import numpy as np
import pytest
import tifffile
import zarr
from filelock import FileLock
from PIL import Image

from src_core.data.case import IGNORE, OKABE_ITO, Box, ClassInfo, MaskEncoding, Verified
from src_core.errors import InputError, PairingError, ProjectDamagedError, ProjectLockedError, StorageError
from src_core.infer.imported import import_scores
from src_core.review import decisions
from src_core.store.arrays import ArrayStore
from src_core.store.create import NewCase, build_project
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.store.runs import ScoreWriter

SIDE = 12
DRAWN = np.s_[2:10, 2:10]
TOO_MUCH = np.s_[2:10, 6:10]
"""The part of the square that the model holds for background: 32 px."""


def class_table(count):
    return tuple(
        ClassInfo(index=index, name=f"c{index}", value=index * 10, color=OKABE_ITO[index]) for index in range(count)
    )


def square():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[DRAWN] = 1
    return mask


def foreground(inside=0.95, doubted=0.2):
    """Probability of class 1: sure of the left half of the square, and not of the right one."""
    values = np.full((SIDE, SIDE), 0.05, np.float32)
    values[DRAWN] = inside
    values[TOO_MUCH] = doubted
    return values


@pytest.fixture
def make(tmp_path):
    """Function that builds a project of images with one square each, and leaves it closed."""

    def build(count=2, classes=2, given=square):
        encoding = MaskEncoding(suffix=".png", dtype="uint8", values={i: i * 10 for i in range(classes)})
        cases = [
            NewCase(name=f"im{n}", image=np.zeros((SIDE, SIDE), np.uint8), given=given(), encoding=encoding)
            for n in range(count)
        ]
        project = build_project(tmp_path / "p", cases, class_table(classes), author="tester")
        project.close()
        return project.path

    return build


def files(folder, **arrays):
    folder.mkdir(exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder


def maps(path, case=0, run=None):
    with Project.open(path) as project:
        found = project.run(run)
        return {name: found.read_map(case, name) for name in ("trust", "uncertainty", "band", "proposed", "regions")}


def everything(path):
    """All files; SQLite leaves two beside a database that was only read."""
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if not p.name.startswith("project.db-"))


# ------------------------------------------------------------------ by hand


def test_numbers_by_hand(make, tmp_path):
    path = make()
    steps = []
    done = import_scores(
        path,
        probabilities=files(tmp_path / "probs", im0=foreground(), im1=foreground(doubted=0.95)),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert (done.run, done.generation, done.images, done.regions) == ("imported", 1, 2, 1)
    assert (done.missing, done.unknown, done.calibrated) == ((), (), False)
    assert steps == [(n, 4) for n in range(1, 5)]
    found = maps(path)
    assert {name: values.dtype.str for name, values in found.items()} == {
        **{"trust": "<f4", "uncertainty": "<f4", "band": "|b1", "proposed": "|u1", "regions": "<i4"}
    }
    assert found["trust"][TOO_MUCH] == pytest.approx(0.2)
    assert found["trust"][3, 3] == pytest.approx(0.95)
    assert found["trust"][0, 0] == pytest.approx(0.95)  # background, as it is labelled
    assert found["proposed"][TOO_MUCH].max() == 0
    assert found["proposed"][2:10, 2:6].min() == 1
    entropy = -(0.2 * math.log2(0.2) + 0.8 * math.log2(0.8))
    assert found["uncertainty"][TOO_MUCH] == pytest.approx(entropy, abs=1e-6)
    assert (found["regions"] == 1).sum() == 32
    with Project.open(path) as project:
        run = project.run()
        (region,) = run.regions()
        assert region.score == pytest.approx(32 * 0.8, abs=1e-4)
        assert (region.given, region.proposed, region.kind) == (1, 0, "ambiguous")  # entropy .72 is in the band
        assert region.trust == pytest.approx(0.2)
        worst, best = run.images()
        assert (worst.image, best.image) == ("im0", "im1")
        assert worst.score == pytest.approx(32 * 0.8 / 64, abs=1e-5)
        assert best.estimated_wrong_pixels == 0


def as_nnunet(folder, name, both):
    np.savez_compressed(folder / f"{name}.npz", probabilities=both[:, None].astype(np.float16))


def as_pages(folder, name, both):
    tifffile.imwrite(folder / f"{name}.tif", np.rint(both * 65535).astype(np.uint16), photometric="minisblack")


def as_png(folder, name, both):
    Image.fromarray(np.rint(both[1] * 255).astype(np.uint8)).save(folder / f"{name}.png")


def as_last_axis(folder, name, both):
    np.save(folder / f"{name}.npy", np.moveaxis(both, 0, -1).astype(np.float64))


def as_zarr(folder, name, both):
    group = zarr.open_group(str(folder), mode="a")
    group.create_array(name, data=both)


@pytest.mark.parametrize("write", [as_nnunet, as_pages, as_png, as_last_axis, as_zarr])
def test_every_kind_of_file_gives_the_same_scores(make, tmp_path, write):
    path, folder = make(), tmp_path / "scores"
    folder.mkdir()
    for name in ("im0", "im1"):
        write(folder, name, np.stack([1 - foreground(), foreground()]))
    assert import_scores(path, probabilities=folder).regions == 2
    found = maps(path, 1)
    expected = np.where(square() == 1, foreground(), 1 - foreground())
    np.testing.assert_allclose(found["trust"], expected, atol=0.002)
    assert (found["regions"] == 1).sum() == 32


def test_three_classes_by_hand(make, tmp_path):
    values = np.full((3, SIDE, SIDE), 0.1, np.float32)
    values[2] = 0.8
    path = make(1, classes=3)
    import_scores(path, probabilities=files(tmp_path / "probs", im0=values))
    found = maps(path)
    assert found["trust"] == pytest.approx(0.1)
    assert (found["proposed"] == 2).all()
    with Project.open(path) as project:
        assert {(region.given, region.proposed) for region in project.run().regions()} == {(0, 2), (1, 2)}


def test_trust_alone_of_two_classes(make, tmp_path):
    trust = np.ones((SIDE, SIDE), np.float32)
    trust[TOO_MUCH] = 0.25
    trust[0, :] = 0.5
    path = make(1)
    import_scores(path, trust=files(tmp_path / "trust", im0=trust))
    found = maps(path)
    np.testing.assert_array_equal(found["trust"], trust)
    assert found["proposed"][TOO_MUCH].max() == 0
    assert np.array_equal(found["proposed"] != square(), trust == 0.25)  # half is no reason to change a label
    np.testing.assert_allclose(found["uncertainty"][0], 1)
    assert found["uncertainty"][TOO_MUCH] == pytest.approx(0.811278, abs=1e-5)
    assert found["uncertainty"][5, 3] == 0


def test_trust_uncertainty_and_proposal_may_be_handed_in(make, tmp_path):
    proposed = square() * 2
    proposed[:, :3] = 0
    (tmp_path / "proposed").mkdir()
    Image.fromarray(proposed * 10).save(tmp_path / "proposed" / "im0.png")
    path = make(1, classes=3)
    import_scores(
        path,
        trust=files(tmp_path / "trust", im0=np.full((SIDE, SIDE), 51, np.uint8)),
        uncertainty=files(tmp_path / "unsure", im0=np.full((1, SIDE, SIDE), 0.75, np.float16)),
        proposed=tmp_path / "proposed",
    )
    found = maps(path)
    assert found["trust"] == pytest.approx(0.2)
    assert (found["uncertainty"] == 0.75).all()
    assert found["band"].all()
    np.testing.assert_array_equal(found["proposed"], proposed)
    # with probabilities beside it, handed-in trust still counts
    probs = np.zeros((3, SIDE, SIDE), np.float32)
    probs[1] = 1
    import_scores(path, probabilities=files(tmp_path / "probs", im0=probs), trust=tmp_path / "trust", run="both")
    both = maps(path, run="both")
    assert both["trust"] == pytest.approx(0.2)
    assert (both["proposed"] == 1).all()
    assert not both["uncertainty"].any()


def test_unlabelled_pixels_are_neither_trusted_nor_doubted(make, tmp_path):
    def given():
        mask = square()
        mask[:4] = IGNORE
        return mask

    path = make(1, given=given)
    for run, sources in (
        ("probs", {"probabilities": files(tmp_path / "probs", im0=foreground(doubted=0.01))}),
        ("trust", {"trust": files(tmp_path / "trust", im0=np.zeros((SIDE, SIDE), np.float32))}),
    ):
        import_scores(path, run=run, **sources)
        found = maps(path, run=run)
        assert (found["trust"][:4] == 0).all()
        assert (found["regions"][:4] == 0).all()
    assert (found["proposed"][:4] == IGNORE).all()


def test_a_pixel_where_nothing_is_proposed_stays(make, tmp_path):
    encoding = MaskEncoding(suffix=".png", dtype="uint8", values={0: 0, 1: 10}, ignore_value=99)
    case = NewCase(name="im0", image=np.zeros((SIDE, SIDE), np.uint8), given=square(), encoding=encoding)
    build_project(tmp_path / "q", [case], class_table(2)).close()
    proposed = np.full((SIDE, SIDE), 99, np.uint8)
    proposed[TOO_MUCH] = 0
    (tmp_path / "proposed").mkdir()
    Image.fromarray(proposed).save(tmp_path / "proposed" / "im0.png")
    path = tmp_path / "q.metadcseg"
    half = np.full((SIDE, SIDE), 0.5, np.float32)
    import_scores(path, probabilities=files(tmp_path / "probs", im0=half), proposed=tmp_path / "proposed")
    changed = maps(path)["proposed"] != square()
    assert changed.sum() == 32
    assert changed[TOO_MUCH].all()


def test_trust_is_calibrated_where_enough_is_verified(tmp_path):
    """Of labels with a stated 0.9 nine in ten ought to be right; here it is 0.6, on verified images."""
    rng = np.random.default_rng(0)
    cases, stated = [], {}
    for number in range(6):
        given = (rng.random((64, 64)) < 0.5).astype(np.uint8)
        right = rng.random((64, 64)) < 0.6
        clean = np.where(right, given, 1 - given).astype(np.uint8) if number < 4 else None
        cases.append(NewCase(name=f"im{number}", image=given, given=given, clean=clean))
        stated[f"im{number}"] = np.where(given == 1, 0.9, 0.1).astype(np.float32)
    build_project(tmp_path / "q", cases, class_table(2)).close()
    done = import_scores(tmp_path / "q", probabilities=stated)
    assert done.calibrated
    with Project.open(tmp_path / "q") as project:
        run = project.run()
        assert run.read_map(5, "trust") == pytest.approx(0.6, abs=0.02)
        assert (run.read_map(0, "trust") == 1).all()  # verified
        np.testing.assert_array_equal(run.read_map(0, "proposed"), project.read_label(project.case(0)))
        assert run.record()["trust_scale"]["slope"] > 0


# ------------------------------------------------------------------ decisions and new imports


def test_what_is_decided_stays_and_is_trusted_after_another_import(make, tmp_path):
    path = make()
    probs = files(tmp_path / "probs", im0=foreground(), im1=foreground())
    import_scores(path, probabilities=probs)
    with Project.open(path, write=True) as project:
        run = project.run()
        first, second = run.regions()
        read = lambda region, name: run.read_map(region.case_id, name)  # noqa: E731
        project.commit(decisions.accept(project, first, read(first, "regions") == 1, read(first, "proposed"), run.name))
        project.commit(decisions.keep(project, second, read(second, "regions") == 1, run.name))
        # while the window has it open, another process may import
        done = import_scores(path, probabilities=probs)
        assert (done.generation, done.regions) == (2, 0)
        assert project.decisions() == {first.id: "accept", second.id: "keep"}
        assert project.run().generation == 2
    for case, label in ((first.case_id, 0), (second.case_id, 1)):
        found = maps(path, case)
        assert (found["trust"][TOO_MUCH] == 1).all()
        assert (found["proposed"][TOO_MUCH] == label).all()
    assert [run.name for run in path.joinpath("runs").iterdir()] == ["imported"]


def test_a_stroke_makes_handed_in_trust_the_rest(make, tmp_path):
    """Trust was handed in for the mask as it was given; what is painted over it is not believed by it."""
    path = make(1)
    with Project.open(path, write=True) as project:
        patch = Patch(Box((0, 0), (2, 2)), np.ones((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
        project.commit(Change(0, Action.EDIT, patch))
    import_scores(path, trust=files(tmp_path / "trust", im0=np.full((SIDE, SIDE), 0.9, np.float32)))
    trust = maps(path)["trust"]
    assert trust[:2, :2] == pytest.approx(0.1)
    assert trust[5, 5] == pytest.approx(0.9)


def test_unsure_pixels_are_neither_asked_again_nor_vouched_for(make, tmp_path):
    path = make(1)
    probs = files(tmp_path / "probs", im0=foreground())
    import_scores(path, probabilities=probs)
    with Project.open(path, write=True) as project:
        run = project.run()
        (region,) = run.regions()
        project.commit(decisions.unsure(project, region, run.read_map(0, "regions") == 1, run.name))
        assert Verified.UNSURE in project.read_verified(project.case(0))
    assert import_scores(path, probabilities=probs).regions == 0
    assert maps(path)["trust"][TOO_MUCH] == pytest.approx(0.2)


def test_images_may_be_left_out_and_keep_what_there_was(make, tmp_path):
    path = make()
    done = import_scores(path, probabilities={"im0": foreground()}, allow_missing=True)
    assert (done.images, done.missing) == (1, ("im1",))
    with Project.open(path) as project:
        run = project.run()
        assert (run.covers(0), run.covers(1)) == (True, False)
        assert [row.image for row in run.images()] == ["im0"]
        with pytest.raises(ProjectDamagedError, match=r"no trust map of image 1; .*import-scores"):
            run.read_map(1, "trust")
    done = import_scores(path, probabilities={"im1": foreground(), "other": foreground()}, allow_missing=True)
    assert (done.images, done.missing, done.unknown, done.generation) == (2, (), ("other",), 2)
    assert maps(path, 0)["trust"][TOO_MUCH] == pytest.approx(0.2, abs=1e-5)


def test_masks_of_every_image_are_needed_where_trust_does_not_say_which_class(make, tmp_path):
    path = make(2, classes=3)
    trust = {name: np.full((SIDE, SIDE), 0.1, np.float32) for name in ("im0", "im1")}
    with pytest.raises(InputError, match="does not say which of 3 classes"):
        import_scores(path, trust=trust)
    (tmp_path / "proposed").mkdir()
    Image.fromarray(square() * 20).save(tmp_path / "proposed" / "im1.png")
    done = import_scores(path, trust=trust, proposed=tmp_path / "proposed", allow_missing=True)
    assert done.missing == ("im0",)


# ------------------------------------------------------------------ what is refused


def refused(path, words, **sources):
    before = everything(path)
    with pytest.raises(InputError) as caught:
        import_scores(path, **sources)
    for each in words:
        assert each in str(caught.value)
    assert caught.value.exit_code == 2
    assert everything(path) == before
    return caught.value


def test_all_problems_are_in_one_message(make, tmp_path):
    path = make(4)
    hole = foreground()
    hole[0, 0] = np.nan
    probs = files(tmp_path / "probs", im0=hole, im1=foreground()[:-1], extra=foreground())
    (probs / "im2.npz").write_bytes(b"PK")
    (tmp_path / "unsure").mkdir()
    tifffile.imwrite(tmp_path / "unsure" / "im0.tif", np.full((SIDE, SIDE), 7, np.float32))
    error = refused(
        path,
        (
            "6 problems were found, nothing was imported:",
            "1 image is without a file among the probabilities: im3;",
            "3 images are without a file among the uncertainty maps: im1, im2, im3;",
            "im0.npy holds 1 values that are no numbers",
            "im0.tif holds values from 7 to 7",
            "im1.npy is an array of 11 x 12",
            "im2.npz cannot be read",
        ),
        probabilities=probs,
        uncertainty=tmp_path / "unsure",
    )
    assert isinstance(error, PairingError)


def test_sources_that_are_not_there_are_said_together(make, tmp_path):
    refused(
        make(),
        ("3 problems", "no probabilities at", "no trust maps at", "folder of proposed masks"),
        probabilities=tmp_path / "a",
        trust=tmp_path / "b",
        proposed=tmp_path / "c",
    )


def test_nothing_to_import(make):
    refused(make(), ("There is nothing to import",))


@pytest.mark.parametrize("allow", [False, True])
def test_names_that_fit_no_image(make, tmp_path, allow):
    probs = files(tmp_path / "probs", case1=foreground())
    words = ("No image of the project has a file", "called im0, im1", "the files case1")
    refused(make(), words, probabilities=probs, allow_missing=allow)


def test_nothing_new_is_said_although_something_is_kept(make, tmp_path):
    path = make(1)
    import_scores(path, probabilities={"im0": foreground()})
    refused(path, ("No image of the project",), probabilities={"x": foreground()}, allow_missing=True)


def test_masks_instead_of_probabilities(make, tmp_path):
    refused(make(), ("look like masks",), probabilities=files(tmp_path / "probs", im0=square(), im1=square()))


def test_proposed_masks_that_do_not_fit(make, tmp_path):
    folder = tmp_path / "proposed"
    folder.mkdir()
    Image.fromarray(square()).save(folder / "im0.png")
    Image.fromarray(square()[1:] * 10).save(folder / "im1.png")
    both = {name: foreground() for name in ("im0", "im1")}
    words = ("im0.png holds the value 1, expected one of 0, 10", "its mask im1.png 12 x 11 px; expected the same size")
    refused(make(), words, probabilities=both, proposed=folder)


def test_a_run_that_was_trained_is_not_written_over(make):
    path = make(1)
    (path / "runs" / "mine").mkdir(parents=True)
    refused(path, ("'mine' was trained here",), probabilities={"im0": foreground()}, run="mine")
    (path / "runs" / "mine" / "run.json").write_text('{"settings": {}}', encoding="utf-8")
    refused(path, ("'mine' was trained here",), probabilities={"im0": foreground()}, run="mine")
    refused(path, ("cannot be used",), probabilities={"im0": foreground()}, run="../mine")


def test_two_imports_at_a_time_are_told_apart(make):
    path = make(1)
    import_scores(path, probabilities={"im0": foreground()})
    with FileLock(path / "runs" / "imported" / "lock"), pytest.raises(ProjectLockedError, match="another process"):
        import_scores(path, probabilities={"im0": foreground()})


@pytest.mark.parametrize("again", [False, True])
def test_a_full_disk_leaves_what_was_there(make, monkeypatch, again):
    path = make(2)
    both = {name: foreground() for name in ("im0", "im1")}
    if again:
        import_scores(path, probabilities=both)
    before = maps(path)["trust"] if again else None

    def full(*_words):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("src_core.store.runs.chunks.write_array", full)
        with pytest.raises(StorageError, match="disk is full"):
            import_scores(path, probabilities={name: values / 2 for name, values in both.items()})
    left = [p.name for p in (path / "runs").iterdir()]
    assert left == (["imported"] if again else [])
    if again:
        np.testing.assert_array_equal(maps(path)["trust"], before)
        assert not (path / "runs" / "imported" / "scores.zarr.partial").exists()


def test_an_import_that_died_is_no_run(make):
    path = make(1)
    staging = path / "runs" / ".imported.1234.partial"
    staging.mkdir(parents=True)
    (staging / "run.json").write_text('{"kind": "imported"}', encoding="utf-8")
    ScoreWriter(staging, "x").finish([], [])
    with Project.open(path) as project:
        assert project.runs() == []


# ------------------------------------------------------------------ what the run says of itself


def test_the_run_says_what_it_is(make, tmp_path):
    path = make()
    probs = files(tmp_path / "softmax", im0=foreground(), im1=foreground())
    import_scores(path, probabilities=probs, run="other-model")
    record = json.loads((path / "runs" / "other-model" / "run.json").read_text(encoding="utf-8"))
    assert record["kind"] == "imported"
    assert record["source"] == "probabilities in softmax"
    assert record["sources"] == {"probabilities": str(probs)}
    assert record["trust_scale"] is None
    with Project.open(path) as project:
        run = project.run()
        assert run.imported
        assert run.history() == []
        assert (run.has_map("trust"), run.has_map("alpha"), run.has_map("cleanlab")) == (True, False, False)
        with pytest.raises(InputError, match=r"were imported \(probabilities in softmax\), so it has no model"):
            run.settings()
        with pytest.raises(InputError, match="has no model"):
            project.run(scored=False, trained=True)
        with pytest.raises(InputError, match="has no model"):
            project.run("other-model", trained=True)
        kept = run.read_probabilities(project.case(0), 2)
        np.testing.assert_allclose(kept[1], foreground(), atol=1e-5)
        assert ArrayStore(path / "arrays.zarr", "r").read(0, "given").max() == 1


def test_a_trained_run_is_found_behind_an_imported_one(make, tmp_path):
    path = make(1)
    trained = path / "runs" / "mine"
    trained.mkdir(parents=True)
    (trained / "run.json").write_text('{"started": "2020", "settings": {}}', encoding="utf-8")
    import_scores(path, probabilities={"im0": foreground()})
    with Project.open(path) as project:
        assert project.run(scored=False).name == "imported"
        assert project.run(scored=False, trained=True).name == "mine"
        assert not project.run("mine", scored=False).imported
