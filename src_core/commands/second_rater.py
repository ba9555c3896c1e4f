"""second-rater, agreement: another person's answers, apart from the first ones."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from src_core.commands.review import problems_as_error, read_decisions
from src_core.errors import InputError
from src_core.review import second_sample
from src_core.review.agreement import agreement, sentences
from src_core.review.second_rater import Answer, SecondRaterSession, Shown, unfinished
from src_core.store.project import Project
from src_core.store.samples import newest

if TYPE_CHECKING:
    import argparse

COLUMNS = ("item", "image", "pixels", "given", "proposed", "z0", "y0", "x0", "z1", "y1", "x1")
ANSWERS = (Answer.ACCEPT, Answer.KEEP, Answer.UNSURE)


def start(arguments: argparse.Namespace) -> int:
    """Draw a sample for a second rater, or take up the last one, and list what has no answer yet."""
    if arguments.seed < 0:
        raise InputError(f"--seed is {arguments.seed}, expected 0 or more.")
    with Project.open(arguments.project, write=True, author=arguments.author) as project:
        if unfinished(project, arguments.author) and not arguments.anew:
            print("The last sample is not finished; what is left of it follows.", file=sys.stderr)
        else:
            _draw(project, arguments)
        session = SecondRaterSession(project, arguments.author)
        rows = [_row(shown) for shown in session.waiting()]
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return 0


def _draw(project: Project, arguments: argparse.Namespace) -> None:
    drawn = second_sample.draw(
        project,
        arguments.author,
        share=arguments.share,
        decoys=arguments.decoys,
        seed=arguments.seed,
        same_person=arguments.same_person,
    )
    few = ""
    if drawn.decoys < drawn.wanted:
        few = f"; only {drawn.decoys} of {drawn.wanted} decoys could be made, as too little is verified"
    print(f"Drawn: {drawn.real + drawn.decoys} items{few}.", file=sys.stderr)


def _row(shown: Shown) -> dict[str, object]:
    begin, end = shown.box.start, shown.box.stop
    if len(begin) == 2:
        begin, end = (0, *begin), (1, *end)
    return {
        "item": shown.number,
        "image": shown.image_name,
        "pixels": int(shown.mask.sum()),
        "given": int(shown.label[shown.mask][0]),
        "proposed": int(shown.proposed[shown.mask][0]),
        **dict(zip(COLUMNS[5:], (*begin, *end), strict=True)),
    }


def answer(arguments: argparse.Namespace) -> int:
    """Take answers from a file, in its order; all of them are checked first."""
    hint = "'metadcseg second-rater start' lists the items"
    rows = read_decisions(Path(arguments.decisions), ["item", "decision"], hint)
    with Project.open(arguments.project, write=True, author=arguments.author) as project:
        session = SecondRaterSession(project, arguments.author)
        _check(rows, session.progress.total, arguments.decisions)
        for _, item, decision in rows:
            session.answer_item(int(item), Answer(decision))
        progress = session.progress
    print(f"Recorded {len(rows)} answers; {progress.answered} of {progress.total} items have one.")
    return 0


def _check(rows: list[tuple[int, str, str]], total: int, file: str) -> None:
    problems, seen = [], set()
    for line, item, decision in rows:
        if not item.isdecimal() or int(item) >= total:
            problems.append(f"line {line}: there is no item {item!r}, expected a number from 0 to {total - 1}")
        if decision not in ANSWERS:
            problems.append(f"line {line}: the decision is {decision!r}, expected one of {', '.join(ANSWERS)}")
        if item in seen:
            problems.append(f"line {line}: item {item!r} stands in the file before")
        seen.add(item)
    problems_as_error(problems, f"Nothing was answered, since {file} cannot be used")


def agreement_command(arguments: argparse.Namespace) -> int:
    """Print what the newest sample tells."""
    with Project.open(arguments.project) as project:
        words = f"'metadcseg second-rater start {project.path} --author NAME' draws one"
        found = agreement(project, newest(project.samples, second_sample.PURPOSE, words))
    print(json.dumps(asdict(found), indent=2) if arguments.format == "json" else sentences(found))
    return 0
