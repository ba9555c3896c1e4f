"""The training panel and its desk: what is shown of a run, and what is asked of it."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QApplication

from napari_metadcseg.controller import Controller
from napari_metadcseg.training import MAX_LOSSES, TrainingDesk
from napari_metadcseg.widgets.loss_plot import LossPlot, smoothed
from napari_metadcseg.widgets.places import ELSEWHERE
from napari_metadcseg.widgets.training_panel import TrainingPanel, doubted_text, status_text
from src_core.messages import Message
from src_core.store.project import Project
from src_core.train.device import device_list, physical_cores, window_threads
from src_core.worker.probe import AUTO, DeviceInfo, Probe, parse
from src_core.worker.states import WorkerState
from tests.plugin.test_controller_logic import FakeClient

STARTED = Message("started", {"run": "run-001", "device": "CPU", "steps": 10, "first_step": 0, "epochs": 5})


def progress(step, loss=0.5):
    figures = {"step": step, "steps": 10, "loss": loss, "stage": "meta", "eta_seconds": 70, "epoch": 1}
    return Message("progress", figures)


def epoch(number, dice):
    return Message("epoch", {"epoch": number, "step": 2 * number, "val_dice": dice, "loss": 0.4})


@pytest.fixture
def controller(make_project):
    made = Controller(TrainingDesk(FakeClient()))
    assert made.open(make_project())
    yield made
    made.close()


@pytest.fixture
def panel(controller, qtbot):
    made = TrainingPanel(controller)
    qtbot.addWidget(made)
    controller.changed.connect(lambda new, _old: made.show_state(new))
    return made


def hear(controller, *messages):
    controller.desk._client.queued = list(messages)
    controller.poll()
    return controller.state.training


def finished_run(path, epochs=6, done=6):
    folder = path / "runs" / "run-001"
    folder.mkdir(parents=True)
    record = {"started": "1", "settings": {"epochs": epochs, "steps_per_epoch": 2, "seed": 3}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    rows = [{"epoch": number + 1, "loss": 0.5, "val_dice": 0.8} for number in range(done)]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


# ------------------------------------------------------------------ curves and figures


def test_loss_and_dice_are_followed(controller):
    controller.train("quick")
    training = hear(
        controller, STARTED, progress(1, 0.9), progress(2, 0.7), epoch(1, 0.6), epoch(2, None), epoch(3, 0.7)
    )
    assert training.losses == ((1, 0.9), (2, 0.7))
    assert training.dice == ((2, 0.6), (6, 0.7))


def test_a_long_run_is_thinned_out(controller):
    controller.train("quick")
    training = hear(controller, STARTED, *[progress(step) for step in range(3 * MAX_LOSSES)])
    assert MAX_LOSSES / 2 <= len(training.losses) <= MAX_LOSSES
    assert training.losses[-1][0] == 3 * MAX_LOSSES - 1


def test_first_scores_are_said_and_training_goes_on(controller):
    controller.train("quick")
    training = hear(controller, STARTED, progress(1), Message("scoring", {"done": 3, "total": 6}))
    assert status_text(training) == "Looking at every image…"
    training = hear(controller, Message("scored", {"generation": 1, "regions": 2}), progress(2))
    assert training.scored is None
    assert "The queue in Review is filled already" in status_text(training)


def test_smoothing():
    assert smoothed(()).shape == (0, 2)
    values = smoothed(((1, 2.0), (2, float("nan")), (3, 1.0)))
    assert values[:, 0].tolist() == [1, 3]
    assert values[0, 1] == pytest.approx(2.0)
    assert values[1, 1] == pytest.approx((0.9 * 0.1 * 2 + 0.1 * 1) / (0.9 * 0.1 + 0.1))


def test_the_curves_are_drawn_in_their_colours(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.resize(QSize(360, 130))

    def colours():
        image = plot.grab().toImage()
        return {image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())}

    assert colours().isdisjoint({"#e69f00", "#d55e00"})
    plot.show_losses(((1, 0.9), (5, 0.4), (9, 0.2)), 10, ((2, 0.5), (8, 0.9)))
    drawn = colours()
    assert {"#56b4e9", "#e69f00"} <= drawn or {"#0072b2", "#d55e00"} <= drawn


# ------------------------------------------------------------------ pictures


def test_pictures_lead_to_their_image(controller, panel, make_project):
    controller.train("quick")
    path = controller.project.path
    cases = controller.project.cases
    folder = path / "runs/run-001/previews"
    folder.mkdir(parents=True)
    for case in cases[:2]:
        Image.new("RGB", (32, 32), (213, 94, 0)).save(folder / f"{case.id:06d}.png")
    images = [{"case": case.id, "file": f"{case.id:06d}.png", "doubted": 0.125} for case in cases[:2]]
    strange = {"case": 999, "file": "000999.png", "doubted": 0.5}
    hear(controller, STARTED, Message("previews", {"epoch": 1, "doubted": 0.2, "images": images}))
    assert not panel.strip.isHidden()
    assert [not button.isHidden() for button in panel.strip.buttons] == [True, True]
    assert cases[1].name in panel.strip.buttons[1].toolTip()
    assert "12.5%" in panel.strip.buttons[1].toolTip()
    assert not panel.strip.buttons[0].icon().isNull()
    panel.strip.buttons[1].click()
    assert controller.state.case_id == cases[1].id
    training = hear(controller, Message("previews", {"epoch": 2, "doubted": 0.1, "images": [images[0], strange]}))
    assert [not button.isHidden() for button in panel.strip.buttons] == [True, False]
    assert doubted_text(training) == "Labels in doubt: 10.0% (after the first epoch 20.0%)"


# ------------------------------------------------------------------ a process that says nothing


def test_silence_offers_to_end(controller, panel):
    controller.train("quick")
    hear(controller, STARTED)
    assert panel.end_button.isHidden()
    client = controller.desk._client
    client.silence = "The training process has not answered for 15 seconds. Wait, or press End now."
    hear(controller)
    assert panel.silence.text() == client.silence
    assert not panel.end_button.isHidden()
    panel.end_button.click()
    assert client.said[-1] == "end"
    client.silence = ""
    hear(controller)
    assert panel.silence.isHidden()
    assert panel.end_button.isHidden()


def test_to_keep_training_is_asked_for(controller, panel):
    assert not panel.keep_box.isEnabled()
    controller.train("quick")
    hear(controller, STARTED)
    assert not controller.may_switch()
    panel.keep_box.click()
    assert controller.desk._client.said[-1] == "keep"
    controller.desk._client.kept = True
    hear(controller, progress(1))
    assert panel.keep_box.isChecked()
    assert controller.may_switch()  # it goes on whatever is opened


def test_a_run_that_went_on_is_taken_up(make_project, monkeypatch):
    path = make_project()
    finished_run(path, done=2)
    client = FakeClient()

    def attach(folder):
        client.said.append(("attach", folder.name))
        client.state, client.kept = WorkerState.STARTING, True
        client.queued = [STARTED, progress(4)]

    client.attach = attach
    monkeypatch.setattr("napari_metadcseg.training.find_kept", lambda folders: next(iter(folders)))
    controller = Controller(TrainingDesk(client))
    assert controller.open(path)
    assert client.said[-1] == ("attach", "run-001")
    controller.poll()
    training = controller.state.training
    assert (training.worker, training.kept, training.step) == (WorkerState.RUNNING, True, 4)
    controller.close()


# ------------------------------------------------------------------ training on


def test_training_on_from_the_finished_run(controller, panel):
    assert not panel.on_button.isEnabled()
    finished_run(controller.project.path)
    controller.desk.attach(controller.project)
    controller.poll()
    controller.ask_training(lambda: None)
    assert panel.on_button.isEnabled()
    assert not panel.continue_button.isEnabled()
    panel.on_button.click()
    client = controller.desk._client
    assert client.started_with["start_from"] == "run-001"
    settings = client.started_with["settings"]
    assert (settings.epochs, settings.warmup_fraction, settings.seed) == (2, 0.0, 4)
    assert not panel.on_button.isEnabled()


def test_continuing_shows_the_epochs_before(controller):
    finished_run(controller.project.path, done=3)
    controller.continue_training()
    training = controller.state.training
    assert training.losses == ((2, 0.5), (4, 0.5), (6, 0.5))
    assert training.dice == ((2, 0.8), (4, 0.8), (6, 0.8))
    controller.desk._client.state = WorkerState.STOPPED
    assert not controller.ask_training(controller.desk.train_on)
    assert "no finished run" in controller.state.message.text


# ------------------------------------------------------------------ devices


def test_devices_are_chosen_by_name(controller, panel):
    found = parse(json.dumps([
        {"device": "cuda", "index": 1, "name": "GPU Big", "free_bytes": 8 * 1024**3},
        {"device": "cpu", "index": None, "name": "CPU, 1 thread", "free_bytes": None},
    ]))  # fmt: skip
    controller.desk._probe.found = (AUTO, *found)
    controller.desk._probe.poll = lambda: True
    controller.poll()
    assert [panel.places.itemText(k) for k in range(3)] == ["Automatic", "GPU Big, 8.0 GB free", "CPU, 1 thread"]
    panel.places.setCurrentIndex(1)
    panel.train_button.click()
    client = controller.desk._client
    assert client.started_with["settings"].device == "cuda"
    assert client.started_with["environment"] == {"CUDA_VISIBLE_DEVICES": "1"}


def test_elsewhere_asks_for_an_address(controller, panel):
    given = []
    panel.places.address_given.connect(given.append)
    assert panel.places.address.isHidden()
    panel.places.setCurrentText(ELSEWHERE)
    assert not panel.places.address.isHidden()
    panel.train_button.click()
    assert controller.state.message.level == "error"
    assert "address of the Dask scheduler" in controller.state.message.text
    panel.places.address.setText(" lab:8786 ")
    panel.places.address.editingFinished.emit()
    panel.places.show_devices((AUTO, DeviceInfo("cpu", None, "CPU")))  # the choice stays
    panel.train_button.click()
    client = controller.desk._client
    assert client.started_with["scheduler"] == "lab:8786"
    assert client.started_with["settings"].device == "auto"
    assert given == ["lab:8786"]
    panel.places.setCurrentIndex(0)
    assert panel.places.address.isHidden()
    assert panel.places.place().scheduler is None


def test_the_processor_is_always_there():
    found = parse(json.dumps(device_list()))
    assert found[-1].device == "cpu"
    assert found[-1].environment == {}
    assert 1 <= window_threads() <= max(physical_cores() - 1, 1)


@pytest.mark.parametrize("words", ["", "[", "{}", '[{"device": "cpu"}]', "[3]"])
def test_a_list_that_cannot_be_read_leaves_automatic(words):
    assert parse(words) == ()


def test_asking_for_devices_never_waits():
    probe = Probe()
    assert not probe.poll()
    probe.start()
    probe.close()
    assert not probe.poll()
    assert probe.found == (AUTO,)
    assert DeviceInfo("cpu", None, "CPU").environment == {}


@pytest.mark.gui
def test_the_panel_fits_while_training_runs(window, make_project, tiny, monkeypatch, wait_for):
    """Curves, pictures and figures without a scroll bar, in the real window with the real process."""
    monkeypatch.setattr("napari_metadcseg.training.make_preset", lambda _name, **_changes: tiny(epochs=2000))
    window.open_project(make_project())
    window.show_section("Train")
    window.training_panel.train_button.click()
    training = lambda: window.controller.state.training  # noqa: E731
    wait_for(lambda: training().previews and len(training().dice) > 1)
    for _ in range(3):
        QApplication.processEvents()
    area = window.tabs.widget(window.tabs.currentIndex())
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
    assert area.widget().sizeHint().height() <= area.viewport().height()
    with Project.open(window.controller.project.path) as project:
        assert project.run(scored=False).name == training().run
    window.training_panel.cancel_button.click()
    wait_for(lambda: not training().worker.alive)
    assert training().worker is WorkerState.STOPPED
