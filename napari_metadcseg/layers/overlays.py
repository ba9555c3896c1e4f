"""The overlays: names, colours and legends, one table.

Colours come from the Okabe-Ito palette, so that colour-blind people can tell them apart; maps run from transparent
to one colour, so that they read the same on dark and light images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari.utils import Colormap

from src_core.data.case import IGNORE, ClassInfo

SKY, YELLOW, VERMILLION, PURPLE, BLUE = "#56B4E9", "#F0E442", "#D55E00", "#CC79A7", "#0072B2"

Kind = Literal["map", "mask"]


@dataclass(frozen=True)
class Overlay:
    """One overlay.

    Attributes
    ----------
    key : str
        The map of a run that it shows.
    title : str
        Of the layer and of the switch.
    kind : str
        ``map`` (values in [0, 1]) or ``mask`` (outline).
    stops : tuple of (str, float)
        Colour and opacity from 0 to 1, for maps.
    ends : tuple of (str, str)
        Words at the ends of the legend.
    tip : str
        What it tells.
    visible : bool
        At the start.
    """

    key: str
    title: str
    kind: Kind
    stops: tuple[tuple[str, float], ...]
    ends: tuple[str, str]
    tip: str
    visible: bool = False

    @property
    def strong_when_low(self) -> bool:
        """True where low values have the strong colour: in 3-D the lowest along a line of sight is to be seen then."""
        return self.stops[0][1] > self.stops[-1][1]


OVERLAYS = (
    Overlay(
        "trust",
        "trust",
        "map",
        ((VERMILLION, 0.85), (YELLOW, 0.6), (YELLOW, 0.0), (YELLOW, 0.0)),
        ("doubted", "trusted"),
        "How far the label of a pixel can be believed. Strong colour: probably wrong.",
        visible=True,
    ),
    Overlay(
        "alpha",
        "weight of given label",
        "map",
        ((SKY, 0.0), (SKY, 0.8)),
        ("not used", "in full"),
        "How much the given label of a pixel counts in training (alpha).",
    ),
    Overlay(
        "beta",
        "weight of model's label",
        "map",
        ((PURPLE, 0.0), (PURPLE, 0.8)),
        ("not used", "in full"),
        "How much the model's own label of a pixel counts in training (beta).",
    ),
    Overlay(
        "uncertainty",
        "uncertainty",
        "map",
        ((YELLOW, 0.0), (YELLOW, 0.8)),
        ("certain", "uncertain"),
        "Dynamic Center Distance: how close a pixel is to a boundary, judged by its features.",
    ),
    Overlay(
        "band",
        "uncertainty band",
        "mask",
        ((YELLOW, 1.0), (YELLOW, 1.0)),
        ("", "above 0.5"),
        "Outline of the pixels whose uncertainty is above 0.5. Inside it a boundary can be drawn in more than one way.",
    ),
    Overlay(
        "cleanlab",
        "second opinion",
        "map",
        ((BLUE, 0.85), (BLUE, 0.6), (BLUE, 0.0), (BLUE, 0.0)),
        ("doubted", "trusted"),
        "What cleanlab says of the label of a pixel, beside trust. Strong colour: probably wrong. There once a second "
        "opinion was asked for.",
    ),
)
"""In the order of the switches."""

WHITE = "#FFFFFF"

REGION_COLORS = {"error": WHITE, "ambiguous": YELLOW, "unlabelled": SKY}
"""Outline of the region in hand, by its kind."""


def colormap(overlay: Overlay) -> Colormap:
    """Napari colormap of a map overlay, with its opacity."""
    rgba = [(*_rgb(color), opacity) for color, opacity in overlay.stops]
    return Colormap(rgba, name=f"metadcseg {overlay.key}")


def _rgb(color: str) -> tuple[float, float, float]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def class_colors(classes: tuple[ClassInfo, ...], opacity: float = 1.0) -> dict[int | None, tuple[float, ...] | str]:
    """Colours of a label layer by class index; background and other values are transparent."""
    colors: dict[int | None, tuple[float, ...] | str] = {None: "transparent", 0: "transparent"}
    for info in classes[1:]:
        colors[info.index] = (*_rgb(info.color), opacity)
    colors[IGNORE] = (0.5, 0.5, 0.5, 0.35)
    return colors
