"""How late the window's event loop is while training runs: in its own process, or in a thread of the window.

The real napari window with the widget, under Xvfb where there is no screen::

    xvfb-run -a -s "-screen 0 1280x800x24" python benchmarks/worker/lateness.py [--turns 6] [--out FILE.md]

A timer of 5 ms notes how late it comes. While that is measured nothing else happens, a stroke is painted every 50 ms,
the score maps are drawn anew every 250 ms, or a key decides a region (and another takes that back) every 500 ms, which
sends verified pixels to the training; with each of them training is halted and goes on in turns of 5 s, as drawing by
software takes twice as long at some times as at others. The project has scores from the start; training sends new ones
on its way. It stands aside while the canvas is used, so the steps that it makes are told, too. Linux and macOS.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_metadcseg.app import dock
from src_core.config import preset
from src_core.data.case import OKABE_ITO, ClassInfo
from src_core.data.noise import corrupt
from src_core.data.phantoms import phantom_set
from src_core.infer.score import score_run
from src_core.store.create import NewCase, build_project
from src_core.train.control import Control
from src_core.train.run import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from napari_metadcseg.main_widget import MetaDCSegWidget

TICK = 5
TURN = 5.0
STROKE_EVERY, REDRAW_EVERY, DECIDE_EVERY = 50, 250, 500
CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=255, color=OKABE_ITO[1]),
)


def build(folder: Path) -> Path:
    """A project of 12 slices, a third of them trusted, and a run of one epoch with scores."""
    cases = [
        NewCase(
            name=one.name,
            image=one.image,
            given=corrupt(one.truth, recipe="biased", ratio=0.4, seed=1, name=one.name),
            clean=one.truth if index % 3 == 0 else None,
        )
        for index, one in enumerate(phantom_set(0, 12, (256, 256)))
    ]
    project = build_project(folder / "p.metadcseg", cases, CLASSES, author="benchmark")
    project.close()
    nobody = lambda _message: None  # noqa: E731
    run = train(project.path, None, preset("quick", epochs=1, steps_per_epoch=8), listener=nobody, control=Control())
    score_run(project.path, run, listener=nobody)
    return project.path


def wait(condition: Callable[[], bool], limit: float = 300.0) -> None:
    """Let the window live until a condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        QApplication.processEvents()
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(0.005)


def lateness(seconds: float, work: Callable[[], None] | None, every: int) -> np.ndarray:
    """How late a timer comes, ms, while ``work`` is done every so many ms in the window's thread."""
    late: list[float] = []
    last = [time.perf_counter()]

    def tick() -> None:
        now = time.perf_counter()
        late.append(max(0.0, 1000 * (now - last[0]) - TICK))
        last[0] = now

    timer, worker = QTimer(), QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    if work is not None:
        worker.timeout.connect(work)
        worker.start(every)
    timer.start(TICK)
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
    timer.stop()
    worker.stop()
    return np.array(late)


class Trainer:
    """Training in its own process, or in a thread of the window."""

    def __init__(self, widget: MetaDCSegWidget, path: Path, where: str) -> None:
        self._widget, self._path, self._where = widget, path, where
        self._control = Control()
        self._steps = 0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        settings = {"epochs": 10_000, "seed": 1}
        controller = self._widget.controller
        if self._where == "process":
            controller.train("quick", **settings)
            wait(lambda: controller.state.training.step > 2)
        else:

            def count(message: object) -> None:
                self._steps += message.type == "progress"

            def work() -> None:
                train(self._path, None, preset("quick", threads=1, **settings), listener=count, control=self._control)

            self._thread = threading.Thread(target=work)
            self._thread.start()
            wait(lambda: self._steps > 2)
        return self

    def __exit__(self, *_: object) -> None:
        controller = self._widget.controller
        if self._where == "process":
            controller.ask_training(controller.desk.end)
            wait(lambda: not controller.state.training.worker.alive)
        else:
            assert self._thread is not None
            self._control.stop()
            self._thread.join()

    def let(self, go_on: bool) -> None:
        """Halt training, or let it go on."""
        if self._where == "process":
            os.kill(self._widget.controller.desk._client.pid, signal.SIGCONT if go_on else signal.SIGSTOP)
        elif go_on:
            self._control.resume()
        else:
            self._control.pause()

    @property
    def steps(self) -> int:
        """Steps of training so far."""
        return self._widget.controller.state.training.step if self._where == "process" else self._steps


def works(widget: MetaDCSegWidget, viewer: napari.Viewer) -> dict[str, tuple[Callable[[], None] | None, int]]:
    """What the person does meanwhile."""
    rng = np.random.default_rng(0)

    def paint() -> None:
        layer = widget.scene.label_layer
        layer.brush_size = 10
        layer.paint(tuple(rng.integers(20, 230, 2)), int(rng.integers(2)))

    def redraw() -> None:
        for layer in viewer.layers:
            layer.refresh()

    canvas = viewer.window._qt_viewer.canvas.native
    turns = itertools.cycle((Qt.Key.Key_A, Qt.Key.Key_U))

    def decide() -> None:
        QTest.keyClick(canvas, next(turns))

    widget.controller.next()
    return {
        "nothing": (None, 0),
        "a brush paints": (paint, STROKE_EVERY),
        "layers drawn anew": (redraw, REDRAW_EVERY),
        "regions decided": (decide, DECIDE_EVERY),
    }


def measured(
    trainer: Trainer, work: Callable[[], None] | None, every: int, turns: int
) -> tuple[dict[bool, np.ndarray], float]:
    """How late the timer comes without and with training, ms, and steps of training a minute."""
    late: dict[bool, list[np.ndarray]] = {False: [], True: []}
    steps = 0
    for go_on in (False, True) * turns:
        trainer.let(go_on)
        lateness(0.5, None, 0)  # a step in a thread comes to its end
        before = trainer.steps
        late[go_on].append(lateness(TURN, work, every))
        steps += trainer.steps - before if go_on else 0
    return {go_on: np.concatenate(parts) for go_on, parts in late.items()}, 60 * steps / (turns * TURN)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    lines = [
        "# Lateness of the window",
        "",
        f"{os.cpu_count()} cores, load of others at the start {load:.1f}; {arguments.turns} turns of {TURN:.0f} s "
        f"without and as many with training; how late a timer of {TICK} ms comes, ms.",
        "",
        "| training | the person | p50 | p99 | longest | steps a minute |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = build(Path(folder))
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1280, 800)
        widget = dock(viewer)
        widget.open_project(path)
        lateness(2.0, None, 0)  # what a new window has to do first
        for where in ("process", "thread"):
            with Trainer(widget, path, where) as trainer:
                for name, (work, every) in works(widget, viewer).items():
                    late, steps = measured(trainer, work, every, arguments.turns)
                    without, beside = (np.percentile(late[go_on], (50, 99, 100)) for go_on in (False, True))
                    figures = " | ".join(f"{a:.1f} → {b:.1f}" for a, b in zip(without, beside, strict=True))
                    lines.append(f"| {where} | {name} | {figures} | {steps:.0f} |")
                    print(lines[-1], flush=True)
        widget.shut_down()
        viewer.close()
    words = "\n".join(lines) + "\n"
    print(words)
    if arguments.out is not None:
        arguments.out.write_text(words, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
