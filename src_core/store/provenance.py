"""Where the label of each pixel comes from: the record of an image, pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Verified
from src_core.store.journal import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.store.project import Project

PROVENANCE = {
    "original": 0,
    "confirmed": int(Verified.CONFIRMED),
    "accepted": int(Verified.CORRECTED),
    "background confirmed": int(Verified.BACKGROUND),
    "changed, not confirmed": 4,
    "unsure": int(Verified.UNSURE),
    "edited": 6,
    "trusted mask": 7,
}
"""Values of the provenance map. The first four kinds of a verified pixel are told apart by who changed it: a proposal
that was accepted, a person's hand, or a trusted mask that came with the project."""

_CHANGED_BY = {Action.ACCEPT: PROVENANCE["accepted"], Action.IMPORT: PROVENANCE["trusted mask"]}


def provenance(project: Project, case: CaseInfo) -> NDArray[np.uint8]:
    """Where the labels of an image come from, uint8, values of :data:`PROVENANCE`."""
    label, verified = project.read_labels(case)
    given = project.read_given(case)
    hand = np.full(label.shape, PROVENANCE["edited"], dtype=np.uint8)
    current = given.copy()
    for record, after in project.standing_changes(case):
        window = current[after.box.slices]
        changed = window != after.label
        hand[after.box.slices][changed] = _CHANGED_BY.get(record.action, PROVENANCE["edited"])
        window[changed] = after.label[changed]
    found = np.where(verified == Verified.CORRECTED, hand, verified)
    return np.where((verified == Verified.NO) & (label != given), 4, found).astype(np.uint8)
