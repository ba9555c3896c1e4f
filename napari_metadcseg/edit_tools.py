"""What happens when a person presses a tool: ask where, compute, hand the change on. No Qt and no napari here."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from src_core.errors import MetaDCSegError
from src_core.review.tools import tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_metadcseg.editing import EditDesk, Outcome, Request
    from napari_metadcseg.state import Level

logger = logging.getLogger(__name__)

ASK_LASSO = "{tool}: draw around the part with the left button held. Esc ends it."
ASK_POINT = "{tool}: click on the object. Esc ends it."
WORKING = "{tool}: working on it…"
MEANWHILE = "{tool} was not applied, since the mask was changed meanwhile; use it again."


class EditTools:
    """Works the tools of the panel.

    Parameters
    ----------
    desk : callable
        The desk for what is in hand now; None when no image is shown.
    commit : callable
        Commits the change of an outcome and shows it; called in the window's thread.
    say : callable
        Shows a sentence and its level.
    ask_lasso, ask_point : callable
        Let the person draw a lasso or click; call what they are given with the vertices or the point, in px of the
        label, or never, when the person gives up.
    version : callable
        Changes with everything that is committed, as :meth:`Project.version`.
    background : callable, optional
        Runs work in a thread, then ``done`` with its result or ``failed`` with a sentence in the window's thread; by
        default all is done at once.
    """

    def __init__(
        self,
        *,
        desk: Callable[[], EditDesk | None],
        commit: Callable[[Outcome], None],
        say: Callable[[str, Level], None],
        ask_lasso: Callable[[Callable[[Any], None]], None],
        ask_point: Callable[[Callable[[Any], None]], None],
        version: Callable[[], object],
        background: Callable[[Callable[[], Any], Callable[[Any], None], Callable[[str], None]], None] | None = None,
    ) -> None:
        self._desk, self._commit, self._say = desk, commit, say
        self._ask_lasso, self._ask_point = ask_lasso, ask_point
        self._version, self._background = version, background
        self._busy = False

    def apply(self, request: Request) -> None:
        """Do what a person asked for; what goes wrong is said."""
        if self._busy:
            self._say("The tool before is still at work; wait for it.", "info")
            return
        desk, entry = self._desk(), tool(request.tool)
        if desk is None:
            self._say(f"{entry.label}: open a project and choose an image first.", "info")
            return
        try:
            desk.require(request)
            self._begin(desk, request)
        except MetaDCSegError as error:
            self._say(str(error), "error")

    def _begin(self, desk: EditDesk, request: Request) -> None:
        case, entry = desk.case.id, tool(request.tool)
        if "lasso" in entry.needs:
            self._ask_lasso(lambda vertices: self._shown(case, replace(request, lasso=vertices)))
            self._say(ASK_LASSO.format(tool=entry.label), "info")
        elif "point" in entry.needs:
            self._ask_point(lambda point: self._shown(case, replace(request, point=point)))
            self._say(ASK_POINT.format(tool=entry.label), "info")
        else:
            self._work(desk, request)

    def _shown(self, case: int, request: Request) -> None:
        """Go on once the person has shown where; not if another image has come up meanwhile."""
        desk = self._desk()
        if desk is not None and desk.case.id == case:
            self._work(desk, request)

    def _work(self, desk: EditDesk, request: Request) -> None:
        if self._background is None or not desk.slow(request):
            try:
                self._finish(desk.work(request))
            except MetaDCSegError as error:
                self._say(str(error), "error")
            return
        label, version = tool(request.tool).label, self._version()

        def done(outcome: Outcome) -> None:
            self._busy = False
            if self._version() == version:
                self._finish(outcome)
            else:
                self._say(MEANWHILE.format(tool=label), "error")

        def failed(words: str) -> None:
            self._busy = False
            self._say(words, "error")

        self._busy = True
        self._say(WORKING.format(tool=label), "info")
        self._background(lambda: desk.work(request), done, failed)

    def _finish(self, outcome: Outcome) -> None:
        if outcome.change is None:
            self._say(outcome.text, "info")
        else:
            self._commit(outcome)
