"""Scores of images that are worked on in tiles: tile by tile, written as they are made.

A tile is asked for with a halo around it, so that the network sees the surroundings of its rim. Some of the halo is
blended into the tiles that follow (:mod:`~src_core.infer.seams`), the rest is cut off. Memory holds one tile, and what
:class:`~src_core.review.region_blocks.RegionBlocks` keeps.

Shape suffixes: C classes, K maps, X space axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from src_core.data.scores import MAPS
from src_core.errors import storage_errors
from src_core.infer.maps import Opinion
from src_core.infer.seams import Seams
from src_core.review.region_blocks import RegionBlocks
from src_core.train.heap import give_back
from src_core.train.working import enlarged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.data.scores import ImageScore, Region
    from src_core.infer.maps import Maps
    from src_core.infer.score import Scorer
    from src_core.store.chunks import ChunkedArray
    from src_core.store.project import Project
    from src_core.store.runs import ScoreWriter
    from src_core.train.cases import WorkingSet
    from src_core.train.tile_reader import TileReader

HALO = 32
"""Working px around a tile that the network sees, too."""


class TiledScoring:
    """Scores all images of a project that are cut into tiles.

    Parameters
    ----------
    project : Project
    scorer : Scorer
    data : WorkingSet
    writer : ScoreWriter
    kept : collection of int
        Ids of images that are not to be scored.

    Attributes
    ----------
    count : int
        Tiles of all these images.
    regions : list of Region
    images : list of ImageScore
    """

    def __init__(
        self, project: Project, scorer: Scorer, data: WorkingSet, writer: ScoreWriter, kept: Collection[int] = ()
    ) -> None:
        self._project, self._scorer, self._data, self._writer = project, scorer, data, writer
        self._positions = {
            (case.info.id, case.tile): index for index, case in enumerate(data.cases) if case.tile is not None
        }
        cut = (case for case in project.cases if data.tiling is not None and data.tiling.cuts(case))
        self._cases = [case for case in cut if case.id not in kept]
        self.count = sum(data.tiling.count(case) for case in self._cases) if data.tiling is not None else 0
        self.regions: list[Region] = []
        self.images: list[ImageScore] = []
        self._seams: Seams | None = None

    def steps(self) -> Iterator[None]:
        """Score one tile after the other; the results of an image are there after its last one.

        The tiles that were learned from are read again when their turn comes, so their images are let go of.

        Raises
        ------
        StorageError
            If the disk is full.
        """
        for learned in self._data.cases:
            if learned.tile is not None:
                learned.image_IX = torch.empty(0)
        give_back()
        for case in self._cases:
            yield from self._steps_of(case)

    def _steps_of(self, case: CaseInfo) -> Iterator[None]:
        assert self._data.tiling is not None
        row = self._project.version()[1]
        arrays = self._writer.start(case.id, {name: (case.shape, np.dtype(kind)) for name, kind in MAPS.items()})
        blocks, self._seams = RegionBlocks(case), Seams(self._data.tiling, case)
        count = self._data.tiling.count(case)
        for number in range(count):
            self._score(case, number, arrays, blocks)
            if number + 1 < count:
                yield
        with storage_errors(arrays["regions"].folder, "The scores before are still there."):
            for number in range(count):
                box = self._data.tiling.box(case, number)
                arrays["regions"].write(box, blocks.numbered(arrays["regions"].read(box)))
        found, quality = blocks.finish(lambda name, box: arrays[name].read(box), row)
        self.regions += found
        self.images.append(quality)
        yield

    def _score(self, case: CaseInfo, number: int, arrays: dict[str, ChunkedArray], blocks: RegionBlocks) -> None:
        assert self._data.tiling is not None
        box = self._data.tiling.box(case, number)
        label, verified = self._project.read_labels(case, box)
        found = self.maps(case, number, label, verified)
        numbers = blocks.add(
            box,
            trust=found.trust,
            uncertainty=found.uncertainty,
            label=label,
            proposed=found.proposed,
            verified=verified,
        )
        with storage_errors(arrays["regions"].folder, "The scores before are still there."):
            for name, array in arrays.items():
                array.write(box, numbers if name == "regions" else getattr(found, name))

    def maps(self, case: CaseInfo, number: int, label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> Maps:
        """Maps of one tile, given its current label and how it was verified, at full size."""
        tiling = self._data.tiling
        assert tiling is not None
        box = tiling.box(case, number)
        opinion = self._opinion(case, number, box, tiling.around(case, box, HALO), self._data.reader(case))
        return self._scorer.at_full_size(opinion, label, verified)

    def _opinion(self, case: CaseInfo, number: int, box: Box, outer: Box, reader: TileReader) -> Opinion:
        """What is known of a tile, at full size."""
        learner = self._scorer.learner
        image_1IX = torch.from_numpy(reader.image(outer))[None].to(learner.device)
        looked_1KX = self._scorer.ask(image_1IX, sparing=True)
        if self._seams is not None:
            looked_1KX = self._seams.blend(number, box, outer, looked_1KX)
        prior_1CX = self._scorer.prior_of(looked_1KX[:, :-1], reader.given(outer))
        evidence_1CX = torch.zeros_like(prior_1CX)
        position = self._positions.get((case.id, number))
        if position is not None:
            known_CX = learner.weigher.memory.read(position).to(learner.device)
            rows, columns = self._core(box, outer, known_CX.shape[1:])
            evidence_1CX[0, :, rows, columns] = known_CX
        maps = prior_1CX, evidence_1CX, looked_1KX[:, -1:]
        tiling = self._data.tiling
        assert tiling is not None
        return Opinion(*(at_full_size(values, box, outer, tiling.step) for values in maps))

    def _core(self, box: Box, outer: Box, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Where a tile lies in what surrounds it, working px."""
        assert self._data.tiling is not None
        starts = [(a - o) // self._data.tiling.step for a, o in zip(box.start, outer.start, strict=True)]
        return tuple(slice(start, start + edge) for start, edge in zip(starts, shape, strict=True))


def at_full_size(values_1KX: torch.Tensor, box: Box, outer: Box, step: int) -> torch.Tensor:
    """Maps of a tile in px of the image, ``(1, K, X)``, cut out of those of its surroundings at working resolution."""
    full = tuple(edge * step for edge in values_1KX.shape[2:])
    rows, columns = box.within(outer)
    return enlarged(values_1KX, full, slice(0, full[0]))[:, :, rows, columns]
