"""Suspect regions: where to look first, and why."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.case import IGNORE, Box, is_verified
from src_core.data.scores import UNLABELLED, ImageScore, Region, RegionKind, Rest
from src_core.data.slices import slice_axis
from src_core.review.components import gathered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo

BELOW = 0.7
"""A label with less trust than this is doubted: at least three in ten such labels are wrong. Where the proposal
differs, looking is worth it, although the label may more often be right: masks are scored by their overlap, and an
object that is drawn too small costs more of that than one that is as much too large."""

MIN_PIXELS = 20
"""Smaller regions are not worth a person's decision; they still count in the estimates."""

REACH = 5
"""Pixels with one label and one proposal belong together that lie no further apart, px. An outline that is drawn
anew all around an object agrees with the old one here and there, and its pieces are one question to a person. A wider
reach joins what has to be answered piece by piece; what it brings and costs is in benchmarks/reports/regions.md."""

BAND_ABOVE = 0.5

NO_LABEL = IGNORE * 256 + IGNORE + 1
"""Number of the group of pixels that have no label, whatever is proposed for them."""


def doubted(
    trust: NDArray[np.float32], label: NDArray[np.uint8], verified: NDArray[np.uint8], below: float = BELOW
) -> NDArray[np.bool_]:
    """Pixels that have a label, were not verified, and are trusted less than ``below``."""
    mask: NDArray[np.bool_] = (trust < below) & (verified == 0) & (label != IGNORE)
    return mask


def disagreements(
    label: NDArray[np.uint8],
    proposed: NDArray[np.uint8],
    verified: NDArray[np.uint8],
    *,
    without_mask: bool = False,
) -> NDArray[np.int32]:
    """A number for each pair of label and proposal where they differ and nobody has looked, int32; 0 elsewhere.

    Of what has one number and lies together regions are made. Pixels without a label are in none, as
    they were left out on purpose; but of an image ``without_mask`` all that have a proposal have :data:`NO_LABEL`.
    """
    unseen = (proposed != label) & (verified == 0)
    pairs = np.where(unseen & (label != IGNORE), label.astype(np.int32) * 256 + proposed + 1, 0)
    if without_mask:
        pairs[unseen & (label == IGNORE)] = NO_LABEL
    return pairs.astype(np.int32, copy=False)


def reach_of(case: CaseInfo) -> tuple[int, ...]:
    """How far apart pixels of one region may lie along each axis, px; in a volume slices have to touch."""
    across = slice_axis(case) if len(case.shape) == 3 else None
    return tuple(1 if axis == across else REACH for axis in range(len(case.shape)))


