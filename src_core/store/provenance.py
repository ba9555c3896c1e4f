"""Where the label of each pixel comes from: the record of an image, pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Box, Verified
from src_core.store.journal import Action
from src_core.store.masks import common

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.store.journal import Patch
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


class Replay:
    """The record of an image, played from its given mask change by change.

    Changes that were turned back are left out by whoever plays it, so that what comes out is of one moment of the
    record, also while another session goes on.

    Parameters
    ----------
    given : array, uint8
        Class index, 255 where there is no label.
    box : Box, optional
        Where it lies in the image, when it is not all of it.

    Attributes
    ----------
    box : Box
    given, label, verified : array, uint8
        Label and verified mask after the changes so far.
    """

    def __init__(self, given: NDArray[np.uint8], box: Box | None = None) -> None:
        self.given = given
        self.box = Box.whole(given.shape) if box is None else box
        self.label = given.copy()
        self.verified = np.zeros_like(given)
        self._hand: NDArray[np.uint8] | None = None

    def apply(self, action: Action, after: Patch) -> None:
        """Play the next change, as far as it lies in the box."""
        where, part = common(after.box, self.box)
        label, verified = after.label[part], after.verified[part]
        if self._hand is None:
            self._hand = np.full_like(self.given, PROVENANCE["edited"])
        changed = self.label[where] != label
        self._hand[where][changed] = _CHANGED_BY.get(action, PROVENANCE["edited"])
        self.label[where], self.verified[where] = label, verified

    def provenance(self) -> NDArray[np.uint8]:
        """Where each label comes from, uint8, values of :data:`PROVENANCE`."""
        hand = PROVENANCE["edited"] if self._hand is None else self._hand
        found = np.where(self.verified == Verified.CORRECTED, hand, self.verified)
        return np.where((self.verified == Verified.NO) & (self.label != self.given), 4, found).astype(np.uint8)


def provenance(project: Project, case: CaseInfo, box: Box | None = None) -> NDArray[np.uint8]:
    """Where the labels of an image, or of a box of it, come from, uint8, values of :data:`PROVENANCE`."""
    replay = Replay(project.read_given(case, box), box)
    for record, after in project.standing_changes(case, box):
        replay.apply(record.action, after)
    return replay.provenance()
