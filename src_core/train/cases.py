"""The cases of a project at the resolution that training works on.

A case is an image, a slice of a volume, or a volume as a whole (:mod:`src_core.train.dimensions`). The slices of one
volume are a group: they are held out, split and weighed together.

Shape suffixes: I input channels, X space axes (2 or 3) of one case; sides differ between cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from src_core.data.case import Box, Verified, keep_what_teaches
from src_core.data.slices import slice_axis
from src_core.errors import TrainingError
from src_core.train.dimensions import working_spacing
from src_core.train.tile_pool import choose_tiles
from src_core.train.tile_reader import TileReader
from src_core.train.volume_parts import VolumeReader, is_large, labels_in_parts
from src_core.train.working import Working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.store.project import Project
    from src_core.train.dimensions import Dimensions
    from src_core.train.intensities import Intensities
    from src_core.train.tiles import Tiling


@dataclass
class WorkCase:
    """One case at working resolution.

    Attributes
    ----------
    info : CaseInfo
        Of the image or of the whole volume.
    image_IX : Tensor, float32
        Zero mean and unit spread after clipping at the 0.5 and 99.5 percentiles.
    label_X : Tensor, uint8
        Current label: class index or ``IGNORE``.
    given_X : Tensor, uint8
        The label that the source mask gave.
    verified_X : Tensor, uint8
        Values of :class:`~src_core.data.case.Verified`; 0 where the label is ``IGNORE``.
    at : int or None
        Which slice of a volume it is; None for an image, and for a volume as a whole.
    tile : int or None
        Which tile of a large image it is (:mod:`src_core.train.tiles`). Tiles do not overlap, and are no group.
    """

    info: CaseInfo
    image_IX: torch.Tensor
    label_X: torch.Tensor
    given_X: torch.Tensor
    verified_X: torch.Tensor
    at: int | None = None
    tile: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides at working resolution, px."""
        return tuple(self.label_X.shape)

    @property
    def across(self) -> int:
        """The axis of the volume across its slices; 0 where the case is no slice, but all of an image or a volume."""
        return 0 if self.at is None else slice_axis(self.info)

    @property
    def verified_pixels(self) -> int:
        """Number of verified pixels at working resolution."""
        return int((self.verified_X > 0).sum())

    @property
    def candidate_X(self) -> torch.Tensor:
        """The label whose truth is in question: the given one where a person has decided, else the current one.

        Only so do verified pixels show how good the weights are at telling right labels from wrong ones.
        """
        return torch.where(self.verified_X > 0, self.given_X, self.label_X)


def groups_of(cases: Sequence[WorkCase]) -> tuple[int, ...]:
    """Which cases belong together: for each the position of the first slice of its volume, or its own."""
    first: dict[int, int] = {}
    return tuple(
        index if case.at is None else first.setdefault(case.info.id, index) for index, case in enumerate(cases)
    )


def grouped(chosen: Iterable[int], groups: Sequence[int]) -> list[list[int]]:
    """Positions of cases, those that belong together in one list."""
    found: dict[int, list[int]] = {}
    for index in chosen:
        found.setdefault(groups[index], []).append(index)
    return list(found.values())


