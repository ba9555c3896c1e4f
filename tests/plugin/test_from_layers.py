"""Projects from open layers: images and volumes, with spacing and unit; without a window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_metadcseg.from_layers import cases_from_layers
from src_core.errors import InputError


class Viewer(NamedTuple):
    """As much of a viewer as is asked."""

    layers: list


def test_volumes_and_images_are_paired_by_size_and_keep_their_spacing():
    volume, flat = np.zeros((5, 20, 24)), np.zeros((20, 24))
    color = np.zeros((20, 25, 3), np.uint8)
    mask = np.zeros(volume.shape, np.uint8)
    mask[2, 3:9, 3:9] = 1
    layers = [
        Image(volume, name="ct", scale=(3, 500, 500), units=("mm", "um", "um")),
        Image(flat, name="slice"),
        Image(color, name="photo", rgb=True, scale=(2, 2)),
        Image(np.zeros((2, 5, 20, 24)), name="time"),
        Labels(mask, name="ct mask"),
        Labels(mask[2], name="slice mask"),
        Labels(np.pad(mask[2], ((0, 0), (0, 1))), name="photo mask"),
    ]
    cases, classes = cases_from_layers(Viewer(layers))
    assert [case.name for case in cases] == ["ct", "slice", "photo"]
    assert [case.given.shape for case in cases] == [(5, 20, 24), (20, 24), (20, 25)]
    assert cases[0].spacing == pytest.approx((3, 0.5, 0.5))
    assert [case.unit for case in cases] == ["mm", "px", "px"]
    assert cases[2].spacing == (2, 2)
    assert [info.index for info in classes] == [0, 1]


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="open an image or a volume and its mask"):
        cases_from_layers(Viewer([Image(np.zeros((4, 5, 6))), Labels(np.zeros((5, 6), np.uint8))]))
