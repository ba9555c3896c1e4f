"""All proposals of an image accepted by one key, and taken back by one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_metadcseg.controller import Controller
from napari_metadcseg.training import TrainingDesk
from src_core.data.case import Box
from src_core.errors import StorageError
from src_core.review.together import MARK
from src_core.store.project import Project
from src_core.store.verify import problems_of

from .test_controller_logic import FakeClient, add_scores


@pytest.fixture
def controller(make_project, phantoms):
    """Each of six slices has several regions: the given mask is turned round in stripes."""
    path = make_project(6, trusted=2)
    truth = {}
    for slice_ in phantoms:
        striped = slice_.truth.copy()
        striped[:, ::16] = 0
        striped[:8] = 1
        striped[-8:] = 1
        truth[slice_.name] = striped
    add_scores(path, truth)
    made = Controller(TrainingDesk(FakeClient()))
    assert made.open(path)
    yield made
    made.close()


def waiting(controller):
    return [region for region in controller.queue.open if region.case_id == controller.case.id]


def labels(controller):
    return {case.id: controller.project.read_labels(case) for case in controller.project.cases}


def same(one, two):
    return all(np.array_equal(a, b) for key in one for a, b in zip(one[key], two[key], strict=True))


def test_all_of_an_image_at_once_is_as_one_by_one(controller):
    case, regions, start = controller.case, waiting(controller), labels(controller)
    assert len(regions) > 1
    rows = controller.project.version()[0]
    controller.accept_all()
    together = labels(controller)
    assert controller.state.review.last.startswith(f"Proposal accepted, {len(regions)} regions together ({case.name}")
    after = controller.state.review.last
    assert controller.project.version()[0] == rows + len(regions)
    assert controller.queue.current is not None
    assert controller.queue.current.case_id == controller.state.case_id != case.id
    decided = controller.project.decisions()
    assert all(decided[region.id] == "accept" for region in regions)
    controller.undo()
    assert same(labels(controller), start)
    assert controller.state.review.last == after.replace(
        f"Proposal accepted, {len(regions)} regions together", "Undone"
    )
    assert controller.state.review.region == regions[0]
    assert controller.state.case_id == case.id
    for region in regions:
        controller.go_to(region.id)
        controller.accept()
    assert same(labels(controller), together)


def test_redo_repeats_all_and_stops_there(controller):
    controller.keep()
    first, regions = labels(controller), waiting(controller)
    controller.accept_all()
    after = labels(controller)
    controller.keep()
    controller.undo()  # the label that was kept, alone
    assert same(labels(controller), after)
    controller.undo()
    assert same(labels(controller), first)
    assert len(waiting(controller)) == len(regions)
    controller.redo()
    assert same(labels(controller), after)
    assert controller.state.review.can_redo  # the one that was kept afterwards
    with Project.open(controller.project.path) as project:
        assert problems_of(project) == []


def test_what_was_decided_or_is_filtered_out_is_left_alone(controller):
    kept, skipped, *rest = waiting(controller)
    controller.keep()
    controller.go_to(skipped.id)
    controller.skip()
    controller.go_to(rest[0].id)
    controller.show_kind("ambiguous")  # there is none of these
    controller.show(kept.case_id)
    controller.accept_all()
    assert "No proposal of the queue waits" in controller.state.message.text
    controller.show_kind("all")
    controller.show(kept.case_id)
    controller.accept_all()
    decided = controller.project.decisions()
    assert decided[kept.id] == "keep"
    assert decided[skipped.id] == "skip"
    assert {decided[region.id] for region in rest} == {"accept"}


def test_a_full_disk_in_between_keeps_what_was_recorded(controller, monkeypatch):
    regions, commit, calls = waiting(controller), controller.project.commit, []

    def full(change, **how):
        calls.append(change)
        if len(calls) == 2:
            raise StorageError("The disk is full.")
        return commit(change, **how)

    monkeypatch.setattr(controller.project, "commit", full)
    controller.accept_all()
    assert controller.state.message.text == "The disk is full."
    assert set(controller.project.decisions()) == {regions[0].id}
    assert regions[0] not in controller.queue.open
    monkeypatch.undo()
    controller.undo()
    assert not controller.project.decisions()


def test_a_stroke_between_two_of_them_is_no_part_of_either(controller):
    controller.accept_all()
    first = labels(controller)
    case = controller.case
    controller.stroke(case.id, Box((0, 0), (2, 2)), 1 - controller.project.read_label(case, Box((0, 0), (2, 2))))
    controller.show(case.id)
    controller.accept_all()
    marks = [record.scores.get(MARK) for record in controller.project.history()]
    assert len(set(marks)) == 3  # two of them, and rows without
    controller.undo()
    controller.undo()
    assert same(labels(controller), first)
