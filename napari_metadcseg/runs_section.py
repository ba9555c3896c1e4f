"""Runs and settings of training: the dialogs of the section Train, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QInputDialog, QMessageBox

from napari_metadcseg.widgets.advanced_settings import AdvancedSettings
from napari_metadcseg.widgets.compare_runs import CompareDialog
from napari_metadcseg.widgets.held_back import HeldBack
from napari_metadcseg.widgets.runs_dialog import RunsDialog
from src_core.config import PRESET_WORDS, PRESETS, changed_settings, preset
from src_core.errors import MetaDCSegError
from src_core.review.run_comparison import compare_runs
from src_core.store.project import Project
from src_core.store.run_choice import use_run
from src_core.store.run_files import delete_maps, delete_run, in_words, rename_run, total_use, what_is_lost, write_note
from src_core.store.run_table import curves, differing_settings, run_rows
from src_core.train.autoconfig import machine_facts, project_facts, seconds, suggest, time_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_metadcseg.background import Background
    from napari_metadcseg.controller import Controller
    from napari_metadcseg.state import UiState
    from napari_metadcseg.widgets.training_panel import TrainingPanel
    from src_core.config import TrainingSettings
    from src_core.train.autoconfig import MachineFacts, ProjectFacts

TOO_LITTLE = "{} and {}: too few verified pixels that neither has learned from to say which is better."


class RunsSection:
    """What the section Train needs beyond starting and stopping.

    Parameters
    ----------
    parent : QWidget
    controller : Controller
    panel : TrainingPanel
    background : Background

    Attributes
    ----------
    banner : HeldBack
    changes : dict
        Settings off the preset, for the next training.
    """

    def __init__(self, parent: QWidget, controller: Controller, panel: TrainingPanel, background: Background) -> None:
        self._parent, self._controller, self._panel = parent, controller, panel
        self._background = background
        self.banner = HeldBack()
        self.banner.answered.connect(self.use)
        self.changes: dict[str, Any] = {}
        self.dialog: RunsDialog | None = None
        self._facts: tuple[ProjectFacts, MachineFacts] | None = None
        panel.runs_asked.connect(self.ask_runs)
        panel.settings_asked.connect(self.ask_settings)
        panel.presets.currentIndexChanged.connect(lambda _index: self.change({}))

    def show_state(self, new: UiState, old: UiState) -> None:
        """Follow the state."""
        self.banner.show_comparison(new.review.held_back if new.project is not None else None)
        path = None if new.project is None else new.project.path
        if path != (None if old.project is None else old.project.path):
            self._facts = None
            self.change({})
            self._show_times()
            if path is not None:
                self._look(path)

    # ---------------------------------------------------------------- presets and settings

    def _look(self, path: Path) -> None:
        """Find out about images and machine, for times and suggestions."""

        def work() -> tuple[ProjectFacts, MachineFacts]:
            with Project.open(path) as reader:
                return project_facts(reader), machine_facts()

        def done(facts: tuple[ProjectFacts, MachineFacts]) -> None:
            project = self._controller.project
            if project is not None and project.path == path:
                self._facts = facts
                self._show_times()
                if self._controller.review.problem:
                    self._controller.say(self._controller.review.problem, "error")

        self._background.run(work, done, lambda _words: None)

    def _show_times(self) -> None:
        presets = self._panel.presets
        for index in range(presets.count()):
            key = presets.itemData(index)
            words = PRESET_WORDS[key]
            if self._facts is not None:
                words += f", {time_words(seconds(PRESETS[key], *self._facts))}"
            presets.setItemText(index, words)

    def settings(self) -> TrainingSettings:
        """What the next training will use."""
        return preset(self._panel.presets.currentData(), **self.changes)

    def change(self, changes: dict[str, Any]) -> None:
        """Train with these settings off the preset from now on."""
        self.changes = changes
        self._panel.show_changes(changes)

    def ask_settings(self) -> None:
        """Show all settings, with what fits the images."""
        base = PRESETS[self._panel.presets.currentData()]
        suggestion = None if self._facts is None else suggest(*self._facts, base)
        estimate = None if self._facts is None else self._estimate
        dialog = AdvancedSettings(self._parent, base, self.settings(), suggestion, estimate)
        dialog.chosen.connect(lambda settings: self.change(_off(settings, base)))
        dialog.open()

    def _estimate(self, settings: TrainingSettings) -> str:
        assert self._facts is not None
        return time_words(seconds(settings, *self._facts))

    # ---------------------------------------------------------------- runs

    def ask_runs(self) -> None:
        """Show the runs."""
        if self._controller.project is None:
            self._controller.say("Open a project first.", "error")
            return
        dialog = RunsDialog(self._parent)
        acts = {
            dialog.use_asked: self.use,
            dialog.compare_asked: self._compare,
            dialog.rename_asked: self._ask_name,
            dialog.note_asked: self._ask_note,
            dialog.maps_asked: self._ask_maps,
            dialog.delete_asked: self._ask_delete,
        }
        for signal, act in acts.items():
            signal.connect(act)
        self.dialog = dialog
        self._refresh()
        dialog.open()

    def _refresh(self, problem: str = "") -> None:
        """Fill the table anew; sizes are summed up in the background."""
        project, dialog = self._controller.project, self.dialog
        if project is None or dialog is None:
            return
        path, writable = project.path, project.writable

        def work() -> tuple[Any, int]:
            with Project.open(path) as reader:
                return run_rows(reader), total_use(path)

        def done(found: tuple[Any, int]) -> None:
            if self.dialog is dialog and dialog.isVisible():
                dialog.show_rows(*found, writable=writable)

        dialog.problem.setText(problem)
        self._background.run(work, done, dialog.problem.setText)

    def _try(self, act: Callable[[Project], object]) -> bool:
        """Do something to a run; what goes wrong is said."""
        project = self._controller.project
        if project is None:
            return False
        try:
            act(project)
        except MetaDCSegError as error:
            self._controller.say(str(error), "error")
            self._refresh(str(error))
            return False
        self._refresh()
        return True

    def use(self, name: str) -> None:
        """Let the proposals come from a run."""
        if self._try(lambda project: use_run(project, project.run(name))):
            self._review_anew()
            self._controller.say(f"The proposals come from {name} now.")

    def _review_anew(self) -> None:
        """Let the review follow: another run may be the one, or it may be called otherwise."""
        project, review = self._controller.project, self._controller.review
        if project is None:
            return
        name = None if review.run is None else review.run.name
        if name is not None and name not in {run.name for run in project.runs()}:
            review.attach(project)
        self._controller.load_scores()
        if self._controller.state.case_id is not None:
            self._controller.show(self._controller.state.case_id)

    def _ask_name(self, name: str) -> None:
        dialog = self._line("Rename run", f"New name of {name}", name)
        dialog.textValueSelected.connect(lambda new: self._rename(name, new.strip()))
        dialog.open()

    def _rename(self, name: str, new: str) -> None:
        if new != name and self._try(lambda project: rename_run(project, project.run(name, scored=False), new)):
            self._review_anew()

    def _ask_note(self, name: str) -> None:
        note = next((row.note for row in self.dialog.model.rows if row.name == name), "") if self.dialog else ""
        dialog = self._line("Note", f"Note on {name}", note)
        dialog.textValueSelected.connect(
            lambda words: self._try(lambda project: write_note(project, project.run(name, scored=False), words))
        )
        dialog.open()

    def _line(self, title: str, words: str, value: str) -> QInputDialog:
        dialog = QInputDialog(self.dialog)
        dialog.setObjectName("run-line")
        dialog.setWindowTitle(title)
        dialog.setLabelText(words)
        dialog.setTextValue(value)
        return dialog

    def _ask_maps(self, names: list[str]) -> None:
        rows = [] if self.dialog is None else [row for row in self.dialog.model.rows if row.name in names]
        freed = in_words(sum(row.disk.maps for row in rows))
        models = "Its model stays" if len(rows) == 1 else "Their models stay"
        other = " Another run will be reviewed until then." if any(row.reviewed for row in rows) else ""
        words = (
            f"Deleting the maps of {', '.join(names)} frees {freed}. {models}, and 'metadcseg score' makes them again."
            f"{other}"
        )

        def act() -> None:
            for name in names:
                self._delete(name, delete_maps)

        self._confirm("Delete maps", words, act)

    def _ask_delete(self, name: str) -> None:
        project = self._controller.project
        if project is None:
            return
        path = project.path

        def work() -> str:
            with Project.open(path) as reader:
                return what_is_lost(reader, reader.run(name, scored=False))

        self._background.run(
            work,
            lambda words: self._confirm("Delete run", words, lambda: self._delete(name, delete_run)),
            self._refresh,
        )

    def _confirm(self, title: str, words: str, act: Callable[[], object]) -> None:
        box = QMessageBox(self.dialog)
        box.setObjectName("confirm-run")
        box.setIcon(QMessageBox.Icon.Warning)
        box.setWindowTitle(title)
        box.setText(words)
        box.setStandardButtons(QMessageBox.StandardButton.Cancel | QMessageBox.StandardButton.Yes)
        box.button(QMessageBox.StandardButton.Yes).setText(title)
        box.setDefaultButton(QMessageBox.StandardButton.Cancel)
        box.button(QMessageBox.StandardButton.Yes).clicked.connect(lambda _checked=False: act())
        box.open()

    def _delete(self, name: str, delete: Callable[[Project, Any], int]) -> None:
        if self._try(lambda project: delete(project, project.run(name, scored=False))):
            self._review_anew()

    def _compare(self, names: list[str]) -> None:
        project = self._controller.project
        if project is None:
            return
        path = project.path

        def work() -> tuple[Any, ...]:
            with Project.open(path) as reader:
                runs = [reader.run(name, scored=False) for name in names]
                return [curves(run) for run in runs], _verdicts(reader, runs), differing_settings(runs)

        self._background.run(work, lambda found: CompareDialog(self.dialog, *found).open(), self._refresh)


def _off(settings: TrainingSettings, base: TrainingSettings) -> dict[str, Any]:
    """What a form changed; what no preset decides (method, seed, device, threads) too."""
    always = {name: getattr(settings, name) for name in ("method", "seed", "device", "threads")}
    return changed_settings(settings) | {name: value for name, value in always.items() if value != getattr(base, name)}


def _verdicts(project: Project, runs: list[Any]) -> list[str]:
    """Each run against the oldest of them, on the same pixels."""
    *newer, oldest = sorted(runs, key=lambda run: run.started, reverse=True)
    found = []
    for run in newer:
        comparison = compare_runs(project, run, oldest) if run.has_scores and oldest.has_scores else None
        sentence = TOO_LITTLE.format(run.name, oldest.name) if comparison is None else comparison.sentence() + "."
        found.append(sentence)
    return found
