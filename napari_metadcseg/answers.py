"""What a person may answer to the region in hand, as a change of the project. No Qt here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from src_core.review import decisions

if TYPE_CHECKING:
    from napari_metadcseg.hand import Hand
    from src_core.store.journal import Change
    from src_core.store.project import Project

Decision = Literal["accept", "keep", "confirm", "skip", "unsure"]


def change_of(decision: Decision, project: Project, hand: Hand) -> Change:
    """What a decision on a region changes; of one that is not held, that is worked out when it is recorded."""
    region, mask, run = hand.region, hand.mask, hand.run
    if decision == "accept":
        return decisions.accept(project, region, mask, hand.proposed, run)
    if decision == "keep":
        return decisions.keep(project, region, mask, run)
    if decision == "confirm":
        return decisions.confirm(project, region, mask, run)
    if decision == "unsure":
        return decisions.unsure(project, region, mask, run)
    return decisions.skip(region, run)
