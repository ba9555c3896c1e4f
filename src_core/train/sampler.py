"""Which crops make a batch: of all labelled cases, and of verified pixels.

Shape suffixes: B batch, I input channels, X its 2 or 3 space axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from src_core.data.case import IGNORE
from src_core.train.augment import Crop, cut, jitter, random_matrix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from src_core.train.cases import WorkCase

MIN_SPLIT = 8
"""From this many verified cases on, one half judges and the other half is learned from."""


@dataclass(frozen=True)
class Batch:
    """Crops stacked for the network."""

    crops: tuple[Crop, ...]
    images_BIX: torch.Tensor
    labels_BX: torch.Tensor
    candidates_BX: torch.Tensor
    kinds_BX: torch.Tensor

    @classmethod
    def of(cls, crops: list[Crop]) -> Batch:
        """Stack crops of equal size."""
        return cls(
            tuple(crops),
            torch.stack([crop.image_IX for crop in crops]),
            torch.stack([crop.label_X for crop in crops]),
            torch.stack([crop.candidate_X for crop in crops]),
            torch.stack([crop.kinds_X for crop in crops]),
        )

    @property
    def verified_BX(self) -> torch.Tensor:
        """True where a person has verified the label."""
        return self.kinds_BX > 0

    @property
    def cases(self) -> tuple[int, ...]:
        """Positions of the cases in the working set, in the order of the crops."""
        return tuple(crop.case for crop in self.crops)

    def to(self, device: torch.device) -> Batch:
        """The same batch with its stacks on a device."""
        stacks = (self.images_BIX, self.labels_BX, self.candidates_BX, self.kinds_BX)
        return Batch(self.crops, *(stack.to(device) for stack in stacks))


@dataclass(frozen=True)
class Roles:
    """Which verified cases judge (``meta``) and which are learned from (``support``).

    When the same few images are both fitted and asked, the answer carries no information any more; so with
    enough verified cases the two are different cases. Neighbours in name order (slices of one patient) stay
    together.
    """

    meta: tuple[int, ...]
    support: tuple[int, ...]

    @property
    def split(self) -> bool:
        """True when no case plays both parts."""
        return not set(self.meta) & set(self.support)


def assign_roles(cases: list[WorkCase], *, split: bool) -> Roles:
    """Split the verified cases in two halves, or let all of them do both when they are few.

    Parameters
    ----------
    cases : list of WorkCase
    split : bool
        False lets all verified cases do both.
    """
    verified = [index for index, case in enumerate(cases) if case.verified_pixels > 0]
    if not split or len(verified) < MIN_SPLIT:
        return Roles(tuple(verified), tuple(verified))
    half = len(verified) // 2
    return Roles(tuple(verified[half:]), tuple(verified[:half]))


class Sampler:
    """Draws batches; what it draws depends on the generator alone.

    Parameters
    ----------
    cases : list of WorkCase
    size : int
        Edge of a crop, px.
    """

    def __init__(self, cases: list[WorkCase], size: int) -> None:
        self.cases = cases
        self.size = size
        self._boundaries: dict[int, NDArray[np.intp]] = {}
        self._verified: dict[int, NDArray[np.intp]] = {}

    def training(self, rng: np.random.Generator, count: int) -> Batch:
        """Crops of cases that have labels, each case as likely as the next, half of them around its foreground."""
        labelled = [i for i, case in enumerate(self.cases) if bool((case.label_X != IGNORE).any())]
        replace = len(labelled) < count
        chosen = rng.choice(labelled or range(len(self.cases)), size=count, replace=replace or not labelled)
        return Batch.of([self._crop(rng, int(index), self._any_center(rng, int(index))) for index in chosen])

    def verified(self, rng: np.random.Generator, among: tuple[int, ...], count: int) -> Batch | None:
        """Crops around verified pixels, half of them at verified boundaries; None when there is nothing verified.

        A case is drawn with a chance that grows with the square root of its verified pixels.
        """
        pool = [index for index in among if self._verified_points(index).size]
        if not pool:
            return None
        weights = np.sqrt([len(self._verified_points(index)) for index in pool])
        chosen = rng.choice(pool, size=count, p=weights / weights.sum(), replace=len(pool) < count)
        return Batch.of([self._crop(rng, int(index), self._verified_center(rng, int(index))) for index in chosen])

    def _crop(self, rng: np.random.Generator, index: int, center: tuple[float, ...]) -> Crop:
        matrix = random_matrix(rng, center, self.size)
        crop = cut(self.cases[index], index, matrix, (self.size,) * len(center))
        return Crop(crop.case, matrix, jitter(crop.image_IX, rng), crop.label_X, crop.candidate_X, crop.kinds_X)

    def _clamped(self, index: int, point: Iterable[float]) -> tuple[float, ...]:
        """Centre of a crop that stays inside of the case where the case is larger than the crop."""
        half = self.size / 2
        return tuple(
            (edge - 1) / 2 if edge <= self.size else float(np.clip(value, half, edge - half))
            for value, edge in zip(point, self.cases[index].shape, strict=True)
        )

    def _any_center(self, rng: np.random.Generator, index: int) -> tuple[float, ...]:
        case = self.cases[index]
        if rng.random() < 0.5:
            foreground = np.argwhere((case.label_X.numpy() > 0) & (case.label_X.numpy() != IGNORE))
            if len(foreground):
                return self._clamped(index, foreground[rng.integers(len(foreground))])
        return self._clamped(index, [rng.uniform(0, edge) for edge in case.shape])

    def _verified_center(self, rng: np.random.Generator, index: int) -> tuple[float, ...]:
        points = self._verified_points(index)
        boundary = self._boundary_points(index)
        if len(boundary) and rng.random() < 0.5:
            points = boundary
        return self._clamped(index, points[rng.integers(len(points))])

    def _verified_points(self, index: int) -> NDArray[np.intp]:
        if index not in self._verified:
            self._verified[index] = np.argwhere(self.cases[index].verified_X.numpy() > 0)
        return self._verified[index]

    def _boundary_points(self, index: int) -> NDArray[np.intp]:
        """Verified pixels at most 3 px from where the label changes."""
        if index not in self._boundaries:
            case = self.cases[index]
            label, verified = case.label_X.numpy(), case.verified_X.numpy() > 0
            spread = ndimage.maximum_filter(label, size=7) != ndimage.minimum_filter(label, size=7)
            self._boundaries[index] = np.argwhere(spread & verified)
        return self._boundaries[index]
