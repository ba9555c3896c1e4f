"""How intensities are brought to one scale: each image by itself, or all images of a project alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE, Box
from src_core.store.reading import number_of
from src_core.train.tiles import LARGE, windows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from src_core.config import TrainingSettings
    from src_core.data.case import CaseInfo
    from src_core.store.project import Project

PERCENTILES = (0.5, 99.5)
SAMPLE = 24
"""So many images are looked at to find what all of a project share."""

SLICES = 8
"""So many slices are looked at of a volume."""

VALUES = 100_000
"""At most so many intensities are taken of an image, a window or a slice."""

AIR = -200.0
"""Where most images reach below this, intensities are taken for Hounsfield units: of common scales they alone do."""


@dataclass(frozen=True)
class Intensities:
    """Clip to [low, high], subtract the mean, divide by the spread.

    Attributes
    ----------
    low, high, mean, spread : float
        In units of the image.
    """

    low: float
    high: float
    mean: float
    spread: float

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> Intensities:
        """What brings values to zero mean and unit spread, clipped at their 0.5 and 99.5 percentiles."""
        low, high = (float(edge) for edge in np.percentile(values, PERCENTILES))
        clipped = np.clip(values, low, high)
        return cls(low, high, float(clipped.mean()), max(float(clipped.std()), 1e-6))

    def applied(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values on the scale that the network sees, float32, of their shape."""
        scaled: NDArray[np.float32] = (np.clip(values, self.low, self.high) - self.mean) / self.spread
        return scaled

    def as_mapping(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def intensities_of(values: Mapping[str, Any] | None) -> Intensities | None:
    """From JSON; None where each image is scaled by itself.

    Raises
    ------
    ValueError
        If it makes no sense.
    """
    if values is None:
        return None
    names = ("low", "high", "mean", "spread")
    found = {name: number_of(dict(values), name) for name in names}
    low, high, spread = found["low"], found["high"], found["spread"]
    if any(value is None for value in found.values()) or low >= high or spread <= 0:  # type: ignore[operator]
        raise ValueError("its intensities make no sense")
    return Intensities(**found)  # type: ignore[arg-type]


def choose_intensities(settings: TrainingSettings, project: Project) -> Intensities | None:
    """What ``intensities`` of the settings comes down to for the images of a project.

    The scale that all images share is found in pixels that the masks call foreground, as what is to be told apart lies
    there; without any, in all pixels.

    Returns
    -------
    Intensities or None
        None where each image is scaled by itself.
    """
    if settings.intensities == "image" or (settings.intensities == "auto" and not are_hounsfield(project)):
        return None
    shown, inside = [], []
    for case in _some(project.cases):
        for box in _boxes(case.shape):
            image, label = _image(project, case, box), project.read_label(case, box)
            shown.append(_thinned(image.ravel()))
            inside.append(_thinned(image[(label > 0) & (label != IGNORE)].ravel()))
    found = np.concatenate(inside)
    return Intensities.of(found if len(found) else np.concatenate(shown))


def are_hounsfield(project: Project) -> bool:
    """True where most images have pixels far below zero, as those of computed tomography have in air."""
    lowest = [
        min(float(np.percentile(_image(project, case, box), PERCENTILES[0])) for box in _boxes(case.shape))
        for case in _some(project.cases)
    ]
    return bool(lowest) and float(np.median(lowest)) < AIR


def _some(cases: tuple[CaseInfo, ...]) -> tuple[CaseInfo, ...]:
    return cases[:: max(1, len(cases) // SAMPLE)]


def _image(project: Project, case: CaseInfo, box: Box | None) -> NDArray[np.float32]:
    return np.asarray(project.read_image(case, box), dtype=np.float32)


def _boxes(shape: tuple[int, ...]) -> list[Box | None]:
    """What is looked at of an image: of a volume some slices, of a large image some windows."""
    if len(shape) == 2:
        return [*windows_of(shape)] if prod(shape) > LARGE else [None]
    places = {int(place) for place in np.linspace(0, shape[0] - 1, SLICES)}
    return [Box((at, 0, 0), (at + 1, *shape[1:])) for at in sorted(places)]


def _thinned(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[:: max(1, len(values) // VALUES)]
