"""A large volume in the real window: opening, scrolling, decisions, strokes, switches, memory.

    xvfb-run -a python benchmarks/big/volume_window.py --slices 600 --folder /tmp/big --report REPORT

A project of a made-up CT, 512 x 512 px a slice, with the maps of a run, is written slab by slab once; the window is a
process of its own. With PYTHONPATH set to another checkout the same project is looked at by that one. Times are until
the window has drawn itself and waits again; *any slice* jumps about without a pause.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from measured import peak, resident, settled, strokes, timed, told  # type: ignore[import-not-found]

from src_core.data.case import Box
from src_core.data.scores import MAPS, ImageScore, Region
from src_core.store.chunks import strip_boxes
from src_core.store.create import create_from_folders
from src_core.store.runs import ScoreWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE, RUN, PITCH, RADIUS = 512, "known", 128, 24
PAUSE = 0.1
"""Seconds that somebody looks at a slice while scrolling."""

LOOK = 2.0
"""Seconds that somebody looks at a region before a decision."""

TIMES = 20

# ------------------------------------------------------------------ the project


def balls(box: Box) -> NDArray[np.int32]:
    """Balls in a lattice, numbered from 1."""
    axes = np.ogrid[box.slices]
    far = sum((axis % PITCH - PITCH // 2) ** 2 for axis in axes)
    place = [axis // PITCH for axis in axes]
    number = 1 + place[2] + (SIDE // PITCH) * (place[1] + (SIDE // PITCH) * place[0])
    return np.where(far <= RADIUS**2, number, 0).astype(np.int32)


def prepare(folder: Path, slices: int) -> Path:
    """Make the project; every fifth ball is missing in its label."""
    project = folder / "volume.metadcseg"
    if project.is_dir():
        return project
    folder.mkdir(parents=True, exist_ok=True)
    shape = (slices, SIDE, SIDE)
    rng = np.random.default_rng(0)
    for name, kind in (("image", np.int16), ("mask", np.uint8)):
        (folder / name).mkdir(exist_ok=True)
        array = np.lib.format.open_memmap(folder / name / "ct.npy", "w+", kind, shape)
        for box in strip_boxes(shape):
            number = balls(box)
            noise = rng.integers(-40, 40, box.shape)
            array[box.slices] = noise + 60 * (number > 0) if name == "image" else (number > 0) & (number % 5 > 0)
        array.flush()
    made = create_from_folders(project, folder / "image", folder / "mask")[0]
    run = made.path / "runs" / RUN
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"started": "1", "settings": {"epochs": 1}}', encoding="utf-8")
    case, writer = made.cases[0], ScoreWriter(run, RUN)
    arrays = writer.start(case.id, {name: (case.shape, np.dtype(kind)) for name, kind in MAPS.items()})
    for box in strip_boxes(shape):
        number = balls(box)
        missing = (number > 0) & (number % 5 == 0)
        some = rng.random(box.shape, np.float32) / 10
        maps = {"trust": np.where(missing, some, 1 - some), "uncertainty": some, "alpha": 1 - some, "beta": some}
        maps |= {"proposed": (number > 0).astype(np.uint8), "regions": np.where(missing, number, 0)}
        for name, array in arrays.items():
            array.write(box, maps[name])
    pixels = int((balls(Box((0, 0, 0), (PITCH,) * 3)) > 0).sum())
    count = (slices // PITCH) * (SIDE // PITCH) ** 2
    regions = [_region(case.id, number, pixels) for number in range(1, count + 1) if number % 5 == 0]
    writer.finish([ImageScore(case_id=case.id, image=case.name, score=0.2, estimated_wrong_pixels=pixels)], regions)
    made.close()
    return project


def _region(case_id: int, number: int, pixels: int) -> Region:
    across = SIDE // PITCH
    place = ((number - 1) // across**2, (number - 1) // across % across, (number - 1) % across)
    start = tuple(at * PITCH + PITCH // 2 - RADIUS for at in place)
    box = Box(start, tuple(a + 2 * RADIUS + 1 for a in start))
    values = {"pixels": pixels, "given": 0, "proposed": 1, "trust": 0.05, "uncertainty": 0.05, "score": 0.9 * pixels}
    return Region(id=f"ct#{number:08x}", number=number, case_id=case_id, image="ct", kind="error", box=box, **values)


# ------------------------------------------------------------------ the window


def look(project: Path) -> dict[str, float]:
    """Open the window and work in it."""
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_metadcseg.app import dock

    def wait(seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            QApplication.processEvents()
            time.sleep(0.005)

    found: dict[str, float] = {}

    def tell(name: str, times: list[tuple[float, float]]) -> None:
        found.update(told(name, times))

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    widget = dock(viewer)
    widget.show_section("Review")
    settled()
    before = resident()
    tell("open", [timed(lambda: widget.open_project(project))])
    found["memory after opening, GB"] = resident()
    wait(2)
    scene, controller, canvas = widget.scene, widget.controller, viewer.window._qt_viewer.canvas.native
    slices = controller.case.shape[0]
    for name, pause, jump in (("the next slice", PAUSE, 1), ("the next slice without a pause", 0, 1)):
        within, first = [], []
        viewer.dims.set_current_step(0, 10)
        wait(2)
        for at in range(11, min(slices, 200), jump):
            spent = timed(lambda at=at: viewer.dims.set_current_step(0, at))
            (first if at % 64 == 0 else within).append(spent)
            wait(pause)
        tell(name, within)
        tell(f"{name}, of other chunks", first)
    rng = np.random.default_rng(0)
    places = rng.permutation(slices)[:TIMES]
    tell("any slice", [timed(lambda at=at: viewer.dims.set_current_step(0, int(at))) for at in places])
    for name, key in {"accept": Qt.Key.Key_A, "keep": Qt.Key.Key_K, "undo": Qt.Key.Key_U}.items():
        times = []
        for _ in range(10 if name == "undo" else 5):
            wait(LOOK)
            times.append(timed(lambda key=key: QTest.keyClick(canvas, key)))
        tell(name, times)
    tell("switch a map on", [timed(lambda: scene.switch("uncertainty", True))])
    tell("switch it off", [timed(lambda: scene.switch("uncertainty", False))])
    times, recorded = strokes(widget, canvas, rng, TIMES)
    tell("a stroke from its end", times)
    for _ in range(recorded):
        controller.undo()
    maps = [lambda overlay=overlay: scene._show_overlay(overlay) for overlay in _overlays()] + [scene._show_proposal]
    tell("new scores are shown", [timed(lambda: [show() for show in maps])])
    found |= {"memory before, GB": before, "memory after, GB": resident(), "most memory of the window, GB": peak()}
    widget.shut_down()
    viewer.close()
    return found


def _overlays() -> Any:
    from napari_metadcseg.layers.overlays import OVERLAYS

    return OVERLAYS


def main() -> None:
    """Make the project if it is not there, and look at it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--report", type=Path, help="write the table here, too")
    parser.add_argument("--step", choices=("prepare", "look"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        project = prepare(options.folder, options.slices)
        if options.step == "look":
            sys.stdout.write(json.dumps(look(project)))
        return
    command = [sys.executable, __file__, "--slices", str(options.slices), "--folder", str(options.folder), "--step"]
    subprocess.run([*command, "prepare"], check=True)
    found = json.loads(subprocess.run([*command, "look"], check=True, stdout=subprocess.PIPE).stdout)
    table = "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value:,.3g} |" for name, value in found.items())])
    sys.stdout.write(table + "\n")
    if options.report:
        options.report.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
