"""Large images are exported strip by strip, to the byte as small ones are whole."""

from __future__ import annotations

import tracemalloc

import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from src_core.data.case import Box, ClassInfo, Verified
from src_core.data.scores import ImageScore
from src_core.errors import InputError
from src_core.io import lazy
from src_core.review import decisions
from src_core.store.create import NewCase, build_project, create_from_folders
from src_core.store.export import WHAT, export
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project
from src_core.store.runs import ScoreWriter

RNG = np.random.default_rng(5)
MASK = (RNG.random((70, 45)) > 0.6).astype(np.uint8)
VOLUME = (RNG.random((9, 20, 17)) > 0.5).astype(np.uint8)
AFFINE = np.diag([0.5, 0.7, 2.0, 1.0])


def ome(folder, values, axes, levels, version):
    group = zarr.create_group(str(folder), zarr_format=version)
    datasets = []
    for number, step in enumerate(levels):
        array = values[(Ellipsis, slice(None, None, step), slice(None, None, step))]
        sizes = tuple(min(16, side) for side in array.shape)
        more = {"shards": tuple(2 * side for side in sizes)} if version == 3 and number == 0 else {}
        zarr.create_array(
            str(folder / str(number)), shape=array.shape, chunks=sizes, dtype=array.dtype, zarr_format=version, **more
        )[...] = array
        scale = {"type": "scale", "scale": [1.0] * (values.ndim - 2) + [float(step)] * 2}
        datasets.append({"path": str(number), "coordinateTransformations": [scale]})
    names = [{"name": name, "type": "channel" if name == "c" else "space"} for name in axes]
    multiscale = {"version": "0.4", "axes": names, "datasets": datasets}
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [multiscale]


def pyramid(path, values):
    with tifffile.TiffWriter(path) as file:
        options = {"tile": (16, 16), "compression": "deflate", "photometric": "minisblack"}
        file.write(values, **options, subifds=1)
        file.write(values[::2, ::2], **options, subfiletype=1)


def write_masks(folder):
    """One mask in every way that is written in strips, and one that is not."""
    ome(folder / "a.ome.zarr", MASK, "yx", (1, 2), 3)
    ome(folder / "b.ome.zarr", MASK.T[None].copy(), "cxy", (1,), 2)
    ome(folder / "v1.ome.zarr", VOLUME, "zyx", (1, 2), 2)
    np.save(folder / "c.npy", MASK.astype(">u2"))
    np.save(folder / "d.npy", np.asfortranarray(MASK))
    np.save(folder / "e.npy", MASK > 0)
    np.savez_compressed(folder / "f.npz", mask=MASK)
    tifffile.imwrite(folder / "g.tif", MASK, tile=(16, 16), compression="deflate", predictor=True)
    tifffile.imwrite(folder / "h.tif", MASK.astype(">u2"), rowsperstrip=7, bigtiff=True, byteorder=">")
    tifffile.imwrite(folder / "i.tif", np.repeat(MASK[..., None], 3, -1), photometric="rgb")
    tifffile.imwrite(folder / "v2.ome.tif", VOLUME, metadata={"axes": "ZYX"})
    pyramid(folder / "j.tif", MASK)
    for name, pixels in (("v3.nii", VOLUME), ("v4.nii.gz", VOLUME), ("k.nii", MASK[None])):
        nibabel.save(nibabel.Nifti1Image(pixels.T.astype(np.int16), AFFINE), folder / name)
    scaled = nibabel.Nifti1Image(2.0 * VOLUME.T, AFFINE)
    scaled.header.set_data_dtype(np.int16)
    scaled.header.set_slope_inter(0.5, 0)
    nibabel.save(scaled, folder / "v5.nii")


@pytest.fixture
def project(tmp_path):
    masks, images = tmp_path / "masks", tmp_path / "images"
    masks.mkdir()
    images.mkdir()
    write_masks(masks)
    lines = ["image,mask,name"]
    for path in sorted(masks.iterdir()):
        name = path.name.partition(".")[0]
        if ".nii" in path.name:
            pixels = VOLUME if name.startswith("v") else MASK[None]
            nibabel.save(nibabel.Nifti1Image(pixels.T.astype(np.float32), AFFINE), images / f"{name}.nii")
            lines.append(f"images/{name}.nii,masks/{path.name},{name}")
        else:
            np.save(images / f"{name}.npy", VOLUME if name.startswith("v") else MASK)
            lines.append(f"images/{name}.npy,masks/{path.name},{name}")
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join(lines), encoding="utf-8")
    classes = tmp_path / "classes.csv"
    classes.write_text("0,background\n1,cell\n", encoding="utf-8")
    with create_from_folders(tmp_path / "p", listed, classes_file=classes)[0] as opened:
        change(opened)
        score(opened)
        yield opened


def change(project):
    for case in project.cases:
        box = Box((3,) * len(case.shape), (8,) * len(case.shape))
        label = 1 - np.minimum(project.read_label(case, box), 1)
        project.commit(Change(case.id, Action.EDIT, Patch(box, label, np.zeros_like(label))))
    project.commit(decisions.verify_image(project, project.cases[0]))


