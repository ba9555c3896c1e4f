"""Standing aside for the window: layers wait forward and backward, and what they compute stays the same."""

from __future__ import annotations

import itertools
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from src_core.messages import Message
from src_core.train.control import LONGEST_ASIDE, Control
from src_core.worker import client as client_module
from src_core.worker.aside import layers_wait
from src_core.worker.client import ASIDE_SECONDS, WorkerClient
from src_core.worker.heart import Heart
from src_core.worker.states import WorkerState

from .test_worker_states import FakeLine


class Counting(Control):
    """Counts where a step would have waited."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def wait_aside(self):
        self.asked += 1


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 1, 3))


def gradients(in_parts=False):
    net, image = network(), torch.ones(1, 1, 8, 8)
    logits = checkpoint(net, image, use_reentrant=False) if in_parts else net(image)
    logits.square().sum().backward()
    return [value.grad for value in net.parameters()]


def took(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_it_waits_for_as_long_as_it_was_asked():
    control = Control()
    assert took(control.wait_aside) < 0.15
    control.stand_aside(0.2)
    assert control.free_seconds < 0
    assert 0.15 < took(control.wait_aside) < 5
    assert control.free_seconds >= 0


def test_who_asks_again_prolongs_it():
    control = Control()
    control.stand_aside(0.1)
    again = threading.Timer(0.05, control.stand_aside, (0.3,))
    again.start()
    assert took(control.wait_aside) > 0.3
    again.join()


def test_one_that_is_to_stop_does_not_wait():
    control = Control()
    control.stand_aside(60)
    stop = threading.Timer(0.05, control.stop)
    stop.start()
    assert took(control.wait_aside) < 5
    stop.join()


@pytest.mark.parametrize(("pause", "share"), [(0.1, 0.25), (0.5, 0.4)])
def test_use_without_a_break_never_halts_it_for_good(pause, share, monkeypatch):
    """Asked all the time it goes on for a quarter of it; with breaks for as long as these are."""
    clock = [1000.0]
    monkeypatch.setattr("src_core.train.control.time", SimpleNamespace(monotonic=lambda: clock[0]))
    control, free = Control(), []
    for tick in range(40_000):
        clock[0] += 0.01
        if tick % round(100 * pause) == 0:
            control.stand_aside(0.3)
        free.append(control.free_seconds >= 0)
    assert np.mean(free) == pytest.approx(share, abs=0.03)
    longest = max(len(list(held)) for now, held in itertools.groupby(free) if not now)
    assert longest * 0.01 <= LONGEST_ASIDE + 0.1


@pytest.mark.parametrize("in_parts", [False, True])
def test_every_layer_asks_forward_and_backward(in_parts):
    alone = gradients(in_parts)
    control = Counting()
    with layers_wait(control):
        with torch.no_grad():
            network()(torch.ones(1, 1, 8, 8))
        assert control.asked == 4  # the network and its three layers
        beside = gradients(in_parts)
    forward = 4 * (2 if in_parts else 1)
    assert control.asked == 4 + forward + 4  # the network's output is its last layer's, which asks for both
    assert all(torch.equal(a, b) for a, b in zip(alone, beside, strict=True))
    net = network()
    net(torch.ones(1, 1, 8, 8)).sum().backward()
    assert control.asked == 4 + forward + 4, "nothing stays behind"


def test_a_step_in_hand_waits():
    control = Control()
    with layers_wait(control):
        control.stand_aside(0.3)
        assert took(gradients) > 0.25


def test_a_process_that_stands_aside_is_not_idle(monkeypatch):
    said, control = [], Control()
    heart = Heart(said.append, lambda: 500.0, lambda _order: None, control)

    def beat_once(_seconds):
        raise InterruptedError

    monkeypatch.setattr("src_core.worker.heart.time", SimpleNamespace(sleep=beat_once))
    for seconds in (60.0, 0.0):
        control.stand_aside(seconds)
        with pytest.raises(InterruptedError):
            heart._beat()
    assert [message.data["idle_seconds"] for message in said] == [0.0, pytest.approx(0.0, abs=1.0)]


@pytest.mark.parametrize(
    ("state", "silence", "asked"),
    [
        (WorkerState.IDLE, "", False),
        (WorkerState.RUNNING, "", True),
        (WorkerState.STARTING, "", True),
        (WorkerState.RUNNING, "The training process has not answered for 10 seconds.", False),
        (WorkerState.FINISHED, "", False),
    ],
)
def test_who_is_asked(state, silence, asked, monkeypatch):
    """A process that does not answer would not read it either, and a full pipe would hold the window."""
    monkeypatch.setattr(client_module, "PipeLine", FakeLine)
    client, line = WorkerClient(), FakeLine()
    client.state, client.silence, client._line = state, silence, line
    client.stand_aside()
    assert line.sent == (["aside"] if asked else [])


def test_one_that_went_on_without_a_window_is_not_asked():
    client, line = WorkerClient(), FakeLine()
    client.state, client._line = WorkerState.RUNNING, line
    client.stand_aside()
    assert line.sent == []


def test_the_request_says_for_how_long():
    message = Message("aside", {"seconds": ASIDE_SECONDS})
    assert Message.from_line(message.to_line()) == message
    assert 0.1 < ASIDE_SECONDS < 1
