"""The cases of a project at the resolution that training works on.

Shape suffixes: I input channels, X space axes (2 or 3) of one case; sides differ between cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from skimage.transform import resize

from src_core.data.case import IGNORE, Verified
from src_core.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.store.project import Project


@dataclass
class WorkCase:
    """One case at working resolution.

    Attributes
    ----------
    info : CaseInfo
    image_IX : Tensor, float32
        Zero mean and unit spread after clipping at the 0.5 and 99.5 percentiles.
    label_X : Tensor, uint8
        Current label: class index or ``IGNORE``.
    given_X : Tensor, uint8
        The label that the source mask gave.
    verified_X : Tensor, uint8
        Values of :class:`~src_core.data.case.Verified`; 0 where the label is ``IGNORE``.
    """

    info: CaseInfo
    image_IX: torch.Tensor
    label_X: torch.Tensor
    given_X: torch.Tensor
    verified_X: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides at working resolution, px."""
        return tuple(self.label_X.shape)

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


def work_shape(shape: tuple[int, ...], max_side: int) -> tuple[int, int]:
    """Height and width after shrinking so that the longer side is at most ``max_side``; never enlarged."""
    scale = min(1.0, max_side / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def normalise(image: NDArray[np.generic], channels: int) -> NDArray[np.float32]:
    """Image as ``(channels, H, W)``, clipped at the 0.5 and 99.5 percentiles, zero mean, unit spread.

    A grey image is repeated over the channels when other images of the project have colour.
    """
    values = np.atleast_3d(np.asarray(image, dtype=np.float32))
    low, high = np.percentile(values, (0.5, 99.5))
    values = np.clip(values, low, high)
    values = (values - values.mean()) / max(float(values.std()), 1e-6)
    if values.shape[2] < channels:
        values = np.repeat(values[:, :, :1], channels, axis=2)
    return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)


def resize_image(image_IX: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resample linearly, smoothing first when shrinking."""
    if image_IX.shape[1:] == shape:
        return image_IX
    full = (image_IX.shape[0], *shape)
    return np.asarray(resize(image_IX, full, order=1, anti_aliasing=True, preserve_range=True), dtype=np.float32)


def resize_labels(labels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Resample by the nearest pixel centre."""
    if labels.shape == shape:
        return np.array(labels)
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(np.intp), old - 1)
        for n, old in zip(shape, labels.shape, strict=True)
    )
    return np.ascontiguousarray(labels[np.ix_(rows, columns)])


class CaseSet:
    """Cases in memory, all that training needs to know of them.

    Parameters
    ----------
    cases : list of WorkCase
        At least one; all with the same number of channels and of space axes.
    classes : int
        Background included.
    """

    def __init__(self, cases: list[WorkCase], classes: int) -> None:
        self.cases = cases
        self.classes = classes
        self.channels = int(cases[0].image_IX.shape[0])
        self.spatial_dims = len(cases[0].shape)

    def refresh(self) -> bool:
        """Take up what was verified meanwhile; True if there was something new."""
        return False

    def verified_ids(self) -> set[int]:
        """Ids of the cases that hold verified pixels."""
        return {case.info.id for case in self.cases if case.verified_pixels > 0}

    def verified_summary(self) -> dict[str, int]:
        """Verified pixels in use, at working resolution: in all, and by how they were verified."""
        counts = np.zeros(4, dtype=np.int64)
        images = 0
        for case in self.cases:
            kinds = np.bincount(case.verified_X.numpy().ravel(), minlength=4)[:4]
            counts += kinds
            images += int(kinds[1:].sum() > 0)
        return {
            "pixels": int(counts[1:].sum()),
            "images": images,
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
    """

    def __init__(self, project: Project, max_side: int) -> None:
        if not project.cases:
            raise TrainingError(f"Project {project.name} has no images; add some before training.")
        self._project = project
        self._max_side = max_side
        self._version = project.version()
        channels = max(case.channels for case in project.cases)
        super().__init__([self._load(case, channels) for case in project.cases], len(project.classes))

    def _load(self, case: CaseInfo, channels: int) -> WorkCase:
        shape = work_shape(case.shape, self._max_side)
        image = resize_image(normalise(self._project.read_image(case), channels), shape)
        given = resize_labels(self._project.read_given(case), shape)
        label, verified = self._labels(case)
        return WorkCase(case, torch.from_numpy(image), label, torch.from_numpy(given), verified)

    def _labels(self, case: CaseInfo) -> tuple[torch.Tensor, torch.Tensor]:
        shape = work_shape(case.shape, self._max_side)
        label, verified = self._project.read_labels(case)
        label, verified = resize_labels(label, shape), resize_labels(verified, shape)
        verified[(label == IGNORE) | (verified == Verified.UNSURE)] = Verified.NO
        return torch.from_numpy(label), torch.from_numpy(verified)

    def refresh(self) -> bool:
        """Read labels and verified masks again if the project has changed since.

        Returns
        -------
        bool
            True if there was something new.
        """
        version = self._project.version()
        if version == self._version:
            return False
        self._version = version
        for case in self.cases:
            case.label_X, case.verified_X = self._labels(case.info)
        return True