def score(project):
    run = project.path / "runs" / "run-001"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"started": "1", "settings": {}}', encoding="utf-8")
    writer = ScoreWriter(run, run.name)
    rng = np.random.default_rng(1)
    for case in project.cases:
        maps = {name: rng.random(case.shape).astype(np.float32) for name in ("trust", "alpha", "beta", "uncertainty")}
        writer.write(case.id, {**maps, "proposed": rng.integers(0, 2, case.shape).astype(np.uint8)})
    images = [ImageScore(case_id=c.id, image=c.name, score=1.0, estimated_wrong_pixels=1.0) for c in project.cases]
    writer.finish(images, [])


@pytest.fixture
def lower(monkeypatch):
    """Any image is a large one, and a strip a few rows."""
    monkeypatch.setattr(lazy, "LAZY_FROM", 0)
    monkeypatch.setitem(lazy.STRIP_ROWS, 2, 7)
    monkeypatch.setitem(lazy.STRIP_ROWS, 3, 2)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


EVERYTHING = [name for name in WHAT if name != "cleanlab"]


@pytest.mark.parametrize("format", ["same", "png", "tiff", "nifti", "nrrd", "ome-zarr", "npy"])
def test_strips_give_the_bytes_of_the_whole(project, tmp_path, request, format):
    what = [name for name in EVERYTHING if format != "png" or name in ("cleaned", "provenance")]
    whole, strips = tmp_path / "whole", tmp_path / "strips"
    if format == "png":
        project.cases = tuple(case for case in project.cases if len(case.shape) == 2)
    written = export(project, whole, what, format)
    request.getfixturevalue("lower")
    again = export(project, strips, what, format)
    assert [path.relative_to(whole) for path in written] == [path.relative_to(strips) for path in again]
    one, other = content(whole), content(strips)
    assert one.keys() == other.keys()
    assert [path for path in one if one[path] != other[path]] == []
    assert len(one) >= len(what) * len(project.cases)


def test_it_is_read_in_strips_and_not_whole(project, tmp_path, lower, monkeypatch):
    read, read_label = [], Project.read_label

    def spy(project, case, box=None):
        read.append(box)
        return read_label(project, case, box)

    monkeypatch.setattr(Project, "read_label", spy)
    project.cases = tuple(case for case in project.cases if case.name in ("a", "c", "g", "h", "k", "v3"))
    export(project, tmp_path / "out", ["cleaned"])
    assert read
    assert [box for box in read if box is None or box.shape[0] > 32] == []


def test_what_fails_half_way_leaves_nothing(project, tmp_path, lower, monkeypatch):
    export(project, tmp_path / "out", ["cleaned"])
    before, count = content(tmp_path / "out"), [0]
    read_label = Project.read_label

    def stop(project, case, box=None):
        count[0] += 1
        if count[0] == 3:
            raise InputError("stopped")
        return read_label(project, case, box)

    monkeypatch.setattr(Project, "read_label", stop)
    with pytest.raises(InputError, match="stopped"):
        export(project, tmp_path / "out", ["cleaned"])
    assert content(tmp_path / "out") == before
    assert not [path for path in (tmp_path / "out").rglob("*") if "partial" in path.name or "pixels" in path.name]


def test_a_change_meanwhile_begins_the_image_again(project, tmp_path, lower, monkeypatch):
    case, read_label, times = project.case("c"), Project.read_label, [0]
    box = Box((60, 0), (70, 45))

    def interrupt(project, asked, part=None):
        found = read_label(project, asked, part)
        times[0] += 1
        if times[0] == 2:
            label = 1 - read_label(project, case, box)
            project.commit(Change(case.id, Action.EDIT, Patch(box, label, np.full(box.shape, Verified.CORRECTED))))
        return found

    monkeypatch.setattr(Project, "read_label", interrupt)
    project.cases = (case,)
    export(project, tmp_path / "out", ["cleaned"])
    assert times[0] == 20
    assert np.array_equal(np.load(tmp_path / "out/cleaned/c.npy"), read_label(project, case))


def test_a_record_that_never_rests_is_said(project, tmp_path, lower, monkeypatch):
    monkeypatch.setattr(Project, "changed_after", lambda *_args: True)
    with pytest.raises(InputError, match="changed again and again"):
        export(project, tmp_path / "out", ["cleaned"])


def test_memory_does_not_follow_the_size(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, "LAZY_FROM", 2**20)
    classes = (
        ClassInfo(index=0, name="background", value=0, color="#000000"),
        ClassInfo(index=1, name="cell", value=1, color="#56B4E9"),
    )
    peaks = []
    for side in (2048, 4096):
        mask = np.eye(side, dtype=np.uint8)
        with build_project(tmp_path / str(side), [NewCase(name="a", image=mask, given=mask)], classes) as project:
            tracemalloc.start()
            for format in ("npy", "ome-zarr", "tiff"):
                export(project, tmp_path / "out", ["cleaned", "provenance"], format)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]
