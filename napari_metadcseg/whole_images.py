"""What covers a whole image, and undo: long work for a large one, done in a thread. No Qt and no napari here."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from src_core.review import decisions
from src_core.store import pieces

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_metadcseg.controller import Controller
    from src_core.data.case import CaseInfo
    from src_core.store.journal import Change, Record
    from src_core.store.project import Project
    from src_core.store.recording import Prepared

    Background = Callable[[Callable[[], Any], Callable[[Any], None], Callable[[str], None]], None]

WORKING = "Marking the whole of {name} as right…"
BUSY = "{name} is still being marked; wait for it."


class WholeImages:
    """Marks images as right, and shows large changes once they are in the masks.

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
        if self._busy is not None:
            self._controller.say(BUSY.format(name=self._busy))
        elif self.background is None or prod(case.shape) <= pieces.MOST:
            self._commit(project, case, decisions.verify_image(project, case))
        else:
            self._busy = case.name
            self._controller.say(WORKING.format(name=case.name))
            change = decisions.verify_image(project, case)
            self.background(
                lambda: project.prepare(change),
                lambda prepared: self._prepared(project, case, prepared),
                self._failed,
            )

    def _prepared(self, project: Project, case: CaseInfo, change: Change | Prepared) -> None:
        self._busy = None
        if self._controller.project is project:
            self._controller.guarded(lambda: self._commit(project, case, change))

    def _failed(self, words: str) -> None:
        self._busy = None
        self._controller.say(words, "error")

    def _commit(self, project: Project, case: CaseInfo, change: Change | Prepared) -> None:
        record = self._controller.review.verify_image(case, change, later=self.later)
        self.show(project, lambda: self._controller.recorded(record, case.id))

    def accept_all(self) -> None:
        """Accept all proposals that wait in the image that is shown, and go on to the region that follows."""
        controller = self._controller
        case = controller.case
        if case is None:
            controller.say("Open a project and choose an image first.")
            return

        def act() -> None:
            record, count = controller.review.accept_all(case)
            following = controller.queue.current
            controller.recorded(record, case.id if following is None else following.case_id, count=count)

        controller.guarded(act)

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
