"""What a region should be: pieces joined over a distance, and regions parted, compared on the projects of ``study.py``.

Nothing is decided here; what a decision would find is counted from the true masks. Usage, after the study::

    python benchmarks/review/regions.py --work /tmp/review > benchmarks/reports/regions.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from study import COLUMNS, read_truth

from src_core.review.components import gathered, numbered
from src_core.review.regions import BAND_ABOVE, MIN_PIXELS, disagreements, doubted
from src_core.store.project import Project

REACHES = (1, 3, 5, 7, 9)
THICK = (2, 3, 5)


class Maps(NamedTuple):
    """Of one image; arrays of its shape."""

    label: NDArray[np.uint8]
    proposed: NDArray[np.uint8]
    trust: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    verified: NDArray[np.uint8]
    truth: NDArray[np.uint8]


Regions = Callable[[Maps], NDArray[np.int32]]


def joined(maps: Maps, reach: int) -> NDArray[np.int32]:
    """Pieces that lie no further apart than ``reach``, px."""
    return gathered(disagreements(maps.label, maps.proposed, maps.verified), (reach, reach))


def parted_at_the_band(maps: Maps) -> NDArray[np.int32]:
    """Touching pieces, in and out of the band of uncertainty."""
    pieces = joined(maps, 1)
    return gathered(np.where(pieces > 0, 2 * pieces + (maps.uncertainty > BAND_ABOVE), 0).astype(np.int32), (1, 1))


def parted_where_thin(maps: Maps, radius: int) -> NDArray[np.int32]:
    """Touching pieces, parted into what a disc of a radius fits into, px, and the rims between; no part too small."""
    pieces = joined(maps, 1)
    inside = pieces > 0
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    cores, _ = numbered(depth > radius)
    away, (rows, columns) = ndimage.distance_transform_edt(cores == 0, return_indices=True)
    thick = inside & (away <= radius + 1) & (pieces[rows, columns] == pieces)
    own = np.where(thick, cores[rows, columns], 0)
    keys = np.unique(
        np.where(inside, pieces.astype(np.int64) * (int(cores.max(initial=0)) + 1) + own, -1), return_inverse=True
    )[1]
    parts = gathered(np.where(inside, keys.reshape(pieces.shape), 0).astype(np.int32), (1, 1))
    small = inside & (np.bincount(parts.ravel()) < MIN_PIXELS)[parts]
    rows, columns = ndimage.distance_transform_edt(small | ~inside, return_distances=False, return_indices=True)
    fits = small & (pieces[rows, columns] == pieces)
    whole: NDArray[np.int32] = np.where(fits, parts[rows, columns], parts).astype(np.int32)
    return whole


def measured(maps: Maps, numbers: NDArray[np.int32]) -> NDArray[np.float64]:
    """A row a region: pixels, wrong ones, expected wrong ones, made right and made wrong by accepting."""
    flat, count = numbers.ravel(), int(numbers.max(initial=0)) + 1
    wrong = maps.label != maps.truth
    right = maps.proposed == maps.truth
    sums = [
        np.bincount(flat, weights, minlength=count)
        for weights in (
            np.ones(flat.size),
            wrong.ravel(),
            1.0 - maps.trust.ravel(),
            (wrong & right).ravel(),
            (~wrong & ~right).ravel(),
        )
    ]
    seeds = np.bincount(flat[doubted(maps.trust, maps.label, maps.verified).ravel()], minlength=count)
    kept = (sums[0] >= MIN_PIXELS) & (seeds > 0)
    kept[0] = False
    rows: NDArray[np.float64] = np.stack(sums, axis=1)[kept].astype(np.float64)
    return rows


def row(name: str, images: list[Maps], regions: Regions) -> str:
    """A row of the table."""
    found = np.concatenate([measured(maps, regions(maps)) for maps in images])
    wrong = sum(int((maps.label != maps.truth).sum()) for maps in images)
    ordered = found[np.argsort(-found[:, 2], kind="stable")]
    best = found[np.argsort(-found[:, 1], kind="stable")]
    gain = np.maximum(ordered[:, 3] - ordered[:, 4], 0)
    shuffled = [
        _until(found[np.random.default_rng(seed).permutation(len(found)), 1], 0.8 * wrong) for seed in range(20)
    ]
    cells = [
        name,
        len(found),
        f"{found[:, 1].sum() / wrong:.1%}",
        _until(ordered[:, 1], 0.5 * wrong),
        _until(ordered[:, 1], 0.8 * wrong),
        _until(best[:, 1], 0.8 * wrong),
        f"{np.mean(shuffled):.0f}",
        *(f"{gain[:first].sum() / wrong:.1%}" for first in (100, 400, len(gain))),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _until(wrong: NDArray[np.float64], enough: float) -> int:
    """Regions until so many wrong pixels were in them; all and one more where they never are."""
    return int(np.searchsorted(np.cumsum(wrong), enough)) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the study")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(INTRODUCTION)
    for data, noise in COLUMNS:
        folder = arguments.work / f"{data}-{noise}-{arguments.seed}"
        with Project.open(folder / "study.metadcseg") as project:
            run, images = project.run("first"), []
            for case_id, truth in read_truth(project, folder).items():
                case = project.case(case_id)
                label, verified = project.read_labels(case)
                proposed, trust, band = (run.read_map(case_id, name) for name in ("proposed", "trust", "uncertainty"))
                images.append(Maps(label, proposed, trust, band, verified, truth))
        print(f"\n## {data}, {noise}\n\n{HEADER}")
        for reach in REACHES:
            name = f"joined up to {reach} px" if reach > 1 else "touching"
            print(row(name, images, partial(joined, reach=reach)))
        print(row("parted at the band", images, parted_at_the_band))
        for radius in THICK:
            print(row(f"parted where thinner than {2 * radius} px", images, partial(parted_where_thin, radius=radius)))


COLUMNS_SHOWN = (
    "regions",
    "how many",
    "wrong pixels in them",
    "50 % after",
    "80 % after",
    "80 %, best order",
    "80 %, random",
    "gain of 100",
    "of 400",
    "of all",
)
HEADER = f"| {' | '.join(COLUMNS_SHOWN)} |\n|{' --- |' * len(COLUMNS_SHOWN)}"

INTRODUCTION = f"""\
# What a region is

`python benchmarks/review/regions.py`, on the projects of `study.py`. *50 % after*: so many regions of the queue without
answers, hold half of all wrong pixels. *Gain*: wrong pixels that are gone, less right ones that are damaged, when the
first regions are accepted or kept, whichever is better, and nothing is painted; share of all wrong pixels. A region has
{MIN_PIXELS} pixels or more. One seed. The reach was chosen on the nuclei."""


if __name__ == "__main__":
    main()
