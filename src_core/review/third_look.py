"""Regions on which two raters differ, as a queue for a third look at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE
from src_core.data.scores import Region
from src_core.review.agreement import agreement, second_result
from src_core.review.second_sample import PURPOSE
from src_core.store.journal import DECISIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.review.agreement import Disagreement
    from src_core.store.project import Project
    from src_core.store.samples import Item, Rating

ANSWERED = {
    "accept": "accepted the proposal",
    "keep": "kept the label",
    "confirm": "painted",
    "painted": "painted",
}


@dataclass(frozen=True)
class Look:
    """A region that is to be decided once more: the label is what the first rater left, the proposal the second's.

    Attributes
    ----------
    region : Region
        Named as it was when it was first decided, so that the new decision takes the place of that one.
    mask : array, bool, shape of the region's box
        Where the two differ.
    proposed : array, uint8, shape of the region's box
    words : str
        Who said what.
    """

    region: Region
    mask: NDArray[np.bool_]
    proposed: NDArray[np.uint8]
    words: str


def looks(project: Project) -> list[Look]:
    """Everything on which raters differ and that nobody has decided anew since, the largest first."""
    decided = _last_decisions(project)
    found: dict[str, Look] = {}
    for sample in project.samples.all(PURPOSE):
        items = {item.number: item for item in project.samples.items(sample.id)}
        answers = project.samples.standing(sample.id)
        for row in agreement(project, sample).disagreements:
            item = items[row.item]
            if row.region in found or decided.get(row.region) != item.facts["row"]:
                continue
            look = _look(project, row, item, answers[row.item], sample.author)
            if look is not None:
                found[row.region] = look
    return sorted(found.values(), key=lambda look: -look.region.pixels)


def _last_decisions(project: Project) -> dict[str, int]:
    """Row of the decision that stands on each region."""
    standing = project.standing()
    return {
        record.region: record.id
        for record in reversed(project.history())
        if record.region and record.action in DECISIONS and record.id in standing
    }


def _look(project: Project, row: Disagreement, item: Item, rating: Rating, second: str) -> Look | None:
    inside, _, _ = item.arrays()
    label = project.read_label(project.case(item.case_id), item.box)
    proposed = second_result(item, rating)
    mask = inside & (proposed != label) & (proposed != IGNORE) & (label != IGNORE)
    if not mask.any():
        return None
    scores = project.record(int(item.facts["row"])).scores
    region = Region(
        id=item.region,
        number=0,
        case_id=item.case_id,
        image=row.image,
        kind="ambiguous" if scores.get("kind") == "ambiguous" else "error",
        score=float(np.count_nonzero(mask)),
        pixels=int(np.count_nonzero(mask)),
        given=int(np.bincount(label[mask]).argmax()),
        proposed=int(np.bincount(proposed[mask]).argmax()),
        box=item.box,
        trust=float(scores.get("trust", 0.0)),
        uncertainty=float(scores.get("uncertainty", 0.0)),
    )
    words = (
        f"The label is as {row.first_author} left it ({ANSWERED[row.first]}), the proposal as {second} would "
        f"({ANSWERED[row.second]})."
    )
    return Look(region, mask, proposed, words)
