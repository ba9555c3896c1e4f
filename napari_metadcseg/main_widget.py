"""The dock widget: eight sections, one message bar, one timer. Composition only."""

from __future__ import annotations

import atexit
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QInputDialog, QMessageBox, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_metadcseg import preferences
from napari_metadcseg.background import Background, check
from napari_metadcseg.controller import Controller
from napari_metadcseg.edit_section import EditSection
from napari_metadcseg.exporting import export_all, left_out
from napari_metadcseg.foreground import Foreground
from napari_metadcseg.garbage import SetAside
from napari_metadcseg.keybindings import Bindings, KeyTable
from napari_metadcseg.layers.scene import Scene
from napari_metadcseg.opinions import Opinions
from napari_metadcseg.projects import ProjectDialogs
from napari_metadcseg.runs_section import RunsSection
from napari_metadcseg.scoring import NewScores
from napari_metadcseg.stop_section import StopSection
from napari_metadcseg.widgets.export_panel import ExportPanel
from napari_metadcseg.widgets.frame_bar import FrameBar
from napari_metadcseg.widgets.message_bar import MessageBar
from napari_metadcseg.widgets.preferences_dialog import PreferencesDialog
from napari_metadcseg.widgets.project_panel import ProjectPanel
from napari_metadcseg.widgets.queue_panel import QueuePanel
from napari_metadcseg.widgets.record_panel import RecordPanel
from napari_metadcseg.widgets.review_panel import ReviewPanel
from napari_metadcseg.widgets.second_rater import SecondRaterDialog
from napari_metadcseg.widgets.training_panel import TrainingPanel
from src_core.errors import StorageError
from src_core.store.names import default_author
from src_core.store.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from qtpy.QtGui import QCloseEvent, QShowEvent

    from napari_metadcseg.preferences import Preferences
    from napari_metadcseg.state import UiState

