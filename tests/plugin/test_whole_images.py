"""Marking a large image as right: worked out in a thread, recorded in the window's thread, shown once it is applied."""

from __future__ import annotations

import numpy as np
import pytest

from napari_metadcseg.controller import Controller
from src_core.data.case import Box
from src_core.store import chunks, pieces
from src_core.store.project import Project
from src_core.store.verify import problems_of


class Threads:
    """Work that is done when the test says so."""

    def __init__(self):
        self.waiting = []

    def __call__(self, work, done, failed):
        self.waiting.append((work, done, failed))

    def finish(self):
        work, done, failed = self.waiting.pop(0)
        try:
            result = work()
        except OSError as error:
            failed(str(error))
        else:
            done(result)


@pytest.fixture
def opened(make_project, monkeypatch):
    monkeypatch.setattr(chunks, "_EDGES", {**chunks._EDGES, 2: 32})
    monkeypatch.setattr(pieces, "MOST", 1024)
    controller, threads = Controller(), Threads()
    controller.whole.background = threads
    controller.open(make_project(3, trusted=0))
    controller.show(controller.project.cases[0].id)
    yield controller, threads
    controller.close()


def heard(controller):
    shown = []
    controller.labels_changed.connect(lambda *what: shown.append(what))
    return shown


def test_it_is_recorded_between_two_threads_and_shown_at_last(opened):
    controller, threads = opened
    shown, case = heard(controller), controller.case
    controller.verify_image()
    assert controller.state.message.text == f"Marking the whole of {case.name} as right…"
    assert controller.project.history() == []
    controller.verify_image()  # once more while it is worked on
    assert controller.state.message.text == f"{case.name} is still being worked on; wait for it."
    threads.finish()
    assert controller.project.history(1)[0].action == "verify_image"
    assert controller.project.version() == (1, 0)
    assert shown == []
    threads.finish()
    assert controller.project.version() == (1, 1)
    assert shown == [(case.id, Box.whole(case.shape))]
    assert controller.state.review.last.startswith("Image marked as verified")
    assert controller.project.is_wholly_verified(case)
    controller.undo()
    threads.finish()
    assert len(shown) == 2
    assert controller.project.verified_count(case) == {}
    controller.redo()
    threads.finish()
    assert controller.project.is_wholly_verified(case)
    assert threads.waiting == []
    assert problems_of(controller.project) == []


def test_a_stroke_meanwhile_counts(opened):
    controller, threads = opened
    case, box = controller.case, Box((0, 0), (5, 5))
    controller.verify_image()
    label = 1 - controller.project.read_label(case, box)
    assert controller.stroke(case.id, box, label)
    threads.finish()
    threads.finish()
    assert np.array_equal(controller.project.read_label(case, box), label)
    assert controller.project.is_wholly_verified(case)
    assert problems_of(controller.project) == []


def test_another_project_meanwhile_is_left_alone(opened, make_project):
    controller, threads = opened
    first = controller.project.path
    controller.verify_image()
    controller.open(make_project(3, trusted=0, name="other"))
    threads.finish()
    assert controller.project.history() == []
    with Project.open(first) as project:
        assert project.history() == []


def test_a_project_that_is_closed_before_it_is_applied(opened):
    controller, threads = opened
    path, shown = controller.project.path, heard(controller)
    controller.verify_image()
    threads.finish()
    controller.close()
    threads.finish()
    assert shown == []
    with Project.open(path, write=True) as project:
        assert project.version() == (1, 1)
        assert problems_of(project) == []


def test_small_images_are_marked_at_once(opened, monkeypatch):
    controller, threads = opened
    monkeypatch.setattr(pieces, "MOST", 10**6)
    controller.verify_image()
    assert threads.waiting == []
    assert controller.project.is_wholly_verified(controller.case)


def test_what_fails_in_the_thread_is_said(opened, monkeypatch):
    controller, threads = opened

    def broken(*_args):
        raise OSError("no disk")

    monkeypatch.setattr(Project, "prepare", broken)
    controller.verify_image()
    threads.finish()
    assert (controller.state.message.text, controller.state.message.level) == ("no disk", "error")
    monkeypatch.undo()
    controller.whole.background = None
    controller.verify_image()
    assert controller.project.is_wholly_verified(controller.case)
