"""Predictions for new images lie where the images lie, and know how far apart slices are."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from src_core.errors import InputError
from src_core.infer import predict
from src_core.io.formats import read
from src_core.store.runs import Run


class Bright:
    """A model that takes what is brighter than 99 for the organ."""

    channels = 1

    def __init__(self, folder, device):
        pass

    def in_tiles(self, read, shape):
        return None

    def __call__(self, image, spacing):
        assert len(spacing) == image.ndim  # of grey images
        assert spacing[0] == (3 if image.ndim == 3 and image.dtype == np.int16 else 1)
        return np.stack([image <= 99, image > 99]).astype(np.float32)


@pytest.fixture
def predicted(tmp_path, make_project, monkeypatch):
    path = make_project(2)
    monkeypatch.setattr(predict, "Predictor", Bright)
    (path / "runs" / "run-001").mkdir(parents=True)
    monkeypatch.setattr(predict, "find_model", lambda *_words: Run(path / "runs" / "run-001"))
    (tmp_path / "new").mkdir()
    return lambda: predict.predict_folder(path, tmp_path / "new", tmp_path / "out")


def test_every_image_gets_a_mask_of_its_own_kind(tmp_path, predicted):
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 200, (3, 6, 5)).astype(np.int16)
    affine = np.array([[0, 2.0, 0, 5], [1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(volume.T, affine), tmp_path / "new" / "a.nii.gz")
    tifffile.imwrite(tmp_path / "new" / "b.tif", volume.astype(np.uint8), photometric="minisblack")
    Image.fromarray(volume[0].astype(np.uint8)).save(tmp_path / "new" / "c.png")
    (tmp_path / "new" / "c.json").write_text("{}")
    written = predicted()
    assert [path.name for path in written] == ["a.nii.gz", "b.tif", "c.png"]
    wanted = (volume > 99) * 255
    assert np.array_equal(nibabel.load(written[0]).get_fdata().T, wanted)
    assert np.allclose(nibabel.load(written[0]).affine, affine)
    assert np.array_equal(read(written[1], mask=True).pixels, wanted)
    assert np.array_equal(read(written[2], mask=True).pixels, wanted[0])


def test_more_channels_than_were_learned_from_are_refused(tmp_path, predicted):
    np.save(tmp_path / "new" / "a.npy", np.zeros((3, 6, 5, 2), np.float32))
    with pytest.raises(InputError, match=r"a\.npy is a colour image"):
        predicted()
