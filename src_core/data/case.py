"""What a project consists of: cases, classes, boxes, and how far a pixel has been verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

IGNORE = 255
"""Label value of pixels that carry no label (they are never trained on and never counted)."""

MAX_CLASSES = 32
"""The most classes that a project may have, background included."""


class Verified(IntEnum):
    """How a pixel became clean meta data; the value stored in a case's ``verified`` array (uint8)."""

    NO = 0
    """Nobody has looked at it."""
    CONFIRMED = 1
    """A person looked, and the given foreground label is right."""
    CORRECTED = 2
    """A person looked, and the label was changed."""
    BACKGROUND = 3
    """A person looked, and the given background label is right."""
    UNSURE = 5
    """A person looked and could not tell; it is not asked again, and teaches nothing. 4 is left to the exported map of
    provenance, where it stands for a change that nobody confirmed."""


KINDS = max(Verified) + 1
"""How many values the array may hold, for counting."""


def is_verified(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose label somebody vouches for: neither unseen nor unsure."""
    mask: NDArray[np.bool_] = (kinds != Verified.NO) & (kinds != Verified.UNSURE)
    return mask


def vouched(counts: Mapping[Verified, int]) -> int:
    """Pixels that somebody vouches for, from the counts of each kind."""
    return sum(pixels for kind, pixels in counts.items() if kind != Verified.UNSURE)


@dataclass(frozen=True, kw_only=True)
class ClassInfo:
    """One class of the labels.

    Attributes
    ----------
    index : int
        0 is background; classes count up without gaps.
    name : str
    value : int
        The value that this class has in the source masks.
    color : str
        ``#rrggbb``, from the Okabe-Ito palette unless given.
    """

    index: int
    name: str
    value: int
    color: str


NO_MASK = "new"
"""Among the extra facts of an encoding: there was no mask, so a cleaned one is written like the image."""


@dataclass(frozen=True, kw_only=True)
class MaskEncoding:
    """How a source mask is written, so that a cleaned one can be written the same way.

    Attributes
    ----------
    suffix : str
        Of the mask file, lower case with the dot, e.g. ``.png``.
    dtype : str
        numpy name of the file's own dtype, e.g. ``uint8``.
    values : mapping of class index (int) to file value (int)
    ignore_value : int or None
        File value of unlabelled pixels.
    mode : str
        How a pixel is laid out in the file: ``L`` (one channel), ``P`` (palette), ``RGB``, ``1`` (bilevel).
    extra : mapping
        Anything else the format needs (palette, compression, resolution); JSON-serialisable.
    """

    suffix: str
    dtype: str
    values: Mapping[int, int]
    ignore_value: int | None = None
    mode: str = "L"
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CaseInfo:
    """One image of a project.

    Attributes
    ----------
    id : int
        Key inside the project, from 0, never used again.
    name : str
        The stem of the image file; the id a person sees.
    shape : tuple of int
        Spatial shape, ``(H, W)`` or of a volume ``(Z, H, W)``; px.
    channels : int
        1 (stored with the spatial shape) or more (stored with the channels as last axis).
    spacing : tuple of float
        Size of a pixel along each spatial axis; ``unit``.
    unit : str
        ``px`` when the file does not say, else ``mm``.
    image_path, mask_path : str
        Where the sources were; absolute. They are read once and never written.
    encoding : MaskEncoding
        Of the source mask.
    """

    id: int
    name: str
    shape: tuple[int, ...]
    channels: int
    spacing: tuple[float, ...]
    unit: str = "px"
    image_path: str = ""
    mask_path: str = ""
    encoding: MaskEncoding

    @property
    def without_mask(self) -> bool:
        """True for an image that came without any mask: what has no label there is to get one."""
        return bool(self.encoding.extra.get(NO_MASK))


@dataclass(frozen=True)
class Box:
    """A half-open box in array order: ``start[k] <= index[k] < stop[k]``; px."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index for an array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """Edge lengths, px."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    def is_inside(self, outer: Box) -> bool:
        """True when no pixel of it lies beyond another box."""
        return around([self, outer]) == outer

    def within(self, outer: Box) -> tuple[slice, ...]:
        """The box as an index for an array of an outer box."""
        return tuple(slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, outer.start, strict=True))

    def meets(self, other: Box) -> bool:
        """True when two boxes have a pixel in common."""
        edges = zip(self.start, self.stop, other.start, other.stop, strict=True)
        return all(a < d and c < b for a, b, c, d in edges)

    def common(self, other: Box) -> Box:
        """What two boxes that meet have in common."""
        return Box(
            tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True)),
            tuple(min(a, b) for a, b in zip(self.stop, other.stop, strict=True)),
        )

    def moved(self, by: Sequence[int]) -> Box:
        """The box so many px further along each axis: seen from the corner of another one, in the image."""
        return Box(
            tuple(a + b for a, b in zip(self.start, by, strict=True)),
            tuple(a + b for a, b in zip(self.stop, by, strict=True)),
        )

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Box:
        """Box of a whole array of the given shape."""
        return cls((0,) * len(shape), tuple(shape))


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of them."""
    return Box(
        tuple(min(edges) for edges in zip(*(box.start for box in boxes), strict=True)),
        tuple(max(edges) for edges in zip(*(box.stop for box in boxes), strict=True)),
    )


def keep_what_teaches(case: CaseInfo, label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> None:
    """Change a verified mask to what can be learned from: where there is a label that somebody vouches for.

    In an image that came without a mask no label was wrong: whoever draws one confirms it, as far as teaching goes, and
    no balance between corrections and confirmed labels is tipped.
    """
    verified[(label == IGNORE) | (verified == Verified.UNSURE)] = Verified.NO
    if case.without_mask:
        drawn = verified == Verified.CORRECTED
        verified[drawn & (label == 0)] = Verified.BACKGROUND
        verified[drawn & (label > 0)] = Verified.CONFIRMED


OKABE_ITO = ("#000000", "#56B4E9", "#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008); index 0 stands for background."""
