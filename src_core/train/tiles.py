"""Which images are worked on in tiles, and at which size of a pixel. Needs no torch.

An image that is shrunk to the working resolution of the others loses what is small in it: of a slide of 30,000 px that
is shrunk to 256, a cell is a tenth of a pixel. Such images are cut into tiles instead, and every pixel that is worked
on stands for ``step`` x ``step`` pixels of the image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.segmentation import clear_border

from src_core.data.case import IGNORE, Box
from src_core.train.structures import edges_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from src_core.config import TrainingSettings
    from src_core.data.case import CaseInfo
    from src_core.data.slices import OnGrid
    from src_core.store.project import Project

LONGER = 4
"""``auto`` leaves images whole that are at most so many times as long as the working resolution."""

LEAST_STRUCTURE = 8
"""``auto`` cuts images into tiles whose small structures would have fewer px across when shrunk."""

WANTED_STRUCTURE = 16
"""Small structures of tiles keep at least so many px across."""

LARGE = 2**26
"""Images of more values than this are always worked on in tiles, as shrinking them takes them whole into memory."""

BLOCK = 512
"""Sides of a tile are a multiple of this, px of the image: those of a chunk of a project."""

LEAST_EDGE = 256
"""Working px of a tile at least."""

MOST_STEP = 64
WINDOW = 2048
WINDOWS = 16
"""So many windows of an image, with sides of so many px, tell how large its structures are."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How images are cut into tiles.

    Attributes
    ----------
    step : int
        Px of the image along one working px; a power of two.
    longer : int
        Images with a side of more than so many px are cut; others are shrunk as always.
    why : str
        One sentence for the person.
    """

    step: int
    longer: int
    why: str = ""

    @property
    def edge(self) -> int:
        """Side of a tile, working px."""
        return max(BLOCK // self.step, LEAST_EDGE)

    @property
    def side(self) -> int:
        """Side of a tile, px of the image."""
        return self.edge * self.step

    def cuts(self, grid: OnGrid) -> bool:
        """True for an image that is worked on in tiles."""
        return len(grid.shape) == 2 and max(grid.shape) > self.longer

    def count(self, grid: OnGrid) -> int:
        """Number of tiles of an image."""
        return prod(ceil(edge / self.side) for edge in grid.shape)

    def box(self, grid: OnGrid, number: int) -> Box:
        """One tile of an image, row by row; px of the image."""
        rows, columns = grid.shape
        row, column = divmod(number, ceil(columns / self.side))
        start = (row * self.side, column * self.side)
        return Box(start, (min(start[0] + self.side, rows), min(start[1] + self.side, columns)))

    def around(self, grid: OnGrid, box: Box, halo: int) -> Box:
        """A tile with ``halo`` working px around it, as far as the image reaches."""
        reach = halo * self.step
        return Box(
            tuple(max(start - reach, 0) for start in box.start),
            tuple(min(stop + reach, edge) for stop, edge in zip(box.stop, grid.shape, strict=True)),
        )

    def shape(self, box: Box) -> tuple[int, ...]:
        """Sides of a box, working px."""
        return tuple(ceil(edge / self.step) for edge in box.shape)

    def as_mapping(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def tiling_of(values: Mapping[str, Any] | None) -> Tiling | None:
    """From JSON; None where nothing is cut.

    Raises
    ------
    ValueError
        If it makes no sense.
    """
    if values is None:
        return None
    step, longer = values.get("step"), values.get("longer")
    known = {2**power for power in range(MOST_STEP.bit_length())}
    if type(step) is not int or step not in known or type(longer) is not int or longer < 1:
        raise ValueError("its tiles make no sense")
    return Tiling(step=step, longer=longer, why=str(values.get("why", "")))


def choose_tiling(settings: TrainingSettings, project: Project) -> Tiling | None:
    """What ``tile`` of the settings comes down to for the images of a project.

    Returns
    -------
    Tiling or None
        None when no image is cut.
    """
    factor = 1 if settings.tile == "on" else LONGER
    longer = factor * settings.max_side
    wide = [case for case in project.cases if len(case.shape) == 2 and max(case.shape) > longer]
    if settings.tile == "off" or not wide:
        return None
    structure = structure_of(project, wide)
    longest = max(max(case.shape) for case in wide)
    left = None if structure is None else structure * settings.max_side / longest
    large = any(prod(case.shape) * case.channels > LARGE for case in wide)
    if settings.tile == "auto" and not large and (left is None or left >= LEAST_STRUCTURE):
        return None
    step = _step(structure, longest, settings.max_side)
    return Tiling(step=step, longer=longer, why=_why(structure, left, longest, step, settings.max_side))


def _step(structure: float | None, longest: int, max_side: int) -> int:
    """The largest power of two that leaves small structures enough px; of unknown ones, 16 tiles along an image."""
    wanted = longest / (16 * max_side) if structure is None else structure / WANTED_STRUCTURE
    return int(min(2 ** int(np.log2(max(wanted, 1))), MOST_STEP))


def _why(structure: float | None, left: float | None, longest: int, step: int, max_side: int) -> str:
    how = "at full resolution" if step == 1 else f"with pixels of {step} x {step} of theirs"
    if structure is None or left is None:
        return f"Images of {longest} px are too large to be shrunk, so they are worked on in tiles, {how}."
    if left >= LEAST_STRUCTURE:
        reason = "they are too large to be shrunk at once"
    else:
        reason = f"shrunk to {max_side} px they would have {left:.2g}"
    return (
        f"Images of {longest} px are worked on in tiles, {how}: small structures are {structure:.0f} px across, and "
        f"{reason}."
    )


def structure_of(project: Project, cases: Sequence[CaseInfo]) -> float | None:
    """Edge of a square as large as the small structures of large images, a tenth are smaller; None without any."""
    found: list[float] = []
    for case in cases[:: max(1, len(cases) // 4)]:
        for box in windows_of(case.shape):
            found += _edges_inside(project.read_label(case, box))
    return float(np.percentile(found, 10)) if found else None


def windows_of(shape: tuple[int, ...], side: int = WINDOW, most: int = WINDOWS) -> list[Box]:
    """Some windows of an image, evenly spread, at places where chunks begin."""
    rows = int(most**0.5)
    starts = []
    for edge in shape:
        last = max(edge - side, 0)
        places = np.linspace(0, last, min(rows, 1 + last // side) if last else 1)
        starts.append([BLOCK * int(place // BLOCK) for place in places])
    return [
        Box((row, column), (min(row + side, shape[0]), min(column + side, shape[1])))
        for row in starts[0]
        for column in starts[1]
    ]


def _edges_inside(label: NDArray[np.uint8]) -> list[float]:
    """Edges of the structures that lie wholly in a window; of a window that shows parts only, its own."""
    classes = np.where(label == IGNORE, 0, label)
    inside = edges_of(clear_border(classes) if min(classes.shape) > 2 else classes)
    return inside or ([float(min(label.shape))] if classes.any() else [])
