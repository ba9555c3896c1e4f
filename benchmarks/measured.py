"""What the benchmarks measure with: memory of the process, and how long the window takes until it waits again."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def peak() -> float:
    """Most memory that this process has had, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def resident() -> float:
    """Memory of this process, GB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def settled() -> None:
    """Let the window work until nothing is left to do."""
    from qtpy.QtWidgets import QApplication

    for _ in range(3):
        QApplication.processEvents()


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Wall clock and processor time of an action, until the window waits again; ms."""
    started, busy = time.perf_counter(), time.thread_time()
    act()
    settled()
    return 1000 * (time.perf_counter() - started), 1000 * (time.thread_time() - busy)


def told(name: str, times: list[tuple[float, float]]) -> dict[str, float]:
    """Rows of a table: medians of what :func:`timed` told, and the longest of several."""
    wall, busy = np.array(times).T
    rows = {f"{name}, ms": float(np.median(wall)), f"{name}, processor ms": float(np.median(busy))}
    return rows | ({f"{name}, longest ms": float(wall.max())} if len(times) > 1 else {})


def strokes(widget: Any, canvas: Any, rng: np.random.Generator, count: int) -> tuple[list[tuple[float, float]], int]:
    """Strokes of a brush in view, each timed from its end, and how many of them were recorded.

    Raises
    ------
    AssertionError
        If most were not.
    """
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    controller, layer = widget.controller, widget.scene.label_layer
    assert layer is not None
    rows, times = controller.project.version()[0], []
    layer.mode, layer.brush_size, layer.selected_label = "paint", 10, 1
    for _ in range(count):
        at = canvas.rect().center() + QPoint(*(int(move) for move in rng.integers(-80, 80, 2)))
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at)
        for step in range(1, 9):
            QTest.mouseMove(canvas, at + QPoint(4 * step, 2 * step))
        settled()
        times.append(timed(lambda at=at: QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at)))
    recorded = controller.project.version()[0] - rows
    if recorded < count / 2:  # where a stroke was painted before, nothing changes
        raise AssertionError(f"Only {recorded} of {count} strokes were recorded.")
    return times, recorded
