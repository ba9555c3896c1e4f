"""Scores of volumes that were made elsewhere: every kind of file, turned as the image lies, and the whole review."""

from __future__ import annotations

import csv
import io

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
import zarr
from PIL import Image

from src_core.cli import main
from src_core.data.case import Verified
from src_core.data.probabilities import as_probabilities
from src_core.errors import FormatError, PairingError
from src_core.infer.imported import import_scores
from src_core.infer.second_opinion import second_opinion
from src_core.io.nifti import write_new
from src_core.io.picture import Grid
from src_core.review import decisions
from src_core.store.create import create_from_folders
from src_core.store.project import Project
from src_core.store.verify import problems_of

SHAPE, SPACING = (6, 14, 10), (3.0, 1.0, 2.0)
ORGAN = np.s_[1:5, 3:11, 2:8]
MISSING = np.s_[1:3, 3:11, 2:8]
"""The part of the organ that was forgotten: two slices of 48 voxels."""

AFFINE = ((0.0, 0.0, 2.0, -7.0), (0.0, 1.0, 0.0, 5.0), (3.0, 0.0, 0.0, 11.0), (0.0, 0.0, 0.0, 1.0))
GRID = Grid(spacing=SPACING, unit="mm", affine=AFFINE)


def organ():
    truth = np.zeros(SHAPE, np.uint8)
    truth[ORGAN] = 1
    return truth


def foreground():
    values = np.full(SHAPE, 0.05, np.float32)
    values[ORGAN] = 0.9
    values += np.linspace(0, 0.02, values.size, dtype=np.float32).reshape(SHAPE)  # no two axes look alike
    return values


def both():
    return np.stack([1 - foreground(), foreground()])


@pytest.fixture
def project_path(tmp_path):
    """Two volumes as NIfTI; of the second nothing was forgotten."""
    given = organ()
    given[MISSING] = 0
    for folder, arrays in (("images", [foreground() * 100] * 2), ("masks", [given, organ()])):
        (tmp_path / folder).mkdir()
        for name, values in zip(("a", "b"), arrays, strict=True):
            write_new(tmp_path / folder / f"{name}.nii.gz", values, GRID)
    project, _ = create_from_folders(tmp_path / "p", tmp_path / "images", tmp_path / "masks")
    with project:
        return project.path


# ------------------------------------------------------------------ every kind of file


def nifti(path, values, affine=AFFINE):
    """As nibabel users write it: x, y, z, and classes as a fourth axis."""
    data = values.T if values.ndim == 3 else np.moveaxis(values, 0, -1).transpose(2, 1, 0, 3)
    nibabel.save(nibabel.Nifti1Image(data, np.array(affine)[:, [2, 1, 0, 3]]), path)


def turned(path, values):
    """The same turned: x runs to the left, and z stands first."""
    plain = nibabel.Nifti1Image(np.moveaxis(values, 0, -1).transpose(2, 1, 0, 3), np.array(AFFINE)[:, [2, 1, 0, 3]])
    codes = nibabel.orientations.axcodes2ornt(("S", "A", "L"))
    start = nibabel.orientations.io_orientation(plain.affine)
    nibabel.save(plain.as_reoriented(nibabel.orientations.ornt_transform(start, codes)), path)


def itk(path, values, origin=(7.0, -5.0, 11.0), axes=None, packed=False):
    """As users of ITK write it, classes as components; their x runs to the left and y to the back."""
    volume = values if values.ndim == 3 else np.moveaxis(values, 0, -1)
    image = SimpleITK.GetImageFromArray(volume, isVector=values.ndim > 3)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(origin)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    image = image if axes is None else SimpleITK.DICOMOrient(image, axes)
    SimpleITK.WriteImage(image, str(path), useCompression=packed)


def itk_turned(axes):
    return lambda path, values: itk(path, values, axes=axes, packed=True)


def in_folder(suffix, write):
    def make(folder, values):
        folder.mkdir()
        for name in ("a", "b"):
            write(folder / f"{name}{suffix}", values)

    return make


def zarr_group(folder, values):
    group = zarr.open_group(str(folder), mode="w")
    for name in ("a", "b"):
        group.create_array(name, data=values, chunks=(1, 2, *SHAPE[1:]))


def zarr_stack(folder, values):
    zarr.create_array(str(folder), data=np.stack([values] * 2)).attrs["names"] = ["a", "b"]


def archive(folder, values):
    with folder.open("wb") as file:
        np.savez(file, a=values, b=values)


def tiff(path, values):
    tifffile.imwrite(path, values, photometric="minisblack")


def hyperstack(path, values):
    """Slices first, classes second, as ImageJ has it."""
    tifffile.imwrite(path, np.moveaxis(values, 0, 1), imagej=True, metadata={"axes": "ZCYX"})


