"""decide, verify: the review without a window."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from src_core.commands.progress import bar
from src_core.errors import InputError
from src_core.review import decisions
from src_core.review.region_parts import pixels_of
from src_core.store.project import Project
from src_core.store.verify import problems_of, repair

if TYPE_CHECKING:
    import argparse

    from src_core.data.scores import Region
    from src_core.store.journal import Change
    from src_core.store.runs import Run

COLUMNS = ["region", "decision"]
DECISIONS = ("accept", "keep", "skip")
MAX_PROBLEMS = 20


def decide(arguments: argparse.Namespace) -> int:
    """Take decisions from a file, in its order, as the window would; all of them are checked first."""
    hint = "'metadcseg rank --by region --format csv' lists the regions"
    rows = read_decisions(Path(arguments.decisions), COLUMNS, hint)
    with Project.open(arguments.project, write=True, author=arguments.author) as project:
        run = project.run(arguments.run_name)
        regions = {region.id: region for region in run.regions()}
        _check(rows, regions, run, arguments.decisions)
        pixels = 0
        with bar() as progress:
            task = progress.add_task("deciding", total=len(rows), note="")
            for _, region, decision in rows:
                pixels += project.commit(_change(project, run, regions[region], decision)).pixels
                progress.update(task, advance=1)
    counts = ", ".join(f"{sum(row[2] == name for row in rows)} {name}" for name in DECISIONS)
    print(f"Recorded {len(rows)} decisions ({counts}); {pixels} pixels have another label now.")
    return 0


def _change(project: Project, run: Run, region: Region, decision: str) -> Change:
    if decision == "skip":
        return decisions.skip(region, run.name)
    mask, proposed = pixels_of(run, region)
    if decision == "keep":
        return decisions.keep(project, region, mask, run.name)
    return decisions.accept(project, region, mask, proposed, run.name)


def read_decisions(path: Path, columns: list[str], hint: str) -> list[tuple[int, str, str]]:
    """Line number and the first two values of each row of a file.

    Raises
    ------
    InputError
        If it cannot be read or begins with other columns; ``hint`` says where the first column comes from.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if [name.strip() for name in header[:2]] != columns:
                raise InputError(
                    f"{path} begins with {','.join(header) or 'nothing'!r}, expected the columns {','.join(columns)}; "
                    f"{hint}."
                )
            return [(reader.line_num, row[0].strip(), row[1].strip() if len(row) > 1 else "") for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The decisions {path} cannot be read ({error}); expected a CSV file in UTF-8.") from error


def problems_as_error(problems: list[str], words: str) -> None:
    """Tell the problems of a file, if there are any.

    Raises
    ------
    InputError
        With the first of them after ``words``.
    """
    if problems:
        more = len(problems) - MAX_PROBLEMS
        shown = [*problems[:MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        raise InputError(f"{words}:\n  " + "\n  ".join(shown))


def _check(rows: list[tuple[int, str, str]], regions: dict[str, Region], run: Run, file: str) -> None:
    problems, seen = [], set()
    for line, region, decision in rows:
        if region not in regions:
            problems.append(f"line {line}: run {run.name} has no region {region!r}")
        if decision not in DECISIONS:
            problems.append(f"line {line}: the decision is {decision!r}, expected one of {', '.join(DECISIONS)}")
        if region in seen:
            problems.append(f"line {line}: region {region!r} stands in the file before")
        seen.add(region)
    problems_as_error(problems, f"Nothing was decided, since {file} cannot be used")


def verify(arguments: argparse.Namespace) -> int:
    """Say whether a project is whole; 1 when it is not."""
    if arguments.repair:
        with Project.open(arguments.project, write=True) as project:
            repaired = repair(project)
        print(f"Made the masks of {len(repaired)} images anew from the record: {', '.join(repaired) or 'none'}.")
    with Project.open(arguments.project) as project, bar() as progress:
        task = progress.add_task("verifying", total=len(project.cases), note="")
        found = problems_of(project, lambda name: progress.update(task, advance=1, note=name))
        changes, applied = project.version()
    if applied < changes:
        print(
            f"{changes - applied} recorded changes are not applied to the mask files for sure yet; they are read from "
            "the record, and will be applied when the project is closed, or opened for writing again."
        )
    for problem in found:
        print(problem)
    if not found:
        print(f"Project {project.name} is whole: {len(project.cases)} images, {changes} changes played back.")
    return 1 if found else 0
