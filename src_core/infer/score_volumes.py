"""Scores of large volumes: some slices at a time, written as they are made.

What is said of a volume is what is said of it whole. Slices are asked one by one; a network of volumes, and a judge,
look at all of it at working resolution, as it is in memory for them, and only what comes after is done in parts.
Memory holds the maps of some slices, and what :class:`~src_core.review.region_slabs.RegionSlabs` keeps.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from src_core.data.case import Box
from src_core.data.scores import MAPS
from src_core.errors import storage_errors
from src_core.review.region_slabs import RegionSlabs
from src_core.store.runs import HELD_OUT
from src_core.train.parts import spans
from src_core.train.volume_parts import AT_ONCE, slab, slices_at_once
from src_core.train.working import SLAB_VOXELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.data.scores import ImageScore, Region
    from src_core.infer.held_out import HeldOut
    from src_core.infer.maps import Opinion
    from src_core.infer.score import Scorer
    from src_core.store.chunks import ChunkedArray
    from src_core.store.project import Project
    from src_core.store.runs import ScoreWriter
    from src_core.train.learner import Learner

CUBE = 256
"""Regions are numbered in boxes with sides of so many voxels, whole chunks."""


class VolumeScoring:
    """Scores the large volumes of a project.

    Parameters
    ----------
    project : Project
    scorer : Scorer
    writer : ScoreWriter
    held_out : HeldOut
    volumes : sequence of sequence of int
        For each the positions of its cases in the working set.

    Attributes
    ----------
    count : int
        Parts of all these volumes.
    regions : list of Region
    images : list of ImageScore
    """

    def __init__(
        self,
        project: Project,
        scorer: Scorer,
        writer: ScoreWriter,
        held_out: HeldOut,
        volumes: Sequence[Sequence[int]],
    ) -> None:
        self._project, self._scorer, self._writer, self._held_out = project, scorer, writer, held_out
        self._volumes = volumes
        self.count = sum(map(self._count, volumes))
        self.regions: list[Region] = []
        self.images: list[ImageScore] = []

    def steps(self) -> Iterator[None]:
        """Score some slices after the others; the results of a volume are there after its last ones.

        Raises
        ------
        StorageError
            If the disk is full.
        """
        for members in self._volumes:
            yield from self._steps_of(members)

    def _steps_of(self, members: Sequence[int]) -> Iterator[None]:
        case, row = self._scorer.cases[members[0]].info, self._project.version()[1]
        by, twin = self._held_out.network(members)
        kinds = MAPS if twin is None else {**MAPS, HELD_OUT: np.uint8}
        described = {name: (case.shape, np.dtype(kind)) for name, kind in kinds.items()}
        arrays = self._writer.start(case.id, described, by, complete=False)
        finder = RegionSlabs(case, self._scorer.cases[members[0]].across)
        asked = _Asked(
            known=self._scorer.known(members),
            twin=twin,
            labels=None if twin is None else self._held_out.known(twin, members),
        )
        parts = self._parts(members, asked, finder, arrays)
        for _ in range(self._count(members) - 1):
            next(parts)
            yield
        next(parts)
        self._finish(case, finder, arrays, row)
        yield

    def _boxes(self, members: Sequence[int]) -> list[tuple[Box, list[Box]]]:
        """What is written together, with the parts of it that are scored one after the other."""
        case = self._scorer.cases[members[0]]
        shape, axis = case.info.shape, case.across
        written, scored = (slices_at_once(shape, axis, most) for most in (AT_ONCE, SLAB_VOXELS))
        return [
            (slab(shape, axis, span), [slab(shape, axis, part) for part in spans(span.stop, scored, span.start)])
            for span in spans(shape[axis], written)
        ]

    def _count(self, members: Sequence[int]) -> int:
        return sum(len(parts) for _, parts in self._boxes(members))

    def _parts(
        self, members: Sequence[int], asked: _Asked, finder: RegionSlabs, arrays: dict[str, ChunkedArray]
    ) -> Iterator[None]:
        """Score part by part; what was scored is written with the last part of what is written together."""
        for box, parts in self._boxes(members):
            found = {name: np.empty(box.shape, array.dtype) for name, array in arrays.items()}
            for part in parts:
                for name, values in self._score(members, part, asked, finder):
                    found[name][part.within(box)] = values
                if part.stop == box.stop:
                    with storage_errors(arrays["regions"].folder, "The scores before are still there."):
                        for name, array in arrays.items():
                            array.write(box, found[name])
                yield

    def _score(
        self, members: Sequence[int], box: Box, asked: _Asked, finder: RegionSlabs
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """Maps of some slices by name, with the groups that :meth:`RegionSlabs.add` tells instead of regions."""
        axis = self._scorer.cases[members[0]].across
        span = slice(box.start[axis], box.stop[axis])
        label, verified = self._project.read_labels(finder.case, box)
        maps = self._scorer.part(members, span, label, verified, asked.known, finder.case.shape)
        for field in fields(maps):
            yield field.name, getattr(maps, field.name)
        shown = {"trust": maps.trust, "uncertainty": maps.uncertainty}
        yield "regions", finder.add(box, **shown, label=label, proposed=maps.proposed, verified=verified)
        if asked.twin is not None:
            yield HELD_OUT, self._held_out.part(asked.twin, members, span, asked.labels)

    def _finish(self, case: CaseInfo, finder: RegionSlabs, arrays: dict[str, ChunkedArray], row: int) -> None:
        regions = arrays["regions"]
        with storage_errors(regions.folder, "The scores before are still there."):
            for box in _cubes(case.shape):
                regions.write(box, finder.numbered(regions.read(box)))
            for array in arrays.values():
                array.finish()
        found, quality = finder.finish(lambda name, box: arrays[name].read(box), row)
        self.regions += found
        self.images.append(quality)


class _Asked(NamedTuple):
    """What is known of a volume whose parts are no cases of their own, by the network and by one that held it out."""

    known: Opinion | None
    twin: Learner | None
    labels: NDArray[np.uint8] | None


def _cubes(shape: tuple[int, ...]) -> Iterator[Box]:
    for start in product(*(range(0, edge, CUBE) for edge in shape)):
        yield Box(start, tuple(min(corner + CUBE, edge) for corner, edge in zip(start, shape, strict=True)))
