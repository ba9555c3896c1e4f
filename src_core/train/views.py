"""The teacher's prediction as the mean over several views of an image.

Shape suffixes: B batch, C classes, D feature channels, I input channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from src_core.train.heap import give_back
from src_core.train.windows import in_windows

if TYPE_CHECKING:
    from torch import Tensor

    from src_core.networks.segmenter import Segmenter


@torch.no_grad()
def teacher_prediction(
    teacher: Segmenter,
    images_BIX: Tensor,
    *,
    zooms: tuple[float, ...] = (),
    mirror: bool = True,
    sparing: bool = False,
) -> tuple[Tensor, Tensor]:
    """Mean probabilities over the views, and the features of the plain view.

    Parameters
    ----------
    teacher : Segmenter
    images_BIX : Tensor, float32
        Any sides; edges are repeated up to a multiple of the network's stride.
    zooms : tuple of float
        Further views, scaled by these factors.
    mirror : bool
        One more view, mirrored along the last axis.
    sparing : bool
        Give memory back after the zoomed views, which costs a tenth of the time of small images.

    Returns
    -------
    probabilities_BCX : Tensor, in [0, 1]
    features_BDX : Tensor
    """
    sides = tuple(images_BIX.shape[2:])
    # the largest view first, while there is nothing beside it in memory
    zoomed = {zoom: _zoomed(teacher, images_BIX, zoom) for zoom in sorted(zooms, reverse=True)}
    if sparing:
        give_back()
    logits_BCX, features_BDX = teacher.with_features(teacher.laid_out(padded(teacher, images_BIX)))
    views = [_cropped(logits_BCX.softmax(1), sides)]
    if mirror:
        views.append(_predict(teacher, images_BIX.flip(-1)).flip(-1))
    views += [zoomed[zoom] for zoom in zooms]
    return torch.stack(views).mean(0), _cropped(features_BDX, sides)


def teacher_probabilities(
    teacher: Segmenter,
    images_BIX: Tensor,
    window: tuple[int, ...] | None = None,
    *,
    zooms: tuple[float, ...] = (),
    mirror: bool = True,
) -> Tensor:
    """As :func:`teacher_prediction`, without the features, and window by window where there is one.

    Returns
    -------
    Tensor, ``(B, C, X)``, in [0, 1]
    """
    return in_windows(
        lambda part_BIX: teacher_prediction(teacher, part_BIX, zooms=zooms, mirror=mirror)[0], images_BIX, window
    )


def _zoomed(teacher: Segmenter, images_BIX: Tensor, zoom: float) -> Tensor:
    sides = tuple(images_BIX.shape[2:])
    linear = "bilinear" if len(sides) == 2 else "trilinear"
    smooth = zoom < 1 and len(sides) == 2
    scaled = functional.interpolate(images_BIX, scale_factor=zoom, mode=linear, align_corners=False, antialias=smooth)
    return functional.interpolate(_predict(teacher, scaled), size=sides, mode=linear, align_corners=False)


def _predict(teacher: Segmenter, images_BIX: Tensor) -> Tensor:
    logits_BCX: Tensor = teacher(teacher.laid_out(padded(teacher, images_BIX)))
    return _cropped(logits_BCX.softmax(1), tuple(images_BIX.shape[2:]))


def _cropped(values_BKX: Tensor, sides: tuple[int, ...]) -> Tensor:
    for axis, side in enumerate(sides, start=2):
        values_BKX = values_BKX.narrow(axis, 0, side)
    return values_BKX


def padded(teacher: Segmenter, images_BIX: Tensor) -> Tensor:
    """Images with their edges repeated at the end of each axis, up to a multiple of the network's stride."""
    padding: list[int] = []
    for side in reversed(images_BIX.shape[2:]):
        wanted = max(-(-side // teacher.stride) * teacher.stride, teacher.min_side)
        padding += [0, wanted - side]
    return functional.pad(images_BIX, padding, mode="replicate") if any(padding) else images_BIX
