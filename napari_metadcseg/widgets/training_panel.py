"""Train: start, watch, pause, end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QProgressBar, QVBoxLayout, QWidget

from napari_metadcseg.widgets.loss_plot import LossPlot
from napari_metadcseg.widgets.parts import button, heading, row, text
from napari_metadcseg.widgets.places import Places
from napari_metadcseg.widgets.preview_strip import PreviewStrip
from src_core.worker.states import WorkerState

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_metadcseg.controller import Controller
    from napari_metadcseg.state import ProjectState, TrainingState, UiState

PRESETS = (
    (
        "quick",
        "Quick look (about 5 minutes)",
        "300 steps on images of up to 128 px: enough for a first queue",
    ),
    ("standard", "Standard (an hour without a GPU)", "2,000 steps on images of up to 256 px"),
    ("thorough", "Thorough (wants a GPU)", "10,000 steps on images of up to 512 px"),
)

STAGES = {"warm-up": "learning from all masks", "meta": "weighing every pixel by the verified ones"}

WORDS = {
    WorkerState.IDLE: "Not started.",
    WorkerState.STARTING: "Starting…",
    WorkerState.PAUSING: "Pausing after this step…",
    WorkerState.PAUSED: "Paused.",
    WorkerState.STOPPING: "Ending after this step…",
    WorkerState.STOPPED: "Ended. Press Continue to go on from the last checkpoint.",
    WorkerState.FINISHED: "Finished: the queue in Review is filled. When you have decided some, press Train on.",
}


class TrainingPanel(QWidget):
    """The second section of the widget."""

    scores_asked = Signal()
    opinion_asked = Signal()
    runs_asked = Signal()
    settings_asked = Signal()

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self._changes: dict[str, object] = {}
        layout = QVBoxLayout(self)
        self.empty = text(
            "Open a project first, then verify a few masks: they teach the model which labels to believe."
        )
        layout.addWidget(self.empty)
        layout.addLayout(self._make_choices())
        for widget in self._make_setting_buttons():
            layout.addWidget(widget)
        self._make_buttons()
        layout.addWidget(row(self.train_button, self.continue_button, self.on_button))
        layout.addWidget(row(self.pause_button, self.finish_button, self.cancel_button))
        self.keep_box = QCheckBox("Keep training when I close napari")
        self.keep_box.setToolTip(
            "Training goes on by itself; open the project again to see how far it is, to pause it or to end it"
        )
        self.keep_box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.keep_box.clicked.connect(lambda on: controller.ask_training(lambda: controller.desk.keep(on)))
        layout.addWidget(self.keep_box)
        self._make_progress(layout)
        layout.addStretch(1)
        self._make_opinions(layout)
        self.show_state(controller.state)

    def _make_choices(self) -> QFormLayout:
        self.presets = QComboBox()
        for key, words, tip in PRESETS:
            self.presets.addItem(words, key)
            self.presets.setItemData(self.presets.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.presets.setToolTip("How long and how fine; without a GPU start with the quick look")
        self.places = Places()
        form = QFormLayout()
        form.addRow("How", self.presets)
        form.addRow("On", self.places)
        form.addRow("At", self.places.address)
        form.setRowVisible(self.places.address, False)
        self.places.currentIndexChanged.connect(
            lambda _index: form.setRowVisible(self.places.address, self.places.is_elsewhere)
        )
        return form

    def _make_setting_buttons(self) -> tuple[QWidget, QWidget]:
        self.changed = text(faint=True)
        self.changed.setObjectName("changed-settings")
        self.changed.hide()
        tip = "All settings, those that fit the images, and why"
        self.settings_button = button("Settings…", tip, self.settings_asked.emit, "settings")
        self.runs_button = button("Runs…", "All runs: compare, choose, rename, delete", self.runs_asked.emit, "runs")
        return self.changed, row(self.settings_button, self.runs_button)

    def _make_buttons(self) -> None:
        controller = self._controller
        self.train_button = button("Train", "Start a new run in the background", self._train, "train")
        self.continue_button = button(
            "Continue",
            "Go on from the last checkpoint of the newest run",
            controller.continue_training,
            "continue",
        )
        self.on_button = button(
            "Train on",
            "A new run that starts from the model of the last one, with what you have verified since; takes a third of "
            "the time",
            self._train_on,
            "train-on",
        )
        self.pause_button = button("Pause", "Wait after this step; Resume goes on", controller.pause, "pause")
        self.finish_button = button(
            "Finish now",
            "Train no further and score the images with what was learned",
            controller.finish,
            "finish",
        )
        self.cancel_button = button("Cancel", "End training; the last checkpoint is kept", controller.cancel, "cancel")
        self.end_button = button(
            "End now",
            "End the training process whatever it does; the last checkpoint is kept",
            lambda: controller.ask_training(controller.desk.end),
            "end-now",
        )

    def _make_progress(self, layout: QVBoxLayout) -> None:
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setToolTip("Training stands aside while you paint or move the view, and goes on right after")
        self.status = text()
        self.status.setObjectName("training-status")
        self.silence = text()
        self.silence.setObjectName("training-silence")
        self.plot = LossPlot()
        self.strip = PreviewStrip()
        self.strip.chosen.connect(self._controller.show)
        self.verified = text()
        self.verified.setObjectName("verified-in-use")
        self.verified.setToolTip("What you verify while training runs is used from the next epoch on")
        self.notices = text()
        self.details = text(faint=True)
        self.details.hide()
        self.details_button = button("Show details", "What the process wrote last", self._toggle_details, "details")
        for widget in (self.bar, self.status, self.silence, self.end_button, self.plot, self.strip, self.verified):
            layout.addWidget(widget)
        for widget in (self.notices, self.details_button, self.details):
            layout.addWidget(widget)

    def _make_opinions(self, layout: QVBoxLayout) -> None:
        layout.addWidget(heading("Other opinions"))
        self.scores_button = button(
            "Import scores…",
            "Review by the probabilities or trust maps of a model of your own, without training here",
            self.scores_asked.emit,
            "import-scores",
        )
        self.opinion_button = button(
            "Second opinion",
            "Let cleanlab judge the labels by the same model's probabilities; it is shown on the card of each region",
            self.opinion_asked.emit,
            "second-opinion",
        )
        layout.addWidget(row(self.scores_button, self.opinion_button))

    # ---------------------------------------------------------------- what is asked

    def showEvent(self, event: QShowEvent) -> None:
        """Look for devices when somebody comes to choose one."""
        super().showEvent(event)
        self._controller.desk.look_for_devices()

    def _train(self) -> None:
        self._controller.train(self.presets.currentData(), place=self.places.place(), **self._changes)

    def show_changes(self, changes: dict[str, object]) -> None:
        """Train with these settings off the preset, and say so."""
        self._changes = changes
        self.changed.setVisible(bool(changes))
        words = {True: "on", False: "off"}
        names = ", ".join(
            f"{name.replace('_', ' ')} {words[value] if isinstance(value, bool) else value}"
            for name, value in changes.items()
        )
        self.changed.setText(f"Off the preset: {names}.")

    def _train_on(self) -> None:
        desk = self._controller.desk
        self._controller.ask_training(lambda: desk.train_on(place=self.places.place()))

    def _toggle_details(self) -> None:
        self.details.setVisible(not self.details.isVisible())

    # ---------------------------------------------------------------- what is shown

    def show_state(self, state: UiState) -> None:
        """Draw the state."""
        training = state.training
        self._show_buttons(state)
        self.places.show_devices(training.devices)
        self._show_progress(training)
        self.status.setText(status_text(training))
        self.silence.setText(training.silence)
        self.silence.setVisible(bool(training.silence))
        self.end_button.setVisible(bool(training.silence) or training.worker is WorkerState.STOPPING)
        self.plot.show_losses(training.losses, training.steps, training.dice)
        names = {} if state.project is None else {image.case_id: image.name for image in state.project.rows}
        self.strip.show_previews(training.previews, lambda case_id: names.get(case_id, str(case_id)))
        self.verified.setText(verified_text(training, state.project))
        self.verified.setVisible(bool(self.verified.text()))
        self.notices.setText("\n".join(f"• {notice}" for notice in training.notices))
        self.notices.setVisible(bool(training.notices))
        self.details_button.setVisible(bool(training.details))
        self.details.setText(training.details)
        if not training.details:
            self.details.hide()

    def _show_buttons(self, state: UiState) -> None:
        training = state.training
        alive, there = training.worker.alive, state.project is not None
        self.empty.setVisible(not there)
        for widget in (self.presets, self.places, self.places.address, self.train_button):
            widget.setEnabled(there and not alive)
        self.continue_button.setEnabled(there and training.can_continue)
        self.on_button.setEnabled(there and training.can_train_on)
        self.scores_button.setEnabled(there)
        self.runs_button.setEnabled(there)
        self.settings_button.setEnabled(there and not alive)
        self.opinion_button.setEnabled(there and bool(state.review.run) and not alive)
        paused = training.worker in (WorkerState.PAUSED, WorkerState.PAUSING)
        self.pause_button.setText("Resume" if paused else "Pause")
        self.pause_button.setEnabled(paused or training.worker is WorkerState.RUNNING)
        for widget in (self.finish_button, self.cancel_button):
            widget.setEnabled(alive and training.worker is not WorkerState.STOPPING)
        self.keep_box.setEnabled(alive)
        self.keep_box.setChecked(training.kept)

    def _show_progress(self, training: TrainingState) -> None:
        done, total = (training.step, training.steps) if training.scored is None else training.scored
        self.bar.setVisible(total > 0)
        self.bar.setMaximum(max(total, 1))
        self.bar.setValue(done)
        self.bar.setFormat("step %v of %m" if training.scored is None else "scoring image %v of %m")


def status_text(training: TrainingState) -> str:
    """What training is at, in one sentence."""
    if training.worker in (WorkerState.FAILED, WorkerState.CRASHED):
        return training.error
    if training.worker is not WorkerState.RUNNING:
        return WORDS.get(training.worker, "")
    if training.scored is not None:
        return "Looking at every image…"
    stage = STAGES.get(training.stage, "reading the images")
    left = f", {duration(training.eta_seconds)} left" if training.step else ""
    where = f" on {training.device}" if training.device else ""
    first = " The queue in Review is filled already and gets better." if training.looks else ""
    return f"Training{where}: {stage}{left}.{first}"


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds >= 5400:
        return f"about {seconds / 3600:.1f} hours"
    if seconds >= 90:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {max(seconds, 1):.0f} seconds"


def verified_text(training: TrainingState, project: ProjectState | None = None) -> str:
    """Verified pixels in use, by kind and by class, and the share of labels that are doubted."""
    return "\n".join(part for part in (_verified_text(training, project), doubted_text(training)) if part)


def doubted_text(training: TrainingState) -> str:
    """Share of the labels that the model doubts, and how it was after the first epoch."""
    if not training.doubted:
        return ""
    before = f" (after the first epoch {training.doubted[0]:.1%})" if len(training.doubted) > 1 else ""
    return f"Labels in doubt: {training.doubted[-1]:.1%}{before}"


def _verified_text(training: TrainingState, project: ProjectState | None) -> str:
    if training.verified is None:
        return ""
    pixels, corrected, confirmed, background = training.verified
    text = (
        f"Verified pixels in use: {pixels:,} (corrected {corrected:,}, confirmed {confirmed:,}, "
        f"background {background:,})"
    )
    if project is None or len(training.verified_classes) != len(project.classes):
        return text
    parts = zip(project.classes, training.verified_classes, strict=True)
    return f"{text}\nBy class: {', '.join(f'{info.name} {count:,}' for info, count in parts)}"
