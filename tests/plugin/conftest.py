"""A real napari window with the widget, and the canvas as a person's mouse and keys reach it."""

from __future__ import annotations

import time

import napari
import pytest
from qtpy.QtWidgets import QApplication

from napari_metadcseg.app import dock


@pytest.fixture
def wait_for():
    """Function that lets the window live until a condition holds."""

    def wait(condition, seconds=240):
        deadline = time.monotonic() + seconds
        while not condition():
            QApplication.processEvents()
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)
        QApplication.processEvents()

    return wait


@pytest.fixture
def window(qapp):
    """The docked widget in a shown viewer; nothing of it is left behind."""
    before = set(QApplication.topLevelWidgets())
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    widget = dock(viewer)
    QApplication.processEvents()
    yield widget
    widget.shut_down()
    viewer.close()
    for _ in range(5):
        QApplication.processEvents()
    left = [w for w in set(QApplication.topLevelWidgets()) - before if w.isVisible()]
    assert left == []
