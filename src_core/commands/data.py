"""create, export, info."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_core.commands.progress import bar
from src_core.data.case import Verified, vouched
from src_core.errors import MetaDCSegError
from src_core.store.create import create_from_folders
from src_core.store.export import export, without_label, words_without_label
from src_core.store.project import Project

if TYPE_CHECKING:
    import argparse

    from src_core.store.runs import Run


def create(arguments: argparse.Namespace) -> int:
    """Make a project and say what was found."""
    with bar() as progress:
        task = progress.add_task("creating", total=None, note="")
        project, rule = create_from_folders(
            arguments.project,
            arguments.images,
            arguments.masks,
            clean_masks=arguments.clean_masks,
            classes_file=arguments.classes,
            unlabelled=arguments.unlabelled,
            instances=arguments.instances,
            author=arguments.author,
            progress=lambda name: progress.update(task, advance=1, note=name),
        )
    with project:
        print(f"Created {project.path}")
        print(f"Mask values: {rule}")
        _print_contents(project)
    return 0


def info(arguments: argparse.Namespace) -> int:
    """Say what is in a project."""
    with Project.open(arguments.project) as project:
        print(f"Project {project.path}")
        _print_contents(project)
        print(f"Decisions: {len(project.decisions())}, changes in the record: {project.version()[0]}")
        for run in project.runs():
            print(f"Run {run.name}: {_describe(run, project)}")
    return 0


def _describe(run: Run, project: Project) -> str:
    try:
        made = (
            f"imported from {run.source}" if run.imported else f"{run.settings().method}, {len(run.history())} epochs"
        )
        generation = run.generation
        missing = sum(not run.covers(case.id) for case in project.cases) if run.has_scores else 0
    except MetaDCSegError as error:
        return str(error)
    scores = f"scores of generation {generation}" if run.has_scores else "no scores"
    opinion = ", second opinion" if run.has_scores and run.opinion_record() is not None else ""
    lacking = f", {missing} image{'s' * (missing != 1)} not scored yet" if missing else ""
    return f"{made}, {scores}{lacking}{opinion}"


def _print_contents(project: Project) -> None:
    counts = project.verified_counts()
    kinds = {kind: sum(row.get(kind, 0) for row in counts.values()) for kind in Verified if kind}
    bare = sum(case.without_mask for case in project.cases)
    print(f"Images: {len(project.cases)}" + (f", {bare} of them without a mask" if bare else ""))
    print("Classes: " + ", ".join(f"{info.index} {info.name} (value {info.value})" for info in project.classes))
    images = sum(vouched(row) > 0 for row in counts.values())
    print(
        f"Verified: {vouched(kinds)} pixels in {images} images (confirmed {kinds[Verified.CONFIRMED]}, "
        f"corrected {kinds[Verified.CORRECTED]}, background {kinds[Verified.BACKGROUND]})"
    )
    if kinds[Verified.UNSURE]:
        print(f"Looked at without a result: {kinds[Verified.UNSURE]} pixels")


def export_command(arguments: argparse.Namespace) -> int:
    """Write files and say how many."""
    what = [name.strip() for name in arguments.what.split(",") if name.strip()]
    with Project.open(arguments.project) as project, bar() as progress:
        task = progress.add_task("exporting", total=None, note="")
        written = export(
            project,
            arguments.directory,
            what,
            arguments.format,
            arguments.run_name,
            identifiers=arguments.identifiers,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
        missing = words_without_label(without_label(project)) if "cleaned" in what else ""
    print(f"Wrote {len(written)} files to {arguments.directory}")
    if missing:
        print(missing)
    return 0