POLL_MS = 100
FRAME = 40
SECTIONS = ("Project", "Train", "Review", "Edit", "Queue", "Stop", "Record", "Export")
SCROLLED = ("Project", "Train", "Review", "Edit", "Stop", "Export")
"""The others are lists, which scroll themselves."""


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
        self.preferences = preferences.load(preferences.default_path())
        self.keys = KeyTable(self.preferences.keys)
        self.controller = Controller()
        self.background = Background()
        self.controller.whole.background = partial(self.background.run, at_close=True)
        self.scene = Scene(napari_viewer, self.controller)
        self.projects = ProjectDialogs(
            self, napari_viewer, self.controller, lambda: self.preferences.author or None, self.background
        )
        self.opinions = Opinions(self, napari_viewer, self.controller, self.scene, self.background)
        self.project_panel = ProjectPanel(self.controller, self.keys)
        self.new_scores = NewScores(self.controller, self.project_panel, self.background)
        self.training_panel = TrainingPanel(self.controller)
        self.runs = RunsSection(self, self.controller, self.training_panel, self.background)
        self.edits = EditSection(napari_viewer, self.scene, self.controller, self.background)
        self.stop = StopSection(self.controller, background=self.background)
        self.review_panel = ReviewPanel(self.controller, self.scene, self.keys)
        self.queue_panel = QueuePanel(self.controller)
        self.record_panel = RecordPanel(self.controller)
        self.export_panel = ExportPanel(self.controller)
        self.frame_bar = FrameBar(self.scene, self.keys)
        self.message_bar = MessageBar()
        self.bindings = Bindings(napari_viewer, self, self._press)
        self._lay_out()
        self._connect()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.controller.poll)
        # napari destroys docked widgets without closing them; a lambda, since Qt drops slots of a dying object
        self.closed = False
        self.destroyed.connect(lambda _object=None: self._release())
        atexit.register(self.shut_down)  # a script may end without closing its viewer
        self._timer.start(POLL_MS)
        self._foreground = Foreground(self.controller.desk.stand_aside, self)
        self._set_aside = SetAside(napari_viewer)

    @property
    def panels(self) -> dict[str, QWidget]:
        """The sections by name."""
        panels = (
            self.project_panel,
            self.training_panel,
            self.review_panel,
            self.edits.panel,
            self.queue_panel,
            self.stop.panel,
            self.record_panel,
            self.export_panel,
        )
        return dict(zip(SECTIONS, panels, strict=True))

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        self.tabs = QTabWidget()
        self.tabs.setUsesScrollButtons(False)
        for name, panel in self.panels.items():
            self.tabs.addTab(_scrolled(panel) if name in SCROLLED else panel, name)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.runs.banner)
        layout.addWidget(self.frame_bar)
        layout.addWidget(self.message_bar)

    def _connect(self) -> None:
        self.controller.changed.connect(self._on_changed)
        self.project_panel.open_asked.connect(self.projects.ask_open)
        self.project_panel.folders_asked.connect(self.projects.ask_folders)
        self.project_panel.layers_asked.connect(self.projects.ask_layers)
        self.project_panel.images_asked.connect(self.projects.ask_images)
        self.review_panel.help_asked.connect(self.show_help)
        self.review_panel.preferences_asked.connect(self.ask_preferences)
        self.record_panel.second_asked.connect(self.ask_second_rater)
        self.record_panel.again_asked.connect(self.look_again)
        self.training_panel.places.address.setText(self.preferences.scheduler)
        self.training_panel.places.address_given.connect(
            lambda address: self.prefer(replace(self.preferences, scheduler=address))
        )
        self.training_panel.scores_asked.connect(self.opinions.ask_scores)
        self.training_panel.opinion_asked.connect(self.opinions.ask_second)
        self.export_panel.export_asked.connect(self.export_to)
        self.bindings.bind(self.keys)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)
        self.scene.frame_changed.connect(self.frame_bar.show_frame)
        self.scene.frame_changed.connect(self.review_panel.legend.refresh)

    def _on_changed(self, new: UiState, old: UiState) -> None:
        for name, panel in self.panels.items():
            if name not in ("Edit", "Stop"):
                panel.show_state(new)  # type: ignore[attr-defined]
        self.edits.show_state(new, old)
        self.stop.show_state(new, old)
        self.runs.show_state(new, old)
        if new.message is not old.message:
            self.message_bar.show_message(new.message)

    def _on_layer_removed(self, _event: object) -> None:
        self.review_panel.legend.refresh()

    def open_project(self, path: str | Path) -> None:
        """Open a project; when it is open elsewhere, offer to open it read-only."""
        self.projects.open(path)

    def show_section(self, name: str) -> None:
        """Bring a section to the front."""
        self.tabs.setCurrentIndex(SECTIONS.index(name))

    # ---------------------------------------------------------------- keys

    def _press(self, action: str) -> None:
        """Do what a key stands for."""
        ours = {"help": self.show_help, "jump": self.ask_place, "edit_here": self.scene.edit_here}
        ours.get(action, getattr(self.controller, action, None))()  # type: ignore[misc]

    def ask_place(self) -> None:
        """Ask for the number of a region and go there."""
        review = self.controller.state.review
        if not review.open:
            self.controller.next()
            return
        dialog = QInputDialog(self)
        dialog.setObjectName("jump")
        dialog.setWindowTitle("Jump")
        dialog.setLabelText(f"Number of the region, 1 to {review.open}")
        dialog.setInputMode(QInputDialog.InputMode.IntInput)
        dialog.setIntRange(1, review.open)
        dialog.setIntValue(max(review.position, 1))
        dialog.intValueSelected.connect(self.controller.go_to_place)
        dialog.open()

    def ask_second_rater(self) -> None:
        """Let another person judge decided regions anew."""
        if self.controller.project is not None:
            dialog = SecondRaterDialog(self, self.controller.project)
            dialog.again_asked.connect(self.look_again)
            dialog.open()

    def look_again(self) -> None:
        """Go through what two raters saw differently."""
        self.controller.look_again()
        if self.controller.state.review.note:
            self.show_section("Review")

    def show_help(self) -> None:
        """Show the keys."""
        box = QMessageBox(self)
        box.setObjectName("keys")
        box.setWindowTitle("Keys")
        box.setText(self.keys.help_html())
        box.open()

    def ask_preferences(self) -> None:
        """Show the preferences, and take what is chosen."""
        dialog = PreferencesDialog(self, self.preferences, default_author())
        dialog.chosen.connect(self.prefer)
        dialog.open()

    def prefer(self, chosen: Preferences) -> None:
        """Use other preferences from now on, and keep them."""
        self.preferences = chosen
        self.keys.reset()
        for action, key in chosen.keys.items():
            self.keys.change(action, key)
        self.bindings.bind(self.keys)
        self.review_panel.show_keys(self.keys)
        self.project_panel.show_keys(self.keys)
        self.frame_bar.show_keys(self.keys)
        try:
            preferences.save(chosen, preferences.default_path())
        except StorageError as error:
            self.controller.say(str(error), "error")

    # ---------------------------------------------------------------- export

    def export_to(self, folder: str, what: list[str]) -> None:
        """Write files in the background, from a reader of its own."""
        project = self.controller.project
        if project is None or not folder or not what:
            words = "Choose what to export, and a folder for it." if project else "Open a project first."
            self.controller.say(words, "error")
            return
        self.export_panel.show_busy(True)
        path, run = project.path, self.controller.state.review.run or None

        def work() -> tuple[list[Path], str]:
            with Project.open(path) as reader:
                return export_all(reader, folder, what, run=run, progress=check), left_out(reader, what)

        def done(found: tuple[list[Path], str]) -> None:
            self.export_panel.show_busy(False)
            words = f"Wrote {len(found[0])} files to {folder}. {found[1]}".strip()
            self.export_panel.result.setText(words)
            self.controller.say(words)

        def failed(words: str) -> None:
            self.export_panel.show_busy(False)
            self.controller.say(words, "error")

        self.background.run(work, done, failed)

    # ---------------------------------------------------------------- the window

    def showEvent(self, event: QShowEvent) -> None:
        """Be as wide as the widest section wants, whatever the font: nothing may be cut off."""
        super().showEvent(event)
        self._foreground.follow(self.window())
        widest = max(panel.minimumSizeHint().width() for panel in self.panels.values())
        self.setMinimumWidth(max(widest + FRAME, self.tabs.tabBar().sizeHint().width()))

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
        self._release(widgets=True)

    def _release(self, *, widgets: bool = False) -> None:
        """Free what outlives the window. No Qt by itself: napari may have destroyed the widget already."""
        if self.closed:
            return
        self.closed = True
        atexit.unregister(self.shut_down)
        self.bindings.release(widgets=widgets)
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.controller.changed.disconnect(self._on_changed)
        self.scene.frame_changed.disconnect(self.frame_bar.show_frame)
        self.scene.frame_changed.disconnect(self.review_panel.legend.refresh)
        self.scene.disconnect()
        self.edits.disconnect()
        self.stop.close()
        self.background.close()
        self.controller.close()
        self._set_aside.release()


def _scrolled(panel: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(panel)
    return area
