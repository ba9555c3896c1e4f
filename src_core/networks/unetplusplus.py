"""U-Net++ as MONAI builds it, without what MONAI adds around it.

Shape suffixes: B batch, C classes, I input channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

from monai.networks.nets import BasicUNetPlusPlus
from torch import nn

from src_core.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor


class UNetPlusPlus(nn.Module):
    """U-Net++ (Zhou et al. 2018) with five levels and a 1 x 1 head; returns its last output only.

    Parameters
    ----------
    in_channels, classes, spatial_dims : int
        Channels of the input; classes of the output, background included; 2 or 3.
    base_width : int
        Channels of the first level; the levels have 1, 1, 2, 4, 8 times as many, the features 1 time.
    norm : tuple
        MONAI's name of a normalisation layer, and its arguments.

    Raises
    ------
    SettingsError
        If ``base_width`` is not a multiple of 8.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        spatial_dims: int = 2,
        base_width: int = 32,
        norm: tuple[str, dict[str, Any]] = ("group", {"num_groups": 8}),
    ) -> None:
        super().__init__()
        if base_width % 8:
            raise SettingsError(f"Network width is {base_width}, expected a multiple of 8; round it.")
        width = base_width
        with contextlib.redirect_stdout(io.StringIO()):  # MONAI prints the widths
            self.body = BasicUNetPlusPlus(
                spatial_dims=spatial_dims,
                in_channels=in_channels,
                out_channels=classes,
                features=(width, width, 2 * width, 4 * width, 8 * width, width),
                act=("LeakyReLU", {"negative_slope": 0.1, "inplace": False}),
                norm=norm,
            )
        # the side heads would compute what nobody reads
        for name in ("final_conv_0_1", "final_conv_0_2", "final_conv_0_3"):
            setattr(self.body, name, nn.Identity())

    def forward(self, images_BIX: Tensor) -> Tensor:
        """Logits ``(B, C, X)`` of images whose sides are multiples of 16."""
        logits_BCX: Tensor = self.body(images_BIX)[0]
        return logits_BCX
