"""runs."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table

from src_core.review.run_comparison import compare_runs
from src_core.store.project import Project
from src_core.store.run_choice import use_run
from src_core.store.run_files import delete_maps, delete_run, in_words, rename_run, total_use, what_is_lost, write_note
from src_core.store.run_table import differing_settings, run_rows

if TYPE_CHECKING:
    import argparse

    from src_core.store.run_table import RunRow
    from src_core.store.runs import Run

COLUMNS = (
    *("name", "reviewed", "busy", "started", "what", "images", "epochs_done", "epochs", "dice", "best_dice"),
    *("best_epoch", "scored", "disk", "maps", "imported", "note", "damage"),
)


def runs_command(arguments: argparse.Namespace) -> int:
    """List the runs, or do something to one."""
    changes = (arguments.use, arguments.rename, arguments.note, arguments.delete, arguments.delete_maps)
    with Project.open(arguments.project, write=any(changes)) as project:
        if any(changes):
            print(_change(project, arguments))
        elif arguments.compare:
            _compare(project, [project.run(name) for name in arguments.compare], arguments.format)
        else:
            _list(project, arguments.format)
    return 0


def _change(project: Project, arguments: argparse.Namespace) -> str:
    if arguments.use:
        run = project.run(arguments.use, scored=False)
        use_run(project, run)
        return f"Run {run.name} is reviewed now."
    if arguments.rename:
        run = project.run(arguments.rename[0], scored=False)
        renamed = rename_run(project, run, arguments.rename[1])
        return f"Run {run.name} is called {renamed.name} now; both names find it."
    if arguments.note:
        run = project.run(arguments.note[0], scored=False)
        write_note(project, run, arguments.note[1])
        return f"The note is kept with run {run.name}."
    if arguments.delete:
        run = project.run(arguments.delete, scored=False)
        print(what_is_lost(project, run), file=sys.stderr)
        return f"Run {run.name} is deleted; {in_words(delete_run(project, run))} are free."
    run = project.run(arguments.delete_maps, scored=False)
    freed = delete_maps(project, run)
    return f"The maps of run {run.name} are deleted; {in_words(freed)} are free. 'metadcseg score' makes them again."


def _compare(project: Project, pair: list[Run], format: str) -> None:
    """Say how the first run does against the second, and where their settings differ."""
    found = compare_runs(project, pair[0], pair[1])
    settings = differing_settings(pair)
    if format == "json":
        finding = None if found is None else asdict(found)
        print(json.dumps({"comparison": finding, "settings": {name: list(both) for name, both in settings}}, indent=2))
        return
    if format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("what", pair[0].name, pair[1].name))
        writer.writerow(("held_out_dice", *(("", "") if found is None else (found.dice, found.than_dice))))
        writer.writerows((name, *values) for name, values in settings)
        return
    nothing = "There are too few verified pixels that neither run has learned from to compare them."
    print(nothing if found is None else found.sentence() + ".")
    table = Table("setting", pair[0].name, pair[1].name)
    for name, values in settings:
        table.add_row(name, *map(str, values))
    Console().print(table if settings else "Their settings are the same.")


def _list(project: Project, format: str) -> None:
    rows = run_rows(project)
    plain = [row.plain() for row in rows]
    if format == "json":
        print(json.dumps(plain, indent=2))
    elif format == "csv":
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(plain)
    elif not rows:
        print("No runs yet; train one with 'metadcseg train' or in the window.")
    else:
        Console().print(_table(rows))
        print(f"In all: {in_words(total_use(project.path))}")


def _table(rows: list[RunRow]) -> Table:
    table = Table(
        Column("run", no_wrap=True), "started", "what", "images", "epochs", "held-out Dice", "scored", "on disk"
    )
    table.add_column("note")
    for row in rows:
        state = "\n(reviewed)" if row.reviewed else "\n(in use)" if row.busy else ""
        table.add_row(
            row.name + state,
            _time(row.started),
            row.damage or row.what,
            "" if row.images is None else str(row.images),
            f"{row.epochs_done} of {row.epochs}" if row.epochs else "",
            "" if row.dice is None else f"{row.dice:.3f}",
            _time(row.scored),
            in_words(row.disk.total),
            row.note,
        )
    return table


def _time(when: Any) -> str:
    return "" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M}"
