"""What covers a whole image, and undo: long work for a large one, done in a thread. No Qt and no napari here."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from napari_metadcseg.answers import change_of
from src_core.review import decisions
from src_core.review.together import marked, summed
from src_core.store import pieces

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_metadcseg.answers import Decision
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.hand import Hand
    from src_core.data.case import CaseInfo
    from src_core.store.journal import Change, Record
    from src_core.store.project import Project
    from src_core.store.recording import Prepared

    Background = Callable[[Callable[[], Any], Callable[[Any], None], Callable[[str], None]], None]

WORKING = "Marking the whole of {name} as right…"
ANSWERING = "Recording your answer to most of {name}…"
BUSY = "{name} is still being worked on; wait for it."
LEARNED = "The queue has learned from your answers: what they make likely comes first now."


class WholeImages:
    """Marks images as right, answers regions, and shows large changes once they are in the masks.

    Parameters
    ----------
    controller : Controller

    Attributes
    ----------
    background : callable, optional
        Runs work in a thread, then ``done`` with its result or ``failed`` with a sentence in the window's thread; by
        default all is done at once.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.background: Background | None = None
        self._busy: str | None = None

    def verify(self, project: Project, case: CaseInfo) -> None:
        """The whole mask of an image is right as it looks now."""
        if prod(case.shape) <= pieces.MOST:
            self._commit(project, case, decisions.verify_image(project, case))
            return
        self._work_out(
            project,
            case,
            WORKING,
            lambda: decisions.verify_image(project, case),
            lambda change: self._commit(project, case, change),
        )

    def _commit(self, project: Project, case: CaseInfo, change: Change | Prepared) -> None:
        record = self._controller.review.verify_image(case, change, later=self.later)
        self.show(project, lambda: self._controller.recorded(record, case.id))

    def decide(self, decision: Decision) -> None:
        """Take a decision on the region in hand, and go on to the one that follows."""
        controller, review = self._controller, self._controller.review
        hand, project = review.take(), controller.project
        if hand is None or project is None or hand.held or decision == "skip":
            lessons = controller.queue.lessons
            self._decided(review.decide(decision), lessons)
            return
        self._work_out(
            project,
            project.case(hand.region.case_id),
            ANSWERING,
            lambda: change_of(decision, project, hand),
            lambda change: self._answer(project, change),
        )

    def _answer(self, project: Project, change: Change | Prepared) -> None:
        lessons = self._controller.queue.lessons
        record = self._controller.review.answered(change, later=self.later)
        self.show(project, lambda: self._decided(record, lessons))

    def _decided(self, record: Record, lessons: int) -> None:
        self._follow(record)
        if self._controller.queue.lessons != lessons:
            self._controller.say(LEARNED)

    def _follow(self, record: Record, count: int = 1) -> None:
        following = self._controller.queue.current
        case_id = record.case_id if following is None else following.case_id
        self._controller.recorded(record, case_id, count=count)

    def accept_all(self) -> None:
        """Accept all proposals that wait in the image that is shown, and go on to the region that follows."""
        controller = self._controller
        case, project = controller.case, controller.project
        if case is None or project is None:
            controller.say("Open a project and choose an image first.")
            return

        def act() -> None:
            hands = controller.review.proposals(case)
            if all(hand.held for hand in hands):
                self._follow(*controller.review.accept_all(case))
            else:
                self._accept(project, case, hands, [], project.version()[0])

        controller.guarded(act)

    def _accept(self, project: Project, case: CaseInfo, hands: list[Hand], done: list[Record], before: int) -> None:
        """Accept what is left of some proposals, one after the other: each is of the label that the last one left."""
        if len(done) == len(hands):
            self._controller.review.note_since(before, case)
            self.show(project, lambda: self._follow(summed(done), len(done)))
            return
        hand = hands[len(done)]

        def commit(change: Change | Prepared) -> None:
            record = project.commit(change, later=self.later)
            self._accept(project, case, hands, [*done, record], before)

        accepted = partial(change_of, "accept", project, hand)
        self._work_out(project, case, ANSWERING, lambda: marked(accepted(), before + 1), commit)

    # ---------------------------------------------------------------- in a thread

    def _work_out(
        self,
        project: Project,
        case: CaseInfo,
        words: str,
        build: Callable[[], Change],
        commit: Callable[[Change | Prepared], None],
    ) -> None:
        """Work a change out in a thread, then commit it; at once if there is none."""
        if self._busy is not None:
            self._controller.say(BUSY.format(name=self._busy))
        elif self.background is None:
            commit(build())
        else:
            self._busy = case.name
            self._controller.say(words.format(name=case.name))

            def prepared(change: Change | Prepared) -> None:
                self._busy = None
                if self._controller.project is project:
                    self._controller.guarded(lambda: commit(change))

            self.background(lambda: project.prepare(build()), prepared, self._failed)

    def _failed(self, words: str) -> None:
        self._busy = None
        self._controller.say(words, "error")

    def turn(self, turn: Callable[..., Record | None], nothing: str) -> None:
        """Undo or redo; ``nothing`` is said when there is nothing to turn."""
        project = self._controller.project
        if project is None:
            return

        def act() -> None:
            record = turn(later=self.later)
            if record is None:
                self._controller.say(nothing)
                return
            self.show(project, lambda: self._controller.recorded(record, record.case_id))

        self._controller.guarded(act)

    @property
    def later(self) -> bool:
        """Whether large changes are brought into the masks in a thread."""
        return self.background is not None

    def show(self, project: Project, show: Callable[[], None]) -> None:
        """Show a change that is recorded, once it is in the masks."""
        committed, applied = project.version()
        if self.background is None or committed == applied:
            show()
            return

        def done(_result: object = None) -> None:
            if self._controller.project is project:
                self._controller.guarded(show)

        def failed(words: str) -> None:
            done()
            self._controller.say(words, "error")

        self.background(project.catch_up, done, failed)
