"""Asking for a project: open one, make one from folders or from open layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_metadcseg.background import check
from napari_metadcseg.from_layers import cases_from_layers
from napari_metadcseg.widgets.add_images import AddImagesDialog, added_text
from napari_metadcseg.widgets.new_project import NewProjectDialog
from src_core.errors import InputError, MetaDCSegError, ProjectLockedError
from src_core.store.add import Addition, expected_of
from src_core.store.create import build_project, create_from_folders
from src_core.store.names import project_path
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from qtpy.QtWidgets import QWidget

    from napari_metadcseg.background import Background
    from napari_metadcseg.controller import Controller


class ProjectDialogs:
    """Dialogs that end with a project in the controller.

    Parameters
    ----------
    parent : QWidget
    viewer : napari.Viewer
    controller : Controller
    author : callable
        Gives the name that is written with every change; None for the login name.
    background : Background
    """

    def __init__(
        self,
        parent: QWidget,
        viewer: napari.Viewer,
        controller: Controller,
        author: Callable[[], str | None],
        background: Background,
    ) -> None:
        self._parent = parent
        self._viewer = viewer
        self._controller = controller
        self._author = author
        self._background = background

    def ask_open(self) -> None:
        """Ask for a project folder and open it."""
        if not self._controller.may_switch():
            return
        path = QFileDialog.getExistingDirectory(self._parent, "Open a project (NAME.metadcseg)")
        if path:
            self.open(path)

    def open(self, path: str | Path) -> None:
        """Open a project; when it is open elsewhere, offer to open it read-only."""
        controller = self._controller
        if not controller.may_switch():
            return
        project = controller.project
        if project is not None and project.writable and project.path == project_path(path):
            controller.say(f"{project.name} is open in this window already.")
            return
        try:
            controller.adopt(Project.open(path, write=True, author=self._author()))
        except ProjectLockedError as error:
            controller.say(str(error), "error")
            answer = QMessageBox.question(self._parent, "Project is open elsewhere", f"{error}\n\nOpen it read-only?")
            if answer == QMessageBox.StandardButton.Yes:
                controller.open(path, write=False)
        except MetaDCSegError as error:
            controller.say(str(error), "error")

    def ask_folders(self) -> None:
        """Ask for folders and make a project from them."""
        if not self._controller.may_switch():
            return
        dialog = NewProjectDialog(self._parent, self._background.run)
        dialog.setObjectName("new-project")

        def make() -> None:
            missing = dialog.missing()
            if missing:
                dialog.show_problem(missing)
                return
            dialog.set_busy(True)
            values = {**dialog.values(), "author": self._author(), "progress": check}
            self._background.run(lambda: create_from_folders(**values), done, failed)  # type: ignore[arg-type]

        def done(result: tuple[Project, str]) -> None:
            project, rule = result
            dialog.accept()
            self._controller.adopt(project)
            self._controller.say(f"Made {project.name} of {len(project.cases)} images. Mask values: {rule}.")

        def failed(words: str) -> None:
            dialog.set_busy(False)
            dialog.show_problem(words)

        dialog.buttons.accepted.connect(make)
        dialog.open()

    def ask_images(self) -> None:
        """Ask for images and add them to the project that is open."""
        controller, project = self._controller, self._controller.project
        if project is None:
            controller.say("Open a project first.", "error")
            return
        dialog = AddImagesDialog(expected_of(project), self._parent, self._background.run)
        dialog.setObjectName("add-images-dialog")

        def make() -> None:
            missing = dialog.missing()
            try:
                if missing:
                    raise InputError(missing)
                addition = Addition(project)
            except MetaDCSegError as error:
                dialog.show_problem(str(error))
                return
            dialog.set_busy(True)
            values = dialog.values()
            self._background.run(
                lambda: addition.write_from(**values, progress=check),  # type: ignore[arg-type]
                lambda existing: done(addition, existing),
                failed,
            )

        def done(addition: Addition, existing: tuple[str, ...]) -> None:
            if controller.project is not project:
                return  # closed meanwhile; who opens it next sweeps away what was written
            if not dialog.isVisible():
                addition.abandon()
                controller.say("Nothing was added.")
                return
            try:
                added = addition.commit()
            except MetaDCSegError as error:
                failed(str(error))
                return
            dialog.accept()
            case_id = controller.state.case_id
            if added or case_id is not None:
                controller.show(added[0].id if case_id is None else case_id)
            controller.say(added_text(added, existing))

        def failed(words: str) -> None:
            dialog.set_busy(False)
            dialog.show_problem(words)

        dialog.buttons.accepted.connect(make)
        dialog.open()

    def ask_layers(self) -> None:
        """Make a project from the layers that are open."""
        controller = self._controller
        if not controller.may_switch():
            return
        try:
            cases, classes = cases_from_layers(self._viewer)
        except InputError as error:
            controller.say(str(error), "error")
            return
        path = QFileDialog.getSaveFileName(self._parent, "Save project as", filter="Project (*.metadcseg)")[0]
        if path:
            self._background.run(
                lambda: build_project(path, cases, classes, author=self._author(), progress=check),
                controller.adopt,
                lambda words: controller.say(words, "error"),
            )
