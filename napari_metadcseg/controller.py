"""Turns what a person wants into changes of the project, the queue and the training process. No Qt here."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_metadcseg.state import Message, UiState
from napari_metadcseg.summary import project_state, review_state, settled
from napari_metadcseg.training import TrainingDesk
from src_core.data.case import IGNORE, is_verified
from src_core.errors import InputError, MetaDCSegError
from src_core.review import decisions
from src_core.review.queue import ReviewQueue
from src_core.store.journal import Action
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_metadcseg.state import Level
    from src_core.data.case import Box, CaseInfo
    from src_core.data.scores import Region
    from src_core.review.queue import Filter
    from src_core.store.journal import Change, Record
    from src_core.store.runs import Run

logger = logging.getLogger(__name__)

_DONE = {
    Action.ACCEPT: "Proposal accepted",
    Action.KEEP: "Label kept",
    Action.EDIT: "Stroke recorded, not confirmed yet",
    Action.CONFIRM: "Painted fix confirmed",
    Action.SKIP: "Skipped",
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
    labels_changed : Signal(int)
        Case whose label or verified mask was changed by something else than painting.
    """

    changed = Signal(object, object)
    labels_changed = Signal(int)

    def __init__(self, desk: TrainingDesk | None = None) -> None:
        self.state = UiState()
        self.project: Project | None = None
        self.run: Run | None = None
        self.queue = ReviewQueue()
        self._generation = 0
        self.desk = desk or TrainingDesk()

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
            project=project_state(project, self.run, self.queue),
            review=review_state(review, project, self.run, self.queue),
            **parts,
        )

    def say(self, text: str, level: Level = "info") -> None:
        """Show a sentence."""
        self._set(message=Message(text=text, level=level))

    def _guarded(self, action: Callable[[], object]) -> bool:
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
        if self.desk.state.worker.alive:
            self.say("Training is running; cancel it or wait for its end before you change the project.", "error")
            return False
        return True

    def open(self, path: str | Path, *, write: bool = True) -> bool:
        """Open a project in place of the one that is open."""
        return self._guarded(lambda: self.adopt(Project.open(path, write=write)))

    def adopt(self, project: Project) -> None:
        """Take over a project that was just opened or made."""
        self.close()
        self.project = project
        self.desk.attach(project)
        self.load_scores(quiet=True)
        first = project.cases[0].id if project.cases else None
        text = f"Opened {project.name}: {len(project.cases)} images."
        self._refresh(training=self.desk.state, case_id=first, message=Message(text=text))
        if self.queue.open:
            self.next()

    def close(self) -> None:
        """Stop training (its checkpoint is kept) and close the project."""
        self.desk.close()
        if self.project is not None:
            self.project.close()
        self.project, self.run, self.queue = None, None, ReviewQueue()
        self._set(project=None, case_id=None, review=UiState().review, training=self.desk.state)

    @property
    def case(self) -> CaseInfo | None:
        """The image that is shown."""
        if self.project is None or self.state.case_id is None:
            return None
        return self.project.case(self.state.case_id)

    def show(self, case_id: int) -> None:
        """Show an image; the region in hand stays only if it is of this image."""
        region = self.queue.current
        if region is not None and region.case_id != case_id:
            self.queue.put_down()
        self._refresh(case_id=case_id)

    # ---------------------------------------------------------------- training

    def train(self, preset: str, **changes: Any) -> bool:
        """Start a new run."""
        return self._with_desk(lambda: self.desk.start(preset, **changes))

    def continue_training(self) -> bool:
        """Go on from the last checkpoint of the newest run."""
        return self._with_desk(self.desk.resume_run)

    def pause(self) -> None:
        """Pause or resume training."""
        self._with_desk(self.desk.toggle_pause)

    def cancel(self) -> None:
        """End training; the last checkpoint is kept."""
        self._with_desk(self.desk.stop)

    def finish(self) -> None:
        """End training early and score what is there."""
        self._with_desk(self.desk.finish)

    def _with_desk(self, action: Callable[[], object]) -> bool:
        done = self._guarded(action)
        self._set(training=self.desk.state)
        return done

    def poll(self) -> None:
        """Take up what the training process said; called from a timer, never blocks."""
        fresh = self.desk.poll()
        self._set(training=self.desk.state)
        if fresh:
            self.load_scores()

    # ---------------------------------------------------------------- scores and queue

    def load_scores(self, *, quiet: bool = False) -> None:
        """Take the newest scores; the region in hand stays if it is still there."""
        project = self.project
        scored = [] if project is None else [run for run in project.runs() if run.has_scores]
        if project is None or not scored:
            return
        if not self._guarded(lambda: self._take_scores(project, scored[0])):
            return
        if quiet:
            return
        found = len(self.queue.open)
        text = f"New scores: {found} region{'s' * (found != 1)} to look at, the most suspect first."
        self._refresh(message=Message(text=text))

    def _take_scores(self, project: Project, run: Run) -> None:
        generation, regions = run.generation, run.regions()
        self.queue.update(regions, {})
        self.queue.set_decided(settled(project, self.queue))
        self.run, self._generation = run, generation

    def _require_current_scores(self) -> None:
        """Region numbers mean something only in the maps of the scores that the queue was filled from."""
        if self.run is not None and self.run.generation != self._generation:
            self.load_scores()
            raise InputError("New scores have just replaced these; look at the region that is shown now.")

    def read_map(self, name: str) -> NDArray[Any] | None:
        """A score map of the image that is shown; None when there is none. What is verified since is trusted."""
        project, case = self.project, self.case
        if project is None or case is None or self.run is None:
            return None
        try:
            values = self.run.read_map(case.id, name)
            return (
                np.where(is_verified(project.read_verified(case)), np.float32(1), values) if name == "trust" else values
            )
        except MetaDCSegError:
            logger.info("No %s map of %s.", name, case.name)
            return None

    def show_kind(self, kind: Filter) -> None:
        """Show regions of one kind only, or all."""
        self.queue.show(kind)
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

    def _go(self, region: Region | None) -> None:
        if region is not None:
            self._refresh(case_id=region.case_id)
            return
        self._refresh()
        self.say("No region is left in this queue." if self.run else "Train first: the queue fills by itself.")

    # ---------------------------------------------------------------- decisions

    def accept(self) -> None:
        """The proposal of the region in hand is right."""

        def make(project: Project, region: Region, mask: NDArray[np.bool_]) -> Change:
            return decisions.accept(project, region, mask, self._in_box(region, "proposed"), self._run_name)

        self._decide(make)

    def keep(self) -> None:
        """The label of the region in hand is right."""
        self._decide(lambda project, region, mask: decisions.keep(project, region, mask, self._run_name))

    def confirm(self) -> None:
        """What was painted is right, and so is the region in hand."""
        self._decide(lambda project, region, mask: decisions.confirm(project, region, mask, self._run_name))

    def skip(self) -> None:
        """No decision on the region in hand now."""
        self._decide(lambda _project, region, _mask: decisions.skip(region, self._run_name))

    @property
    def _run_name(self) -> str:
        return "" if self.run is None else self.run.name

    def _in_box(self, region: Region, name: str) -> NDArray[Any]:
        assert self.run is not None
        return self.run.read_map(region.case_id, name)[region.box.slices]

    def _decide(self, make: Callable[[Project, Region, NDArray[np.bool_]], Change]) -> None:
        project, region = self.project, self.queue.current
        if project is None or region is None:
            self.say("No region is in hand; press Next (N) to take one.")
            return

        def act() -> None:
            mask = self._in_box(region, "regions") == region.number
            change = make(project, region, mask)
            self._require_current_scores()
            record = project.commit(change)
            following = self.queue.decide(settled(project, self.queue))
            self._recorded(record, region.case_id if following is None else following.case_id)

        self._guarded(act)

    def stroke(self, case_id: int, box: Box, label: NDArray[np.integer]) -> bool:
        """Record what was painted; False when it could not be recorded."""
        project = self.project
        if project is None:
            return False

        def act() -> None:
            self._require_classes(project, label)
            change = decisions.edit(project, project.case(case_id), box, label.astype(np.uint8))
            if change is not None:
                self._recorded(project.commit(change), case_id, painted=True)

        return self._guarded(act)

    @staticmethod
    def _require_classes(project: Project, label: NDArray[np.integer]) -> None:
        """Refuse numbers that napari lets a person paint: in the project each would be a class that does not exist."""
        unknown = ~np.isin(label, [*(info.index for info in project.classes), IGNORE])
        if unknown.any():
            known = ", ".join(f"{info.index} ({info.name})" for info in project.classes)
            raise InputError(
                f"Label {label[unknown].flat[0]} is no class of this project, so the stroke was taken back; paint with "
                f"one of {known}."
            )

    def verify_image(self) -> None:
        """The whole mask of the image that is shown is right."""
        project, case = self.project, self.case
        if project is None or case is None:
            self.say("Open a project and choose an image first.")
            return

        def act() -> None:
            record = project.commit(decisions.verify_image(project, case))
            self.queue.set_decided(settled(project, self.queue))
            region = self.queue.current
            if region is not None and region.case_id == case.id:
                self.queue.put_down()
            self._recorded(record, case.id)

        self._guarded(act)

    def undo(self) -> None:
        """Turn back the last change, wherever it was."""
        if self.project is not None:
            self._turn(self.project.undo, "There is nothing to undo.")

    def redo(self) -> None:
        """Repeat the change that was turned back last."""
        if self.project is not None:
            self._turn(self.project.redo, "There is nothing to redo.")

    def _turn(self, turn: Callable[[], Record | None], nothing: str) -> None:
        def act() -> None:
            record = turn()
            if record is None or self.project is None:
                self.say(nothing)
                return
            self.queue.set_decided(settled(self.project, self.queue))
            region = self.project.record(record.target).region if record.target else ""
            current = self.queue.go_to(region) if region else self.queue.current
            if current is not None and current.case_id != record.case_id:
                self.queue.put_down()  # a key must never settle a region that is not on the canvas
            self._recorded(record, record.case_id)

        self._guarded(act)

    def _recorded(self, record: Record, case_id: int, *, painted: bool = False) -> None:
        """Show a change that is committed."""
        assert self.project is not None
        name = self.project.case(record.case_id).name
        changed = f", {record.pixels:,} px changed" if record.pixels else ""
        text = f"{_DONE[record.action]} ({name}{changed})."
        if not painted:
            self.labels_changed.emit(record.case_id)
        review = replace(self.state.review, last=text)
        self._refresh(case_id=case_id, review=review, message=Message())
