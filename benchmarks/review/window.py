"""How long a person waits in the real window on a project of many images.

Usage (with a screen, or under Xvfb)::

    python benchmarks/review/window.py --images 10000 --out /tmp/window

The project is made at ``--out`` unless it is there; it is the one of ``benchmarks/stopping/speed.py``, with three
regions an image. Everything is done as a person would, and the time is told until the window has drawn itself and waits
again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import napari
import numpy as np

from napari_metadcseg.main_widget import MetaDCSegWidget

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "stopping"))
from measured import settled, timed  # type: ignore[import-not-found]
from speed import build  # type: ignore[import-not-found]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=40)
    arguments = parser.parse_args()
    path = arguments.out.with_suffix(".metadcseg")
    if not path.exists():
        build(path, arguments.images, arguments.images // 10)
    viewer = napari.Viewer()
    widget = MetaDCSegWidget(viewer)
    viewer.window.add_dock_widget(widget, name="MetaDCSeg")
    settled()
    rows = [("open the project", [timed(lambda: widget.open_project(path))])]
    controller, queue = widget.controller, widget.queue_panel
    steps = range(arguments.times)
    last = controller.project.cases[-1].name[:7]
    for section in ("Project", "Review", "Queue", "Record", "Stop"):
        rows.append((f"show the section {section}", [timed(lambda section=section: widget.show_section(section))]))
    widget.show_section("Review")
    controller.search(controller.project.cases[-1].name[:-3])  # images whose maps are there
    for action in ("next", "keep", "accept", "undo"):
        rows.append((f"{action}, section Review", [timed(getattr(controller, action)) for _ in steps]))
    widget.show_section("Queue")
    settled()
    rows.append(("keep, section Queue", [timed(controller.keep) for _ in steps]))
    rows.append(("search", [timed(lambda: controller.search(last)), timed(lambda: controller.search(""))]))
    for order in ("trust", "worth"):
        rows.append((f"sort by {order}", [timed(lambda order=order: controller.sort(order))]))
    bar = queue.table.verticalScrollBar()
    places = np.linspace(0, bar.maximum(), 200).astype(int)
    rows.append(
        ("scroll the queue, one picture", [timed(lambda place=place: bar.setValue(int(place))) for place in places])
    )
    print("| what | times | median ms | longest ms | processor time, median ms |")
    print("| --- | --- | --- | --- | --- |")
    for name, values in rows:
        wall, busy = np.array(values).T
        print(f"| {name} | {len(wall)} | {np.median(wall):.0f} | {wall.max():.0f} | {np.median(busy):.0f} |")
    viewer.close()


if __name__ == "__main__":
    main()
