"""Turns what a person wants into changes of the project, the queue and the training process. No Qt here."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_metadcseg.reviewing import NOTHING_IN_HAND, ReviewDesk
from napari_metadcseg.state import Message, UiState
from napari_metadcseg.summary import arrival_text, place_words, project_state, review_state
from napari_metadcseg.training import TrainingDesk
from napari_metadcseg.whole_images import WholeImages
from src_core.errors import MetaDCSegError
from src_core.store.journal import Action
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_metadcseg.answers import Decision
    from napari_metadcseg.editing import Outcome
    from napari_metadcseg.hand import Hand
    from napari_metadcseg.state import Level
    from src_core.data.case import Box, CaseInfo
    from src_core.data.scores import Region
    from src_core.review.queue import Filter, Order, ReviewQueue
    from src_core.store.journal import Record
    from src_core.store.runs import Run

logger = logging.getLogger(__name__)

_DONE = {
    Action.ACCEPT: "Proposal accepted",
    Action.KEEP: "Label kept",
    Action.EDIT: "Stroke recorded, not confirmed yet",
    Action.CONFIRM: "Painted fix confirmed",
    Action.SKIP: "Skipped",
    Action.UNSURE: "Marked as unsure",
    Action.VERIFY_IMAGE: "Image marked as verified",
    Action.UNDO: "Undone",
    Action.REDO: "Done again",
}


class Controller:
    """One project, its queue and its training, as the window sees them.

    Every method that changes something commits it before the state says so. What goes wrong becomes a sentence in
    ``state.message``.

    Attributes
    ----------
    state : UiState
    changed : Signal(UiState, UiState)
        New and old state.
    labels_changed : Signal(int, Box or None)
        Case whose label or verified mask was changed by something else than painting, and where; None: anywhere.
    closing : Signal()
        The project is about to be closed: whoever reads it in a thread is to end that.
    """

    changed = Signal(object, object)
    labels_changed = Signal(int, object)
    closing = Signal()

    def __init__(self, desk: TrainingDesk | None = None) -> None:
        self.state = UiState()
        self.desk = desk or TrainingDesk()
        self.review = ReviewDesk()
        self.whole = WholeImages(self)

    @property
    def project(self) -> Project | None:
        """The project that is open."""
        return self.review.project

    @property
    def run(self) -> Run | None:
        """The run whose scores are reviewed."""
        return self.review.run

    @property
    def queue(self) -> ReviewQueue:
        """Its suspect regions."""
        return self.review.queue

    # ---------------------------------------------------------------- state

    def _set(self, **parts: Any) -> None:
        old, self.state = self.state, replace(self.state, **parts)
        if self.state != old:
            self.changed.emit(self.state, old)

    def _refresh(self, **parts: Any) -> None:
        """Derive the state of project and review anew; ``parts`` are set with it."""
        project = self.project
        if project is None:
            self._set(project=None, **parts)
            return
        review = parts.pop("review", self.state.review)
        self._set(
            project=project_state(self.state.project, project, self.review.images, self.queue),
            review=review_state(review, self.review),
            **parts,
        )

    def say(self, text: str, level: Level = "info") -> None:
        """Show a sentence."""
        self._set(message=Message(text=text, level=level))

    def guarded(self, action: Callable[[], object]) -> bool:
        """Do something; what goes wrong is said in the window. True when it went well."""
        try:
            action()
        except MetaDCSegError as error:
            logger.info("Refused: %s", error)
            self.say(str(error), "error")
            return False
        except Exception as error:
            logger.exception("Unexpected failure.")
            self.say(f"This failed unexpectedly: {type(error).__name__}: {error}. What was recorded is safe.", "error")
            return False
        return True

    # ---------------------------------------------------------------- project

    def may_switch(self) -> bool:
        """False, and a sentence, while training runs: another project would end it."""
        if self.desk.state.worker.alive and not self.desk.state.kept:
            self.say("Training is running; cancel it or wait for its end before you change the project.", "error")
            return False
        return True

    def open(self, path: str | Path, *, write: bool = True) -> bool:
        """Open a project in place of the one that is open."""
        return self.guarded(lambda: self.adopt(Project.open(path, write=write)))

    def adopt(self, project: Project) -> None:
        """Take over a project that was just opened or made."""
        self.close()
        self.desk.attach(project)
        self.review.attach(project)
        first = project.cases[0].id if project.cases else None
        text = f"Opened {project.name}: {len(project.cases)} images."
        self._refresh(training=self.desk.state, case_id=first, message=Message(text=text))
        if self.queue.open:
            self.next()

    def close(self) -> None:
        """Stop training (its checkpoint is kept) and close the project."""
        self.closing.emit()
        self.desk.close()
        if self.project is not None:
            self.project.close()
        self.review.detach()
        self._set(project=None, case_id=None, review=UiState().review, training=self.desk.state)

    @property
    def case(self) -> CaseInfo | None:
        """The image that is shown."""
        if self.project is None or self.state.case_id is None:
            return None
        return self.project.case(self.state.case_id)

    def show(self, case_id: int) -> None:
        """Show an image; the region in hand stays only if it is of this image."""
        if self.queue.current is not None and self.queue.current.case_id != case_id:
            self.queue.put_down()
        self._refresh(case_id=case_id)

    # ---------------------------------------------------------------- training

    def train(self, preset: str, **changes: Any) -> bool:
        """Start a new run."""
        return self.ask_training(lambda: self.desk.start(preset, **changes))

    def continue_training(self) -> bool:
        """Go on from the last checkpoint of the newest run."""
        return self.ask_training(self.desk.resume_run)

    def pause(self) -> None:
        """Pause or resume training."""
        self.ask_training(self.desk.toggle_pause)

    def cancel(self) -> None:
        """End training; the last checkpoint is kept."""
        self.ask_training(self.desk.stop)

    def finish(self) -> None:
        """End training early and score what is there."""
        self.ask_training(self.desk.finish)

    def ask_training(self, action: Callable[[], object]) -> bool:
        """Ask something of the training desk, and show what came of it."""
        done = self.guarded(action)
        self._set(training=self.desk.state)
        return done

    def poll(self) -> None:
        """Take up what the training process said; called from a timer, never blocks."""
        fresh = self.desk.poll()
        self._set(training=self.desk.state)
        if fresh:
            self.load_scores()

    # ---------------------------------------------------------------- scores and queue

    def load_scores(self) -> None:
        """Take the newest scores, if there are others; the region in hand stays in hand."""
        if self.guarded(self.review.take_scores) and self.run is not None:
            self._refresh(message=Message(text=arrival_text(self.review)))

    def take_opinion(self) -> None:
        """Show the second opinion that was just made."""
        self.guarded(self.review.take_opinion)
        self._refresh()

    def read_map(self, name: str, box: Box | None = None) -> NDArray[Any] | None:
        """A score map of the image that is shown; None when there is none. What is verified since is trusted."""
        return None if self.case is None else self.review.read_map(self.case, name, box)

    def hand(self) -> Hand | None:
        """The region in hand with its pixels; None when there is none or it cannot be read."""
        found: list[Hand | None] = [None]
        self.guarded(lambda: found.append(self.review.take()))
        return found[-1]

    def surroundings(self) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]] | None:
        """Around the region in hand: image, label, what accepting would make of it, the region; None without one."""
        found: list[Any] = [None]
        self.guarded(lambda: found.append(self.review.surroundings()))
        return found[-1]  # type: ignore[no-any-return]

    def show_kind(self, kind: Filter) -> None:
        """Show regions of one kind only, or all; those of an audit or a third look no longer by themselves."""
        self.review.show_queue()
        self.queue.show(kind)
        self._refresh()

    def show_only(self, ids: Sequence[str] | None) -> None:
        """Show some regions only, in their order, and go to the first; None shows all again."""
        self.queue.show_only(ids)
        self._refresh()
        if ids:
            self.next()

    def look_again(self) -> None:
        """Go through the regions that two raters saw differently."""
        if self.guarded(self.review.look_again):
            self.next()

    def search(self, text: str) -> None:
        """Show regions of images whose name contains a text."""
        self.queue.search(text)
        self._refresh()

    def sort(self, order: Order) -> None:
        """Sort the queue in another way."""
        self.queue.sort(order)
        self._refresh()

    def next(self) -> None:
        """Go to the next region of the queue."""
        self._go(self.queue.next())

    def previous(self) -> None:
        """Go to the region before."""
        self._go(self.queue.previous())

    def go_to(self, region_id: str) -> None:
        """Go to a region by its id."""
        self._go(self.queue.go_to(region_id))

    def go_to_place(self, place: int) -> None:
        """Go to the region at a place of the queue, from 1."""
        if self.queue.go_to_place(place) is None and self.queue.open:
            self.say(f"There is no region {place}; expected 1 to {len(self.queue.open)}.", "error")
            return
        self._go(self.queue.current)

    def _go(self, region: Region | None) -> None:
        if region is not None:
            self._refresh(case_id=region.case_id)
            return
        self._refresh()
        self.say("No region is left in this queue." if self.run else "Train first: the queue fills by itself.")

    # ---------------------------------------------------------------- decisions

    def accept(self) -> None:
        """The proposal of the region in hand is right."""
        self._decide("accept")

    def keep(self) -> None:
        """The label of the region in hand is right."""
        self._decide("keep")

    def confirm(self) -> None:
        """What was painted is right, and so is the region in hand."""
        self._decide("confirm")

    def skip(self) -> None:
        """No decision on the region in hand now."""
        self._decide("skip")

    def unsure(self) -> None:
        """Nobody can tell what is right in the region in hand."""
        self._decide("unsure")

    def _decide(self, decision: Decision) -> None:
        if self.queue.current is None:
            self.say(NOTHING_IN_HAND)
        else:
            self.guarded(lambda: self.whole.decide(decision))

    def stroke(self, case_id: int, box: Box, label: NDArray[np.integer]) -> bool:
        """Record what was painted; False when it could not be recorded."""
        if self.project is None:
            return False

        def act() -> None:
            record = self.review.stroke(case_id, box, label)
            if record is not None:
                self.recorded(record, case_id, painted=True)

        return self.guarded(act)

    def commit_edit(self, outcome: Outcome) -> None:
        """Record what a tool did, and say it."""
        change, project = outcome.change, self.project
        if change is None or project is None:
            return

        def act() -> None:
            record = project.commit(change)
            self.recorded(record, record.case_id)
            self.say(outcome.text)

        self.guarded(act)

    def verify_image(self) -> None:
        """The whole mask of the image that is shown is right."""
        project, case = self.project, self.case
        if project is None or case is None:
            self.say("Open a project and choose an image first.")
            return
        self.guarded(lambda: self.whole.verify(project, case))

    def accept_all(self) -> None:
        """Accept all proposals that wait in the image that is shown."""
        self.whole.accept_all()

    def undo(self) -> None:
        """Turn back the last change, wherever it was."""
        self.whole.turn(self.review.undo, "There is nothing to undo.")

    def redo(self) -> None:
        """Repeat the change that was turned back last."""
        self.whole.turn(self.review.redo, "There is nothing to redo.")

    def undo_to(self, row: int) -> None:
        """Turn back a change of the record and all after it."""

        def act() -> None:
            records = self.review.undo_to(row)
            for case_id in {record.case_id for record in records}:
                self.labels_changed.emit(case_id, None)
            self.recorded(records[-1], records[-1].case_id)
            self.say(f"{len(records)} changes were turned back; Redo (Shift-U) repeats them one by one.")

        self.guarded(act)

    def recorded(self, record: Record, case_id: int, *, painted: bool = False, count: int = 1) -> None:
        """Show a change that is committed, or so many of them that were made together."""
        assert self.project is not None
        name = self.project.case(record.case_id).name
        changed = f", {record.pixels:,} px changed" if record.pixels else ""
        done = _DONE[record.action] if count == 1 else f"{_DONE[record.action]}, {count} regions together"
        text = f"{done} ({name}{place_words(self.project, record)}{changed})."
        if not painted and record.box is not None:
            self.labels_changed.emit(record.case_id, record.box)
        review = replace(self.state.review, last=text)
        self._refresh(case_id=case_id, review=review, message=Message())