def find_regions(
    case: CaseInfo,
    *,
    trust: NDArray[np.float32],
    uncertainty: NDArray[np.float32],
    label: NDArray[np.uint8],
    proposed: NDArray[np.uint8],
    verified: NDArray[np.uint8],
    min_pixels: int = MIN_PIXELS,
    below: float = BELOW,
) -> tuple[list[Region], NDArray[np.int32]]:
    """Groups of pixels that have one label now and another proposal, where at least one label is doubted.

    Pixels of a group lie near to each other (:data:`REACH`). It is taken whole, also where its pixels are doubted less:
    to accept it is to have the outline that the model would draw, not a ragged one between the two. One decision
    settles one region, so its score is the number of wrong pixels expected in it, the sum of ``1 - trust``. A region
    most of which lies in the uncertainty band is an ambiguous boundary, others are probable errors. Of an image that
    came without a mask, what has no label is a region of its own kind, whatever is proposed for it: the whole image as
    a rule.

    Parameters
    ----------
    case : CaseInfo
    trust, uncertainty : array, float32, (H, W), in [0, 1]
    label, proposed, verified : array, uint8, (H, W)
    min_pixels : int
        Smaller regions are left out, px.
    below : float
        Trust below which a label is doubted; without such a pixel a group of labels is no region.

    Returns
    -------
    regions : list of Region
        Best score first.
    numbers : array, int32, (H, W)
        The region's number at its pixels, 0 elsewhere.
    """
    pairs = disagreements(label, proposed, verified, without_mask=case.without_mask)
    components = gathered(pairs, reach_of(case))
    sizes = np.bincount(components.ravel())
    seeds = np.bincount(components[doubted(trust, label, verified, below)], minlength=len(sizes))
    seeds[np.unique(components[pairs == NO_LABEL])] = 1
    kept = np.flatnonzero((sizes >= min_pixels) & (seeds > 0))
    kept = kept[kept > 0]
    numbers = np.zeros(len(sizes), dtype=np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    numbered = numbers[components]
    if not len(kept):
        return [], numbered
    index = np.arange(1, len(kept) + 1)
    wrong = ndimage.sum_labels(1.0 - trust.astype(np.float64), numbered, index)
    spread = ndimage.sum_labels(uncertainty, numbered, index)
    band = ndimage.sum_labels(uncertainty > BAND_ABOVE, numbered, index)
    windows = ndimage.find_objects(numbered)
    regions = [
        _region(
            case,
            number,
            window,
            numbered,
            label,
            proposed,
            *(float(sums[number - 1]) for sums in (wrong, spread, band)),
        )
        for number, window in enumerate(windows, start=1)
    ]
    return sorted(regions, key=lambda region: region.rank), numbered


def _region(
    case: CaseInfo,
    number: int,
    window: tuple[slice, ...],
    numbered: NDArray[np.int32],
    label: NDArray[np.uint8],
    proposed: NDArray[np.uint8],
    wrong: float,
    spread: float,
    band: float,
) -> Region:
    """Describe one region; ``wrong``, ``spread`` and ``band`` are sums over its pixels."""
    inside = numbered[window] == number
    pixels = int(inside.sum())
    first = np.unravel_index(int(inside.argmax()), inside.shape)
    given, told = int(label[window][first]), int(proposed[window][first])
    kind = kind_of(given, band, pixels)
    if kind == UNLABELLED:
        told, wrong = int(np.bincount(proposed[window][inside]).argmax()), 0.0
    return Region(
        id=region_id(case.name, window, inside, None if kind == UNLABELLED else proposed[window]),
        number=number,
        case_id=case.id,
        image=case.name,
        kind=kind,
        score=wrong,
        pixels=pixels,
        given=given,
        proposed=told,
        box=Box(tuple(edge.start for edge in window), tuple(edge.stop for edge in window)),
        trust=0.0 if kind == UNLABELLED else 1 - wrong / pixels,
        uncertainty=spread / pixels,
    )


def kind_of(given: int, band: float, pixels: int) -> RegionKind:
    """Kind of a region, from the label of its pixels, and how many of them lie in the uncertainty band."""
    if given == IGNORE:
        return UNLABELLED
    return "ambiguous" if 2 * band > pixels else "error"


def region_id(
    name: str, window: tuple[slice, ...], inside: NDArray[np.bool_], proposed: NDArray[np.uint8] | None
) -> str:
    """Name of a region: its image, and a hash over its pixels and the proposal.

    Without a proposal over the pixels alone: whoever leaves pixels without a label is not asked again because the model
    draws them otherwise now.
    """
    digest = hashlib.blake2b(digest_size=4)
    digest.update(repr((name, [(edge.start, edge.stop) for edge in window])).encode())
    digest.update(np.packbits(inside).tobytes())
    if proposed is not None:
        digest.update(proposed[inside].tobytes())
    return f"{name}#{digest.hexdigest()}"


def image_score(
    case: CaseInfo,
    *,
    trust: NDArray[np.float32],
    label: NDArray[np.uint8],
    proposed: NDArray[np.uint8],
    verified: NDArray[np.uint8],
    numbers: NDArray[np.int32] | None = None,
    row: int | None = None,
) -> ImageScore:
    """How suspect the labels of an image are: expected wrong pixels among the foreground of label and proposal.

    Parameters
    ----------
    case : CaseInfo
    trust : array, float32, (H, W), in [0, 1]
    label, proposed, verified : array, uint8, (H, W)
    numbers : array, int32, (H, W), optional
        As from :func:`find_regions`; with it the sums outside of regions are told, too.
    row : int, optional
        Last row of the record that was applied to these masks.
    """
    mask = doubted(trust, label, verified)
    wrong = float((1.0 - trust.astype(np.float64))[mask].sum())
    foreground = int(np.count_nonzero(((label > 0) & (label != IGNORE)) | (proposed > 0)))
    return ImageScore(
        case_id=case.id,
        image=case.name,
        score=min(wrong / max(foreground, 1), 1.0),
        estimated_wrong_pixels=wrong,
        rest=None if numbers is None else rest_of(trust=trust, label=label, verified=verified, numbers=numbers),
        row=row,
    )


def rest_of(
    *,
    trust: NDArray[np.float32],
    label: NDArray[np.uint8],
    verified: NDArray[np.uint8],
    numbers: NDArray[np.int32],
    below: float = BELOW,
) -> Rest:
    """Sums over the labelled pixels that nobody vouches for and that are in no region."""
    left = (numbers == 0) & ~is_verified(verified) & (label != IGNORE)
    return rounded_rest(rest_sums(left, trust, label, below))


def rest_sums(
    left: NDArray[np.bool_], trust: NDArray[np.float32], label: NDArray[np.uint8], below: float = BELOW
) -> NDArray[np.float64]:
    """The numbers of a :class:`Rest`, in its order, over the pixels that are left; those of parts add up."""
    low = left & (trust < below)
    high = left & ~low
    wrong = 1.0 - trust.astype(np.float64)
    foreground = np.count_nonzero((label > 0) & (label != IGNORE))
    return np.array([low.sum(), wrong[low].sum(), high.sum(), wrong[high].sum(), foreground], dtype=np.float64)


def rounded_rest(sums: NDArray[np.float64]) -> Rest:
    """From the sums over all parts."""
    low, low_wrong, high, high_wrong, foreground = map(float, sums)
    return Rest(
        doubted_pixels=int(low),
        doubted_wrong=round(low_wrong, 3),
        trusted_pixels=int(high),
        trusted_wrong=round(high_wrong, 3),
        foreground=int(foreground),
    )
