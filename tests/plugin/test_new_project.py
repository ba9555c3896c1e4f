"""The dialog of a new project shows what it would be made of; layers are read and written with their geometry."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtWidgets import QApplication

from napari_metadcseg.readers import get_reader, read_layers
from napari_metadcseg.widgets.found_panel import words_of
from napari_metadcseg.writers import write_labels
from src_core.io.formats import read
from src_core.io.preview import Preview, preview
from tests.architecture.test_rules import ROOT

AFFINE = np.array([[0.5, 0, 0, -3], [0, 0.5, 0, 7], [0, 0, 2, 1], [0, 0, 0, 1]])


def nifti(path, pixels):
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(pixels.T, AFFINE), path)
    return path


@pytest.fixture
def volumes(tmp_path):
    label = np.zeros((3, 6, 8), np.uint8)
    label[1, 2:4, 3:6] = 1
    for name in ("a", "b"):
        nifti(tmp_path / "images" / f"{name}.nii.gz", np.arange(144, dtype=np.int16).reshape(3, 6, 8))
        nifti(tmp_path / "masks" / f"{name}.nii.gz", label)
    return tmp_path


def test_a_preview_tells_what_there_is(volumes):
    found = preview(volumes / "images", volumes / "masks")
    assert (found.images, found.unlabelled, found.trusted, found.layout) == (2, 0, 0, "two folders")
    assert found.first == "a, NIfTI, 8 x 6 x 3 px, 0.5 x 0.5 x 2 mm"
    assert [info.name for info in found.classes] == ["background", "foreground"]
    words = words_of(found)
    assert "2 images" in words
    assert "foreground" in words
    assert preview(volumes / "images").problems[0].startswith("Masks are missing")


def test_a_preview_tells_what_is_wrong(volumes):
    (volumes / "masks" / "b.nii.gz").write_bytes(b"<b>")
    found = preview(volumes / "images", volumes / "masks")
    assert len(found.problems) == 1
    assert "b.nii.gz cannot be read" in words_of(found)
    many = Preview(problems=tuple(f"<{number}>" for number in range(9)))
    assert "&lt;0&gt;" in words_of(many)
    assert "and 3 more" in words_of(many)


@pytest.mark.gui
def test_the_dialog_shows_what_it_would_make(window, volumes, wait_for):
    window.projects.ask_folders()
    (dialog,) = (w for w in QApplication.topLevelWidgets() if w.objectName() == "new-project" and w.isVisible())
    assert "NIfTI" in dialog.images.line.parent().parent().findChild(type(dialog.problem)).text()
    assert "before anything is made" in dialog.found.label.text()
    dialog.images.line.setText(str(volumes / "images"))
    dialog.masks.line.setText(str(volumes / "nothing"))
    wait_for(lambda: "does not exist" in dialog.found.label.text())
    dialog.masks.line.setText(str(volumes / "masks"))
    wait_for(lambda: "2 images" in dialog.found.label.text())
    (volumes / "masks" / "b.nii.gz").unlink()
    dialog.unlabelled.setChecked(True)
    wait_for(lambda: "1 without a mask" in dialog.found.label.text())
    dialog.reject()


def test_layers_come_with_their_spacing_and_go_back_as_they_were(volumes):
    path = nifti(volumes / "heart_label.nii.gz", np.arange(144).reshape(3, 6, 8).astype(np.uint8) % 3)
    assert get_reader([str(path), "a.xyz"]) is None
    (layer,) = get_reader(str(path))(str(path))
    data, attributes, kind = layer
    assert kind == "labels"
    assert attributes["scale"] == (2.0, 0.5, 0.5)
    assert attributes["name"] == "heart_label"
    out = volumes / "out" / "heart_label.nii.gz"
    assert write_labels(str(out), data, attributes) == [str(out)]
    assert nibabel.load(out).header == nibabel.load(path).header
    (other,) = write_labels(str(volumes / "out" / "h.nrrd"), data, attributes)
    assert np.allclose(read(volumes / "out" / "h.nrrd").grid.affine, AFFINE[:, [2, 1, 0, 3]])
    assert other.endswith("h.nrrd")
    ((image, facts, kind),) = read_layers(str(volumes / "images" / "a.nii.gz"))
    assert (kind, image.shape, facts["scale"]) == ("image", (3, 6, 8), (2.0, 0.5, 0.5))


def test_channels_become_layers_and_colour_stays(tmp_path):
    np.save(tmp_path / "c.npy", np.zeros((4, 9, 9, 2), np.float32))
    np.save(tmp_path / "rgb.npy", np.zeros((9, 9, 3), np.uint8))
    ((_, facts, _),) = read_layers(str(tmp_path / "c.npy"))
    assert facts["channel_axis"] == 3
    assert facts["name"] == ["c 0", "c 1"]
    ((_, facts, _),) = read_layers(str(tmp_path / "rgb.npy"))
    assert facts["rgb"]


def test_the_manifest_names_reader_and_writer():
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    assert manifest.contributions.readers[0].command == "napari-metadcseg.read"
    assert manifest.contributions.writers[0].command == "napari-metadcseg.write"
