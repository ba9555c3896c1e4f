"""A report beside a session that works on the project, and a report whose writer is killed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from src_core.report.gather import gather
from src_core.report.write import export_report
from src_core.store.project import Project
from tests.reviewed import reviewed_project

pytestmark = pytest.mark.process

WRITER = """
import sys
import numpy as np
from src_core.data.case import Box
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project

rng = np.random.default_rng(int(sys.argv[2]))
with Project.open(sys.argv[1], write=True) as project:
    case = project.cases[-1]
    while True:
        if project.can_undo and rng.random() < 0.3:
            record = project.undo()
        else:
            y, x = rng.integers(0, 40, 2)
            box = Box((int(y), int(x)), (int(y) + 20, int(x) + 20))
            values = [rng.integers(0, 2, (20, 20)).astype(np.uint8) for _ in range(2)]
            record = project.commit(Change(case.id, Action.EDIT, Patch(box, *values)))
        print(record.id, flush=True)
"""

HALF = """
import sys
from src_core.report import write
from src_core.store.project import Project

def half(data, pictures, file):
    file.write("<!DOCTYPE html><p>half of it")
    file.flush()
    print("half", flush=True)
    sys.stdin.read()

write.write_page = half
with Project.open(sys.argv[1]) as project:
    write.write_report(project, sys.argv[2])
"""


def labels_after(project, case, row):
    """The mask as the record had it after a row."""
    label = project.read_given(case).copy()
    for change, _, after in project.changes(case):
        if change <= row:
            label[after.box.slices] = after.label
    return label


def test_figures_are_of_one_moment_while_another_process_writes(make_project):
    path = make_project()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), "0"], stdout=subprocess.PIPE, text=True)
    try:
        rows = []
        for _ in range(5):
            seen = int(writer.stdout.readline())
            with Project.open(path) as project:
                report = gather(project)
                row = report.project.record
                assert row >= seen
                changed = sum(
                    int(np.count_nonzero(labels_after(project, case, row) != project.read_given(case)))
                    for case in project.cases
                )
            assert report.totals.pixels_changed == changed
            assert sum(report.provenance.values()) == report.totals.pixels
            rows.append(row)
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert len(set(rows)) > 1  # it did write meanwhile


@pytest.mark.parametrize("before", [None, "the report of last week"])
def test_killed_in_the_middle_leaves_no_half_file(tmp_path, before):
    path = reviewed_project(tmp_path)
    target = tmp_path / "out" / "report.html"
    target.parent.mkdir()
    if before is not None:
        target.write_text(before)
    writer = subprocess.Popen(
        [sys.executable, "-c", HALF, str(path), str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "half\n"
    writer.kill()
    writer.wait()
    writer.stdin.close()
    writer.stdout.close()
    assert (target.read_text() if target.exists() else None) == before
    with Project.open(path) as project:
        export_report(project, target.parent)
    assert target.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert sorted(file.name for file in target.parent.iterdir()) == ["report.html", "report.json"]
