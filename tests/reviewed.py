"""A small reviewed project whose figures can be worked out by hand, without training anything."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np

from src_core.config import preset
from src_core.data.case import OKABE_ITO, Box, ClassInfo
from src_core.data.scores import ImageScore, Region
from src_core.review import decisions
from src_core.store.create import NewCase, build_project
from src_core.store.runs import ScoreWriter

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from src_core.store.project import Project

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color=OKABE_ITO[0]),
    ClassInfo(index=1, name="organ", value=1, color=OKABE_ITO[1]),
    ClassInfo(index=2, name="tumour", value=2, color=OKABE_ITO[2]),
)
START = datetime(2026, 5, 3, 23, 40, tzinfo=UTC)
RUN = "run-001"


class Clock:
    """Stands in for ``datetime`` where rows of the record get their time."""

    time = START

    @classmethod
    def now(cls, _zone: object) -> datetime:
        return cls.time


def at(seconds: float) -> AbstractContextManager[object]:
    """Rows get this time, in seconds after the start."""
    Clock.time = START + timedelta(seconds=seconds)
    return patch("src_core.store.history.datetime", Clock)


def cases(names: str = "abcd") -> list[NewCase]:
    """Images of 10 x 10 px: a with 40 px of organ, b with a row without label, c with a trusted mask, d empty."""
    image = np.arange(100, dtype=np.uint8).reshape(10, 10) * 2
    a, b, c, clean = (np.zeros((10, 10), np.uint8) for _ in range(4))
    a[:4] = 1
    b[9] = 255
    clean[0, :5] = 1
    every = [
        NewCase(name="a", image=image, given=a, spacing=(0.5, 0.5), unit="mm", image_path="/ward/7/a.png"),
        NewCase(name="b", image=image.astype(np.uint16) * 100, given=b, mask_path="/ward/7/masks/b.png"),
        NewCase(name="c", image=np.stack([image] * 3, axis=2), given=c, clean=clean),
        NewCase(name="d", image=image / 7, given=np.zeros((10, 10), np.uint8)),
    ]
    return [case for case in every if case.name in names]


def region(image: str, number: int, rows: tuple[int, int], columns: tuple[int, int]) -> Region:
    """A region that is a whole box."""
    box = Box((rows[0], columns[0]), (rows[1], columns[1]))
    return Region(
        id=f"{image}#{number}", number=number, case_id="abcd".index(image), image=image, kind="error", score=5.0,
        pixels=int(np.prod(box.shape)), given=0, proposed=1, box=box, trust=0.5, uncertainty=0.1,
    )  # fmt: skip


REGIONS = {
    "a#1": region("a", 1, (0, 2), (0, 10)),
    "a#2": region("a", 2, (2, 4), (0, 5)),
    "a#3": region("a", 3, (4, 6), (0, 2)),
    "a#4": region("a", 4, (6, 8), (5, 10)),
    "b#1": region("b", 1, (0, 2), (0, 4)),
    "b#2": region("b", 2, (4, 6), (0, 5)),
    "b#3": region("b", 3, (7, 9), (0, 5)),
    "d#1": region("d", 1, (0, 3), (0, 3)),
}


def everywhere(of: Region) -> np.ndarray:
    return np.ones(of.box.shape, bool)


def filled(of: Region, label: int) -> np.ndarray:
    return np.full(of.box.shape, label, np.uint8)


def review(project: Project) -> None:
    """Ada looks at a and b; Ben, on the next day, at d, and paints in a without confirming it."""
    ada, ben = "ada", "ben <ben@example.org>"
    project.author = ada
    with at(0):  # 20 px of organ become background
        project.commit(decisions.accept(project, REGIONS["a#1"], everywhere(REGIONS["a#1"]), filled(REGIONS["a#1"], 0)))
    with at(4):  # 10 px of organ are right
        project.commit(decisions.keep(project, REGIONS["a#2"], everywhere(REGIONS["a#2"])))
    with at(10):  # 6 px of tumour are painted
        project.commit(decisions.edit(project, project.case("b"), Box((0, 0), (2, 3)), np.full((2, 3), 2, np.uint8)))
    with at(16):  # and confirmed, with 2 px of background beside them
        project.commit(decisions.confirm(project, REGIONS["b#1"], everywhere(REGIONS["b#1"])))
    with at(18):  # 10 px that nobody can tell
        project.commit(decisions.unsure(project, REGIONS["b#2"], everywhere(REGIONS["b#2"])))
    with at(1000):  # after a pause
        project.commit(decisions.skip(REGIONS["b#3"]))
    with at(1003):
        project.commit(decisions.accept(project, REGIONS["a#3"], everywhere(REGIONS["a#3"]), filled(REGIONS["a#3"], 2)))
    with at(1005):
        project.undo()
    project.author = ben
    with at(1300):  # 100 px of background are right; it is the next day
        project.commit(decisions.verify_image(project, project.case("d")))
    with at(1307):  # 2 px of organ, not confirmed
        project.commit(decisions.edit(project, project.case("a"), Box((8, 0), (9, 2)), np.ones((1, 2), np.uint8)))


TRUST = {"a": 0.5, "b": 0.75, "c": 1.0, "d": 0.875}
WRONG = {"a": 50.0, "b": 2.0, "c": 0.0, "d": 1.5}


def score(project: Project) -> None:
    """A run with scores, made by hand: the trust of an image is the same everywhere."""
    folder = project.path / "runs" / RUN
    folder.mkdir(parents=True)
    record = {
        "run": RUN,
        "started": "2026-05-03T20:00:00.000+00:00",
        "settings": json.loads(preset("quick").to_json()),
        "versions": {"torch": "2.13.0"},
        "device": "CPU",
    }
    (folder / "run.json").write_text(json.dumps(record))
    epochs = [(0.5, False), (0.75, True), (0.625, True), (None, True)]
    rows = [{"epoch": n, "val_dice": dice, "held_out": held} for n, (dice, held) in enumerate(epochs, start=1)]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    writer = ScoreWriter(folder, RUN)
    for case in project.cases:
        writer.write(case.id, {"trust": np.full(case.shape, TRUST[case.name], np.float32)})
    images = [
        ImageScore(case_id=case.id, image=case.name, score=0.1, estimated_wrong_pixels=WRONG[case.name])
        for case in project.cases
    ]
    writer.finish(images, list(REGIONS.values()))


def reviewed_project(folder: Path, *, scored: bool = True) -> Path:
    """Make the project, score and review it, and leave it closed."""
    with build_project(folder / "study", cases(), CLASSES, author="ada") as project:
        if scored:
            score(project)
        review(project)
        return project.path
