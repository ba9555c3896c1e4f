"""kill -9 while decisions are being committed: what was confirmed is there, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from src_core.store.project import Project
from src_core.store.verify import problems_of

pytestmark = pytest.mark.process

CHILD = """
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


def test_killed_at_any_time(make_project):
    path = make_project()
    rng = np.random.default_rng(0)
    for attempt in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(attempt)], stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        time.sleep(float(rng.uniform(0, 0.15)))  # the moment of the kill is what is random here
        process.kill()
        said = [int(line) for line in process.stdout.read().split() if line.isdigit()]
        process.wait()
        process.stdout.close()
        with Project.open(path, write=True) as project:
            committed, applied = project.version()
            assert committed == applied
            assert committed >= max(said, default=0)  # all that was confirmed is there
            assert committed <= max(said, default=committed) + 1  # at most the one in hand is there beside it
            assert problems_of(project) == []
