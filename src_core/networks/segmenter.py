"""One interface for every network: logits, and the features that they are read from.

Shape suffixes: B batch, C classes, D feature channels, I input channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from src_core.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor


class Segmenter(nn.Module):
    """A segmentation network whose features before the head can be seen.

    The head begins at the last layer with weights that a forward pass runs through, but for layers that work on no more
    channels than there are classes, as the last one of MONAI's U-Net does: logits make no features. Its input is the
    feature map that Dynamic Center Distance measures in. It is found by running a small image through the network once.

    Parameters
    ----------
    body : Module
        Takes ``(B, I, X)`` and returns logits ``(B, C, X)``, or a list whose first entry they are.
    in_channels, classes, spatial_dims : int
        Of input and output; 2 or 3 space axes.
    stride : int
        Every side of the input must be a multiple of it.
    min_side : int, optional
        Smallest side that the network takes, px; twice the stride by default, so that normalisation in the deepest
        level has more than one pixel.
    channels_last : bool
        Whether :meth:`laid_out` may change how images lie in memory.

    Attributes
    ----------
    feature_channels : int
        D.

    Raises
    ------
    SettingsError
        If the network doesn't take such an image, or doesn't return one map a class of the same size.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        in_channels: int,
        classes: int,
        spatial_dims: int,
        stride: int,
        min_side: int | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        self.spatial_dims = spatial_dims
        self.stride = stride
        self.min_side = min_side or 2 * stride
        self._channels_last = channels_last and spatial_dims == 2
        self._head_name, self.feature_channels = _probe(body, in_channels, classes, (self.min_side,) * spatial_dims)

    def forward(self, images_BIX: Tensor) -> Tensor:
        """Logits ``(B, C, X)`` of images whose sides are multiples of ``stride``."""
        return _first(self.body(images_BIX))

    def laid_out(self, images_BIX: Tensor) -> Tensor:
        """The images as the network is fastest with them: on a CPU with the channels of a pixel beside each other.

        With that, U-Net++ took 0.64 to 0.76 of its time and 0.2 GB less for 700 px. Not for a forward-mode derivative:
        that of torch's group normalisation does not take it.
        """
        if not self._channels_last or images_BIX.device.type != "cpu":
            return images_BIX
        return images_BIX.to(memory_format=torch.channels_last)  # contiguous() would leave single channels

    def with_features(self, images_BIX: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(B, C, X)`` and features ``(B, D, X)``; features of a coarser level are enlarged linearly."""
        seen: list[Tensor] = []
        head = self.body.get_submodule(self._head_name)
        handle = head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
        try:
            logits_BCX = self(images_BIX)
        finally:
            handle.remove()
        features_BDX = seen[-1]
        if features_BDX.shape[2:] != logits_BCX.shape[2:]:
            mode = "bilinear" if self.spatial_dims == 2 else "trilinear"
            features_BDX = functional.interpolate(
                features_BDX, size=logits_BCX.shape[2:], mode=mode, align_corners=False
            )
        return logits_BCX, features_BDX


def _first(output: Tensor | list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, (list, tuple)) else output


@torch.no_grad()
def _probe(body: nn.Module, in_channels: int, classes: int, sides: tuple[int, ...]) -> tuple[str, int]:
    """Name of the last layer that runs on more channels than there are classes, and the channels of its input."""
    ran: list[tuple[str, int]] = []

    def note(name: str) -> object:
        return lambda _module, inputs, _output: ran.append((name, inputs[0].shape[1]))

    leaves = [(name, layer) for name, layer in body.named_modules() if _is_layer(layer)]
    handles = [layer.register_forward_hook(note(name)) for name, layer in leaves]
    training = body.training
    try:
        output = _first(body.eval()(torch.zeros(1, in_channels, *sides)))
    except RuntimeError as error:
        raise SettingsError(
            f"The network cannot take an image of {in_channels} channels and {' x '.join(map(str, sides))} px "
            f"({str(error).splitlines()[0]}); check its channels, its number of space axes and its stride."
        ) from error
    finally:
        body.train(training)
        for handle in handles:
            handle.remove()
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != (1, classes, *sides):
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise SettingsError(
            f"The network returns {found}, expected {(1, classes, *sides)}: one map a class, of the size of the image."
        )
    if not ran:
        raise SettingsError("The network has no layer with weights; give one that can learn.")
    richer = [(name, channels) for name, channels in ran if channels > classes]
    return (richer or ran)[-1]


def _is_layer(layer: nn.Module) -> bool:
    return not list(layer.children()) and any(True for _ in layer.parameters(recurse=False))
