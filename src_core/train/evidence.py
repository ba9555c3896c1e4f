"""How much verified data there is, what may be done with it, and how the person is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from src_core.config import TrainingSettings
    from src_core.train.cases import CaseSet, WorkCase

LOW_RATE = 0.1
MIN_CONFIRMED_SHARE = 0.25


@dataclass(frozen=True)
class Plan:
    """What the verified pixels of this moment allow.

    Attributes
    ----------
    use_meta : bool
        False when they are too few to judge labels: the teacher's opinion alone weighs the pixels.
    low_evidence : bool
        True when they are few: the evidence counts slowly, and its scale is not fitted.
    corrected_weight : float
        Weight of a corrected pixel in the verified loss, 1 unless confirmed ones are rare.
    class_weights : array, float32, (C,)
        Weight of each class in the verified loss.
    class_pixels : tuple of int, (C,)
        Verified pixels of each class.
    boundary_offset : float or None
        Mean distance of the given boundaries outwards from the verified ones, px at working resolution.
    notice : str
        One sentence for the person; empty when all is well.
    """

    use_meta: bool
    low_evidence: bool
    corrected_weight: float
    class_weights: torch.Tensor
    notice: str
    boundary_offset: float | None = None
    class_pixels: tuple[int, ...] = ()


def make_plan(data: CaseSet, settings: TrainingSettings) -> Plan:
    """Look at what is verified now and decide what it allows (docs/method.md, failure modes)."""
    counts = tuple(int(count) for count in _class_counts(data))
    return replace(_what_is_allowed(data, settings), boundary_offset=boundary_offset(data.cases), class_pixels=counts)


def boundary_offset(cases: list[WorkCase]) -> float | None:
    """How far, on average, the given boundaries lie outside of the verified ones.

    An error that all given masks share can be seen only where masks are verified.

    Returns
    -------
    float or None
        In px at working resolution; negative where masks are drawn too small; None when no case shows both boundaries.
    """
    offsets = []
    for case in cases:
        verified, given, true = (values.numpy() for values in (case.verified_X, case.given_X, case.label_X))
        for index in np.unique(true[(verified > 0) & (true > 0) & (true != IGNORE)]):
            edge = (given == index) & ~ndimage.binary_erosion(given == index) & (verified > 0)
            if edge.any():
                outside, inside = (ndimage.distance_transform_edt(mask) for mask in (true != index, true == index))
                offsets.append(np.where(true == index, 1 - inside, outside)[edge])
    return float(np.concatenate(offsets).mean()) if offsets else None


def _what_is_allowed(data: CaseSet, settings: TrainingSettings) -> Plan:
    summary = data.verified_summary()
    counts = _class_counts(data)
    corrected_weight = _corrected_weight(summary)
    weights = torch.from_numpy(_class_weights(counts, settings.class_balance))
    pixels, images = summary["pixels"], summary["images"]
    present = int((counts > 0).sum())
    if pixels < settings.min_verified:
        return Plan(False, True, corrected_weight, weights, _too_few(pixels, settings.min_verified))
    if present < 2:
        text = (
            f"All {pixels} verified pixels are of one class, so they cannot judge labels; the model's own opinion is "
            "used alone. Verify some pixels of another class."
        )
        return Plan(False, True, corrected_weight, weights, text)
    low = images < 3 or pixels < settings.low_verified or present < data.classes
    text = ""
    if low:
        text = (
            f"Only {pixels} pixels in {images} image{'s' * (images != 1)} are verified, so they are believed with "
            "care; verify at least 3 images that show every class."
        )
    elif corrected_weight < 1:
        text = (
            "Nearly all verified pixels are corrections, which would teach that labels are wrong everywhere; they "
            "count less until more labels are confirmed as right (keep)."
        )
    return Plan(True, low, corrected_weight, weights, text)


def _too_few(pixels: int, needed: int) -> str:
    if pixels == 0:
        return (
            "Nothing is verified yet, so the model learns from the given masks alone; mark a few masks as right to "
            "let it judge the others."
        )
    return (
        f"Only {pixels} pixels are verified and at least {needed} are needed to judge labels; the model's own "
        "opinion is used alone until more is verified."
    )


def _class_counts(data: CaseSet) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    counts = np.zeros(data.classes, dtype=np.int64)
    for case in data.cases:
        labels = case.label_X[(case.verified_X > 0) & (case.label_X != IGNORE)].numpy()
        counts += np.bincount(labels, minlength=data.classes)[: data.classes]
    return counts


def _class_weights(
    counts: np.ndarray[tuple[int], np.dtype[np.int64]], power: float
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A power of the inverse class frequency, clipped to [0.2, 5]; 1 for a class that was not seen."""
    total, classes = counts.sum(), max(len(counts), 2)
    weights = np.ones(classes, dtype=np.float32)
    seen = np.flatnonzero(counts)
    if total and len(seen):
        weights[seen] = np.clip((total / (len(seen) * counts[seen])) ** power, 0.2, 5)
    return weights


def _corrected_weight(summary: dict[str, int]) -> float:
    """Weight that brings corrections down to half of all when less than a quarter of the pixels are confirmed."""
    confirmed = summary["confirmed"] + summary["background"]
    if not summary["pixels"] or confirmed >= MIN_CONFIRMED_SHARE * summary["pixels"]:
        return 1.0
    return max(confirmed, 1) / summary["corrected"]
