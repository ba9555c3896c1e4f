"""Decoys: pieces of masks whose right label is known, with a wrong one made up, in the form of a suspect region.

Shown with the right label and the wrong one as the proposal, a piece asks whether a person accepts whatever is
proposed; shown the other way round, whether they see a planted error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from src_core.data.case import IGNORE, Box, is_verified
from src_core.review.components import gathered
from src_core.review.regions import MIN_PIXELS, reach_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.store.project import Project

    Mask = NDArray[np.bool_]

ATTEMPTS = 30
"""Alterations that are tried in an image before another one is taken."""

PER_IMAGE = 4
"""Where so much is shown of an image, no piece is added: the same image again and again would tell."""

LIKE = 2.5
"""A piece may be so many times larger or smaller than the region it stands beside."""


@dataclass(frozen=True)
class Piece:
    """A group of pixels that have one right and one wrong label, and lie together as those of a suspect region do.

    Attributes
    ----------
    case_id : int
    box : Box
        Smallest box around it.
    mask : array, bool, of the shape of the box
    right, wrong : array, uint8, of the shape of the box
        The labels of the box; they differ at the mask, and everywhere there.
    """

    case_id: int
    box: Box
    mask: Mask
    right: NDArray[np.uint8]
    wrong: NDArray[np.uint8]


def make_pieces(
    project: Project, count: int, sizes: Sequence[int], taken: Iterable[tuple[int, Box, Mask]], rng: np.random.Generator
) -> list[Piece]:
    """Make up pieces that lie in verified pixels; fewer where there are not enough.

    Images that are verified whole come first. Pieces do not meet each other, nor what is taken.

    Parameters
    ----------
    project : Project
    count : int
    sizes : sequence of int
        Of the regions they stand beside, px; those of the pieces are drawn from them.
    taken : iterable of (int, Box, array)
        Case, box and mask of what is shown, too.
    rng : Generator
    """
    occupied: dict[int, list[tuple[Box, Mask]]] = {}
    for case_id, box, mask in taken:
        occupied.setdefault(case_id, []).append((box, mask))
    made: list[Piece] = []
    cases = _by_verification(project, rng)
    # once through all images, then again, until a round brings nothing new
    while cases and len(made) < count:
        before = len(made)
        for case in cases:
            if len(made) == count:
                break
            piece = _piece(project, case, int(rng.choice(sizes)), occupied.get(case.id, []), rng)
            if piece is not None:
                made.append(piece)
                occupied.setdefault(case.id, []).append((piece.box, piece.mask))
        if len(made) == before:
            break
    return made


def _by_verification(project: Project, rng: np.random.Generator) -> list[CaseInfo]:
    """Images with verified pixels, the most verified first, equal ones in random order."""
    counts = project.verified_counts()
    shares = {
        case.id: sum(counts[case.id].values()) / max(int(np.prod(case.shape)), 1)
        for case in project.cases
        if case.id in counts
    }
    order = rng.permutation(list(shares)).tolist()
    return [project.case(case_id) for case_id in sorted(order, key=lambda case_id: -round(shares[case_id], 1))]


def _piece(
    project: Project, case: CaseInfo, size: int, occupied: list[tuple[Box, Mask]], rng: np.random.Generator
) -> Piece | None:
    if len(occupied) >= PER_IMAGE:
        return None
    label, verified = project.read_labels(case)
    known = is_verified(verified) & (label != IGNORE)
    for box, mask in occupied:
        known[box.slices] &= ~mask
    classes = np.unique(label[known & (label > 0)])
    if not len(classes):
        return None
    for _ in range(ATTEMPTS):
        wrong = _altered(label, int(rng.choice(classes)), size, rng)
        for mask in _parts(label, wrong, size, reach_of(case), rng):
            pixels = int(mask.sum())
            # a piece that was cut off where nothing is verified would show that it was made up
            if known[mask].all() and pixels >= MIN_PIXELS and size / LIKE <= pixels <= size * LIKE:
                return _boxed(case, mask, label, wrong)
    return None


def _altered(label: NDArray[np.uint8], index: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The label image with one class moved, grown or shrunk, with a rough outline as suspect regions have.

    What the class leaves gets the label nearest to it.
    """
    mask = label == index
    reach = float(rng.uniform(1.5, max(3.0, size ** (1 / label.ndim) / 2)))
    how = rng.choice(["shift", "grow", "shrink"])
    if how == "shift":
        direction = rng.normal(size=label.ndim)
        moved = ndimage.shift(mask.astype(np.uint8), reach * direction / np.linalg.norm(direction), order=0) > 0
        inside = _depth(moved)
    else:
        inside = _depth(mask) + (reach if how == "grow" else -reach)
    found = inside + _roughness(label.shape, rng) > 0
    # where there is no other label, a class that is lost leaves background
    others = mask | (label == IGNORE)
    nearest = ndimage.distance_transform_edt(others, return_distances=False, return_indices=True)
    left = np.where(others.all(), 0, label[tuple(nearest)]).astype(np.uint8)
    altered = np.where(mask & ~found, left, label)
    return np.where(found & ~mask & (label != IGNORE), index, altered).astype(np.uint8)


def _depth(mask: Mask) -> NDArray[np.float64]:
    """Distance to the outline, positive inside, px; far outside where there is no mask."""
    if not mask.any():
        return np.full(mask.shape, -np.inf)
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    depth: NDArray[np.float64] = np.where(mask, inside - 0.5, 0.5 - outside)
    return depth


def _roughness(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """By how much an outline strays, px: from not at all to some pixels, coarse or fine."""
    values = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.8, 4.0))
    rough: NDArray[np.float64] = rng.uniform(0.0, 2.0) * values / max(float(values.std()), 1e-9)
    return rough


def _parts(
    label: NDArray[np.uint8], wrong: NDArray[np.uint8], size: int, reach: tuple[int, ...], rng: np.random.Generator
) -> Iterator[Mask]:
    """Parts of the difference that have one label each and lie together, cut by a ball around one of their pixels."""
    pairs = np.where(label != wrong, label.astype(np.int32) * 256 + wrong + 1, 0)
    groups = gathered(pairs, reach)
    sizes = np.bincount(groups.ravel())
    sizes[0] = 0
    for number in rng.permutation(np.flatnonzero(sizes >= MIN_PIXELS)).tolist():
        points = np.argwhere(groups == number)
        distance = np.linalg.norm(points - points[rng.integers(len(points))], axis=1)
        nearest = points[np.argsort(distance, kind="stable")[:size]]
        part = np.zeros(label.shape, dtype=np.int32)
        part[tuple(nearest.T)] = 1
        cut = gathered(part, reach)
        yield cut == np.bincount(cut[part > 0]).argmax()


def _boxed(case: CaseInfo, mask: Mask, right: NDArray[np.uint8], wrong: NDArray[np.uint8]) -> Piece:
    (window,) = ndimage.find_objects(mask.astype(np.uint8))
    box = Box(tuple(edge.start for edge in window), tuple(edge.stop for edge in window))
    inside, known = mask[window], right[window]
    return Piece(case.id, box, inside, known.copy(), np.where(inside, wrong[window], known).astype(np.uint8))
