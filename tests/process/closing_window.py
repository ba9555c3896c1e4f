"""A warm process whose children open the window on a project, begin something slow, and are gone at once.

It has imported what they need; each child ends as a script ends, interpreter and all, with its stderr in a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import napari
import napari._qt.qt_viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_metadcseg import processes
from napari_metadcseg.app import dock
from src_core.store import durable, export, levels, pieces
from src_core.store.project import Project

started = threading.Event()


class Process(subprocess.Popen):
    """Notes that it was started, and its number."""

    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        Path(os.environ["PROCESS"]).write_text(str(self.pid), encoding="utf-8")
        started.set()


def held_up(work, widget):
    """The same work, which is under way when the window begins to close and no earlier at its end."""

    def slow(*args, **keywords):
        started.set()
        while not widget.closed:
            threading.Event().wait(0.01)
        return work(*args, **keywords)

    return slow


def begin(widget, work, path):
    """Begin something that takes its time."""
    if work == "score":
        processes.subprocess.Popen = Process
        widget.new_scores.ask()
    elif work == "export":
        export._export_one = held_up(export._export_one, widget)
        widget.export_to(f"{path}-out", ["cleaned", "trust"])
    elif work == "levels":
        levels.LARGE, levels.COARSEST, levels.BLOCK = 50, 16, 16
        levels.Levels.make = held_up(levels.Levels.make, widget)
        widget.controller.show(2)
    elif work == "mark":
        pieces.MOST, durable.BATCH = 1, 1  # many rows, each of which is brought to the disk
        prepare = Project.prepare
        Project.prepare = lambda project, change: held_up(prepare, widget)(project, change)
        widget.controller.verify_image()
    elif work == "decide":
        widget.controller.next()
        widget.controller.accept()
        started.set()
    elif work == "train":
        started.set()
        assert widget.controller.train("quick")


def child(path, work, way):
    viewer = napari.Viewer()
    widget = dock(viewer)
    widget.open_project(path)
    QApplication.processEvents()
    begin(widget, work, path)
    assert started.wait(60), f"{work} was never begun"
    assert not widget.closed
    if way == "close":
        viewer.close()
    elif way == "quit":
        QTimer.singleShot(0, QApplication.instance().quit)
        napari.run()
    else:
        assert way == "end"


def main():
    """Fork a child for every line; the children return from here and end as any script does."""
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            handle = os.open(asked["stderr"], os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(handle, 2)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(0, 1)
            os.environ["PROCESS"] = asked["process"]
            child(asked["path"], asked["work"], asked["way"])
            return
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
