"""Suspect regions of an image that is seen block by block, the same as those of the whole image.

Blocks come row by row. What is kept of those that were seen are the last lines of the row of blocks above, the right
side of the block before, and a few numbers of each group of pixels that may still become a region: memory follows the
side of the image and the number of regions, not its area.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import product
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
    REACH,
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

STRIP = 512
"""Rows of a region that are hashed at a time."""


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
    first: tuple[int, int]
    start: tuple[int, int]
    stop: tuple[int, int]

    def take(self, other: Group) -> None:
        """Join another group to this one."""
        self.pixels += other.pixels
        self.seeds += other.seeds
        self.wrong += other.wrong
        self.seeds_wrong += other.seeds_wrong
        self.spread += other.spread
        self.band += other.band
        self.first = min(self.first, other.first)
        self.start = (min(self.start[0], other.start[0]), min(self.start[1], other.start[1]))
        self.stop = (max(self.stop[0], other.stop[0]), max(self.stop[1], other.stop[1]))


@dataclass
class _Edge:
    """Lines of pixels ``(K, L)``, the nearest to the other side first: groups, 0 for none, and label with proposal."""

    groups: NDArray[np.int64]
    pairs: NDArray[np.int32]

    @classmethod
    def empty(cls, length: int) -> _Edge:
        return cls(np.zeros((REACH, length), np.int64), np.zeros((REACH, length), np.int32))

    @classmethod
    def of(cls, groups: NDArray[np.int64], pairs: NDArray[np.int32]) -> _Edge:
        return cls(groups[:REACH].copy(), pairs[:REACH].copy())

    def put(self, columns: slice, part: _Edge) -> None:
        lines = slice(0, len(part.groups))
        self.groups[lines, columns], self.pairs[lines, columns] = part.groups, part.pairs


@dataclass
class RegionBlocks:
    """Finds the regions of one image.

    Parameters
    ----------
    case : CaseInfo
        An image ``(H, W)``.
    min_pixels, below
        As of :func:`~src_core.review.regions.find_regions`.
    """

    case: CaseInfo
    min_pixels: int = MIN_PIXELS
    below: float = BELOW
    _groups: dict[int, Group] = field(default_factory=dict)
    _joined: dict[int, int] = field(default_factory=dict)
    _last: int = 0
    _above: _Edge | None = None
    _top: _Edge | None = None
    _bottom: _Edge | None = None
    _left: _Edge | None = None
    _rest: NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))
    _wrong: float = 0.0
    _foreground: int = 0
    _final: NDArray[np.int32] | None = None

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
        """See the next block.

        Parameters
        ----------
        box : Box
            Beside or below the one before; all of a row of blocks have the same rows. Only the last ones of the image
            may have a side shorter than :data:`~src_core.review.regions.REACH`.
        trust, uncertainty, label, proposed, verified : array, (H, W)
            As of :func:`~src_core.review.regions.find_regions`, of the box.

        Returns
        -------
        array, int32, (H, W)
            Numbers that :meth:`numbered` turns into those of the regions, once all was seen.
        """
        pairs = disagreements(label, proposed, verified, without_mask=self.case.without_mask)
        components = gathered(pairs, reach_of(self.case))
        found = self._measured(box, components, pairs, trust, uncertainty, label, verified)
        open_ = _at_edges(components, box, self.case.shape)
        numbers = np.zeros(len(found) + 1, dtype=np.int64)
        for index, group in enumerate(found, start=1):
            if index in open_ or self._may_be(group):
                self._last += 1
                numbers[index] = self._last
                self._groups[self._last] = group
        placed = numbers[components]
        self._count(placed, trust, label, proposed, verified)
        self._join_row(box, placed, pairs)
        return np.asarray(placed, dtype=np.int32)

    def _may_be(self, group: Group) -> bool:
        return group.pixels >= self.min_pixels and (group.seeds > 0 or group.pair == NO_LABEL)

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
        """Numbers of each component of a block."""
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
        rows, columns = np.unravel_index(firsts, components.shape)
        y, x = box.start
        return [
            Group(
                pair=int(pairs.ravel()[firsts[index]]),
                **{name: kind[index].item() for name, kind in sums.items()},
                first=(int(rows[index]) + y, int(columns[index]) + x),
                start=(window[0].start + y, window[1].start + x),
                stop=(window[0].stop + y, window[1].stop + x),
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

    def _join_row(self, box: Box, placed: NDArray[np.int64], pairs: NDArray[np.int32]) -> None:
        width = self.case.shape[1]
        if box.start[1] == 0:
            self._left = None
            self._top, self._bottom = _Edge.empty(width), _Edge.empty(width)
        assert self._top is not None
        assert self._bottom is not None
        columns = slice(box.start[1], box.stop[1])
        self._top.put(columns, _Edge.of(placed, pairs))
        self._bottom.put(columns, _Edge.of(placed[::-1], pairs[::-1]))
        if self._left is not None:
            self._join(self._left, _Edge.of(placed.T, pairs.T))
        self._left = _Edge.of(placed.T[::-1], pairs.T[::-1])
        if box.stop[1] == width:
            if self._above is not None:
                self._join(self._above, self._top)
            self._above = self._bottom

    def _join(self, one: _Edge, other: _Edge) -> None:
        """Join the groups on two sides of a line that are near to each other."""
        for here, there in product(range(len(one.groups)), range(len(other.groups))):
            if here + there + 1 <= REACH:
                self._join_lines(one.groups[here], one.pairs[here], other.groups[there], other.pairs[there])

    def _join_lines(
        self,
        groups: NDArray[np.int64],
        pairs: NDArray[np.int32],
        other_groups: NDArray[np.int64],
        other_pairs: NDArray[np.int32],
    ) -> None:
        if not (pairs.any() and other_pairs.any()):
            return
        length = len(groups)
        most = min(REACH, length - 1)
        for shift in range(-most, most + 1):
            near = slice(max(shift, 0), length + min(shift, 0))
            far = slice(max(-shift, 0), length + min(-shift, 0))
            same = (pairs[near] == other_pairs[far]) & (pairs[near] > 0)
            found = np.unique(np.stack([groups[near][same], other_groups[far][same]], axis=1), axis=0)
            for first, second in found.tolist():
                self._unite(first, second)

    def _root(self, number: int) -> int:
        while number in self._joined:
            self._joined[number] = self._joined.get(self._joined[number], self._joined[number])
            number = self._joined[number]
        return number

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
        """The regions' numbers at the pixels of a block, 0 elsewhere, from what :meth:`add` returned."""
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
            if not self._may_be(group) and group.pair != NO_LABEL:
                high, high_wrong = group.pixels - group.seeds, group.wrong - group.seeds_wrong
                rest += [group.seeds, group.seeds_wrong, high, high_wrong, 0]
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
            id=_id_of(self.case.name, box, number, read, with_proposal=labelled),
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


