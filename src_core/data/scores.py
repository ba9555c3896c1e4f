"""What a scored run says: suspect regions and how suspect each image is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from src_core.data.case import Box

RegionKind = Literal["error", "ambiguous", "unlabelled"]

UNLABELLED: RegionKind = "unlabelled"

MAPS: dict[str, type[np.generic]] = {
    "trust": np.float32,
    "alpha": np.float32,
    "beta": np.float32,
    "uncertainty": np.float32,
    "proposed": np.uint8,
    "regions": np.int32,
}
"""The maps of an image that a run writes, and their types."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A connected group of pixels whose label is doubted, or that have none in an image without mask.

    Attributes
    ----------
    id : str
        ``IMAGE#xxxxxxxx``; the digits are a hash over the pixels and the proposal.
    number : int
        Value of its pixels in the case's ``regions`` map, from 1.
    case_id : int
    image : str
        Name of the case.
    kind : str
        ``error`` (low trust away from the uncertainty band: probably wrong) or ``ambiguous`` (inside the band:
        the boundary can be drawn in more than one way); or ``unlabelled``: no label yet.
    score : float
        Expected number of wrong pixels that one decision settles; higher is reviewed first. Where there is no label
        none is wrong: 0.
    pixels : int
        Area, px.
    given, proposed : int
        Most frequent class among its pixels now, and in the proposal.
    box : Box
        Smallest box around it.
    trust : float
        Mean trust of its pixels, in [0, 1]; 0 where there is no label.
    uncertainty : float
        Mean Dynamic Center Distance uncertainty of its pixels, in [0, 1].
    """

    id: str
    number: int
    case_id: int
    image: str
    kind: RegionKind
    score: float
    pixels: int
    given: int
    proposed: int
    box: Box
    trust: float
    uncertainty: float

    @property
    def labelled(self) -> bool:
        """True where there are labels that may be wrong."""
        return self.kind != UNLABELLED

    @property
    def rank(self) -> tuple[float, float]:
        """Less is reviewed first: by wrong pixels; then what has no label, by how many px the model is unsure of."""
        return -self.score, 0.0 if self.labelled else -self.uncertainty * self.pixels


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What nobody vouches for in an image and no region asks about, in two parts.

    Attributes
    ----------
    doubted_pixels, trusted_pixels : int
        Labels that are doubted (in spots too small for a region, or without another proposal), and those that are not.
    doubted_wrong, trusted_wrong : float
        Expected wrong pixels among them, the sum of ``1 - trust``.
    foreground : int
        Labelled foreground of the whole image, verified or not, px.
    """

    doubted_pixels: int
    doubted_wrong: float
    trusted_pixels: int
    trusted_wrong: float
    foreground: int


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """How suspect the labels of one image are.

    Attributes
    ----------
    case_id : int
    image : str
    score : float
        Expected share of wrong pixels among the foreground of label and proposal together, in [0, 1].
    estimated_wrong_pixels : float
        Sum of ``1 - trust`` over the pixels in doubt (trust below 0.7), px.
    rest : Rest or None
        Sums over the pixels outside of regions; None in scores of an older version.
    row : int or None
        Last row of the record that was applied to the mask when it was scored; None in scores of an older version.
    """

    case_id: int
    image: str
    score: float
    estimated_wrong_pixels: float
    rest: Rest | None = None
    row: int | None = None
