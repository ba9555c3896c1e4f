"""Decisions as changes of the project. Each is one undo step; :meth:`Project.commit` makes it last.

A verified pixel is corrected when its label differs from the given mask, else confirmed (foreground) or
background. A confirmed label is evidence, too: if only corrections were verified, the model would learn that
labels are wrong everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE, Box, Verified, around, is_verified
from src_core.errors import InputError
from src_core.review.region_parts import answered, parts_of, values_in
from src_core.review.worth import FOUND
from src_core.store import pieces
from src_core.store.import_masks import kinds_of
from src_core.store.journal import Action, Change, Patch
from src_core.store.pieces import apart, piece_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.data.scores import Region
    from src_core.review.region_parts import Pixels
    from src_core.store.project import Project


def accept(
    project: Project, region: Region, mask: Pixels[np.bool_], proposed: Pixels[np.uint8], run: str = ""
) -> Change:
    """The proposal is right: it becomes the label of the region, and is verified.

    What somebody has vouched for meanwhile stays as it is, unless it is this very region that is decided anew. Where
    there was no label, background is taken over, too, and what was painted meanwhile is verified as it was painted.

    Parameters
    ----------
    project : Project
    region : Region
    mask : array, bool, or callable
        The region's pixels, shape of ``region.box`` or of the image; or what reads them in a box of the image, for a
        region that is too large to be held: what changes is read in parts then, when the change is recorded.
    proposed : array, uint8, or callable
        Proposed label, as ``mask``.
    run : str
        The run that proposed it.
    """

    def wanted(box: Box, label: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found = values_in(proposed, region.box, box)
        return found if region.labelled else filled(label, found)  # what was painted there stays

    return _settle(project, region, mask, wanted, Action.ACCEPT, run)


def keep(project: Project, region: Region, mask: Pixels[np.bool_], run: str = "") -> Change:
    """The label is right as it is: it is verified. Where there is none it stays so, and the region is settled."""
    return _settle(project, region, mask, lambda _box, label: label, Action.KEEP, run)


def confirm(project: Project, region: Region, mask: Pixels[np.bool_], run: str = "") -> Change:
    """What was painted is right: the region as it looks now, and every painted pixel of the image, is verified.

    In a region without labels everything that was not painted is background then.
    """
    case = project.case(region.case_id)
    boxes = [region.box, *project.unconfirmed_strokes(case)]
    box = around(boxes)
    pixels = project.read_labels(case, box) if prod(box.shape) <= pieces.MOST else None

    def label_in(part: Box) -> NDArray[np.uint8]:
        return project.read_label(case, part) if pixels is None else pixels[0][part.within(box)]

    scores = {**scores_of(region), FOUND: _share_changed(case, region, mask, label_in)}
    change = Change(case.id, Action.CONFIRM, region=region.id, run=run, scores=scores)
    places = [part for place in apart(boxes) for part in parts_of(case.shape, place)]

    def painted(place: Box) -> tuple[Patch, Patch] | None:
        own = None
        if region.box.meets(place):
            here = place.common(region.box)
            own = here, values_in(mask, region.box, here)
        return _painted(project, case, place, pixels or project.read_labels(case, place), own, region.labelled)

    if pixels is not None:
        found = painted(box)
        return change if found is None else replace(change, patch=found[1])
    return replace(change, parts=lambda: (found for place in places if (found := painted(place)) is not None))


def _painted(
    project: Project,
    case: CaseInfo,
    box: Box,
    pixels: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    own: tuple[Box, NDArray[np.bool_]] | None,
    labelled: bool,
) -> tuple[Patch, Patch] | None:
    """What confirming changes in a box, around what it changes: painted pixels, and those of the region if it is here.

    None when that is nothing. ``pixels`` are label and verified of the box.
    """
    before, verified = pixels
    label, given = before.copy(), project.read_given(case, box)
    inside = (label != given) & ~is_verified(verified)
    tight = None
    if own is not None:
        tight = own[0].moved([-edge for edge in box.start])
        inside[tight.slices] |= own[1]
        if not labelled:
            asked = label[tight.slices]
            asked[own[1]] = filled(asked[own[1]])
    tight = _bounding_box(inside, tight)
    if tight is None:
        return None
    place, after, kinds_before = tight.moved(box.start), label[tight.slices].copy(), verified[tight.slices].copy()
    kinds = np.where(inside[tight.slices], kinds_of(given[tight.slices], after), kinds_before)
    return Patch(place, before[tight.slices].copy(), kinds_before), Patch(place, after, kinds)


def _share_changed(
    case: CaseInfo, region: Region, mask: Pixels[np.bool_], label_in: Callable[[Box], NDArray[np.uint8]]
) -> float:
    """Share of a region's pixels that have another label now than when it was found."""
    pixels = changed = 0
    for box in parts_of(case.shape, region.box):
        inside = values_in(mask, region.box, box)
        pixels += int(np.count_nonzero(inside))
        changed += int(np.count_nonzero(label_in(box)[inside] != region.given))
    return round(changed / pixels, 5) if pixels else 0.0


def skip(region: Region, run: str = "") -> Change:
    """No decision now; the region comes again at the end of the queue."""
    return Change(region.case_id, Action.SKIP, region=region.id, run=run, scores=scores_of(region))