def _at_edges(components: NDArray[np.integer], box: Box, shape: tuple[int, ...]) -> set[int]:
    """Components that may go on in another block."""
    sides = []
    for axis in range(2):
        moved = np.moveaxis(components, axis, 0)
        sides += [moved[:REACH].ravel()] if box.start[axis] > 0 else []
        sides += [moved[-REACH:].ravel()] if box.stop[axis] < shape[axis] else []
    return set(np.unique(np.concatenate(sides)).tolist()) - {0} if sides else set()


def _most_proposed(box: Box, number: int, read: Callable[[str, Box], NDArray[np.generic]]) -> int:
    """The class that is proposed for most pixels of a region."""
    counts = np.zeros(256, dtype=np.int64)
    for strip in _strips(box):
        counts += np.bincount(read("proposed", strip)[read("regions", strip) == number], minlength=256)
    return int(counts.argmax())


def _id_of(
    name: str, box: Box, number: int, read: Callable[[str, Box], NDArray[np.generic]], *, with_proposal: bool
) -> str:
    """As of :func:`~src_core.review.regions.region_id`, from strips of the region."""
    digest = hashlib.blake2b(digest_size=4)
    digest.update(repr((name, list(zip(box.start, box.stop, strict=True)))).encode())
    over: NDArray[np.bool_] = np.zeros(0, dtype=bool)
    for strip in _strips(box):
        bits = np.concatenate([over, (read("regions", strip) == number).ravel()])
        whole = len(bits) // 8 * 8
        digest.update(np.packbits(bits[:whole]).tobytes())
        over = bits[whole:]
    digest.update(np.packbits(over).tobytes())
    for strip in _strips(box) if with_proposal else ():
        digest.update(read("proposed", strip)[read("regions", strip) == number].tobytes())
    return f"{name}#{digest.hexdigest()}"


def _strips(box: Box) -> Iterator[Box]:
    for start in range(box.start[0], box.stop[0], STRIP):
        yield Box((start, box.start[1]), (min(start + STRIP, box.stop[0]), box.stop[1]))
