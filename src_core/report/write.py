"""Writes reports, each file whole or not at all."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from src_core.errors import InputError, storage_errors
from src_core.report.contributors import SECTIONS
from src_core.report.gather import gather
from src_core.report.page import write_page
from src_core.report.pictures import pictures as draw
from src_core.report.record import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from src_core.report.sections import Contributor
    from src_core.store.project import Project

PICTURES = 12
"""Images that are shown with what changed, unless asked otherwise."""

SUFFIXES = (".html", ".json")


def write_report(
    project: Project,
    path: str | Path,
    run: str | None = None,
    pictures: int = PICTURES,
    *,
    sources: bool = False,
    sections: Sequence[Contributor] = SECTIONS,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write one report.

    Parameters
    ----------
    project : Project
        Open for reading is enough; whoever works on it meanwhile is not in the way.
    path : path
        ``.html`` is a page for people, ``.json`` the same figures for programs. A file that is there is replaced.
    run : str, optional
        Whose scores and figures are told; the newest scored run by default.
    pictures : int
        The page shows at most so many images, those with the most changed pixels; 0 for none.
    sources : bool
        Tell where the source files were.
    sections : sequence of Contributor
    progress : callable, optional
        Called with images done and images in all.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        For another suffix, a place that cannot be written to, a negative number of pictures, or an unknown run.
    StorageError
        If the disk is full or may not be written; what was there before is still there.
    """
    target = Path(path).expanduser()
    _write(project, [target], run, pictures, sources, sections, progress)
    return target


def export_report(
    project: Project,
    folder: str | Path,
    run: str | None = None,
    pictures: int = PICTURES,
    *,
    sources: bool = False,
    sections: Sequence[Contributor] = SECTIONS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write ``report.html`` and ``report.json`` of the same moment into a folder; see :func:`write_report`."""
    targets = [Path(folder).expanduser() / f"report{suffix}" for suffix in SUFFIXES]
    _write(project, targets, run, pictures, sources, sections, progress)
    return targets


def _write(
    project: Project,
    targets: Sequence[Path],
    run: str | None,
    pictures: int,
    sources: bool,
    sections: Sequence[Contributor],
    progress: Callable[[int, int], None] | None,
) -> None:
    _check(project, targets, pictures)
    ledger = Ledger.read(project)
    report = gather(project, run, sources=sources, sections=sections, ledger=ledger, progress=progress)
    data = report.to_dict()
    for target in targets:
        drawn = draw(project, ledger, report, pictures) if target.suffix.lower() == ".html" else []
        with _whole(target) as file:
            if target.suffix.lower() == ".html":
                write_page(data, drawn, file)
            else:
                json.dump(data, file, indent=1, allow_nan=False)
                file.write("\n")


def _check(project: Project, targets: Sequence[Path], pictures: int) -> None:
    """Refuse before the work what cannot be written after it."""
    if pictures < 0:
        raise InputError(f"The number of pictures is {pictures}, expected 0 or more.")
    for target in targets:
        if target.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"A report cannot be written to {target}; expected a file name that ends with .html (a page to read) "
                "or .json (the figures)."
            )
        if target.is_dir():
            raise InputError(f"{target} is a folder; expected the name of a file to write.")
        if target.resolve().is_relative_to(project.path.resolve()):
            raise InputError(
                f"{target} is inside of the project, whose files are not to be touched; choose another folder."
            )


@contextmanager
def _whole(target: Path) -> Iterator[IO[str]]:
    """A text file that is written beside its place and put there when it is complete."""
    partial = target.with_name(f".{target.name}.partial")
    with storage_errors(target, "No report was written."):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"{target} cannot be written: a part of its path is a file; choose another.") from error
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
