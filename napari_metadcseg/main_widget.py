"""The dock widget: four sections, one message bar, one timer. Composition only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QMessageBox, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_metadcseg import keybindings
from napari_metadcseg.background import run_in_background
from napari_metadcseg.controller import Controller
from napari_metadcseg.from_layers import cases_from_layers
from napari_metadcseg.layers.scene import Scene
from napari_metadcseg.widgets.export_panel import ExportPanel
from napari_metadcseg.widgets.message_bar import MessageBar
from napari_metadcseg.widgets.new_project import NewProjectDialog
from napari_metadcseg.widgets.project_panel import ProjectPanel
from napari_metadcseg.widgets.review_panel import ReviewPanel
from napari_metadcseg.widgets.training_panel import TrainingPanel
from src_core.errors import InputError, MetaDCSegError, ProjectLockedError
from src_core.store.create import build_project, create_from_folders
from src_core.store.export import export
from src_core.store.project import Project, project_path

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from qtpy.QtGui import QCloseEvent, QShowEvent

    from napari_metadcseg.state import UiState

POLL_MS = 100
FRAME = 40
SECTIONS = ("Project", "Train", "Review", "Export")


class MetaDCSegWidget(QWidget):
    """MetaDCSeg: clean masks.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari, by this name, when the widget is opened from its menu.

    Attributes
    ----------
    closed : bool
        True once the project is free and training has ended.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.controller = Controller()
        self.scene = Scene(napari_viewer, self.controller)
        self.project_panel = ProjectPanel(self.controller)
        self.training_panel = TrainingPanel(self.controller)
        self.review_panel = ReviewPanel(self.controller, self.scene)
        self.export_panel = ExportPanel(self.controller)
        self.message_bar = MessageBar()
        self._lay_out()
        self._connect()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.controller.poll)
        # napari destroys docked widgets without closing them; a lambda, since Qt drops slots of a dying object
        self.closed = False
        self.destroyed.connect(lambda _object=None: self._release())
        self._timer.start(POLL_MS)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        self.tabs = QTabWidget()
        panels = (self.project_panel, self.training_panel, self.review_panel, self.export_panel)
        for words, panel in zip(SECTIONS, panels, strict=True):
            area = QScrollArea()
            area.setWidgetResizable(True)
            area.setFrameShape(QScrollArea.Shape.NoFrame)
            area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            area.setWidget(panel)
            self.tabs.addTab(area, words)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.message_bar)

    def _connect(self) -> None:
        self.controller.changed.connect(self._on_changed)
        self.project_panel.open_asked.connect(self.ask_open)
        self.project_panel.folders_asked.connect(self.ask_folders)
        self.project_panel.layers_asked.connect(self.ask_layers)
        self.review_panel.help_asked.connect(self.show_help)
        self.export_panel.export_asked.connect(self.export_to)
        keybindings.bind(self.viewer, self.controller, self.show_help)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)

    def _on_changed(self, new: UiState, old: UiState) -> None:
        for panel in (self.project_panel, self.training_panel, self.review_panel, self.export_panel):
            panel.show_state(new)
        if new.message is not old.message:
            self.message_bar.show_message(new.message)

    def _on_layer_removed(self, _event: object) -> None:
        self.review_panel.legend.refresh()

    # ---------------------------------------------------------------- asking for a project

    def ask_open(self) -> None:
        """Ask for a project folder and open it."""
        if not self.controller.may_switch():
            return
        path = QFileDialog.getExistingDirectory(self, "Open a project (NAME.metadcseg)")
        if path:
            self.open_project(path)

    def open_project(self, path: str | Path) -> None:
        """Open a project; when it is open elsewhere, offer to open it read-only."""
        if not self.controller.may_switch():
            return
        project = self.controller.project
        if project is not None and project.writable and project.path == project_path(path):
            self.controller.say(f"{project.name} is open in this window already.")
            return
        try:
            self.controller.adopt(Project.open(path, write=True))
        except ProjectLockedError as error:
            self.controller.say(str(error), "error")
            answer = QMessageBox.question(self, "Project is open elsewhere", f"{error}\n\nOpen it read-only?")
            if answer == QMessageBox.StandardButton.Yes:
                self.controller.open(path, write=False)
        except MetaDCSegError as error:
            self.controller.say(str(error), "error")

    def ask_folders(self) -> None:
        """Ask for folders and make a project from them."""
        if not self.controller.may_switch():
            return
        dialog = NewProjectDialog(self)
        dialog.setObjectName("new-project")

        def make() -> None:
            missing = dialog.missing()
            if missing:
                dialog.show_problem(missing)
                return
            dialog.set_busy(True)
            run_in_background(lambda: create_from_folders(**dialog.values()), done, failed)  # type: ignore[arg-type]

        def done(result: tuple[Project, str]) -> None:
            project, rule = result
            dialog.accept()
            self.controller.adopt(project)
            self.controller.say(f"Made {project.name} of {len(project.cases)} images. Mask values: {rule}.")

        def failed(words: str) -> None:
            dialog.set_busy(False)
            dialog.show_problem(words)

        dialog.buttons.accepted.connect(make)
        dialog.open()

    def ask_layers(self) -> None:
        """Make a project from the layers that are open."""
        if not self.controller.may_switch():
            return
        try:
            cases, classes = cases_from_layers(self.viewer)
        except InputError as error:
            self.controller.say(str(error), "error")
            return
        path = QFileDialog.getSaveFileName(self, "Save project as", filter="Project (*.metadcseg)")[0]
        if path:
            run_in_background(lambda: build_project(path, cases, classes), self.controller.adopt, self._failed)

    def _failed(self, words: str) -> None:
        self.controller.say(words, "error")

    # ---------------------------------------------------------------- export and help

    def export_to(self, folder: str, what: list[str]) -> None:
        """Write files in the background, from a reader of its own."""
        project = self.controller.project
        if project is None or not folder or not what:
            self._failed("Choose what to export, and a folder for it." if project else "Open a project first.")
            return
        self.export_panel.show_busy(True)
        path, run = project.path, self.controller.state.review.run or None

        def work() -> list[Path]:
            with Project.open(path) as reader:
                return export(reader, folder, what, run=run)

        def done(written: list[Path]) -> None:
            self.export_panel.show_busy(False)
            words = f"Wrote {len(written)} files to {folder}."
            self.export_panel.result.setText(words)
            self.controller.say(words)

        def failed(words: str) -> None:
            self.export_panel.show_busy(False)
            self._failed(words)

        run_in_background(work, done, failed)

    def show_help(self) -> None:
        """Show the keys."""
        box = QMessageBox(self)
        box.setObjectName("keys")
        box.setWindowTitle("Keys")
        box.setText(keybindings.help_html())
        box.open()

    # ---------------------------------------------------------------- the window

    def showEvent(self, event: QShowEvent) -> None:
        """Be as wide as the widest section wants, whatever the font: nothing may be cut off."""
        super().showEvent(event)
        panels = (self.project_panel, self.training_panel, self.review_panel, self.export_panel)
        self.setMinimumWidth(max(panel.minimumSizeHint().width() for panel in panels) + FRAME)

    def closeEvent(self, event: QCloseEvent) -> None:
        """End training and close the project when the widget goes."""
        self.shut_down()
        super().closeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Let go when the dock is closed by its cross: napari takes the widget out of it and closes nothing."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()

    def shut_down(self) -> None:
        """Stop the timer and the training process, free the project; may be called twice."""
        if self.closed:
            return
        self._timer.stop()
        self._release()

    def _release(self) -> None:
        """Free what outlives the window. No Qt: it is also called when napari has destroyed the widget already."""
        if self.closed:
            return
        self.closed = True
        keybindings.unbind(self.viewer)
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.controller.changed.disconnect(self._on_changed)
        self.scene.disconnect()
        self.controller.close()
