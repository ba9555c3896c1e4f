"""Which crops make a batch: of all labelled cases, and of verified pixels.

Shape suffixes: B batch, I input channels, X its 2 or 3 space axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from src_core.data.case import IGNORE
from src_core.train.augment import Crop, cut, jitter, random_matrix
from src_core.train.cases import grouped, groups_of

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
    together, and the slices of one volume always do.
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
    verified = verified_groups(cases)
    if not split or len(verified) < MIN_SPLIT:
        every = tuple(chain.from_iterable(verified))
        return Roles(every, every)
    half = len(verified) // 2
    return Roles(*(tuple(chain.from_iterable(some)) for some in (verified[half:], verified[:half])))


def verified_groups(cases: list[WorkCase]) -> list[list[int]]:
    """Positions of the verified cases, the slices of one volume in one list."""
    return grouped((index for index, case in enumerate(cases) if case.verified_pixels > 0), groups_of(cases))


class Sampler:
    """Draws batches; what it draws depends on the generator alone.

    Parameters
    ----------
    cases : list of WorkCase
    size : int or tuple of int
        Edge of a crop, px; or all of its edges.
    """

    def __init__(self, cases: list[WorkCase], size: int | tuple[int, ...]) -> None:
        self.cases = cases
        self.groups = groups_of(cases)
        axes = len(cases[0].shape)
        self.size = (size,) * axes if isinstance(size, int) else size
        self._boundaries: dict[int, NDArray[np.integer]] = {}
        self._verified: dict[int, NDArray[np.integer]] = {}

    @cached_property
    def _labelled(self) -> list[list[int]]:
        """Cases that have labels, those of one volume in one list."""
        return grouped((i for i, case in enumerate(self.cases) if bool((case.label_X != IGNORE).any())), self.groups)

    @cached_property
    def _with_foreground(self) -> list[bool]:
        return [bool(((case.label_X > 0) & (case.label_X != IGNORE)).any()) for case in self.cases]

    def training(self, rng: np.random.Generator, count: int) -> Batch:
        """Crops of cases that have labels, half of them around foreground; each image or volume as likely as the next.

        Of the slices of a volume each is as likely as the next, around foreground each that has some.
        """
        volumes = self._labelled or grouped(range(len(self.cases)), self.groups)
        replace = len(volumes) < count or not self._labelled
        chosen = rng.choice(len(volumes), size=count, replace=replace)
        return Batch.of([self._training_crop(rng, volumes[int(place)]) for place in chosen])

    def _training_crop(self, rng: np.random.Generator, volume: list[int]) -> Crop:
        around = rng.random() < 0.5
        if len(volume) > 1:
            shown = [index for index in volume if self._with_foreground[index]] if around else volume
            volume = [int(rng.choice(shown or volume))]
        return self._crop(rng, volume[0], self._any_center(rng, volume[0], around=around))

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
        crop = cut(self.cases[index], index, matrix, self.size)
        return Crop(crop.case, matrix, jitter(crop.image_IX, rng), crop.label_X, crop.candidate_X, crop.kinds_X)

    def _clamped(self, index: int, point: Iterable[float]) -> tuple[float, ...]:
        """Centre of a crop that stays inside of the case where the case is larger than the crop."""
        return tuple(
            (edge - 1) / 2 if edge <= size else float(np.clip(value, size / 2, edge - size / 2))
            for value, edge, size in zip(point, self.cases[index].shape, self.size, strict=True)
        )

    def _any_center(self, rng: np.random.Generator, index: int, *, around: bool) -> tuple[float, ...]:
        case = self.cases[index]
        if around:
            foreground = _places((case.label_X.numpy() > 0) & (case.label_X.numpy() != IGNORE))
            if len(foreground):
                return self._clamped(index, self._point(rng, index, foreground))
        return self._clamped(index, [rng.uniform(0, edge) for edge in case.shape])

    def _verified_center(self, rng: np.random.Generator, index: int) -> tuple[float, ...]:
        points = self._verified_points(index)
        boundary = self._boundary_points(index)
        if len(boundary) and rng.random() < 0.5:
            points = boundary
        return self._clamped(index, self._point(rng, index, points))

    def _point(self, rng: np.random.Generator, index: int, places: NDArray[np.integer]) -> tuple[int, ...]:
        """One of the places of a case, as an index for each axis."""
        return tuple(map(int, np.unravel_index(int(places[rng.integers(len(places))]), self.cases[index].shape)))

    def _verified_points(self, index: int) -> NDArray[np.integer]:
        if index not in self._verified:
            self._verified[index] = _places(self.cases[index].verified_X.numpy() > 0)
        return self._verified[index]

    def _boundary_points(self, index: int) -> NDArray[np.integer]:
        """Verified pixels at most 3 px from where the label changes."""
        if index not in self._boundaries:
            case = self.cases[index]
            label, verified = case.label_X.numpy(), case.verified_X.numpy() > 0
            spread = ndimage.maximum_filter(label, size=7) != ndimage.minimum_filter(label, size=7)
            self._boundaries[index] = _places(spread & verified)
        return self._boundaries[index]


def _places(mask: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Places of the pixels of a mask in its flat order; half as wide as numpy's, since a volume has millions."""
    places = np.flatnonzero(mask)
    return places.astype(np.uint32) if mask.size < 2**32 else places
