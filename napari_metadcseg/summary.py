"""The state of project and review, derived from the things themselves."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from napari_metadcseg.state import ImageRow, ProjectState, ReviewState
from src_core.data.case import vouched
from src_core.data.slices import slices_text
from src_core.store.journal import Action

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from napari_metadcseg.reviewing import ReviewDesk
    from napari_metadcseg.state import Status
    from src_core.data.case import CaseInfo
    from src_core.data.scores import ImageScore
    from src_core.review.queue import ReviewQueue
    from src_core.store.journal import Record
    from src_core.store.project import Project


def project_state(
    before: ProjectState | None, project: Project, images: Iterable[ImageScore], queue: ReviewQueue
) -> ProjectState:
    """What is shown of a project: a row an image, and how much is verified.

    Only the rows of images that were touched since ``before`` are made anew; if none was, ``before`` is given back.
    """
    version = project.version()[0]
    basis = (project.path, project.writable, queue.updates, version)
    if before is not None and before.basis == basis:
        return before
    whole = project.whole_cases()
    if before is not None and before.basis[:3] == basis[:3] and len(before.rows) == len(project.cases):
        touched = {record.case_id for record in project.history(version - before.basis[3])}

        def anew(row: ImageRow) -> ImageRow:
            case = project.case(row.case_id)
            return _image_row(case, vouched(project.verified_count(case)), whole, queue, row.score)

        rows = tuple(anew(row) if row.case_id in touched else row for row in before.rows)
    else:
        counts, scores = project.verified_counts(), {row.case_id: row.score for row in images}
        rows = tuple(
            _image_row(case, vouched(counts.get(case.id, {})), whole, queue, scores.get(case.id))
            for case in project.cases
        )
    return ProjectState(
        path=project.path,
        name=project.name,
        writable=project.writable,
        classes=project.classes,
        rows=rows,
        verified_images=sum(row.status == "verified" for row in rows),
        verified_pixels=sum(row.verified for row in rows),
        basis=basis,
    )


def _image_row(
    case: CaseInfo, verified: int, whole: Collection[int], queue: ReviewQueue, score: float | None
) -> ImageRow:
    return ImageRow(case.id, case.name, _status(case, verified, whole), queue.waiting(case.id), score, verified)


def settled(project: Project, queue: ReviewQueue) -> dict[str, str]:
    """Regions that need no decision any more: decided one by one, or with their whole image."""
    counts, whole = project.verified_counts(), project.whole_cases()
    done = {case.id for case in project.cases if _status(case, vouched(counts.get(case.id, {})), whole) == "verified"}
    with_image = {region.id: str(Action.VERIFY_IMAGE) for region in queue.regions if region.case_id in done}
    return with_image | project.decisions()


def settled_in(case: CaseInfo, project: Project, queue: ReviewQueue) -> dict[str, str]:
    """The same of the regions of one image."""
    status = _status(case, vouched(project.verified_count(case)), project.whole_cases())
    whole = str(Action.VERIFY_IMAGE) if status == "verified" else None
    found = {region.id: project.decision(region.id) or whole for region in queue.regions_of(case.id)}
    return {region: action for region, action in found.items() if action is not None}


def _status(case: CaseInfo, verified: int, whole: Collection[int]) -> Status:
    """How far a mask is verified; pixels without a label cannot be, and do not count."""
    if case.without_mask and not verified:
        return "unlabelled"
    if verified and (case.id in whole or verified >= prod(case.shape)):
        return "verified"
    return "partly" if verified else "open"


def review_state(before: ReviewState, desk: ReviewDesk) -> ReviewState:
    """What is shown of the queue; ``before`` gives what was recorded last."""
    project, queue = desk.project, desk.queue
    assert project is not None
    scored = (desk.run and desk.run.name, queue.updates, len(project.cases))
    waiting = before.regions if before.revision == queue.revision else tuple(queue.open)
    return replace(
        before,
        run="" if desk.run is None else desk.run.name,
        regions=waiting,
        revision=queue.revision,
        order=queue.order,
        searched=queue.searched,
        undecided=before.undecided if waiting is before.regions else sum(region.score for region in waiting),
        region=queue.current,
        opinion=None if queue.current is None else desk.opinion.get(queue.current.id),
        note=desk.note,
        position=queue.position,
        open=len(waiting),
        errors=queue.count("error"),
        ambiguous=queue.count("ambiguous"),
        unlabelled=queue.count("unlabelled"),
        unscored=before.unscored if before.scored == scored else _unscored(desk, project),
        scored=scored,
        filter=queue.filter,
        can_undo=project.can_undo,
        can_redo=project.can_redo,
        version=project.version()[0],
        arrival=desk.arrival,
        held_back=desk.held_back,
    )


def _unscored(desk: ReviewDesk, project: Project) -> frozenset[int]:
    """Images without scores; none where nothing is scored, since that is said already."""
    there = {image.case_id for image in desk.images}
    return frozenset() if desk.run is None else frozenset(case.id for case in project.cases if case.id not in there)


def arrival_text(review: ReviewDesk) -> str:
    """What new scores mean for the person, in one sentence or two."""
    if review.held_back is not None:
        return f"{review.held_back.sentence()}: its proposals wait, those of {review.held_back.than} stay."
    found, came = len(review.queue.open), review.arrival
    text = f"New scores: {found} region{'s' * (found != 1)} to look at, the most suspect first"
    if came is not None:
        text += f"; {came.new} new, {came.gone} gone"
    if review.queue.current is None:
        return text + "."
    place = review.queue.position
    return text + f". The one in hand stays{f' and is number {place} now' if place else ''}."


def place_words(project: Project, record: Record) -> str:
    """Where in a volume a change was, as it stands after the volume's name; empty for an image."""
    case = project.case(record.case_id)
    words = "" if record.box is None else slices_text(record.box, case)
    return words and f", {words}"
