"""Other opinions than that of our own training: scores of another model, and cleanlab's view of the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_metadcseg.processes import said_by
from napari_metadcseg.scores_from_layers import importer, probability_layers
from napari_metadcseg.widgets.import_scores import ImportScoresDialog

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from qtpy.QtWidgets import QWidget

    from napari_metadcseg.background import Background
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.layers.scene import Scene
    from src_core.infer.imported import Imported


class Opinions:
    """Asks for other opinions and shows them.

    Parameters
    ----------
    parent : QWidget
    viewer : napari.Viewer
    controller : Controller
    scene : Scene
    background : Background
    """

    def __init__(
        self,
        parent: QWidget,
        viewer: napari.Viewer,
        controller: Controller,
        scene: Scene,
        background: Background,
    ) -> None:
        self._parent, self._viewer = parent, viewer
        self._controller, self._scene, self._background = controller, scene, background

    def ask_scores(self) -> None:
        """Ask for the scores of another model, and review by them."""
        project, case = self._controller.project, self._controller.case
        if project is None or case is None:
            self._controller.say("Open a project first.", "error")
            return
        classes = len(project.classes)
        dialog = ImportScoresDialog(
            importer(project.path),
            self._imported,
            classes=classes,
            image=case.name,
            layers=probability_layers(self._viewer.layers, case.shape, classes),
            parent=self._parent,
            background=self._background.run,
        )
        dialog.open()

    def _imported(self, imported: Imported) -> None:
        self._controller.load_scores()
        self._controller.say(imported.words())

    def ask_second(self) -> None:
        """Let cleanlab look at the labels, in a process of its own: it may have to load the model."""
        project, run = self._controller.project, self._controller.run
        if project is None or run is None:
            self._controller.say("There are no scores yet; train first, or import some.", "error")
            return
        path, name = project.path, run.name
        self._controller.say("cleanlab looks at every image; go on with the review meanwhile.")
        self._background.run(lambda: second_opinion(path, name), self._second, self._failed)

    def _second(self, words: str) -> None:
        self._controller.take_opinion()
        self._scene.show_overlays()
        self._controller.say(words)

    def _failed(self, words: str) -> None:
        self._controller.say(words, "error")


def second_opinion(project: Path, run: str) -> str:
    """Have a run's second opinion made; what came of it, in words.

    Raises
    ------
    WorkerError
        With the sentence of the process, if it failed.
    """
    return said_by("second-opinion", str(project), "--run", run)
