"""Regions, decisions, strokes: what a person's review does to project and queue. No Qt here."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_metadcseg.answers import change_of
from napari_metadcseg.hand import Hand, is_held, read_held, shown_at, with_surroundings
from napari_metadcseg.large_hand import read_large
from napari_metadcseg.maps import read_shown
from napari_metadcseg.summary import settled, settled_in
from src_core.data.case import IGNORE
from src_core.data.slices import slice_box
from src_core.errors import InputError, ProjectDamagedError
from src_core.review import decisions
from src_core.review.arrival import Arrival, arrival
from src_core.review.queue import ReviewQueue
from src_core.review.third_look import Look, looks
from src_core.review.together import accept_together, redo_together, undo_together
from src_core.review.worth import share_found
from src_core.store.run_choice import Choice, choose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_metadcseg.answers import Decision
    from src_core.data.case import Box, CaseInfo
    from src_core.data.scores import ImageScore, Region
    from src_core.store.journal import Change, Record
    from src_core.store.project import Project
    from src_core.store.recording import Prepared
    from src_core.store.run_choice import Comparison
    from src_core.store.runs import Run

logger = logging.getLogger(__name__)

AGREED = "There is nothing to look at again: no second rater differs, or all of it was decided once more."

ANSWERS = 2000
"""So many of the newest rows of the record are looked through for answers when a project is opened."""

NOTHING_IN_HAND = "No region is in hand; press Next (N) to take one."


class ReviewDesk:
    """The review of one project.

    Attributes
    ----------
    project : Project or None
    run : Run or None
        Whose scores are reviewed.
    queue : ReviewQueue
    arrival : Arrival or None
        What the newest scores changed against those before; None until there were two.
    held_back : Comparison or None
        Why the newest run is not reviewed.
    problem : str
        Why there are no scores although there are some; empty otherwise.
    opinion : dict of region id to float
        The second opinion on each region, where there is one.
    """

    def __init__(self) -> None:
        self.project: Project | None = None
        self.run: Run | None = None
        self.queue = ReviewQueue()
        self.arrival: Arrival | None = None
        self.opinion: dict[str, float] = {}
        self.held_back: Comparison | None = None
        self.problem = ""
        self._images: list[ImageScore] = []
        self._generation = 0
        self._hand: Hand | None = None
        self._looks: dict[str, Look] = {}
        self._noted = 0

    def attach(self, project: Project) -> None:
        """Review another project, with its newest scores."""
        self.detach()
        self.project = project
        try:
            self.take_scores()
        except ProjectDamagedError as error:  # no reason not to open the project
            self.problem = str(error)

    def detach(self) -> None:
        """Let go of the project."""
        self.__init__()  # type: ignore[misc]

    @property
    def images(self) -> list[ImageScore]:
        """How suspect each image is."""
        return self._images

    # ---------------------------------------------------------------- scores

    def take_scores(self) -> bool:
        """Fill the queue from the scores to review, if they are others than those it has; True if so.

        The region in hand stays in hand.
        """
        project = self.project
        choice = Choice(None) if project is None else choose(project.path, project.runs())
        self.held_back, run = choice.held_back, choice.run
        if run is None:
            return False
        generation = run.generation
        if self.run is not None and (self.run.name, self._generation) == (run.name, generation):
            return False
        images, regions = run.images(), run.regions()
        if self.run is not None:
            self.arrival = arrival(self._images, self.queue.regions, images, regions)
        self.queue.update(regions, {})
        self.run, self._generation, self._images, self.problem = run, generation, images, ""
        self.take_opinion()
        self._note_new(project)
        self.settle()
        self.queue.learn()
        return True

    def take_opinion(self) -> None:
        """Read the second opinion on these scores, if there is one."""
        self.opinion = {} if self.run is None else dict(self.run.second_opinion() or {})

    def settle(self, case_id: int | None = None) -> None:
        """Let the queue take note of all decisions, or of those on one image, without moving."""
        if self.project is not None:
            self.queue.set_decided(*self._settled(self.project, case_id))

    def _settled(self, project: Project, case_id: int | None) -> tuple[dict[str, str], int | None]:
        if case_id is None:
            return settled(project, self.queue), None
        return settled_in(project.case(case_id), project, self.queue), case_id

    def read_map(self, case: CaseInfo, name: str, box: Box | None = None) -> NDArray[Any] | None:
        """A score map of an image, or a box of it; None when there is none.

        What is verified since is trusted; so is what has no label in an image that came without a mask.
        """
        if self.project is None or self.run is None:
            return None
        return read_shown(self.project, self.run, case, name, box)

    def lacks(self, name: str) -> bool:
        """True for a map that the scores that are reviewed do not have, of no image."""
        return self.run is not None and not (self.opinion if name == "cleanlab" else self.run.has_map(name))

    def look_again(self) -> None:
        """Let the queue show what two raters saw differently, with what the second one would have as the proposal.

        Raises
        ------
        InputError
            If there is nothing of that kind; the queue stays as it is.
        """
        found = looks(self._require_project())
        if not found:
            raise InputError(AGREED)
        self._looks, self._hand = {look.region.id: look for look in found}, None
        self.queue.look_again(look.region for look in found)

    def show_queue(self) -> None:
        """Show the queue again, instead of what :meth:`look_again` found or an audit drew."""
        if self._looks:
            self._looks, self._hand = {}, None
            self.queue.put_down()
        self.queue.show_only(None)

    @property
    def note(self) -> str:
        """Who said what of the region in hand; empty when nobody did."""
        region = self.queue.current
        look = None if region is None else self._looks.get(region.id)
        return "" if look is None else look.words

    # ---------------------------------------------------------------- the region in hand

    def take(self) -> Hand | None:
        """The region in hand with its pixels; they are read once, when it is taken.

        Raises
        ------
        InputError
            If other scores have taken the place of those that the region comes from; the queue has them now.
        """
        region = self.queue.current
        look = None if region is None else self._looks.get(region.id)
        if region is None or (self.run is None and look is None):
            self._hand = None
        elif look is not None:
            if self._hand is None or self._hand.region is not region:
                self._hand = self._seen_twice(look)
        elif self._hand is None or self._hand.region.id != region.id:
            assert self.run is not None
            self._hand = self._read(region, self.run)
        return self._hand

    def _seen_twice(self, look: Look) -> Hand:
        assert self.project is not None
        region, case = look.region, self.project.case(look.region.case_id)
        axis, at = shown_at(region.box, look.mask, case)
        window = with_surroundings(region.box, case.shape, None if at is None else axis)
        proposed = self.project.read_label(case, window)
        proposed[region.box.within(window)][look.mask] = look.proposed[look.mask]
        run = "" if self.run is None else self.run.name
        return Hand(region, look.mask, look.proposed, run, window, proposed, axis, at)

    def _read(self, region: Region, run: Run) -> Hand:
        assert self.project is not None
        case = self.project.case(region.case_id)
        found = read_held(region, run, case) if is_held(region) else read_large(region, run, case)
        if run.generation != self._generation:
            self.queue.put_down()
            self.take_scores()
            raise InputError("New scores have just replaced these; press Next (N) to take a region from them.")
        return found

    def located(self, hand: Hand, coarse: NDArray[np.bool_]) -> bool:
        """It is known now where a region is that is not held; False if it is not in hand any more."""
        if self._hand is not hand:
            return False
        self._hand = replace(hand, coarse=coarse, locate=None)
        return True

    def surroundings(self) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]] | None:
        """Around the region in hand: image, label, what accepting would make of it, the region; None without one.

        Of a volume, in the slice that shows it best.
        """
        hand, project = self.take(), self.project
        if hand is None or project is None:
            return None
        case = project.case(hand.region.case_id)
        place = hand.window if hand.at is None else slice_box(hand.window, hand.axis, hand.at)
        inside, proposed = (values[place.within(hand.window)] for values in (hand.window_mask, hand.window_proposed))
        label = project.read_label(case, place)
        parts = (project.read_image(case, place), label, np.where(inside, proposed, label), inside)
        return parts if hand.at is None else tuple(part.take(0, axis=hand.axis) for part in parts)  # type: ignore[return-value]

    # ---------------------------------------------------------------- decisions

    def decide(self, decision: Decision) -> Record:
        """Commit a decision on the region in hand, and take the one that follows.

        Raises
        ------
        InputError
            If no region is in hand.
        ProjectReadOnlyError, StorageError
            As from :meth:`Project.commit`; nothing has moved then.
        """
        hand = self.take()
        if self.project is None or hand is None:
            raise InputError(NOTHING_IN_HAND)
        return self.answered(change_of(decision, self.project, hand))

    def answered(self, change: Change | Prepared, *, later: bool = False) -> Record:
        """Commit the answer to a region, and take the one that follows it, if it is the one in hand.

        ``later`` as of :meth:`Project.commit`, and so is what is raised; nothing has moved then.
        """
        project = self._require_project()
        record = project.commit(change, later=later)
        self._note([record])
        if self.queue.current is not None and self.queue.current.id == record.region:
            self.queue.decide(*self._settled(project, record.case_id))
        else:
            self.settle(record.case_id)
        return record

    def accept_all(self, case: CaseInfo) -> tuple[Record, int]:
        """Accept all regions of an image that the queue shows and nobody decided, and take the one that follows.

        Returns
        -------
        record : Record
            The last row, with the box and the pixels of all.
        count : int

        Raises
        ------
        InputError
            If there is none, or there are other scores now; nothing has changed then.
        ProjectReadOnlyError, StorageError
            As from :meth:`Project.commit`; what was recorded before holds.
        """
        project, hands = self._require_project(), self.proposals(case)
        rows = project.version()[0]
        try:
            record = accept_together(project, [(hand.region, hand.mask, hand.proposed) for hand in hands], hands[0].run)
        finally:
            self.note_since(rows, case)
        return record, len(hands)

    def proposals(self, case: CaseInfo) -> list[Hand]:
        """The regions of an image that the queue shows and nobody decided; raises as :meth:`accept_all`."""
        project, run = self._require_project(), self.run
        waiting = [each for each in self.queue.open if each.case_id == case.id and project.decision(each.id) is None]
        if self._looks:
            raise InputError("What two raters saw differently is decided region by region; press A or K for each.")
        if run is None or not waiting:
            raise InputError(f"No proposal of the queue waits in image {case.name}; press Next (N) to take a region.")
        return [self._read(region, run) for region in waiting]

    def note_since(self, rows: int, case: CaseInfo) -> None:
        """Take note of what was recorded of an image after a row, and take the region that follows."""
        project = self._require_project()
        self._note(project.history(project.version()[0] - rows))
        self.queue.decide(*self._settled(project, case.id))

    def _note_new(self, project: Project) -> None:
        """Let the queue know what decisions found that were recorded since the last time."""
        committed = project.version()[0]
        self._note(project.history(min(committed - self._noted, ANSWERS))[::-1])
        self._noted = committed

    def _note(self, records: Iterable[Record]) -> None:
        """Let the queue know what decisions found."""
        found = {record.region: share_found(record) for record in records}
        self.queue.answer({region: share for region, share in found.items() if share is not None})

    def verify_image(self, case: CaseInfo, change: Change | Prepared, *, later: bool = False) -> Record:
        """The whole mask of an image is right, as the change says; ``later`` as of :meth:`Project.commit`."""
        record = self._require_project().commit(change, later=later)
        self.settle(case.id)
        self._put_down_if(lambda region: region.case_id == case.id)
        return record

    def stroke(self, case_id: int, box: Box, label: NDArray[np.integer], note: str = "") -> Record | None:
        """Record what was painted, or what a tool did; None when it changes nothing."""
        project = self._require_project()
        _require_classes(project, label)
        change = decisions.edit(project, project.case(case_id), box, label.astype(np.uint8), note=note)
        return None if change is None else project.commit(change)

    # ---------------------------------------------------------------- back and forth

    def undo(self, *, later: bool = False) -> Record | None:
        """Turn back the last change, and what was accepted together with it; None when there is none."""
        return self._turned(undo_together(self._require_project(), later=later))

    def redo(self, *, later: bool = False) -> Record | None:
        """Repeat what was turned back last; None when there is nothing."""
        return self._turned(redo_together(self._require_project(), later=later))

    def undo_to(self, row: int) -> list[Record]:
        """Turn back every change from the last one to the one of this row, it included.

        Raises
        ------
        InputError
            If that change does not stand any more.
        """
        project = self._require_project()
        rows, _ = project.stacks()
        if row not in rows:
            raise InputError(f"Change {row} was turned back already, or is how an image came.")
        records = [record for _ in rows[rows.index(row) :] if (record := project.undo()) is not None]
        self.settle()
        self._turned(records[-1])
        return records

    def _turned(self, record: Record | None) -> Record | None:
        if record is None or self.project is None:
            return None
        self.settle(record.case_id)
        region = self.project.record(record.target).region if record.target else ""
        if region:
            self.queue.go_to(region)
        # a key must never settle a region that is not on the canvas
        self._put_down_if(lambda current: current.case_id != record.case_id)
        return record

    def _put_down_if(self, condition: Any) -> None:
        if self.queue.current is not None and condition(self.queue.current):
            self.queue.put_down()

    def _require_project(self) -> Project:
        if self.project is None:
            raise InputError("Open a project first.")
        return self.project


def _require_classes(project: Project, label: NDArray[np.integer]) -> None:
    """Refuse numbers that napari lets a person paint: in the project each would be a class that does not exist."""
    unknown = ~np.isin(label, [*(info.index for info in project.classes), IGNORE])
    if unknown.any():
        known = ", ".join(f"{info.index} ({info.name})" for info in project.classes)
        raise InputError(
            f"Label {label[unknown].flat[0]} is no class of this project, so the stroke was taken back; paint with "
            f"one of {known}."
        )
