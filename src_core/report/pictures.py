"""Small pictures of the images that changed most: given outline, cleaned outline, and what changed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy import ndimage

from src_core.data.case import OKABE_ITO
from src_core.report.views import View, view_of

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
    view = view_of(project, case, ledger.rows[case.id])
    scale = SIDE / max(view.label.shape)
    height, width = (max(1, round(edge * scale)) for edge in view.label.shape)
    seen = _resized(Image.fromarray(shown(view.image)), (width, height), Image.Resampling.BICUBIC)
    return Picture(
        figures=figures,
        given=_uri(outlined(seen, _labels(view.given, (width, height)), classes)),
        cleaned=_uri(outlined(seen, _labels(view.label, (width, height)), classes)),
        changed=_uri(_highlighted(seen, view.changes)),
        width=width,
        height=height,
        detail=_detail(view),
    )


def _detail(view: View) -> str:
    rows, columns = view.window
    words = [] if view.at is None else [f"slice {view.at}"]
    if (rows.stop - rows.start, columns.stop - columns.start) != view.sides:
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


def _highlighted(seen: NDArray[np.uint8], changes: tuple[NDArray[np.bool_], ...]) -> NDArray[np.uint8]:
    """The picture in dim grey, changed pixels in the colour of their kind."""
    grey = (seen.mean(axis=2, keepdims=True) * DIM).astype(np.uint8)
    drawn = np.repeat(grey, 3, axis=2)
    size = (seen.shape[1], seen.shape[0])
    for mask, color in zip(changes, (ADDED, REMOVED, OTHER), strict=True):
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
