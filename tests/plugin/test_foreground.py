"""Training stands aside while the canvas is used, and only then."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_metadcseg import foreground

from .test_window_review import canvas_of

pytestmark = pytest.mark.gui


@pytest.fixture
def asked(window, monkeypatch):
    """The window with a canvas that is drawn, and a list of the requests since."""
    window.viewer.add_labels(np.eye(2, dtype=int), name="theirs")
    requests = []
    window._foreground._ask = lambda: requests.append(1)
    monkeypatch.setattr(foreground, "ASKED_EVERY", 0.0)
    QTest.qWait(200)
    requests.clear()
    return requests


def test_a_key_a_click_and_a_picture_ask(window, asked):
    canvas = canvas_of(window)
    for use in (
        lambda: QTest.keyClick(canvas, Qt.Key.Key_F3),
        lambda: QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(5, 5)),
        window.viewer.layers[0].refresh,
        lambda: setattr(window.viewer.scene.camera, "zoom", 3.0),
    ):
        asked.clear()
        use()
        QTest.qWait(50)
        assert asked, use


def test_nothing_asks_while_nothing_happens(window, asked):
    QTest.mouseClick(window.tabs.tabBar(), Qt.MouseButton.LeftButton)
    QTest.qWait(300)
    assert asked == []


def test_requests_are_not_sent_for_every_picture(window, asked, monkeypatch):
    monkeypatch.setattr(foreground, "ASKED_EVERY", 60.0)
    for _ in range(5):
        window.viewer.layers[0].refresh()
        QTest.qWait(20)
    assert len(asked) <= 1


def test_it_is_training_that_is_asked(window, monkeypatch):
    requests = []
    monkeypatch.setattr(foreground, "ASKED_EVERY", 0.0)
    monkeypatch.setattr(type(window.controller.desk._client), "stand_aside", lambda _client: requests.append(1))
    QTest.keyClick(canvas_of(window), Qt.Key.Key_F3)
    QApplication.processEvents()
    assert requests
