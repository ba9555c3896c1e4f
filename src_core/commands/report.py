"""report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_core.commands.progress import bar
from src_core.report.write import write_report
from src_core.store.project import Project

if TYPE_CHECKING:
    import argparse


def report(arguments: argparse.Namespace) -> int:
    """Write a report and say where."""
    with Project.open(arguments.project) as project, bar() as progress:
        task = progress.add_task("reporting", total=None, note="")
        written = write_report(
            project,
            arguments.file,
            arguments.run_name,
            arguments.pictures,
            sources=arguments.sources,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(f"Wrote {written}")
    return 0
