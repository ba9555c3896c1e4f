"""Regions that are too large to be held: taken in hand, answered in a thread, refused when their scores are gone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_metadcseg import hand as hands
from napari_metadcseg import large_hand
from napari_metadcseg.controller import Controller
from napari_metadcseg.editing import EditDesk, Request
from napari_metadcseg.layers.level_pixels import LevelPixels
from napari_metadcseg.training import TrainingDesk
from src_core.data.case import IGNORE, Box
from src_core.errors import InputError
from src_core.store import chunks, levels, pieces
from src_core.store.project import Project
from src_core.store.runs import Run
from tests.conftest import SIZE
from tests.core.test_unlabelled import project as project
from tests.core.test_unlabelled import proposal, write_scores

from .test_controller_logic import FakeClient

MOST = 128


class Thread:
    """Holds work back until it is told to do it."""

    def __init__(self):
        self.waiting = []

    def __call__(self, *parts):
        self.waiting.append(parts)

    def run(self):
        while self.waiting:
            work, done, failed = self.waiting.pop(0)
            try:
                result = work()
            except InputError as error:
                failed(str(error))
            else:
                done(result)


@pytest.fixture
def large(monkeypatch):
    """Whatever is larger than a few pixels is read in parts, and cannot be read otherwise."""
    monkeypatch.setattr(hands, "HELD", MOST)
    monkeypatch.setattr("napari_metadcseg.editing.HELD", MOST)
    monkeypatch.setattr(large_hand, "MIDDLE", 8)
    monkeypatch.setattr(large_hand, "COARSE", 64)
    monkeypatch.setattr(pieces, "MOST", MOST)
    monkeypatch.setattr(chunks, "_EDGES", {1: 64, 2: 8, 3: 4})
    for owner, name in ((Run, "read_map"), (Project, "read_label"), (Project, "read_labels")):
        monkeypatch.setattr(owner, name, only_parts(getattr(owner, name)))


def only_parts(read):
    def checked(self, *parts):
        box = parts[-1]
        assert isinstance(box, Box), "it was asked for whole"
        assert np.prod(box.shape) <= MOST
        return read(self, *parts)

    return checked


@pytest.fixture
def controller(project):
    path = project.path
    project.close()
    made = Controller(TrainingDesk(FakeClient()))
    assert made.open(path)
    made.whole.background = Thread()
    yield made
    made.close()


def take(controller, image):
    region = next(region for region in controller.queue.regions if region.image == image)
    controller.go_to(region.id)
    return controller.hand()


def whole(controller, image):
    """The label, read bypassing the check."""
    project = controller.project
    return project._masks.read(project.case(image), None, "label")[0]


def test_the_whole_of_an_image_is_taken_in_hand_without_reading_it(controller, large):
    hand = take(controller, "b")
    assert not hand.held
    assert (hand.step, hand.coarse.shape, bool(hand.coarse.all())) == (8, (8, 8), True)
    assert hand.window == Box((28, 28), (36, 36))
    assert np.array_equal(hand.window_proposed, proposal()[28:36, 28:36])
    image, label, proposed, inside = controller.surroundings()
    assert image.shape[:2] == label.shape == (8, 8)
    assert (label == IGNORE).all()
    assert inside.all()
    assert np.array_equal(proposed, hand.window_proposed)


def test_where_a_part_of_an_image_is_by_hand(controller, large, monkeypatch):
    monkeypatch.setattr(large_hand, "COARSE", 6)
    hand = take(controller, "a")  # the missing organ: 20 x 30 px from (10, 10), in full
    assert (hand.step, hand.coarse.shape, hand.outline[1]) == (10, (2, 3), (10, 10))
    region = hand.region
    object.__setattr__(region, "pixels", region.pixels - 1)  # not told by its size any more
    inside, asked = np.zeros((SIZE, SIZE), bool), [1]
    inside[12, 35] = inside[29, 10] = True
    found = large_hand._coarse(type("Pixels", (), {"region": region, "mask": lambda _, box: inside[box.slices]})(),
                               controller.case, 10, asked.clear)  # fmt: skip
    assert asked == []  # it may be ended on the way
    assert found.tolist() == [[False, False, True], [True, False, False]]


def test_a_part_of_an_image_is_taken_before_it_is_known_where_it_is(controller, large, monkeypatch):
    region = next(region for region in controller.queue.regions if region.image == "b")
    object.__setattr__(region, "pixels", region.pixels - 1)  # as if it were not all of its box
    read = []
    whole_map = Run.read_map
    monkeypatch.setattr(Run, "read_map", lambda self, *parts: read.append(parts[1:]) or whole_map(self, *parts))
    hand = take(controller, "b")
    assert {name for name, _ in read} == {"proposed"}  # the part in its middle
    assert hand.coarse.all()
    coarse = hand.locate(lambda: None)
    assert {name for name, _ in read} == {"proposed", "regions"}
    coarse[0, 0] = False
    review = controller.review
    take(controller, "c")
    assert not review.located(hand, coarse)
    again = take(controller, "b")
    assert not review.located(hand, coarse)  # taken anew meanwhile
    assert review.located(again, coarse)
    assert controller.hand().coarse is coarse
    assert controller.hand().locate is None


def test_looking_for_it_can_be_ended(controller, large):
    region = next(region for region in controller.queue.regions if region.image == "b")
    object.__setattr__(region, "pixels", region.pixels - 1)

    def end():
        raise InputError("enough")

    with pytest.raises(InputError, match="enough"):
        take(controller, "b").locate(end)


@pytest.mark.parametrize("decision", ["accept", "confirm", "keep", "unsure"])
def test_an_answer_is_worked_out_in_a_thread(controller, large, decision):
    region, rows = take(controller, "b").region, controller.project.version()[0]
    getattr(controller, decision)()
    assert controller.state.message.text == "Recording your answer to most of b…"
    getattr(controller, decision)()  # a second key changes nothing
    assert controller.state.message.text == "b is still being worked on; wait for it."
    assert controller.project.version()[0] == rows
    assert controller.queue.current is region
    controller.whole.background.run()
    assert controller.project.decision(region.id) == decision
    assert controller.project.version() == (rows + 1, rows + 1)
    assert controller.queue.current.id != region.id
    expected = {"accept": proposal(), "confirm": np.zeros((SIZE, SIZE))}
    assert np.array_equal(whole(controller, "b"), expected.get(decision, np.full((SIZE, SIZE), IGNORE)))
    controller.undo()
    controller.whole.background.run()
    assert (whole(controller, "b") == IGNORE).all()


def test_a_person_who_went_on_meanwhile_stays_there(controller, large):
    first = take(controller, "b").region
    controller.accept()
    other = take(controller, "c").region
    controller.whole.background.run()
    assert controller.project.decision(first.id) == "accept"
    assert controller.queue.current is other


def test_new_scores_meanwhile_are_said_and_nothing_is_recorded(controller, large, monkeypatch):
    take(controller, "b")
    rows = controller.project.version()[0]
    controller.accept()
    monkeypatch.undo()
    write_scores(controller.project)
    monkeypatch.setattr(pieces, "MOST", MOST)
    controller.whole.background.run()
    assert controller.state.message.level == "error"
    assert controller.state.message.text.startswith("New scores have replaced those that b#")
    assert controller.project.version()[0] == rows
    controller.load_scores()
    controller.skip()  # and the window goes on
    assert controller.project.version()[0] == rows + 1


def test_all_proposals_of_an_image_one_after_the_other(controller, large, monkeypatch):
    monkeypatch.setattr(hands, "HELD", 20)
    controller.queue.put_down()
    controller.show(controller.project.case("a").id)
    before, rows = whole(controller, "a").copy(), controller.project.version()[0]
    controller.accept_all()
    controller.whole.background.run()
    expected = np.where(before == IGNORE, IGNORE, proposal())
    assert np.array_equal(whole(controller, "a"), expected)
    assert controller.project.version()[0] == rows + 2
    assert controller.state.review.last.startswith("Proposal accepted, 2 regions together (a, ")
    controller.undo()
    controller.whole.background.run()
    assert np.array_equal(whole(controller, "a"), before)


def test_tools_keep_to_what_of_it_is_in_the_frame(controller, large):
    hand = take(controller, "b")
    frame = Box((8, 8), (16, 16))
    desk = EditDesk(
        controller.project, controller.case, active=1, region=hand.region, pixels=(hand.mask, hand.proposed),
        run=controller.run, frame=frame,
    )  # fmt: skip
    change = desk.work(Request(tool="take_region")).change
    assert change.patch.box.is_inside(frame)
    assert np.array_equal(change.patch.label, proposal()[change.patch.box.slices])
    region = take(controller, "a").region
    outside = EditDesk(
        controller.project, controller.case, active=1, region=region, run=controller.run, frame=Box((50, 0), (56, 6))
    )
    with pytest.raises(InputError, match="The frame lies outside of the region in hand; move it there first"):
        outside.work(Request(tool="take_region"))


@pytest.mark.parametrize("step", [1, 3, 7, 10, 64])
def test_where_a_part_of_an_image_is_on_squares_of_any_size(controller, large, step):
    region = take(controller, "b").region
    object.__setattr__(region, "pixels", region.pixels - 1)  # as if it were not all of its box
    inside = np.random.default_rng(step).random((SIZE, SIZE)) < 0.02
    pixels = type("Pixels", (), {"region": region, "mask": lambda _, box: inside[box.slices]})()
    found = large_hand._coarse(pixels, controller.case, step, lambda: None)
    padded = np.pad(inside, (0, -SIZE % step))
    sides = len(padded) // step
    assert np.array_equal(found, padded.reshape(sides, step, sides, step).any(axis=(1, 3)))


def test_what_has_no_label_is_not_doubted_from_afar_either(controller, monkeypatch, tmp_path):
    monkeypatch.setattr(levels, "COARSEST", 16)
    monkeypatch.setattr(levels, "BLOCK", 16)
    project, run = controller.project, controller.run
    controller.show(project.case("b").id)
    case = controller.case
    pixels = LevelPixels(controller, project, case, (tmp_path, tmp_path), Box((0, 0), (16, 16)))
    for each, read in zip(pixels.masks.values(), (project.read_label, project.read_verified), strict=True):
        assert list(each.make(lambda box, read=read: read(case, box), 0))
    shown = pixels.map("trust")
    assert list(pixels.maps["trust"].make(lambda box: run.read_map(case.id, "trust", box), 0))
    assert not pixels.maps["trust"].read(1).any()
    for level in shown[:-1]:
        assert (level[(slice(None), slice(None))] == 1).all()


@pytest.mark.gui
def test_the_outline_of_it_lies_where_it_is(window, project, monkeypatch):
    path = project.path
    project.close()
    monkeypatch.setattr(hands, "HELD", MOST)
    monkeypatch.setattr(large_hand, "COARSE", 64)
    assert window.controller.open(path)
    for image, corner, data in (("b", (0, 0), (8, 8)), ("a", (10, 10), (5, 8))):
        region = take(window.controller, image).region
        step = window.controller.hand().step
        layer = window.viewer.layers["region"]
        assert layer.visible
        assert tuple(layer.scale) == (step, step)
        rim = 0 if region.labelled else 1
        assert layer.data.shape == tuple(edge + 2 * rim for edge in data)
        first = [rim + 0.0] * 2  # the middle of the first square
        middle = [edge + (step - 1) / 2 for edge in corner]
        assert np.allclose(layer.data_to_world(first), middle)
