"""Scores of images that were added, asked for from the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_metadcseg.processes import said_by

if TYPE_CHECKING:
    from napari_metadcseg.background import Background
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.widgets.project_panel import ProjectPanel


class NewScores:
    """Lets the run that is reviewed score what it has not scored yet.

    Parameters
    ----------
    controller : Controller
    panel : ProjectPanel
    background : Background
    """

    def __init__(self, controller: Controller, panel: ProjectPanel, background: Background) -> None:
        self._controller, self._panel, self._background = controller, panel, background
        panel.scores_asked.connect(self.ask)

    def ask(self) -> None:
        """Score the new images in a process of its own; the queue takes them up when it is done."""
        controller = self._controller
        project, run = controller.project, controller.run
        if project is None or run is None:
            controller.say("There are no scores yet; train first, or import some.", "error")
            return
        if run.imported:
            controller.say(
                f"The scores of {run.name} were imported; press 'Import scores…' on the tab Train, with those of the "
                "new images, too.",
                "error",
            )
            return
        path, name = str(project.path), run.name
        self._panel.show_scoring(True)
        controller.say("The new images are being scored; go on with the review meanwhile.")
        self._background.run(lambda: said_by("score", path, "--run", name), lambda _words: self._done(), self._failed)

    def _done(self) -> None:
        self._panel.show_scoring(False)
        controller = self._controller
        controller.load_scores()
        if controller.state.case_id is not None:
            controller.show(controller.state.case_id)

    def _failed(self, words: str) -> None:
        self._panel.show_scoring(False)
        self._controller.say(words, "error")
