"""Which tiles of a large image are learned from.

All of them would neither fit into memory nor be seen in a run. So each image gives a sample: what is verified, and of
the rest half where there is foreground. Scoring looks at all tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE, is_verified, vouched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from src_core.data.case import CaseInfo
    from src_core.store.project import Project
    from src_core.train.tiles import Tiling

POOL_PIXELS = 2**24
"""Working px of the tiles of all large images of a project: some 500 MB with what is remembered of them."""

LEAST_TILES = 4
"""Of each image, however many there are."""

VERIFIED_SHARE = 0.75
"""At most so much of the sample is verified, while other tiles have labels: those are learned from, too."""


def choose_tiles(project: Project, case: CaseInfo, tiling: Tiling, images: int, seed: int) -> tuple[int, ...]:
    """Numbers of the tiles of an image that are learned from, in order.

    Parameters
    ----------
    project : Project
    case : CaseInfo
        An image that is cut.
    tiling : Tiling
    images : int
        Images that share the memory.
    seed : int
    """
    most = max(POOL_PIXELS // tiling.edge**2 // images, LEAST_TILES)
    count = tiling.count(case)
    if count <= most:
        return tuple(range(count))
    rng = np.random.default_rng([seed, case.id])
    verified, foreground, others, empty = _sorted_tiles(project, case, tiling, rng.permutation(count))
    chosen = verified[: int(VERIFIED_SHARE * most)]
    half = (most - len(chosen)) // 2
    chosen += foreground[:half]
    for rest in (others, foreground[half:], verified[int(VERIFIED_SHARE * most) :], empty):
        chosen += rest[: most - len(chosen)]
    return tuple(sorted(chosen))


def _sorted_tiles(
    project: Project, case: CaseInfo, tiling: Tiling, order: Iterable[int]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Tiles with verified pixels, with foreground, with another label, and without any."""
    looked_at = vouched(project.verified_count(case)) > 0
    kinds: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
    for number in map(int, order):
        box = tiling.box(case, number)
        if looked_at and is_verified(project.read_verified(case, box)).any():
            kinds[0].append(number)
            continue
        label = project.read_label(case, box)
        labelled = label != IGNORE
        kinds[1 if (labelled & (label > 0)).any() else 2 if labelled.any() else 3].append(number)
    return kinds
