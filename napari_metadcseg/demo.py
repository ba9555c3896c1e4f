"""``metadcseg demo``: the whole loop on sample data, in the real window."""

from __future__ import annotations

import csv
import logging
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_metadcseg.app import dock
from napari_metadcseg.sample_data import Sample, samples, write_folders
from src_core.data.noise import overlap
from src_core.errors import InputError, WorkerError, storage_errors
from src_core.store.create import create_from_folders
from src_core.store.export import export

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_metadcseg.main_widget import MetaDCSegWidget
    from src_core.store.project import Project

logger = logging.getLogger(__name__)

DECISIONS = 25
TRAINING = {"epochs": 8, "steps_per_epoch": 15}
TIMEOUT = 900.0
MARKER = ".metadcseg-demo"


@dataclass(frozen=True)
class Quality:
    """How good the masks of a project are, against the truth."""

    dice: float
    wrong_pixels: int


def run(out: Path, *, headless: bool) -> int:
    """Make sample data and a project in ``out``; open napari on it, or play it through.

    Parameters
    ----------
    out : Path
        Made anew each time; a folder that is something else is refused.
    headless : bool
        Train, play a scripted review, leave ``screenshots``, ``cleaned`` and ``report.csv``.

    Returns
    -------
    int
        0, the exit status.
    """
    slices = samples()
    project = _prepare(out, slices)
    viewer = napari.Viewer(title="napari - MetaDCSeg demo")
    viewer.window.resize(1280, 800)
    widget = dock(viewer)
    widget.controller.adopt(project)
    if not headless:
        widget.controller.say("Sample data: 20 slices whose masks have planted errors. Go to Train and press Train.")
        napari.run()
        widget.shut_down()
        return 0
    try:
        _play(widget, slices, out)
    finally:
        widget.shut_down()
        viewer.close()
    return 0


def _prepare(out: Path, slices: list[Sample]) -> Project:
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise InputError(f"{out} holds other files; choose an empty folder with --out.")
    with storage_errors(out, "The demo was not started."):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / MARKER).touch()
        write_folders(out / "data", slices)
    data = out / "data"
    project, _ = create_from_folders(
        out / "demo", data / "images", data / "masks", clean_masks=data / "trusted", author="demo"
    )
    return project


def _play(widget: MetaDCSegWidget, slices: list[Sample], out: Path) -> None:
    """Train, review, export; a picture of each section."""
    controller = widget.controller
    truth = {sample.name: sample.truth for sample in slices}
    project = controller.project
    assert project is not None
    before = measure(project, truth)
    camera = _Camera(widget, out / "screenshots")
    camera.shoot("1-project", section="Project")
    widget.show_section("Train")
    controller.train("quick", **TRAINING)
    _wait(lambda: len(controller.state.training.losses) >= 20 or not controller.state.training.worker.alive)
    camera.shoot("2-train", section="Train")
    _wait(lambda: not controller.state.training.worker.alive)
    if not controller.state.review.run:
        raise WorkerError(controller.state.training.error or "Training ended without scores.")
    controller.next()
    camera.shoot("3-review-trust", section="Review")
    for key in ("trust", "alpha", "beta", "uncertainty", "band"):
        for other in widget.review_panel.legend.boxes.values():
            other.setChecked(False)
        widget.review_panel.legend.boxes[key].setChecked(True)
        camera.shoot(f"4-overlay-{key}", section="Review")
    widget.review_panel.legend.boxes["trust"].setChecked(True)
    decided = _review(widget, truth)
    camera.shoot("5-reviewed", section="Review")
    written = export(project, out, ["cleaned", "provenance"])
    widget.export_panel.folder.line.setText(str(out))
    camera.shoot("6-export", section="Export")
    after = measure(project, truth)
    _report(out, before, after, decided, len(written))


def _review(widget: MetaDCSegWidget, truth: dict[str, NDArray[np.uint8]]) -> int:
    """Work down the queue like a careful person: accept what is nearer to the truth, else keep, else paint."""
    controller = widget.controller
    decided = 0
    while decided < DECISIONS:
        region = controller.queue.current or controller.queue.next()
        project, run_ = controller.project, controller.run
        if region is None or project is None or run_ is None or region.id in project.decisions():
            break
        controller.go_to(region.id)
        inside = run_.read_map(region.case_id, "regions") == region.number
        true = truth[region.image]
        label = project.read_label(project.case(region.case_id))
        right_now = float((label == true)[inside].mean())
        right_then = float((run_.read_map(region.case_id, "proposed") == true)[inside].mean())
        if max(right_now, right_then) < 0.8:
            _paint(widget, inside, true)
            controller.confirm()
        elif right_then >= right_now:
            controller.accept()
        else:
            controller.keep()
        decided += 1
        QApplication.processEvents()
    return decided


def _paint(widget: MetaDCSegWidget, inside: NDArray[np.bool_], true: NDArray[np.uint8]) -> None:
    """Paint the true label over a region, through the layer a person paints on."""
    layer = widget.scene.label_layer
    if layer is None:
        return
    for value in np.unique(true[inside]):
        layer.data_setitem(np.nonzero(inside & (true == value)), int(value))


def measure(project: Project, truth: dict[str, NDArray[np.uint8]]) -> Quality:
    """Compare the current masks with the truth, on the images that were not trusted from the start."""
    pairs = [
        (project.read_label(case), truth[case.name])
        for case in project.cases
        if not any(record.case_id == case.id and record.action == "import" for record in project.history())
    ]
    return Quality(
        float(np.mean([overlap(label > 0, true > 0) for label, true in pairs])),
        int(sum(np.count_nonzero(label != true) for label, true in pairs)),
    )


def _report(out: Path, before: Quality, after: Quality, decided: int, files: int) -> None:
    rows = [
        ("masks", "mean Dice to the truth", "wrong pixels"),
        ("as given", f"{before.dice:.3f}", str(before.wrong_pixels)),
        (f"after {decided} decisions", f"{after.dice:.3f}", str(after.wrong_pixels)),
    ]
    with (out / "report.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    print("\n".join(f"{a:<22} {b:>24} {c:>14}" for a, b, c in rows))  # noqa: T201 (the command's result)
    print(f"{files} files in {out}: cleaned masks, provenance, screenshots, report.csv")  # noqa: T201


def _wait(condition: Callable[[], bool]) -> None:
    """Let the window live until something has happened."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        QApplication.processEvents()
        time.sleep(0.02)
        if time.monotonic() > deadline:
            raise WorkerError(
                f"The demo waited {TIMEOUT:.0f} s for training; try again on a machine with nothing else to do."
            )


class _Camera:
    """Takes pictures of the whole window."""

    def __init__(self, widget: MetaDCSegWidget, folder: Path) -> None:
        self._widget = widget
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def shoot(self, name: str, *, section: str) -> None:
        self._widget.show_section(section)
        for _ in range(15):
            QApplication.processEvents()
            time.sleep(0.02)
        path = self._folder / f"{name}.png"
        self._widget.viewer.screenshot(str(path), canvas_only=False, flash=False)
