"""Scores of large volumes: some slices at a time, written as they are made.

What is said of a volume is what is said of it whole. Slices are asked one by one; a network of volumes, and a judge,
look at all of it at working resolution, as it is in memory for them, and only what comes after is done in parts.
Memory holds the maps of some slices, and what :class:`~src_core.review.region_slabs.RegionSlabs` keeps.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import Box
from src_core.data.slices import slice_axis
from src_core.errors import storage_errors
from src_core.infer.score_tiles import KINDS
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
    from src_core.infer.maps import Maps, Opinion
    from src_core.infer.score import Scorer
    from src_core.store.chunks import ChunkedArray
    from src_core.store.project import Project
    from src_core.store.runs import ScoreWriter

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
        self.count = sum(len(self._boxes(members)) for members in volumes)
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

    def _axis(self, members: Sequence[int]) -> int:
        """Across which the parts of a volume follow each other."""
        case = self._scorer.cases[members[0]]
        return 0 if case.at is None else slice_axis(case.info)

    def _boxes(self, members: Sequence[int]) -> list[Box]:
        shape, axis = self._scorer.cases[members[0]].info.shape, self._axis(members)
        return [slab(shape, axis, span) for span in spans(shape[axis], slices_at_once(shape, axis, AT_ONCE))]

    def _steps_of(self, members: Sequence[int]) -> Iterator[None]:
        case, axis, row = self._scorer.cases[members[0]].info, self._axis(members), self._project.version()[1]
        by, twin = self._held_out.network(members)
        kinds = KINDS if twin is None else {**KINDS, HELD_OUT: np.uint8}
        described = {name: (case.shape, np.dtype(kind)) for name, kind in kinds.items()}
        arrays = self._writer.start(case.id, described, by, complete=False)
        finder, boxes, known = RegionSlabs(case, axis), self._boxes(members), self._scorer.known(members)
        held_out = None if twin is None else self._held_out.known(twin, members)
        for number, box in enumerate(boxes, start=1):
            self._score(members, box, axis, known, finder, arrays)
            if twin is not None:
                span = slice(box.start[axis], box.stop[axis])
                self._write(arrays, HELD_OUT, box, self._held_out.part(twin, members, span, held_out))
            if number < len(boxes):
                yield
        self._finish(case, finder, arrays, row)
        yield

    def _score(
        self,
        members: Sequence[int],
        box: Box,
        axis: int,
        known: Opinion | None,
        finder: RegionSlabs,
        arrays: dict[str, ChunkedArray],
    ) -> None:
        """Score some slices and write their maps, the groups of :meth:`RegionSlabs.add` for regions."""
        label, verified = self._project.read_labels(self._scorer.cases[members[0]].info, box)
        maps = self._scorer.part(members, slice(box.start[axis], box.stop[axis]), label, verified, known)
        self._write(arrays, "regions", box, _seen(finder, box, axis, maps, label, verified))
        for each in fields(maps):
            self._write(arrays, each.name, box, getattr(maps, each.name))

    def _write(self, arrays: dict[str, ChunkedArray], name: str, box: Box, values: NDArray[Any]) -> None:
        with storage_errors(arrays[name].folder, "The scores before are still there."):
            arrays[name].write(box, values)

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


def _seen(
    finder: RegionSlabs,
    box: Box,
    axis: int,
    maps: Maps,
    label: NDArray[np.uint8],
    verified: NDArray[np.uint8],
) -> NDArray[np.int32]:
    """Numbers of groups in a part of a volume, which is looked at in still smaller ones."""
    numbers = np.empty(box.shape, np.int32)
    for span in spans(box.shape[axis], slices_at_once(finder.case.shape, axis, SLAB_VOXELS)):
        inside = slab(box.shape, axis, span)
        place = inside.slices
        numbers[place] = finder.add(
            inside.moved(box.start),
            trust=maps.trust[place],
            uncertainty=maps.uncertainty[place],
            label=label[place],
            proposed=maps.proposed[place],
            verified=verified[place],
        )
    return numbers


def _cubes(shape: tuple[int, ...]) -> Iterator[Box]:
    for start in product(*(range(0, edge, CUBE) for edge in shape)):
        yield Box(start, tuple(min(corner + CUBE, edge) for corner, edge in zip(start, shape, strict=True)))
