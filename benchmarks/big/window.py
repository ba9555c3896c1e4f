"""Large images in the real window: opening, moving, one correction, memory; each side in a process of its own.

    xvfb-run -a python benchmarks/big/window.py --side 8000 --side 16000 --folder /tmp/big --report REPORT

The slides are those of ``run.py``. A scored project of each is made anew, with maps that know which cells were
forgotten: scoring is not what is measured here. ``--report`` writes the table to a file, too. Decisions are made by
keys, and the time is told until the window has drawn itself and waits again. The smaller levels follow a moment later,
which is timed by itself.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from measured import peak, resident, settled, strokes, timed, told  # type: ignore[import-not-found]
from run import PITCH, RADIUS, make_slide  # type: ignore[import-not-found]

from src_core.data.case import Box
from src_core.data.scores import MAPS
from src_core.review.region_blocks import RegionBlocks
from src_core.store import display
from src_core.store.create import create_from_folders
from src_core.store.runs import ScoreWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from src_core.data.case import CaseInfo
    from src_core.store.project import Project

TILE, RUN, TIMES = 1024, "known", 40


# ------------------------------------------------------------------ the project


def prepare(slide: Path, project: Path) -> dict[str, float]:
    """Make a project with scores, and remember how long the levels took."""
    shutil.rmtree(project, ignore_errors=True)
    listed = slide.parent / "list.csv"
    listed.write_text(f"image,mask\n{slide},{slide}\n", encoding="utf-8")
    started = time.perf_counter()
    made = create_from_folders(project, listed)[0]
    seconds = time.perf_counter() - started
    case, store = made.cases[0], made._arrays
    started = time.perf_counter()
    shutil.rmtree(made.path / display.NAME, ignore_errors=True)
    display.write_case(made.path / display.NAME, store, case, 0)
    levels = time.perf_counter() - started
    folder = made.path / "runs" / RUN
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"started": "1", "settings": {"epochs": 1}}', encoding="utf-8")
    score(made, case, folder)
    made.close()
    return {"making the project, s": seconds, "of it levels, s": levels, "most memory of that, GB": peak()}


def score(project: Project, case: CaseInfo, folder: Path) -> None:
    """Maps of what somebody knows who has seen the whole slide."""
    writer = ScoreWriter(folder, RUN)
    arrays = writer.start(case.id, {name: (case.shape, np.dtype(kind)) for name, kind in MAPS.items()})
    blocks = RegionBlocks(case)
    for box in tiles(case):
        label, verified = project.read_labels(case, box)
        y, x = np.ogrid[box.start[0] : box.stop[0], box.start[1] : box.stop[1]]
        proposed = ((y % PITCH - PITCH // 2) ** 2 + (x % PITCH - PITCH // 2) ** 2 <= RADIUS**2).astype(np.uint8)
        trust = np.where(label == proposed, 0.95, 0.1).astype(np.float32)
        zero = np.zeros_like(trust)
        maps = {"trust": trust, "alpha": trust, "beta": zero, "uncertainty": zero, "proposed": proposed}
        shown = {"trust": trust, "uncertainty": zero, "label": label, "proposed": proposed, "verified": verified}
        maps["regions"] = blocks.add(box, **shown)
        for name, array in arrays.items():
            array.write(box, maps[name])
    for box in tiles(case):
        arrays["regions"].write(box, blocks.numbered(arrays["regions"].read(box)))
    regions, quality = blocks.finish(lambda name, box: arrays[name].read(box), project.version()[1])
    writer.finish([quality], regions)


def tiles(case: CaseInfo) -> Iterator[Box]:
    """Boxes that cover an image."""
    for y in range(0, case.shape[0], TILE):
        for x in range(0, case.shape[1], TILE):
            yield Box((y, x), (min(y + TILE, case.shape[0]), min(x + TILE, case.shape[1])))


# ------------------------------------------------------------------ the window


def look(project: Path) -> dict[str, float]:
    """Open the window and work in it."""
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    from napari_metadcseg.app import dock

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
    canvas = viewer.window._qt_viewer.canvas.native
    scene, controller = widget.scene, widget.controller
    follow = []
    for name, key in {"accept": Qt.Key.Key_A, "keep": Qt.Key.Key_K, "undo": Qt.Key.Key_U}.items():
        times = []
        for _ in range(TIMES):
            times.append(timed(lambda key=key: QTest.keyClick(canvas, key)))
            scene._large._follow_timer.stop()
            follow.append(timed(scene._large.follow))
        tell(name, times)
    tell("smaller levels follow", follow)
    tell("all of it in view", [timed(viewer.reset_view)])
    pans, side = [], controller.case.shape[0]
    viewer.scene.camera.zoom = 1
    rng = np.random.default_rng(0)
    for _ in range(TIMES):
        place = (0, *(float(at) for at in rng.integers(1000, side - 1000, 2)))
        pans.append(timed(lambda place=place: setattr(viewer.scene.camera, "center", place)))
    tell("another place in view", pans)
    tell("edit here", [timed(scene.edit_here)])
    tell("a stroke from its end", strokes(widget, canvas, rng, TIMES)[0])
    found |= {"memory before, GB": before, "memory after, GB": resident(), "most memory of the window, GB": peak()}
    widget.shut_down()
    viewer.close()
    return found


# ------------------------------------------------------------------ all sides


def table(rows: dict[int, dict[str, float]]) -> str:
    """A column a side."""
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    lines = ["| | " + " | ".join(f"{side:,} px" for side in rows) + " |", "| --- " * (len(rows) + 1) + "|"]
    for name in names:
        values = (found.get(name) for found in rows.values())
        lines.append(f"| {name} | " + " | ".join("" if v is None else f"{v:,.3g}" for v in values) + " |")
    return "\n".join(lines)


REPORT = """# Large images in the window

`{command}`: RGB images as long as wide, with labels and the maps of a run, software rendering under Xvfb{load}.
Times are until the window has drawn itself and waits again; a decision brings the next region into view. Making the
project and the window are processes of their own; *memory before* is that of the window without a project. Of the most
memory, the driver of software rendering takes up to 0.7 GB, a little with every drawing, and lets go of it then.

{table}
"""


def main() -> None:
    """Measure every side that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, action="append", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--report", type=Path, help="write the table here, too")
    parser.add_argument("--load", default="", help="what is to be said of the machine in the report")
    parser.add_argument("--step", choices=("prepare", "look"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        slide, project = (options.folder / f"slide-{options.side[0]}" / name for name in ("slide.ome.zarr", "known"))
        project = project.with_suffix(".metadcseg")
        found = prepare(slide, project) if options.step == "prepare" else look(project)
        sys.stdout.write(json.dumps(found))
        return
    rows = {}
    for side in options.side:
        make_slide(options.folder, side)
        rows[side] = _alone(options, side, "prepare") | _alone(options, side, "look")
        sys.stdout.write(table({side: rows[side]}) + "\n\n")
        sys.stdout.flush()
    if options.report:
        command = "python benchmarks/big/window.py " + " ".join(f"--side {side}" for side in options.side)
        load = f", {options.load}" if options.load else ""
        options.report.write_text(REPORT.format(command=command, load=load, table=table(rows)), encoding="utf-8")


def _alone(options: argparse.Namespace, side: int, step: str) -> dict[str, float]:
    """One step in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--side", str(side), "--folder", str(options.folder), "--step", step]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


if __name__ == "__main__":
    main()
