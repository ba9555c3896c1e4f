"""Small pictures of the images that changed most: given outline, cleaned outline, and what changed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy import ndimage

from src_core.data.case import IGNORE, OKABE_ITO
from src_core.data.slices import best_slice, one_slice, slice_axis
from src_core.report.image import replayed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.report.figures import ClassFigures, ImageFigures, Report
    from src_core.report.record import Ledger
    from src_core.store.project import Project

SIDE = 256
"""Longer side of a picture, px."""

LINE = 2
"""Width of an outline, px."""

SMALLEST_WINDOW = 64
"""A detail is at least so many px high and wide, if the image is."""

DETAIL_BELOW = 0.6
"""A detail is shown instead of the whole image when it is smaller than this part of it along both sides."""

ADDED, REMOVED, OTHER = OKABE_ITO[4], OKABE_ITO[6], OKABE_ITO[7]
"""Colours of changed pixels: background became a class, a class became background, anything else.
The first classes have other colours."""

DIM = 0.4


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Three pictures of one image, as data URIs.

    Attributes
    ----------
    figures : ImageFigures
    given, cleaned, changed : str
        ``data:image/png;base64,…``, at most 256 px on the longer side.
    width, height : int
        Of each, px.
    detail : str
        What part of the image is shown; empty for the whole.
    """

    figures: ImageFigures
    given: str
    cleaned: str
    changed: str
    width: int
    height: int
    detail: str


def pictures(
    project: Project,
    ledger: Ledger,
    report: Report,
    count: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Picture]:
    """Pictures of the images with the most changed pixels, those first; unchanged images have none.

    Parameters
    ----------
    project : Project
    ledger : Ledger
        The record that the report was gathered from.
    report : Report
    count : int
        At most so many images; each is read when its turn comes.
    progress : callable, optional
        Called with images done and images in all.
    """
    changed = [image for image in report.images if image.pixels_changed]
    chosen = sorted(changed, key=lambda image: (-image.pixels_changed, image.name))[:count]
    drawn = []
    for figures in chosen:
        drawn.append(_picture(project, project.case(figures.name), ledger, figures, report.classes))
        if progress is not None:
            progress(len(drawn), len(chosen))
    return drawn


def _picture(
    project: Project, case: CaseInfo, ledger: Ledger, figures: ImageFigures, classes: tuple[ClassFigures, ...]
) -> Picture:
    replay = replayed(project, case, ledger.rows[case.id])
    given, label = replay.given, replay.label
    image, at = project.read_image(case), None
    if given.ndim == 3:
        axis = slice_axis(case)
        at = best_slice(given != label, axis)
        given, label, image = (one_slice(values, axis, at) for values in (given, label, image))
    window = window_of(given != label)
    sides = given.shape
    given, label, image = given[window], label[window], image[window]
    scale = SIDE / max(label.shape)
    height, width = (max(1, round(edge * scale)) for edge in label.shape)
    seen = _resized(Image.fromarray(shown(image)), (width, height), Image.Resampling.BICUBIC)
    return Picture(
        figures=figures,
        given=_uri(outlined(seen, _labels(given, (width, height)), classes)),
        cleaned=_uri(outlined(seen, _labels(label, (width, height)), classes)),
        changed=_uri(_highlighted(seen, given, label)),
        width=width,
        height=height,
        detail=_detail(window, sides, at),
    )


def window_of(changed: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The part that is shown: around the changed pixels when that is a small part of the image, else the whole."""
    spans = []
    for axis, edge in enumerate(changed.shape):
        places = np.flatnonzero(changed.any(axis=1 - axis))
        start, stop = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, edge)
        size = min(edge, max(2 * (stop - start), SMALLEST_WINDOW))
        start = min(max((start + stop - size) // 2, 0), edge - size)
        spans.append((start, size, edge))
    if any(size >= DETAIL_BELOW * edge for _, size, edge in spans):
        return slice(0, changed.shape[0]), slice(0, changed.shape[1])
    (top, high, _), (left, wide, _) = spans
    return slice(top, top + high), slice(left, left + wide)


def _detail(window: tuple[slice, slice], sides: tuple[int, ...], at: int | None) -> str:
    rows, columns = window
    words = [] if at is None else [f"slice {at}"]
    if (rows.stop - rows.start, columns.stop - columns.start) != sides:
        words.append(f"rows {rows.start}–{rows.stop - 1}, columns {columns.start}–{columns.stop - 1}")
    return ", ".join(words)


def shown(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image as a person can see it, uint8, (H, W, 3): colours as they are, of other channels the first.

    Values that are no uint8 are stretched between their lowest and highest half percent.
    """
    if image.ndim == 3:
        image = image[..., :3] if image.shape[2] in (3, 4) else image[..., 0]
    if image.dtype != np.uint8:
        values = np.nan_to_num(image.astype(np.float32), posinf=0.0, neginf=0.0)
        low, high = np.percentile(values, (0.5, 99.5))
        image = (np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def outlined(seen: NDArray[np.uint8], label: NDArray[np.uint8], classes: tuple[ClassFigures, ...]) -> NDArray[np.uint8]:
    """A picture with the outline of each class in its colour, on a dark edge so that it is seen on any ground.

    Parameters
    ----------
    seen : array, uint8, (H, W, 3)
    label : array, uint8, (H, W)
    classes : tuple of ClassFigures
        Background is not drawn.
    """
    drawn = seen.copy()
    lines = {info.color: _line(label == info.index) for info in classes[1:]}
    if lines:
        everywhere = np.any(list(lines.values()), axis=0)
        edge = ndimage.binary_dilation(everywhere) & ~everywhere
        drawn[edge] = drawn[edge] // 3
    for color, line in lines.items():
        drawn[line] = _rgb(color)
    return drawn


def _line(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The outermost pixels inside; none where the object goes on beyond the picture."""
    line: NDArray[np.bool_] = inside & ~ndimage.binary_erosion(inside, iterations=LINE, border_value=1)
    return line


def _highlighted(seen: NDArray[np.uint8], given: NDArray[np.uint8], label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture in dim grey, changed pixels in the colour of their kind."""
    grey = (seen.mean(axis=2, keepdims=True) * DIM).astype(np.uint8)
    drawn = np.repeat(grey, 3, axis=2)
    changed = given != label
    added = changed & (given == 0) & (label != IGNORE)
    removed = changed & (label == 0) & (given != IGNORE)
    size = (seen.shape[1], seen.shape[0])
    for mask, color in ((added, ADDED), (removed, REMOVED), (changed & ~added & ~removed, OTHER)):
        drawn[_covered(mask, size)] = _rgb(color)
    return drawn


def _covered(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a mask covers any part of a pixel of a picture of the size (width, height)."""
    found: NDArray[np.bool_] = _resized(Image.fromarray(mask.astype(np.float32)), size, Image.Resampling.BOX) > 1e-6
    return found


def _labels(label: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return _resized(Image.fromarray(label), size, Image.Resampling.NEAREST)


def _resized(image: Image.Image, size: tuple[int, int], how: Image.Resampling) -> NDArray[Any]:
    return np.asarray(image.resize(size, how))


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def _uri(pixels: NDArray[np.uint8]) -> str:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
