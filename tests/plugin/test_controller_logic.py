"""What the window does, without a window."""

from __future__ import annotations

import numpy as np
import pytest

from napari_metadcseg.controller import Controller
from napari_metadcseg.summary import project_state, settled
from napari_metadcseg.training import TrainingDesk
from napari_metadcseg.widgets.training_panel import duration, status_text, verified_text
from src_core.data.case import Box, Verified, vouched
from src_core.messages import Message
from src_core.review.queue import ReviewQueue
from src_core.review.regions import find_regions, image_score
from src_core.store.project import Project
from src_core.store.runs import ScoreWriter
from src_core.worker.states import WorkerState


class FakeClient:
    """Plays back messages instead of training."""

    def __init__(self):
        self.state, self.run, self.error, self.details = WorkerState.IDLE, "", "", ""
        self.silence, self.kept = "", False
        self.queued, self.said = [], []

    def start(self, path, settings, *, run=None, resume=False, start_from=None, scheduler=None, environment=None):
        self.said.append(("start", settings.preset, run, resume))
        self.started_with = {"settings": settings, "start_from": start_from, "environment": environment}
        self.started_with["scheduler"] = scheduler
        self.state = WorkerState.STARTING

    def poll(self):
        messages, self.queued = self.queued, []
        for message in messages:
            if message.type == "started":
                self.state, self.run = WorkerState.RUNNING, message.data["run"]
            if message.type == "finished":
                self.state = WorkerState.FINISHED
        return messages

    def __getattr__(self, name):
        if name in ("pause", "resume", "stop", "finish", "close", "end", "keep"):
            return lambda *_args: self.said.append(name)
        raise AttributeError(name)


def add_scores(path, truth, run="run-001"):
    """Scores that know the truth, as a perfect run would write them."""
    folder = path / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text('{"started": "1", "settings": {"epochs": 1}}', encoding="utf-8")
    writer = ScoreWriter(folder, run)
    regions, images = [], []
    with Project.open(path) as project:
        for case in project.cases:
            label, verified = project.read_labels(case)
            true = truth[case.name]
            trust = np.where(label == true, 0.95, 0.1).astype(np.float32)
            trust[verified > 0] = 1
            maps = {"trust": trust, "label": label, "proposed": true, "verified": verified}
            found, numbers = find_regions(case, uncertainty=np.zeros_like(trust), **maps)
            regions += found
            images.append(image_score(case, **maps))
            zero = np.zeros_like(trust)
            writer.write(
                case.id,
                {
                    "trust": trust,
                    "alpha": trust,
                    "beta": zero,
                    "uncertainty": zero,
                    "proposed": true,
                    "regions": numbers,
                },
            )
    writer.finish(images, regions)


@pytest.fixture
def scored(make_project, phantoms):
    path = make_project(6, trusted=2)
    truth = {slice_.name: slice_.truth for slice_ in phantoms}
    add_scores(path, truth)
    return path, truth


@pytest.fixture
def controller(scored):
    made = Controller(TrainingDesk(FakeClient()))
    assert made.open(scored[0])
    yield made
    made.close()


def wrong(controller, truth):
    project = controller.project
    return sum(int((project.read_label(case) != truth[case.name]).sum()) for case in project.cases)


def test_opening_takes_the_worst_region_in_hand(controller):
    state = controller.state
    assert len(state.project.rows) == 6
    assert state.project.verified_images == 2
    assert state.review.region == controller.queue.open[0]
    assert state.case_id == state.review.region.case_id
    assert (state.review.position, state.review.open) == (1, len(controller.queue.open))


def test_accepting_everything_cleans_the_masks_and_empties_the_queue(controller, scored):
    before = wrong(controller, scored[1])
    changed = []
    controller.labels_changed.connect(lambda case_id, _box: changed.append(case_id))
    count = len(controller.queue.open)
    for _ in range(count):
        controller.accept()
    assert len(changed) == count
    assert controller.state.review.region is None
    assert controller.state.review.open == 0
    assert wrong(controller, scored[1]) < 0.1 * before
    controller.accept()
    assert "No region is in hand" in controller.state.message.text
    for _ in range(count):
        controller.undo()
    assert wrong(controller, scored[1]) == before
    assert not controller.state.review.can_undo
    assert controller.state.review.can_redo


def test_new_scores_look_for_answers_in_new_rows_only(controller, scored, monkeypatch):
    history, asked = Project.history, []
    monkeypatch.setattr(Project, "history", lambda self, limit=None: (asked.append(limit), history(self, limit))[1])
    regions = [controller.state.review.region.id]
    controller.accept()
    controller.undo()
    regions.append(controller.state.review.region.id)
    controller.keep()
    known = dict(controller.queue._answers)
    for rows in (3, 0):  # what was decided on the way is not looked for again the next time
        asked.clear()
        add_scores(scored[0], scored[1])
        assert controller.review.take_scores()
        assert asked == [rows]
        assert controller.queue._answers == known
    assert set(regions) <= set(known)
    fresh = Controller(TrainingDesk(FakeClient()))
    assert fresh.open(scored[0], write=False)
    assert fresh.queue._answers == known
    fresh.close()


