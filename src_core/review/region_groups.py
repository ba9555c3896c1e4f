"""Suspect regions of an image that is seen part by part, the same as those of the whole image.

What is kept of parts that were seen are a few numbers of each group of pixels that may still become a region. How
groups of different parts are joined is for those that know how parts lie: blocks of an image
(:mod:`~src_core.review.region_blocks`), slabs of a volume (:mod:`~src_core.review.region_slabs`).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from src_core.data.case import IGNORE, Box, is_verified
from src_core.data.scores import ImageScore, Region
from src_core.review.components import gathered
from src_core.review.regions import (
    BAND_ABOVE,
    BELOW,
    MIN_PIXELS,
    NO_LABEL,
    disagreements,
    doubted,
    kind_of,
    reach_of,
    rest_sums,
    rounded_rest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo

ROWS = {2: 512, 3: 64}
"""Rows of a region that are hashed at a time, by the number of axes: chunks of maps are so long."""

AT_ONCE = 2**24
"""Fewer rows where they have more pixels than this together."""


@dataclass
class Group:
    """Pixels with one label and one proposal that belong together, as far as they were seen."""

    pair: int
    pixels: int
    seeds: int
    wrong: float
    seeds_wrong: float
    spread: float
    band: int
    first: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]

    def take(self, other: Group) -> None:
        """Join another group to this one."""
        self.pixels += other.pixels
        self.seeds += other.seeds
        self.wrong += other.wrong
        self.seeds_wrong += other.seeds_wrong
        self.spread += other.spread
        self.band += other.band
        self.first = min(self.first, other.first)
        self.start = tuple(map(min, self.start, other.start))
        self.stop = tuple(map(max, self.stop, other.stop))


class RegionFinder(ABC):
    """Finds the regions of one image.

    Parameters
    ----------
    case : CaseInfo
        An image ``(H, W)``, or a volume.
    min_pixels, below
        As of :func:`~src_core.review.regions.find_regions`.
    """

    def __init__(self, case: CaseInfo, min_pixels: int = MIN_PIXELS, below: float = BELOW) -> None:
        self.case, self.min_pixels, self.below = case, min_pixels, below
        self.reach = reach_of(case)
        self._groups: dict[int, Group] = {}
        self._joined: dict[int, int] = {}
        self._last = 0
        self._rest: NDArray[np.float64] = np.zeros(5)
        self._wrong, self._foreground = 0.0, 0
        self._final: NDArray[np.int32] | None = None

    @abstractmethod
    def _meet(self, box: Box, placed: NDArray[np.int64], pairs: NDArray[np.int32]) -> None:
        """Join the groups of a part, 0 for none, with those of the parts before; and their labels with proposals."""

    # ---------------------------------------------------------------- seeing

    def add(
        self,
        box: Box,
        *,
        trust: NDArray[np.float32],
        uncertainty: NDArray[np.float32],
        label: NDArray[np.uint8],
        proposed: NDArray[np.uint8],
        verified: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """See the next part.

        Parameters
        ----------
        box : Box
        trust, uncertainty, label, proposed, verified : array, (H, W) or (Z, H, W)
            As of :func:`~src_core.review.regions.find_regions`, of the box.

        Returns
        -------
        array, int32
            Numbers that :meth:`numbered` turns into those of the regions, once all was seen.
        """
        pairs = disagreements(label, proposed, verified, without_mask=self.case.without_mask)
        components = gathered(pairs, self.reach)
        found = self._measured(box, components, pairs, trust, uncertainty, label, verified)
        open_ = self._at_edges(components, box)
        numbers = np.zeros(len(found) + 1, dtype=np.int64)
        for index, group in enumerate(found, start=1):
            if index in open_ or self._may_be(group):
                self._last += 1
                numbers[index] = self._last
                self._groups[self._last] = group
        placed = numbers[components]
        self._count(placed, trust, label, proposed, verified)
        self._meet(box, placed, pairs)
        return np.asarray(placed, dtype=np.int32)

    def _may_be(self, group: Group) -> bool:
        return group.pixels >= self.min_pixels and (group.seeds > 0 or group.pair == NO_LABEL)

    def _at_edges(self, components: NDArray[np.integer], box: Box) -> set[int]:
        """Components that may go on in another part."""
        sides = []
        for axis, reach in enumerate(self.reach):
            moved = np.moveaxis(components, axis, 0)
            sides += [moved[:reach].ravel()] if box.start[axis] > 0 else []
            sides += [moved[-reach:].ravel()] if box.stop[axis] < self.case.shape[axis] else []
        return set(np.unique(np.concatenate(sides)).tolist()) - {0} if sides else set()

    def _measured(
        self,
        box: Box,
        components: NDArray[np.integer],
        pairs: NDArray[np.int32],
        trust: NDArray[np.float32],
        uncertainty: NDArray[np.float32],
        label: NDArray[np.uint8],
        verified: NDArray[np.uint8],
    ) -> list[Group]:
        """Numbers of each component of a part."""
        windows = ndimage.find_objects(components)
        if not windows:
            return []
        flat, count = components.ravel(), len(windows) + 1
        inside = flat > 0
        where, wrong = flat[inside], 1.0 - trust.astype(np.float64).ravel()[inside]
        low = doubted(trust, label, verified, self.below).ravel()[inside]
        sure = uncertainty.ravel()[inside]
        firsts = np.zeros(count, dtype=np.int64)
        firsts[where[::-1]] = np.flatnonzero(inside)[::-1]
        sums: dict[str, Any] = {
            "pixels": np.bincount(where, minlength=count),
            "seeds": np.bincount(where[low], minlength=count),
            "wrong": np.bincount(where, wrong, minlength=count),
            "seeds_wrong": np.bincount(where[low], wrong[low], minlength=count),
            "spread": np.bincount(where, sure, minlength=count),
            "band": np.bincount(where[sure > BAND_ABOVE], minlength=count),
        }
        places = np.stack(np.unravel_index(firsts, components.shape), axis=1) + box.start
        return [
            Group(
                pair=int(pairs.ravel()[firsts[index]]),
                **{name: kind[index].item() for name, kind in sums.items()},
                first=tuple(places[index].tolist()),
                start=tuple(edge.start + corner for edge, corner in zip(window, box.start, strict=True)),
                stop=tuple(edge.stop + corner for edge, corner in zip(window, box.start, strict=True)),
            )
            for index, window in enumerate(windows, start=1)
        ]

    def _count(
        self,
        placed: NDArray[np.int64],
        trust: NDArray[np.float32],
        label: NDArray[np.uint8],
        proposed: NDArray[np.uint8],
        verified: NDArray[np.uint8],
    ) -> None:
        """Sums of the image; of groups that become no region, :meth:`finish` adds theirs."""
        left = (placed == 0) & ~is_verified(verified) & (label != IGNORE)
        self._rest += rest_sums(left, trust, label, self.below)
        low = doubted(trust, label, verified)
        self._wrong += float((1.0 - trust.astype(np.float64))[low].sum())
        self._foreground += int(np.count_nonzero(((label > 0) & (label != IGNORE)) | (proposed > 0)))

    # ---------------------------------------------------------------- joining

    def _root(self, number: int) -> int:
        while number in self._joined:
            self._joined[number] = self._joined.get(self._joined[number], self._joined[number])
            number = self._joined[number]
        return number

    def _settle(self, number: int) -> None:
        """Forget a group to which nothing is added any more, if it is no region."""
        group = self._groups.get(number)
        if group is not None and not self._may_be(group):
            self._rest += _rest_of(group)
            del self._groups[number]

    def _unite(self, first: int, second: int) -> None:
        one, other = sorted((self._root(first), self._root(second)))
        if one != other:
            self._groups[one].take(self._groups.pop(other))
            self._joined[other] = one

    # ---------------------------------------------------------------- when all was seen

    def _numbers(self) -> tuple[NDArray[np.int32], list[Group]]:
        kept = [number for number, group in self._groups.items() if self._may_be(group)]
        kept.sort(key=lambda number: self._groups[number].first)
        places = {number: place for place, number in enumerate(kept, start=1)}
        table = np.zeros(self._last + 1, dtype=np.int32)
        for number in range(1, self._last + 1):
            table[number] = places.get(self._root(number), 0)
        return table, [self._groups[number] for number in kept]

    def numbered(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """The regions' numbers at the pixels of a part, 0 elsewhere, from what :meth:`add` returned."""
        if self._final is None:
            self._final = self._numbers()[0]
        found: NDArray[np.int32] = self._final[numbers]
        return found

    def finish(
        self, read: Callable[[str, Box], NDArray[np.generic]], row: int | None = None
    ) -> tuple[list[Region], ImageScore]:
        """The regions, best score first, and how suspect the image is.

        Parameters
        ----------
        read : callable
            Gives a box of the maps ``regions`` (as :meth:`numbered` made them) and ``proposed``.
        row : int, optional
            Last row of the record that was applied.
        """
        _, kept = self._numbers()
        regions = [self._region(number, group, read) for number, group in enumerate(kept, start=1)]
        rest = self._rest.copy()
        for group in self._groups.values():
            if not self._may_be(group):
                rest += _rest_of(group)
        quality = ImageScore(
            case_id=self.case.id,
            image=self.case.name,
            score=min(self._wrong / max(self._foreground, 1), 1.0),
            estimated_wrong_pixels=self._wrong,
            rest=rounded_rest(rest),
            row=row,
        )
        return sorted(regions, key=lambda region: region.rank), quality

    def _region(self, number: int, group: Group, read: Callable[[str, Box], NDArray[np.generic]]) -> Region:
        given, proposed = divmod(group.pair - 1, 256)
        box = Box(group.start, group.stop)
        labelled = group.pair != NO_LABEL
        return Region(
            id=_id_of(self.case.name, box, number, read, bytes([proposed]), group.pixels if labelled else 0),
            number=number,
            case_id=self.case.id,
            image=self.case.name,
            kind=kind_of(given, group.band, group.pixels),
            score=group.wrong if labelled else 0.0,
            pixels=group.pixels,
            given=given,
            proposed=proposed if labelled else _most_proposed(box, number, read),
            box=box,
            trust=1 - group.wrong / group.pixels if labelled else 0.0,
            uncertainty=group.spread / group.pixels,
        )


