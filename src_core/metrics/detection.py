"""How well a score finds wrong labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.measure import label as connected_components
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BAND = 10


@dataclass(frozen=True)
class Detection:
    """Ranking quality of a score for wrong pixels.

    Attributes
    ----------
    auroc, average_precision : float
        In [0, 1]; NaN when all pixels are right or all are wrong.
    prevalence : float
        Share of wrong pixels: what average precision would be for a score that knows nothing.
    pixels : int
    """

    auroc: float
    average_precision: float
    prevalence: float
    pixels: int

    def to_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def detection(score: NDArray[np.floating], wrong: NDArray[np.bool_]) -> Detection:
    """Compare a score (higher is more suspect) with the truth, pixel by pixel."""
    wrong, score = wrong.ravel(), score.ravel()
    prevalence = float(wrong.mean()) if wrong.size else float("nan")
    if not 0 < prevalence < 1:
        return Detection(float("nan"), float("nan"), prevalence, wrong.size)
    return Detection(
        float(roc_auc_score(wrong, score)),
        float(average_precision_score(wrong, score)),
        prevalence,
        wrong.size,
    )


def boundary_distance(labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Distance of each pixel to the nearest pixel that touches another label, px; infinite when there is none."""
    edge = ndimage.maximum_filter(labels, size=3) != ndimage.minimum_filter(labels, size=3)
    if not edge.any():
        return np.full(labels.shape, np.inf)
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~edge)
    return distance


def boundary_band(given: NDArray[np.uint8], truth: NDArray[np.uint8], width: float = BAND) -> NDArray[np.bool_]:
    """Pixels within ``width`` px of the boundary of either label image."""
    band: NDArray[np.bool_] = np.minimum(boundary_distance(given), boundary_distance(truth)) <= width
    return band


def detection_over_images(
    scores: Sequence[NDArray[np.floating]],
    given: Sequence[NDArray[np.uint8]],
    truth: Sequence[NDArray[np.uint8]],
) -> dict[str, Detection]:
    """Detection over the pixels of all images together: ``all`` and within the 10-px ``band`` of either boundary."""
    wrong = [g != t for g, t in zip(given, truth, strict=True)]
    bands = [boundary_band(g, t) for g, t in zip(given, truth, strict=True)]
    in_band = detection(
        np.concatenate([s[b] for s, b in zip(scores, bands, strict=True)]),
        np.concatenate([w[b] for w, b in zip(wrong, bands, strict=True)]),
    )
    everywhere = detection(np.concatenate([s.ravel() for s in scores]), np.concatenate([w.ravel() for w in wrong]))
    return {"all": everywhere, "band": in_band}


@dataclass(frozen=True)
class OperatingPoint:
    """What is found when every pixel above a threshold counts as wrong; in [0, 1], 0 where there is nothing to count.

    Attributes
    ----------
    precision, recall, f1 : float
    """

    precision: float
    recall: float
    f1: float

    def to_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def operating_point(score: NDArray[np.floating], wrong: NDArray[np.bool_], *, threshold: float = 0.5) -> OperatingPoint:
    """Precision, recall and F1 of calling pixels wrong whose score is above ``threshold``."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        wrong.ravel(), score.ravel() > threshold, average="binary", zero_division=0
    )
    return OperatingPoint(float(precision), float(recall), float(f1))


def component_recall(
    shown: Sequence[NDArray[np.bool_]], wrong: Sequence[NDArray[np.bool_]], *, min_pixels: int = 20, cover: float = 0.5
) -> float:
    """Share of the errors that a reviewer has met after some regions; NaN when there are no errors.

    An error is a connected group of wrong pixels (diagonals count).

    Parameters
    ----------
    shown : sequence of array, bool
        Pixels of the regions that were shown, one array a case.
    wrong : sequence of array, bool
        Pixels whose given label is wrong.
    min_pixels : int
        Smaller errors don't count, px.
    cover : float
        An error is met when this share of its pixels was shown.
    """
    met = errors = 0
    for seen, mask in zip(shown, wrong, strict=True):
        components = connected_components(mask, connectivity=mask.ndim)
        sizes = np.bincount(components.ravel())[1:]
        hits = np.bincount(components[seen].ravel(), minlength=len(sizes) + 1)[1:]
        counted = sizes >= min_pixels
        errors += int(counted.sum())
        met += int((hits[counted] >= cover * sizes[counted]).sum())
    return met / errors if errors else float("nan")
