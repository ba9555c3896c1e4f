"""The teacher's prediction as the mean over several views of an image.

Shape suffixes: B batch, C classes, D feature channels, I input channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from src_core.networks.unetplusplus import UNetPlusPlus

STRIDE = 16


@torch.no_grad()
def teacher_prediction(
    teacher: UNetPlusPlus, images_BIHW: Tensor, *, zooms: tuple[float, ...] = (), mirror: bool = True
) -> tuple[Tensor, Tensor]:
    """Mean probabilities over the views, and the features of the plain view.

    Parameters
    ----------
    teacher : UNetPlusPlus
    images_BIHW : Tensor, float32
        Any height and width; edges are repeated up to a multiple of 16.
    zooms : tuple of float
        Further views, scaled by these factors.
    mirror : bool
        One more view, mirrored left to right.

    Returns
    -------
    probabilities_BCHW : Tensor, in [0, 1]
    features_BDHW : Tensor
    """
    padded, (height, width) = _padded(images_BIHW)
    features_BDHW = teacher.features(padded)
    views = [teacher.head(features_BDHW).softmax(1)[..., :height, :width]]
    if mirror:
        views.append(_predict(teacher, images_BIHW.flip(-1)).flip(-1))
    for zoom in zooms:
        scaled = functional.interpolate(
            images_BIHW, scale_factor=zoom, mode="bilinear", align_corners=False, antialias=zoom < 1
        )
        back = functional.interpolate(
            _predict(teacher, scaled), size=(height, width), mode="bilinear", align_corners=False
        )
        views.append(back)
    return torch.stack(views).mean(0), features_BDHW[..., :height, :width]


def _predict(teacher: UNetPlusPlus, images_BIHW: Tensor) -> Tensor:
    padded, (height, width) = _padded(images_BIHW)
    logits_BCHW: Tensor = teacher(padded)
    return logits_BCHW.softmax(1)[..., :height, :width]


def _padded(images_BIHW: Tensor) -> tuple[Tensor, tuple[int, int]]:
    height, width = images_BIHW.shape[-2:]
    below, right = -height % STRIDE, -width % STRIDE
    # at least two strides a side, so that the deepest level has more than one pixel to normalise over
    below += STRIDE if height + below < 2 * STRIDE else 0
    right += STRIDE if width + right < 2 * STRIDE else 0
    if below or right:
        images_BIHW = functional.pad(images_BIHW, (0, right, 0, below), mode="replicate")
    return images_BIHW, (height, width)
