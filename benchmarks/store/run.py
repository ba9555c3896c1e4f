"""How fast the store is on big masks, in big projects and after many decisions; writes a report.

    python benchmarks/store/run.py --out benchmarks/reports/store.md

Wall time is what a person waits; processor time is given beside it, since it depends less on what else the machine
does.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Box, ClassInfo
from src_core.data.scores import ImageScore, Region
from src_core.review import decisions
from src_core.store import ranking
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.store.runs import Run
from src_core.store.verify import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from src_core.data.case import CaseInfo
    from src_core.store.journal import Change
    from src_core.store.recording import Prepared

CLASSES = (
    ClassInfo(index=0, name="background", value=0, color="#000000"),
    ClassInfo(index=1, name="organ", value=255, color="#56B4E9"),
)
BIG, STROKE, REGION = 4096, 64, 45
IMAGES, ROWS, REGIONS = 10_000, 50_000, 100_000


@dataclass
class Timing:
    """What was done many times over.

    Attributes
    ----------
    name : str
    target : str
    wall, cpu : list of float
        Seconds, one each time.
    written : list of float
        Bytes handed to the operating system for files, one each time; empty where it does not tell.
    """

    name: str
    target: str = ""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)

    def time(self, act: Callable[[], object]) -> None:
        """Do it once."""
        bytes_before, cpu, wall = written_bytes(), time.process_time(), time.perf_counter()
        act()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)
        self.written.append(written_bytes() - bytes_before)

    def row(self) -> str:
        """A row of the table."""
        wall, cpu = 1000 * np.array(self.wall), 1000 * np.array(self.cpu)
        many = f"{np.percentile(wall, 95):,.1f}" if len(wall) > 10 else ""
        written = f"{np.median(self.written) / 1000:,.0f}" if any(self.written) else ""
        return f"| {self.name} | {np.median(wall):,.1f} | {many} | {np.median(cpu):,.1f} | {written} | {self.target} |"


def written_bytes() -> int:
    """Bytes that this process has written so far, where the system tells."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return int(next(line.split()[1] for line in lines if line.startswith("wchar")))


def region(case_id: int, image: str, box: Box, number: int) -> Region:
    return Region(
        id=f"{image}#{number:08x}", number=number, case_id=case_id, image=image, kind="error", score=9.0,
        pixels=int(np.prod(box.shape)), given=0, proposed=1, box=box, trust=0.2, uncertainty=0.1,
    )  # fmt: skip


def big_mask(folder: Path, repeats: int) -> Iterator[Timing]:
    """Strokes and decisions on one large mask with fine structure."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:BIG, :BIG]
    mask = (((y - 2000) ** 2 + (x - 2000) ** 2 < 1500**2) & ((y // 40 + x // 57) % 3 > 0)).astype(np.uint8)
    image = np.clip(rng.normal(100, 20, mask.shape), 0, 255).astype(np.uint8)
    made = Timing(f"make a project of one image of {BIG} x {BIG} px")
    made.time(lambda: build_project(folder / "big", [NewCase(name="a", image=image, given=mask)], CLASSES).close())
    yield made
    with Project.open(folder / "big", write=True) as project:
        yield from _changes(project, rng, repeats)
    opened = Timing("open it again")
    opened.time(lambda: Project.open(folder / "big", write=True).close())
    yield opened


def _changes(project: Project, rng: np.random.Generator, repeats: int) -> Iterator[Timing]:
    case = project.cases[0]

    def corner(edge: int) -> Box:
        start = rng.integers(0, BIG - edge, 2)
        return Box((int(start[0]), int(start[1])), (int(start[0]) + edge, int(start[1]) + edge))

    def stroke() -> None:
        box = corner(STROKE)
        change = decisions.edit(project, case, box, rng.integers(0, 2, box.shape).astype(np.uint8))
        assert change is not None
        project.commit(change)

    def accept() -> None:
        box = corner(REGION)
        mask = rng.random(box.shape) < 0.9
        project.commit(decisions.accept(project, region(0, "a", box, 1), mask, np.ones(box.shape, np.uint8)))

    def confirm() -> None:
        box = corner(REGION)
        change = decisions.edit(project, case, box, 1 - project.read_label(case, box))
        assert change is not None
        project.commit(change)
        project.commit(decisions.confirm(project, region(0, "a", box, 1), np.ones(box.shape, bool)))

    target = "30 ms, 1 MB"
    for name, act, limit in (
        (f"stroke, box of {STROKE} px", stroke, target),
        ("undo of it", project.undo, target),
        ("redo of it", project.redo, target),
        (f"accept a region of {REGION**2:,} px", accept, target),
        ("undo of it", project.undo, target),
    ):
        timing = Timing(name, limit)
        for _ in range(repeats):
            timing.time(act)
        yield timing
    project.commit(decisions.verify_image(project, case))  # nothing painted is left
    both = Timing("stroke, and confirm it with its region", "60 ms, 2 MB")
    for _ in range(repeats):
        both.time(confirm)
    yield both
    apart = Timing("confirm two strokes in opposite corners of the image, in one go")
    for _ in range(3):
        for start in (0, BIG - 8):
            box = Box((start, start), (start + 8, start + 8))
            change = decisions.edit(project, case, box, 1 - project.read_label(case, box))
            assert change is not None
            project.commit(change)
        near = region(0, "a", box, 1)
        apart.time(lambda near=near: project.commit(decisions.confirm(project, near, np.ones(near.box.shape, bool))))
    yield apart
    yield from _whole_image(project, case)


def _whole_image(project: Project, case: CaseInfo) -> Iterator[Timing]:
    """As the window does it: worked out in a thread, recorded while it waits, applied in a thread."""
    whole = Timing("verify the whole image, in one go")
    steps = [Timing(f"verify the whole image: {step}") for step in ("worked out", "recorded", "brought into the masks")]
    back = Timing("turn that back: recorded", "30 ms")
    steps[1].target = "30 ms"
    while project.undo() is not None:
        pass
    prepared: list[Change | Prepared] = []
    for number in range(7):
        if number < 2:
            whole.time(lambda: project.commit(decisions.verify_image(project, case)))
        else:
            steps[0].time(lambda: prepared.append(project.prepare(decisions.verify_image(project, case))))
            steps[1].time(lambda: project.commit(prepared.pop(), later=True))
            steps[2].time(project.catch_up)
        back.time(lambda: project.undo(later=True))
        project.catch_up()
    yield whole
    yield from steps
    yield back


def big_project(folder: Path, images: int, rows: int) -> Iterator[Timing]:
    """Many small images, and many decisions."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (16, 16)).astype(np.uint8)
    given = rng.integers(0, 2, (16, 16)).astype(np.uint8)
    cases = (NewCase(name=f"image_{number:05d}", image=pixels, given=given) for number in range(images))
    made = Timing(f"make a project of {images:,} images")
    made.time(lambda: build_project(folder / "many", cases, CLASSES).close())
    yield made
    yield from _opened(folder / "many", "open it", "2,000 ms")
    with Project.open(folder / "many", write=True) as project:
        rest = Timing(f"a decision, of {rows:,}")
        for number in range(rows):
            rest.time(lambda number=number: decide(project, number))
        yield rest
        yield from _answers(project, rows)
        verify = Timing("verify the whole project")
        verify.time(lambda: problems_of(project))
        yield verify
    yield from _opened(folder / "many", f"open it with {rows:,} rows in its record", "2,000 ms")