def _rest_of(group: Group) -> NDArray[np.float64]:
    """What a group that becomes no region adds to the sums outside of regions."""
    if group.pair == NO_LABEL:
        return np.zeros(5)
    high, high_wrong = group.pixels - group.seeds, group.wrong - group.seeds_wrong
    return np.array([group.seeds, group.seeds_wrong, high, high_wrong, 0])


def _most_proposed(box: Box, number: int, read: Callable[[str, Box], NDArray[np.generic]]) -> int:
    """The class that is proposed for most pixels of a region."""
    counts = np.zeros(256, dtype=np.int64)
    for strip in _strips(box):
        counts += np.bincount(read("proposed", strip)[read("regions", strip) == number], minlength=256)
    return int(counts.argmax())


def _id_of(
    name: str, box: Box, number: int, read: Callable[[str, Box], NDArray[np.generic]], proposed: bytes, pixels: int
) -> str:
    """As of :func:`~src_core.review.regions.region_id`, from strips of the region; one class is proposed for it."""
    digest = hashlib.blake2b(digest_size=4)
    digest.update(repr((name, list(zip(box.start, box.stop, strict=True)))).encode())
    over: NDArray[np.bool_] = np.zeros(0, dtype=bool)
    for strip in _strips(box):
        bits = np.concatenate([over, (read("regions", strip) == number).ravel()])
        whole = len(bits) // 8 * 8
        digest.update(np.packbits(bits[:whole]).tobytes())
        over = bits[whole:]
    digest.update(np.packbits(over).tobytes())
    for done in range(0, pixels, AT_ONCE):
        digest.update(proposed * min(pixels - done, AT_ONCE))
    return f"{name}#{digest.hexdigest()}"


def _strips(box: Box) -> Iterator[Box]:
    """Parts of a box in the order of its pixels, that end where chunks do."""
    rows = min(ROWS[len(box.shape)], max(AT_ONCE // prod(box.shape[1:]), 1))
    start = box.start[0]
    while start < box.stop[0]:
        stop = min((start // rows + 1) * rows, box.stop[0])
        yield Box((start, *box.start[1:]), (stop, *box.stop[1:]))
        start = stop
