"""U-Net++ as MONAI builds it, with the feature map before its head made visible.

Shape suffixes: B batch, C classes, D feature channels, I input channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from monai.networks.nets import BasicUNetPlusPlus
from torch import nn

from src_core.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from src_core.config import Norm

STRIDE = 16
"""Height and width of the input must be multiples of this (four halvings)."""


class UNetPlusPlus(nn.Module):
    """U-Net++ (Zhou et al. 2018) with five levels and a 1 x 1 head.

    Group and instance norm keep an image independent of the others of its batch, so that the derivative of a
    pixel's loss depends on its own image only.

    Parameters
    ----------
    in_channels, classes : int
        Channels of the input; classes of the output, background included.
    base_width : int
        Channels of the first level; the levels have 1, 1, 2, 4, 8 times as many, the features 1 time.
    norm : str
        ``group`` (groups of 8 channels or fewer groups where the level is narrow) or ``instance``.

    Raises
    ------
    SettingsError
        If ``base_width`` is not a multiple of 8.
    """

    def __init__(self, in_channels: int, classes: int, *, base_width: int = 32, norm: Norm = "group") -> None:
        super().__init__()
        if base_width % 8:
            raise SettingsError(f"Network width is {base_width}, expected a multiple of 8; round it.")
        layer_norm = ("group", {"num_groups": 8}) if norm == "group" else ("instance", {"affine": True})
        width = base_width
        with contextlib.redirect_stdout(io.StringIO()):  # MONAI prints the widths
            self.body = BasicUNetPlusPlus(
                spatial_dims=2,
                in_channels=in_channels,
                out_channels=classes,
                features=(width, width, 2 * width, 4 * width, 8 * width, width),
                act=("LeakyReLU", {"negative_slope": 0.1, "inplace": False}),
                norm=layer_norm,
            )
        self.head: nn.Module = self.body.final_conv_0_4
        # the body then ends in its last node x(0,4); the side heads would compute what nobody reads
        for name in ("final_conv_0_1", "final_conv_0_2", "final_conv_0_3", "final_conv_0_4"):
            setattr(self.body, name, nn.Identity())

    def features(self, images_BIHW: Tensor) -> Tensor:
        """Last feature map before the head, ``(B, D, H, W)``, D = ``base_width``."""
        features_BDHW: Tensor = self.body(images_BIHW)[0]
        return features_BDHW

    def forward(self, images_BIHW: Tensor) -> Tensor:
        """Logits ``(B, C, H, W)`` of images whose sides are multiples of 16."""
        logits_BCHW: Tensor = self.head(self.features(images_BIHW))
        return logits_BCHW