class CaseSet:
    """Cases in memory, all that training needs to know of them.

    Parameters
    ----------
    cases : list of WorkCase
        At least one; all with the same number of channels and of space axes.
    classes : int
        Background included.

    Attributes
    ----------
    groups : tuple of int
        See :func:`groups_of`.
    dimensions : str
        ``2d``, ``2.5d`` or ``3d``.
    spacing : float
        Edge of a voxel of volumes that are worked on as a whole.
    tiling : Tiling or None
        How large images are cut; None where none is.
    tiles : dict of int to tuple of int
        By case id, the tiles of a large image that are among the cases.
    known : int or None
        So many cases, the first ones, are those that a run was trained among; what follows was added to the project
        later. None where all are.
    intensities : Intensities or None
        Scale of all images; None where each has its own.
    """

    dimensions: Dimensions = "2d"
    spacing: float = 1.0
    tiling: Tiling | None = None
    tiles: Mapping[int, tuple[int, ...]] = MappingProxyType({})
    known: int | None = None
    intensities: Intensities | None = None

    def __init__(self, cases: list[WorkCase], classes: int) -> None:
        self.cases = cases
        self.classes = classes
        self.groups = groups_of(cases)
        self.channels = int(cases[0].image_IX.shape[0])
        self.spatial_dims = len(cases[0].shape)

    def refresh(self) -> bool:
        """Take up what was verified or added meanwhile; True if there was something new."""
        return False

    @property
    def order(self) -> list[int]:
        """Ids of the images, in the order of their cases."""
        return list(dict.fromkeys(case.info.id for case in self.cases))

    def follow(self, order: Iterable[int], tiles: Mapping[int, tuple[int, ...]]) -> None:
        """Take up images that another process has taken up: its :attr:`order` and ``tiles``."""

    def verified_ids(self) -> set[int]:
        """Ids of the cases that hold verified pixels."""
        return {case.info.id for case in self.cases if case.verified_pixels > 0}

    def verified_summary(self) -> dict[str, int]:
        """Verified pixels in use, at working resolution: in all, and by how they were verified."""
        counts = np.zeros(4, dtype=np.int64)
        images = set()
        for group, case in zip(self.groups, self.cases, strict=True):
            kinds = np.bincount(case.verified_X.numpy().ravel(), minlength=4)[:4]
            counts += kinds
            if kinds[1:].any():
                images.add(group)
        return {
            "pixels": int(counts[1:].sum()),
            "images": len(images),
            "confirmed": int(counts[Verified.CONFIRMED]),
            "corrected": int(counts[Verified.CORRECTED]),
            "background": int(counts[Verified.BACKGROUND]),
        }