def decide(project: Project, number: int) -> None:
    """One of many decisions; some are turned back."""
    if number % 7 == 6:
        project.undo()
        return
    case = project.cases[number * 37 % len(project.cases)]
    box = Box((number % 8, number % 5), (number % 8 + 6, number % 5 + 6))
    found = region(case.id, case.name, box, number)
    project.commit(decisions.keep(project, found, np.ones(box.shape, bool)))


def _opened(path: Path, name: str, target: str) -> Iterator[Timing]:
    for words, write in (("for reading", False), ("for writing", True)):
        timing = Timing(f"{name}, {words}", target)
        for _ in range(3):
            timing.time(lambda write=write: Project.open(path, write=write).close())
        yield timing


def _answers(project: Project, rows: int) -> Iterator[Timing]:
    """What the window asks after each decision."""
    case = project.cases[0]
    with Project.open(project.path) as reader:
        questions: dict[str, Callable[[], object]] = {
            "counts of verified pixels": project.verified_counts,
            "all decisions": project.decisions,
            "one decision": lambda: project.decision("nothing"),
            "is an image verified everywhere": lambda: project.is_wholly_verified(case),
            "can be undone": lambda: project.can_undo,
            "one row of the record": lambda: project.record(rows // 2),
            "counts, in a session that only reads": reader.verified_counts,
            "decisions, in a session that only reads": reader.decisions,
        }
        for name, question in questions.items():
            timing = Timing(f"after a decision: {name}", "5 ms")
            for number in range(20):
                decide(project, rows + 7 * number)
                timing.time(question)
            timing.written.clear()
            yield timing


def many_regions(folder: Path, images: int, regions: int) -> Iterator[Timing]:
    """A ranking of many regions."""
    rng = np.random.default_rng(0)
    made = ranking.Ranking(
        generation=1,
        images=tuple(
            ImageScore(
                case_id=number, image=f"image_{number:05d}", score=float(rng.random()), estimated_wrong_pixels=1.5
            )
            for number in range(images)
        ),
        regions=tuple(
            region(
                number % images, f"image_{number % images:05d}", Box((number % 97, 3), (number % 97 + 40, 50)), number
            )
            for number in range(regions)
        ),
    )
    folder.mkdir()
    wrote = Timing(f"write a ranking of {regions:,} regions and {images:,} images")
    wrote.time(lambda: ranking.write(folder / ranking.NAME, made))
    yield wrote
    (folder / "scores.zarr").mkdir()
    read = Timing("read it", "1,000 ms")
    for _ in range(3):
        read.time(Run(folder).regions)
    yield read
    run = Run(folder)
    run.regions()
    again = Timing("ask for its regions again", "")
    for _ in range(20):
        again.time(run.regions)
    yield again
    asked = Timing("ask for its generation again, as before each decision")
    for _ in range(20):
        asked.time(lambda: run.generation)
    yield asked


HEAD = """# The store

`python benchmarks/store/run.py`; times are medians, p95 where something was done often, in milliseconds. *Processor* is
the time that this process took itself; the rest of the wall time is waiting for the disk, or for the processor where
other work was running. *Written* is what was handed to the operating system for files.

| what | wall, ms | p95, ms | processor, ms | written, kB | asked for |
| --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--folder", type=Path, help="where projects are made for a while; default: the temporary folder"
    )
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--regions", type=int, default=REGIONS)
    parser.add_argument("--repeats", type=int, default=100)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    lines = []
    try:
        for timings in (
            big_mask(folder, arguments.repeats),
            big_project(folder, arguments.images, arguments.rows),
            many_regions(folder / "run", arguments.images, arguments.regions),
        ):
            for timing in timings:
                lines.append(timing.row())
                print(lines[-1], file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder)
    text = HEAD + "\n".join(lines) + "\n"
    if arguments.out is None:
        print(text)
    else:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
