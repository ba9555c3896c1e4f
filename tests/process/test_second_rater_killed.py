"""kill -9 while a second rater answers: what was confirmed is there, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from src_core.review.second_rater import SecondRaterSession, sample_of
from src_core.review.second_sample import draw
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.core.test_review_stopping import accept, keep, write_scores

pytestmark = pytest.mark.process

CHILD = """
import sys
import numpy as np
from src_core.review.second_rater import Answer, SecondRaterSession
from src_core.store.project import Project

rng = np.random.default_rng(int(sys.argv[2]))
with Project.open(sys.argv[1], write=True, author="bob") as project:
    session = SecondRaterSession(project, "bob")
    session.next()
    while True:
        if session.current is None or rng.random() < 0.4:
            session.undo()
        else:
            session.answer(Answer.KEEP)
        session.next()
        print(len(project.samples.ratings(1)), flush=True)
"""


def test_killed_at_any_time(make_project):
    path = make_project()
    with Project.open(path, write=True, author="ada") as project:
        write_scores(project)
        for place in range(6):
            (accept if place % 2 else keep)(project, place)
        draw(project, "bob", share=1, decoys=0.4)
        version = project.version()
    rng = np.random.default_rng(0)
    for attempt in range(6):
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
            rows = project.samples.ratings(sample_of(project, "bob").id)
            assert len(rows) >= max(said, default=1)  # all that was confirmed is there
            assert len(rows) <= max(said, default=len(rows)) + 2  # at most the ones in hand are there beside it
            assert [row.id for row in rows] == list(range(1, len(rows) + 1))
            assert SecondRaterSession(project, "bob").progress.total == 10
            assert project.version() == version
            assert problems_of(project) == []