class WorkingSet(CaseSet):
    """All cases of a project at working resolution, kept in step with what is verified meanwhile.

    Parameters
    ----------
    project : Project
        Open for reading; it may be written by another process at the same time.
    max_side : int
        Longest side at working resolution, px.
    dimensions : str
        What becomes of volumes (:func:`~src_core.train.dimensions.choose_dimensions`).
    tiling : Tiling, optional
        How large images are cut.
    tiles : mapping of int to tuple of int, optional
        Tiles to take, by case id; chosen by ``seed`` where they are left out.
    intensities : Intensities, optional
        Scale of all images; each has its own when left out.
    seed : int
    known : sequence of int, optional
        Ids of the images that a run has, in its order; the others follow. All by name when left out.
    spacing : float, optional
        Of volumes that are worked on as a whole, as the run has it.

    Attributes
    ----------
    working : Working
    """

    tiles: dict[int, tuple[int, ...]]

    def __init__(
        self,
        project: Project,
        max_side: int,
        dimensions: Dimensions = "2d",
        *,
        tiling: Tiling | None = None,
        tiles: Mapping[int, tuple[int, ...]] | None = None,
        intensities: Intensities | None = None,
        seed: int = 0,
        known: Sequence[int] = (),
        spacing: float | None = None,
    ) -> None:
        if not project.cases:
            raise TrainingError(f"Project {project.name} has no images; add some before training.")
        self.dimensions = dimensions
        self.spacing = 1.0
        if dimensions == "3d":
            self.spacing = working_spacing(project.cases, max_side) if spacing is None else spacing
        self._project = project
        self._version = project.version()
        self.working = Working(
            channels=max(case.channels for case in project.cases),
            max_side=max_side,
            dimensions=dimensions,
            spacing=self.spacing,
            tiling=tiling,
            intensities=intensities,
        )
        self.tiling, self.intensities, self._seed = tiling, intensities, seed
        self.tiles = dict(tiles or {})
        self._readers: dict[int, TileReader] = {}
        infos = [project.case(case_id) for case_id in known] or list(project.cases)
        there = {case.id for case in infos}
        later = sorted((case for case in project.cases if case.id not in there), key=lambda case: case.id)
        cases = self._loaded(infos)
        self.known = len(cases) if known else None
        super().__init__(cases + self._loaded(later), len(project.classes))

    def _loaded(self, infos: Sequence[CaseInfo]) -> list[WorkCase]:
        """The cases of some images; tiles of large ones are chosen first, where they are not known."""
        if self.tiling is not None:
            cut = sum(map(self.tiling.cuts, self._project.cases))
            for case in filter(self.tiling.cuts, infos):
                if case.id not in self.tiles:
                    self.tiles[case.id] = choose_tiles(self._project, case, self.tiling, cut, self._seed)
        return [each for case in infos for each in self._load(case)]

    def reader(self, case: CaseInfo) -> TileReader:
        """Reads tiles of an image that is cut."""
        assert self.tiling is not None
        if case.id not in self._readers:
            self._readers[case.id] = TileReader(
                self._project, case, self.tiling, self.working.channels, self.intensities
            )
        return self._readers[case.id]

    def _load_tiles(self, case: CaseInfo) -> list[WorkCase]:
        assert self.tiling is not None
        reader, found = self.reader(case), []
        for number in self.tiles.get(case.id, ()):
            box = self.tiling.box(case, number)
            arrays = (reader.image(box), *reader.labels(box), reader.given(box))
            image, label, verified, given = (torch.from_numpy(values) for values in arrays)
            found.append(WorkCase(case, image, label, given, verified, tile=number))
        return found

    def _load(self, case: CaseInfo) -> list[WorkCase]:
        if self.tiling is not None and self.tiling.cuts(case):
            return self._load_tiles(case)
        if is_large(case.shape):
            images = VolumeReader(lambda box: self._project.read_image(case, box), case, self.working).images()
        else:
            images = self.working.images(case, self._project.read_image(case))
        (given,) = map(torch.from_numpy, self._at_work(case, lambda box: (self._project.read_given(case, box),)))
        label, verified = self._labels(case)
        if not self.working.cuts(case):
            return [WorkCase(case, images[0], label, given, verified)]
        parts = enumerate(zip(images, label, given, verified, strict=True))
        return [WorkCase(case, *each, at=at) for at, each in parts]

    def _labels(self, case: CaseInfo) -> tuple[torch.Tensor, torch.Tensor]:
        label, verified = self._at_work(case, lambda box: self._project.read_labels(case, box))
        keep_what_teaches(case, label, verified)
        return torch.from_numpy(label), torch.from_numpy(verified)

    def _at_work(self, case: CaseInfo, read: Callable[[Box], tuple[NDArray[np.uint8], ...]]) -> list[NDArray[np.uint8]]:
        """Labels at working resolution; those of a large volume are read in parts."""
        if is_large(case.shape):
            return labels_in_parts(read, case, self.working)
        return [self.working.labels(case, values) for values in read(Box.whole(case.shape))]

    def refresh(self) -> bool:
        """Read labels and verified masks again if the project has changed since, and images that were added.

        Returns
        -------
        bool
            True if there was something new.
        """
        version = self._project.version()
        if version == self._version:
            return False
        self._version = version
        for members in grouped(range(len(self.cases)), self.groups):
            case = self.cases[members[0]]
            if self.tiling is not None and case.tile is not None:
                arrays = self.reader(case.info).labels(self.tiling.box(case.info, case.tile))
                case.label_X, case.verified_X = map(torch.from_numpy, arrays)
                continue
            label, verified = self._labels(self.cases[members[0]].info)
            for index in members:
                case = self.cases[index]
                case.label_X, case.verified_X = (
                    (label, verified) if case.at is None else (label[case.at], verified[case.at])
                )
        self._project.take_added()
        self._append(sorted({case.id for case in self._project.cases} - set(self.order)))
        return True

    def follow(self, order: Iterable[int], tiles: Mapping[int, tuple[int, ...]]) -> None:
        """Take up images that another process has taken up: its :attr:`order` and ``tiles``."""
        self._project.take_added()
        self.tiles.update(tiles)
        there = set(self.order)
        self._append([case_id for case_id in order if case_id not in there])

    def _append(self, ids: Iterable[int]) -> None:
        """Load images behind the others, so that each of those keeps its position."""
        self.cases += self._loaded([self._project.case(case_id) for case_id in ids])
        self.groups = groups_of(self.cases)