def test_undo_brings_region_and_image_back(controller):
    region = controller.state.review.region
    controller.keep()
    assert controller.state.review.region != region
    assert controller.state.review.last.startswith("Label kept")
    controller.undo()
    assert controller.state.review.region == region
    assert controller.state.case_id == region.case_id


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_up_step_by_step_is_what_is_worked_out_anew(controller, seed):
    rng = np.random.default_rng(seed)
    actions = ("accept", "keep", "skip", "unsure", "verify_image", "undo", "redo", "next", "previous")
    controller.show_kind(str(rng.choice(["all", "error"])))
    for _ in range(40):
        getattr(controller, str(rng.choice(actions)))()
        state, project, queue = controller.state, controller.project, controller.queue
        anew = ReviewQueue(queue.regions, settled(project, queue))
        anew.show(queue.filter)
        assert [region.id for region in queue.open] == [region.id for region in anew.open]
        assert state.review.regions == tuple(queue.open)
        assert (state.review.errors, state.review.ambiguous) == (anew.count("error"), anew.count("ambiguous"))
        assert state.project.rows == project_state(None, project, controller.review.images, anew).rows
        assert state.project.verified_pixels == sum(map(vouched, project.verified_counts().values()))


def test_every_decision_is_on_disk_before_it_is_shown(controller, scored):
    seen = []

    def look(new, old):
        if new.review.last != old.review.last:
            with Project.open(scored[0]) as reader:
                seen.append(reader.history(1)[0].action)

    controller.changed.connect(look)
    controller.accept()
    controller.skip()
    controller.verify_image()
    case = controller.case
    assert controller.stroke(case.id, Box((0, 0), (2, 2)), np.ones((2, 2), np.uint8))
    assert seen == ["accept", "skip", "verify_image", "edit"]


def test_a_painted_fix_is_confirmed_with_its_region(controller):
    region = controller.state.review.region
    box = Box((1, 1), (4, 4))
    controller.stroke(region.case_id, box, 1 - controller.project.read_label(controller.case, box))
    assert not (controller.project.read_verified(controller.case, box) > 0).any()
    case = controller.case
    controller.confirm()
    assert (controller.project.read_verified(case, box) == Verified.CORRECTED).all()


def test_skipped_regions_come_again(controller):
    first = controller.state.review.region
    controller.skip()
    assert controller.queue.open[-1] == first


def test_showing_another_image_puts_the_region_down(controller):
    controller.show(controller.project.cases[0].id)
    assert controller.state.review.region is None
    controller.next()
    assert controller.state.review.region is not None


def test_a_read_only_project_can_be_looked_at(scored):
    with Project.open(scored[0], write=True):
        controller = Controller(TrainingDesk(FakeClient()))
        assert not controller.open(scored[0])
        assert "open in another window" in controller.state.message.text
        assert controller.open(scored[0], write=False)
        controller.accept()
        assert "read-only" in controller.state.message.text
        assert controller.state.message.level == "error"
        controller.close()


def test_training_is_followed(controller):
    client = controller.desk._client
    assert controller.train("quick")
    assert client.said[-1] == ("start", "quick", None, False)
    client.queued = [
        Message("started", {"run": "run-002", "device": "CPU", "steps": 10, "first_step": 0, "epochs": 1}),
        Message(
            "verified",
            {"pixels": 7, "corrected": 1, "confirmed": 2, "background": 4, "images": 1, "classes": [4, 3]},
        ),
        Message("progress", {"step": 3, "steps": 10, "loss": 0.5, "stage": "meta", "eta_seconds": 70, "epoch": 1}),
        Message("notice", {"text": "Verify more."}),
    ]
    controller.poll()
    training = controller.state.training
    assert training.worker is WorkerState.RUNNING
    assert training.verified == (7, 1, 2, 4)
    assert "By class: background 4, organ 3" in verified_text(training, controller.state.project)
    assert training.losses == ((3, 0.5),)
    assert training.notices == ("Verify more.",)
    assert "weighing every pixel" in status_text(training)
    controller.pause()
    assert client.said[-1] == "pause"
    client.state = WorkerState.CRASHED
    client.error = "The training process stopped."
    controller.poll()
    assert status_text(controller.state.training) == "The training process stopped."


def test_new_scores_leave_the_region_in_hand(controller, scored):
    controller.next()
    region = controller.state.review.region
    add_scores(scored[0], scored[1])
    controller.desk._client.queued = [Message("scored", {"generation": 2, "regions": 1})]
    controller.poll()
    assert controller.state.review.region == region
    assert "New scores" in controller.state.message.text


def test_without_a_project_everything_says_what_to_do():
    controller = Controller(TrainingDesk(FakeClient()))
    for action in ("accept", "keep", "confirm", "skip", "verify_image", "undo", "redo", "next"):
        getattr(controller, action)()
    assert not controller.train("quick")
    assert "Open a project first" in controller.state.message.text
    assert not controller.open("nowhere")
    assert "There is no project" in controller.state.message.text


def test_times_as_a_person_says_them():
    assert duration(0.2) == "about 1 seconds" or duration(0.2) == "about 1 second"
    assert duration(600) == "about 10 minutes"
    assert duration(7200) == "about 2.0 hours"


@pytest.mark.parametrize("file", ["run.json", "ranking.json", "history.jsonl", "scores.zarr/zarr.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"settings": {"epochs": "many"}, "regions": 5}'])
def test_a_damaged_run_does_not_keep_a_project_closed(scored, file, text):
    (scored[0] / "runs" / "run-001" / file).write_text(text)
    made = Controller(TrainingDesk(FakeClient()))
    assert made.open(scored[0])
    assert len(made.state.project.rows) == 6
    made.verify_image()
    assert "verified" in made.state.review.last
    made.close()
