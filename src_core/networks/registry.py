"""Networks by name, all from MONAI, and those that a program registers itself.

U-Net++ is the one of the paper and the default. All are built for 2 or 3 space axes and any number of channels, with
activations that don't overwrite their input, as forward-mode derivatives need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from monai.networks.nets import DynUNet, SegResNet, SwinUNETR, UNet

from src_core.errors import SettingsError
from src_core.networks.segmenter import Segmenter
from src_core.networks.unetplusplus import UNetPlusPlus

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

    from torch import nn

    from src_core.config import TrainingSettings

    Builder = Callable[[int, int, int, TrainingSettings], nn.Module]

LEAKY = ("LeakyReLU", {"negative_slope": 0.1, "inplace": False})


@dataclass(frozen=True)
class Entry:
    """How a network is built.

    Attributes
    ----------
    build : callable
        Takes input channels, classes, space axes (2 or 3) and the settings; returns a module from ``(B, I, X)`` to
        logits ``(B, C, X)``.
    stride : int
        Every side of its input must be a multiple of it.
    channels_last : bool
        Its layers take images whose channels lie together in memory, as convolutions of a CPU like them best.
    """

    build: Builder
    stride: int
    channels_last: bool = False


def norm_layer(settings: TrainingSettings) -> tuple[str, dict[str, Any]]:
    """MONAI's name and arguments of the settings' normalisation layer."""
    arguments: dict[str, dict[str, Any]] = {"group": {"num_groups": 8}, "instance": {"affine": True}, "batch": {}}
    return settings.norm, arguments[settings.norm]


def _widths(settings: TrainingSettings) -> tuple[int, ...]:
    return tuple(settings.base_width * factor for factor in (1, 2, 4, 8, 16))


def _unetplusplus(in_channels: int, classes: int, dims: int, settings: TrainingSettings) -> nn.Module:
    return UNetPlusPlus(
        in_channels, classes, spatial_dims=dims, base_width=settings.base_width, norm=norm_layer(settings)
    )


def _unet(in_channels: int, classes: int, dims: int, settings: TrainingSettings) -> nn.Module:
    # the last layer sees the full resolution, so normalisation there must fit as many channels as there are classes
    network: nn.Module = UNet(
        spatial_dims=dims,
        in_channels=in_channels,
        out_channels=classes,
        channels=_widths(settings),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        act=LEAKY,
        norm="instance" if settings.norm == "group" else settings.norm,
    )
    return network


def _dynunet(in_channels: int, classes: int, dims: int, settings: TrainingSettings) -> nn.Module:
    network: nn.Module = DynUNet(
        spatial_dims=dims,
        in_channels=in_channels,
        out_channels=classes,
        kernel_size=(3,) * 5,
        strides=(1, 2, 2, 2, 2),
        upsample_kernel_size=(2,) * 4,
        filters=_widths(settings),
        norm_name=norm_layer(settings),
        act_name=LEAKY,
    )
    return network


def _segresnet(in_channels: int, classes: int, dims: int, settings: TrainingSettings) -> nn.Module:
    network: nn.Module = SegResNet(
        spatial_dims=dims,
        init_filters=settings.base_width,
        in_channels=in_channels,
        out_channels=classes,
        act=LEAKY,
        norm=norm_layer(settings),
    )
    return network


def _swinunetr(in_channels: int, classes: int, dims: int, settings: TrainingSettings) -> nn.Module:
    # its widths are multiples of 12
    network: nn.Module = SwinUNETR(
        in_channels=in_channels,
        out_channels=classes,
        feature_size=max(12, 12 * round(settings.base_width / 12)),
        norm_name="instance",
        spatial_dims=dims,
    )
    return network


NETWORKS: dict[str, Entry] = {
    "unet++": Entry(_unetplusplus, 16, channels_last=True),
    "unet": Entry(_unet, 16),
    "dynunet": Entry(_dynunet, 16, channels_last=True),
    "segresnet": Entry(_segresnet, 8, channels_last=True),
    "swinunetr": Entry(_swinunetr, 32),
}


def register(name: str, build: Builder, *, stride: int) -> None:
    """Let ``TrainingSettings(network=name)`` mean a network of one's own.

    A run remembers the name, not the program: register it again before a run with it is continued or scored.

    Parameters
    ----------
    name : str
    build : callable
        As :class:`Entry` describes it. Layers without forward derivatives are served by finite differences.
    stride : int
        Every side of its input must be a multiple of it.

    Raises
    ------
    SettingsError
        If the name is taken by another network.
    """
    if name in NETWORKS and NETWORKS[name].build is not build:
        raise SettingsError(f"Network name {name!r} is taken; choose another one.")
    NETWORKS[name] = Entry(build, stride)


ENTRY_POINTS = "napari_metadcseg.networks"
"""Group in which an installed package names networks of its own."""


def find_network(name: str) -> Entry:
    """The network of a name: one of these, a registered one, or one that an installed package brings.

    An entry point of the group ``napari_metadcseg.networks`` gives an :class:`Entry`. It is loaded when a run asks for
    its name, and never by what stands in a file: what may be loaded is what the person has installed.

    Raises
    ------
    SettingsError
        If there is none, or the package that brings it fails.
    """
    if name not in NETWORKS:
        brought = {each.name: each for each in entry_points(group=ENTRY_POINTS)}
        if name not in brought:
            known = ", ".join([*NETWORKS, *brought])
            raise SettingsError(
                f"Network is {name[:60]!r}, expected one of {known}; choose one of these, or register your own first."
            )
        NETWORKS[name] = _loaded(brought[name])
    return NETWORKS[name]


def _loaded(point: EntryPoint) -> Entry:
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"Network {point.name!r} of {point.value} cannot be loaded ({error}); repair or remove that package."
        ) from error
    if not isinstance(found, Entry):
        raise SettingsError(
            f"Network {point.name!r} of {point.value} is a {type(found).__name__}, expected an Entry of "
            "src_core.networks.registry; see the documentation of runs."
        )
    return found


def build_network(in_channels: int, classes: int, settings: TrainingSettings, *, spatial_dims: int = 2) -> Segmenter:
    """Make the network of the settings, with fresh weights from torch's global generator.

    Raises
    ------
    SettingsError
        If there is no network of that name, or it doesn't fit the images.
    """
    entry = find_network(settings.network)
    return Segmenter(
        entry.build(in_channels, classes, spatial_dims, settings),
        in_channels=in_channels,
        classes=classes,
        spatial_dims=spatial_dims,
        stride=entry.stride,
        channels_last=entry.channels_last,
    )