KINDS = {
    "npz": ("x", in_folder(".npz", lambda path, values: np.savez(path, softmax=values))),
    "npy, slice by slice": ("x", in_folder(".npy", lambda path, values: np.save(path, np.moveaxis(values, 0, 1)))),
    "npy, classes last": ("x", in_folder(".npy", lambda path, values: np.save(path, np.moveaxis(values, 0, -1)))),
    "npz archive": ("x.npz", archive),
    "zarr group": ("x.zarr", zarr_group),
    "zarr array": ("x.zarr", zarr_stack),
    "TIFF": ("x", in_folder(".tif", tiff)),
    "TIFF hyperstack": ("x", in_folder(".tif", hyperstack)),
    "NIfTI": ("x", in_folder(".nii", nifti)),
    "NIfTI, packed, turned": ("x", in_folder(".nii.gz", turned)),
    "NRRD": ("x", in_folder(".nrrd", itk)),
    "NRRD, packed, turned": ("x", in_folder(".nrrd", itk_turned("SAL"))),
    "NRRD, pixels beside it": ("x", in_folder(".nhdr", itk)),
    "NRRD, foreground": ("x", in_folder(".nrrd", lambda path, values: itk(path, values[1], axes="LPS"))),
    "MetaImage": ("x", in_folder(".mha", itk)),
    "MetaImage, packed, turned": (
        "x",
        in_folder(".mha", itk_turned("ASR")),
    ),
    "MetaImage, pixels beside it": ("x", in_folder(".mhd", itk)),
    "MetaImage, foreground": ("x", in_folder(".mha", lambda path, values: itk(path, values[1], axes="PIR"))),
    "NIfTI, foreground": ("x", in_folder(".nii.gz", lambda path, values: nifti(path, values[1]))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_scores(project_path, tmp_path, kind):
    name, write = KINDS[kind]
    write(tmp_path / name, both())
    done = import_scores(project_path, probabilities=tmp_path / name)
    assert (done.images, done.regions, done.unknown) == (2, 1, ())
    with Project.open(project_path) as project:
        run = project.run()
        label = project.read_label(project.case("a"))
        trust = run.read_map(project.case("a").id, "trust")
        np.testing.assert_allclose(trust, np.where(label == 1, foreground(), 1 - foreground()), atol=2e-3)
        np.testing.assert_array_equal(run.read_map(project.case("a").id, "proposed"), organ())
        (region,) = run.regions()
        assert (region.pixels, region.given, region.proposed) == (96, 0, 1)
        assert (region.box.start, region.box.stop) == ((1, 3, 2), (3, 11, 8))


def test_maps_that_lie_elsewhere_are_refused(project_path, tmp_path):
    (tmp_path / "x").mkdir()
    moved = np.array(AFFINE)
    moved[0, 3] += 4
    nifti(tmp_path / "x/a.nii.gz", both())
    nifti(tmp_path / "x/b.nii.gz", both(), moved)
    with pytest.raises(PairingError, match=r"b.nii.gz lies on another grid than its image b \(.*from \(-3, 5, 11\) mm"):
        import_scores(project_path, probabilities=tmp_path / "x")
    (tmp_path / "x/b.nii.gz").write_bytes(b"no NIfTI")
    with pytest.raises(PairingError, match=r"b\.nii\.gz"):
        import_scores(project_path, probabilities=tmp_path / "x")
    with Project.open(project_path) as project:
        assert project.runs() == []


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_maps_of_itk_that_lie_elsewhere_or_are_broken_are_refused(project_path, tmp_path, suffix):
    (tmp_path / "x").mkdir()
    first, second = (tmp_path / "x" / f"{name}{suffix}" for name in "ab")
    itk(first, both())
    itk(second, both(), origin=(3.0, -5.0, 11.0))
    words = rf"b{suffix} lies on another grid than its image b \(.*from \(-3, 5, 11\) mm, expected .*from \(-7, 5, 11\)"
    with pytest.raises(PairingError, match=words):
        import_scores(project_path, probabilities=tmp_path / "x")
    itk(second, both()[:, 1:])
    with pytest.raises(PairingError, match=rf"b{suffix}"):
        import_scores(project_path, probabilities=tmp_path / "x")
    itk(second, both())
    data = next((path for path in second.parent.glob("b.*raw*")), second)
    data.write_bytes(data.read_bytes()[:-40])
    with pytest.raises(PairingError, match=rf"b{suffix}"):
        import_scores(project_path, probabilities=tmp_path / "x")
    with Project.open(project_path) as project:
        assert project.runs() == []


def test_one_slice_is_not_taken_for_a_volume(project_path, tmp_path):
    """What a 2-D model says of one slice is not enough, and says what would be."""
    with pytest.raises(PairingError, match="array of 2 x 14 x 10; expected 2 x 6 x 14 x 10"):
        import_scores(project_path, probabilities=dict.fromkeys("ab", both()[:, 0]))


def test_classes_that_are_as_many_as_slices_stand_first():
    """(C, Z, H, W) is what everything else here is; only what cannot be that is taken for (Z, C, H, W)."""
    values = np.full((3, 3, 4, 5), 1 / 3, np.float32)
    values[0], values[1], values[2] = 0.5, 0.3, 0.2
    assert as_probabilities(values, (3, 4, 5), 3, "x")[:, 0, 0, 0] == pytest.approx([0.5, 0.3, 0.2])
    by_slice = np.moveaxis(values[:, :2], 0, 1)  # two slices of three classes
    assert as_probabilities(by_slice, (2, 4, 5), 3, "x")[:, 1, 0, 0] == pytest.approx([0.5, 0.3, 0.2])
    with pytest.raises(FormatError, match="expected 3 x 2 x 4 x 5"):
        as_probabilities(values, (2, 4, 5), 3, "x")


# ------------------------------------------------------------------ the whole review


@pytest.mark.parametrize(("suffix", "write"), [(".nii.gz", nifti), (".nrrd", itk), (".mha", itk)])
def test_volumes_are_reviewed_without_training(project_path, tmp_path, capsys, suffix, write):
    (tmp_path / "trust").mkdir()
    (tmp_path / "proposed").mkdir()
    given = organ()
    given[MISSING] = 0
    for name, drawn in (("a", given), ("b", organ())):
        write(tmp_path / f"trust/{name}{suffix}", np.where(drawn == organ(), 0.9, 0.1).astype(np.float32))
        write(tmp_path / f"proposed/{name}{suffix}", organ())
    words = ["--trust", str(tmp_path / "trust"), "--proposed", str(tmp_path / "proposed")]
    assert main(["import-scores", str(project_path), *words]) == 0
    capsys.readouterr()
    assert main(["rank", str(project_path), "--by", "region", "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["image"] == "a"
    (tmp_path / "decisions.csv").write_text(f"region,decision\n{row['region']},accept\n", encoding="utf-8")
    assert main(["decide", str(project_path), "--decisions", str(tmp_path / "decisions.csv")]) == 0
    with Project.open(project_path) as project:
        label, verified = project.read_labels(project.case("a"))
        np.testing.assert_array_equal(label, organ())
        assert (verified[MISSING] == Verified.CORRECTED).all()
        assert problems_of(project) == []
    assert main(["import-scores", str(project_path), *words]) == 0
    assert "0 regions to look at" in capsys.readouterr().out
    out = tmp_path / "out"
    assert main(["export", str(project_path), str(out), "--what", "cleaned,trust"]) == 0
    cleaned = nibabel.load(out / "cleaned/a.nii.gz")
    np.testing.assert_array_equal(np.asarray(cleaned.dataobj).T, organ())
    np.testing.assert_allclose(cleaned.affine, np.array(AFFINE)[:, [2, 1, 0, 3]])


def test_volumes_have_a_second_opinion(project_path):
    pytest.importorskip("cleanlab")
    import_scores(project_path, probabilities=dict.fromkeys("ab", both()))
    second_opinion(project_path)
    with Project.open(project_path) as project:
        found = project.run().read_map(project.case("a").id, "cleanlab")
    assert found.shape == SHAPE
    assert found[MISSING].max() < 0.2 < found[0].min()


def test_volumes_and_images_of_one_project(tmp_path):
    """A 2-D model writes one map an image; of a volume all its slices in one file."""
    for folder in ("images", "masks", "probs"):
        (tmp_path / folder).mkdir()
    given = organ()
    given[MISSING] = 0
    write_new(tmp_path / "images/vol.nii.gz", foreground() * 100, GRID)
    write_new(tmp_path / "masks/vol.nii.gz", given, GRID)
    Image.fromarray((foreground()[2] * 200).astype(np.uint8)).save(tmp_path / "images/flat.png")
    Image.fromarray(organ()[2]).save(tmp_path / "masks/flat.png")
    np.savez(tmp_path / "probs/vol.npz", np.stack([both()[:, at] for at in range(SHAPE[0])]))
    np.savez(tmp_path / "probs/flat.npz", both()[:, 2])
    project, _ = create_from_folders(tmp_path / "p", tmp_path / "images", tmp_path / "masks")
    with project:
        done = import_scores(project.path, probabilities=tmp_path / "probs")
        assert (done.images, done.regions) == (2, 1)
        run = project.run()
        assert run.read_map(project.case("flat").id, "trust").shape == SHAPE[1:]
        (region,) = run.regions()
        case = project.case(region.case_id)
        mask = run.read_map(case.id, "regions", region.box) == region.number
        proposed = run.read_map(case.id, "proposed", region.box)
    with Project.open(project.path, write=True) as project:
        project.commit(decisions.accept(project, region, mask, proposed, run.name))
        np.testing.assert_array_equal(project.read_label(case), organ())