def unsure(project: Project, region: Region, mask: Pixels[np.bool_], run: str = "") -> Change:
    """Nobody can tell: the label stays, nothing is learned from it, and it is not asked again.

    What somebody vouched for before stays verified.
    """
    case = project.case(region.case_id)

    def answer(box: Box) -> tuple[Patch, Patch]:
        label, verified = project.read_labels(case, box)
        inside = values_in(mask, region.box, box) & ~is_verified(verified) & (label != IGNORE)
        kinds = np.where(inside, Verified.UNSURE, verified).astype(np.uint8)
        return Patch(box, label, verified), Patch(box, label, kinds)

    change = Change(case.id, Action.UNSURE, region=region.id, run=run, scores=scores_of(region))
    return answered(change, case.shape, region.box, answer)


def scores_of(region: Region) -> dict[str, float | str]:
    """What a person was shown of a region when they decided, for the record."""
    return {
        "kind": region.kind,
        "score": round(region.score, 3),
        "pixels": region.pixels,
        "given": region.given,
        "proposed": region.proposed,
        "trust": round(region.trust, 5),
        "uncertainty": round(region.uncertainty, 5),
    }


def edit(
    project: Project, case: CaseInfo, box: Box, label: NDArray[np.uint8], *, note: str = "", run: str = ""
) -> Change | None:
    """A stroke or a tool: the label changes; what was verified before stays so, as corrected by the same hand.

    Parameters
    ----------
    project : Project
    case : CaseInfo
    box : Box
    label : array, uint8, shape of the box
        After the edit.
    note : str
        Which tool it was, and how it was set; empty for a stroke.
    run : str
        The run whose proposal was taken over, if it was.

    Returns
    -------
    Change or None
        None when the stroke changes nothing.
    """
    before = project.read_label(case, box)
    changed = before != label
    if not changed.any():
        return None
    tight = _bounding_box(changed)
    assert tight is not None
    box = tight.moved(box.start)
    label, changed = label[tight.slices].astype(np.uint8), changed[tight.slices]
    verified = project.read_verified(case, box)
    kinds = kinds_of(project.read_given(case, box), label)
    verified = np.where(changed & is_verified(verified), kinds, verified)
    return Change(case.id, Action.EDIT, Patch(box, label, verified.astype(np.uint8)), run=run, note=note)


def filled(label: NDArray[np.uint8], wanted: NDArray[np.uint8] | int = 0) -> NDArray[np.uint8]:
    """A label with something else, background by default, where it has none."""
    return np.where(label == IGNORE, wanted, label).astype(np.uint8)


def verify_image(project: Project, case: CaseInfo) -> Change:
    """The whole mask is right as it looks now. In an image that came without one, the rest is background.

    Raises
    ------
    InputError
        If the image came without a mask and has no label yet.
    """
    boxes = piece_boxes(case.shape)
    if case.without_mask and all((project.read_label(case, box) == IGNORE).all() for box in boxes):
        raise InputError(
            f"Image {case.name} has no mask yet, so there is nothing to verify; accept what the model proposes, or "
            "paint, then mark it as right: what is not painted is background then."
        )
    if len(boxes) == 1:
        return Change(case.id, Action.VERIFY_IMAGE, _verified(project, case, boxes[0])[1])

    def parts() -> Iterator[tuple[Patch, Patch]]:
        for number, box in enumerate(boxes):
            before, after = _verified(project, case, box)
            if number == 0 or not np.array_equal(before.verified, after.verified):
                yield before, after

    return Change(case.id, Action.VERIFY_IMAGE, parts=parts)


def _verified(project: Project, case: CaseInfo, box: Box) -> tuple[Patch, Patch]:
    """A box before and after all of it is verified."""
    before, verified = project.read_labels(case, box)
    label = filled(before) if case.without_mask else before
    return Patch(box, before, verified), Patch(box, label, kinds_of(project.read_given(case, box), label))


def _settle(
    project: Project,
    region: Region,
    mask: Pixels[np.bool_],
    wanted: Callable[[Box, NDArray[np.uint8]], NDArray[np.uint8]],
    action: Action,
    run: str,
) -> Change:
    """A region is settled; ``wanted`` gives its label, from a box and the label there now."""
    case = project.case(region.case_id)
    anew = project.decision(region.id) not in (None, Action.SKIP)  # this very region may be decided anew

    def answer(box: Box) -> tuple[Patch, Patch]:
        before, verified = project.read_labels(case, box)
        label = wanted(box, before)
        inside = values_in(mask, region.box, box) & (label != IGNORE)
        if not anew:
            inside = inside & ~is_verified(verified)
        label = np.where(inside, label, before).astype(np.uint8)
        kinds = kinds_of(project.read_given(case, box), label)
        return Patch(box, before, verified), Patch(box, label, np.where(inside, kinds, verified).astype(np.uint8))

    change = Change(case.id, action, region=region.id, run=run, scores=scores_of(region))
    return answered(change, case.shape, region.box, answer)


def _bounding_box(mask: NDArray[np.bool_], otherwise: Box | None = None) -> Box | None:
    axes = range(mask.ndim)
    lines = [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    if not len(lines[0]):
        return otherwise
    return Box(tuple(int(line[0]) for line in lines), tuple(int(line[-1]) + 1 for line in lines))
