"""What one image adds to the figures; its record is played back once."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE, KINDS, Verified, is_verified
from src_core.errors import ProjectDamagedError
from src_core.review.regions import doubted
from src_core.store.chunks import band_boxes
from src_core.store.journal import Action
from src_core.store.masks import common
from src_core.store.provenance import PROVENANCE, Replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.report.record import Row
    from src_core.store.journal import Patch
    from src_core.store.project import Project
    from src_core.store.runs import Run

logger = logging.getLogger(__name__)

LABELS = 256


@dataclass(frozen=True, kw_only=True)
class TrustSums:
    """Sums over the labelled pixels of an image: trust when it was scored and now, and what is expected to be wrong."""

    scored: float
    now: float
    wrong_now: float


@dataclass(frozen=True, kw_only=True)
class ImageCount:
    """Counted in one image.

    Attributes
    ----------
    before, after : array, int64, (256,)
        Pixels of each label in the given and in the cleaned mask.
    conversions : Counter of (given label, cleaned label)
        Pixels that changed.
    verified, provenance : array, int64
        Pixels of each kind.
    corrected : set of str
        Regions whose answer changed a label.
    dice : float
        Between given and cleaned mask; 1 where none was given.
    mm2 : float or None
        Area of a pixel; None when it is not known in mm, or for a volume.
    trust : TrustSums or None
        None without scores.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    conversions: Counter[tuple[int, int]]
    verified: NDArray[np.int64]
    provenance: NDArray[np.int64]
    corrected: set[str]
    dice: float
    mm2: float | None
    trust: TrustSums | None = field(default=None)

    @property
    def labelled(self) -> int:
        """Pixels that have a label now."""
        return int(self.after.sum() - self.after[IGNORE])

    @property
    def vouched(self) -> int:
        """Pixels whose label somebody vouches for."""
        return int(self.verified.sum() - self.verified[Verified.NO] - self.verified[Verified.UNSURE])


def replayed(
    project: Project, case: CaseInfo, rows: Iterable[Row], corrected: set[str] | None = None, box: Box | None = None
) -> Replay:
    """The image, or a box of it, after some rows of its record; regions that they corrected go into ``corrected``."""
    replay = Replay(project.read_given(case, box), box)
    painted = False
    for row in rows:
        changed = False
        for after in project.patches_after(row.id, box):
            changed |= corrected is not None and _corrects(replay, after)
            replay.apply(row.action, after)
        painted |= changed and row.action == Action.EDIT
        if corrected is not None and row.region and (changed or (painted and row.action == Action.CONFIRM)):
            corrected.add(row.region)
        if row.action in (Action.CONFIRM, Action.VERIFY_IMAGE):
            painted = False
    return replay


def _corrects(replay: Replay, after: Patch) -> bool:
    """True when somebody vouches for a label that is not the given one, and nobody did before."""
    where, part = common(after.box, replay.box)
    before = replay.verified[where]
    return bool(((after.verified[part] == Verified.CORRECTED) & (before != Verified.CORRECTED)).any())


def count_image(project: Project, case: CaseInfo, rows: Sequence[Row], run: Run | None, classes: int) -> ImageCount:
    """Count one image, a large one band by band.

    Parameters
    ----------
    project : Project
    case : CaseInfo
    rows : sequence of Row
        Of its record, oldest first, without what was turned back.
    run : Run or None
        With scores.
    classes : int
        Background included.
    """
    corrected: set[str] = set()
    before, after, both = (np.zeros(LABELS, np.int64) for _ in range(3))
    verified, origin = np.zeros(KINDS, np.int64), np.zeros(max(PROVENANCE.values()) + 1, np.int64)
    conversions: Counter[tuple[int, int]] = Counter()
    trust: TrustSums | None = None if run is None else TrustSums(scored=0.0, now=0.0, wrong_now=0.0)
    for box in band_boxes(case.shape):
        replay = replayed(project, case, rows, corrected, box)
        given, label = replay.given, replay.label
        for counts, values in (
            (before, given), (after, label), (both, label[label == given]),
            (verified, replay.verified), (origin, replay.provenance()),
        ):  # fmt: skip
            counts += np.bincount(values.ravel(), minlength=len(counts))
        conversions += _conversions(given, label)
        trust = None if run is None or trust is None else _added(trust, _trust(run, case, replay))
    return ImageCount(
        before=before,
        after=after,
        conversions=conversions,
        verified=verified,
        provenance=origin,
        corrected=corrected,
        dice=1.0 if case.without_mask else _dice(before, after, both, classes),
        mm2=prod(case.spacing) if case.unit == "mm" and len(case.shape) == 2 else None,
        trust=trust,
    )


def _conversions(given: NDArray[np.uint8], label: NDArray[np.uint8]) -> Counter[tuple[int, int]]:
    changed = given != label
    pairs, counts = np.unique(given[changed].astype(np.int64) * LABELS + label[changed], return_counts=True)
    return Counter({divmod(int(pair), LABELS): int(count) for pair, count in zip(pairs, counts, strict=True)})


def _dice(given: NDArray[np.int64], label: NDArray[np.int64], both: NDArray[np.int64], classes: int) -> float:
    """Mean over the foreground classes that are in one of the two, from counts and those in both; 1 without any."""
    total = (given + label)[1:classes]
    there = total > 0
    return float((2.0 * both[1:classes][there] / total[there]).mean()) if there.any() else 1.0


def _added(sums: TrustSums, more: TrustSums | None) -> TrustSums | None:
    if more is None:
        return None
    return TrustSums(
        scored=sums.scored + more.scored, now=sums.now + more.now, wrong_now=sums.wrong_now + more.wrong_now
    )


def _trust(run: Run, case: CaseInfo, replay: Replay) -> TrustSums | None:
    """None when the map cannot be read, as while new scores are put in their place."""
    try:
        trust = run.read_map(case.id, "trust", replay.box)
    except ProjectDamagedError as error:
        logger.warning("%s The report goes without it.", error)
        return None
    labelled = replay.label != IGNORE
    now = np.where(is_verified(replay.verified), 1.0, trust)
    doubt = doubted(trust, replay.label, replay.verified)
    return TrustSums(
        scored=float(trust[labelled].sum(dtype=np.float64)),
        now=float(now[labelled].sum(dtype=np.float64)),
        wrong_now=float((1.0 - trust[doubt].astype(np.float64)).sum()),
    )
