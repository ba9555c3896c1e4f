"""add."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from src_core.commands.progress import bar
from src_core.store.add import add_from_folders
from src_core.store.project import Project

if TYPE_CHECKING:
    import argparse


def add(arguments: argparse.Namespace) -> int:
    """Add images to a project and say how many."""
    with Project.open(arguments.project, write=True, author=arguments.author) as project, bar() as progress:
        task = progress.add_task("adding", total=None, note="")
        added, existing = add_from_folders(
            project,
            arguments.images,
            arguments.masks,
            clean_masks=arguments.clean_masks,
            unlabelled=arguments.unlabelled,
            skip_existing=arguments.skip_existing,
            progress=lambda name: progress.update(task, advance=1, note=name),
        )
        runs = [run.name for run in project.runs() if run.has_scores]
    print(f"Added {_count(len(added))} to {project.path}: {len(project.cases)} in all.")
    without = sum(case.without_mask for case in added)
    if without:
        print(f"Without a mask: {_count(without)}; what the model proposes for them comes into the queue.")
    if existing:
        print(f"Left out, since the project has them: {_count(len(existing))}.")
    if added and runs:
        print(f"Next: metadcseg score {arguments.project}, which scores what was added.", file=sys.stderr)
    return 0


def _count(number: int) -> str:
    return f"{number} image{'s' * (number != 1)}"
