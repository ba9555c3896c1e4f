"""What a file holds, whatever its format: pixels, where they lie, and how to write them back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Affine = tuple[tuple[float, float, float, float], ...]
"""4 x 4: from an index ``(z, y, x, 1)`` to a place ``(right, anterior, superior, 1)``; mm."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where pixels lie.

    Attributes
    ----------
    spacing : tuple of float
        Size of a pixel along each space axis, in the order of the array; ``unit``.
    unit : str
        ``px`` when the file does not say, else ``mm``.
    affine : Affine or None
        None when the file does not say where it lies.
    """

    spacing: tuple[float, ...]
    unit: str = "px"
    affine: Affine | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A file's pixels and how they were laid out.

    Attributes
    ----------
    pixels : array, (H, W), (H, W, channels), (Z, H, W) or (Z, H, W, channels)
        In the file's own type, native byte order. Axes are in the order of the file, slowest first; none is flipped.
        Of a large file that was opened with :func:`~src_core.io.formats.opened` a LazyArray, which gives boxes.
    space : int
        How many of the axes are space: 2 or 3; one more is channels.
    grid : Grid
    mode : str
        How a pixel is laid out: ``L``, ``P``, ``RGB``, ``1``, ``I;16``.
    extra : mapping
        All that writing it back the same way takes: header, compression, palette. JSON-serialisable.
    labels : mapping of int to (str, str)
        Names and colours (``#rrggbb`` or empty) of mask values, where the file has them.
    """

    pixels: Any
    space: int
    grid: Grid
    mode: str = "L"
    extra: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[int, tuple[str, str]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of space: (H, W) or (Z, H, W); px."""
        return tuple(self.pixels.shape[: self.space])

    @property
    def channels(self) -> int:
        """1 when there is no axis for them."""
        return int(self.pixels.shape[self.space]) if self.pixels.ndim > self.space else 1


def size_in_words(shape: tuple[int, ...]) -> str:
    """Width x height (x slices), as people say it."""
    return " x ".join(map(str, reversed(shape))) + " px"
