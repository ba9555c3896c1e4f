"""Everything that the export section offers, written from one reader of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_core.report.write import export_report
from src_core.store.export import export, without_label, words_without_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from src_core.store.project import Project

REPORT = "report"


def left_out(project: Project, what: Sequence[str]) -> str:
    """Of which images there is no cleaned mask, in words; empty when there is one of all that were to be exported."""
    return words_without_label(without_label(project)) if "cleaned" in what else ""


def export_all(
    project: Project,
    folder: str | Path,
    what: Sequence[str],
    run: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write masks, maps and the report.

    Parameters
    ----------
    project : Project
        Open for reading is enough.
    folder : path
        Masks and maps get a folder each in it, the report is ``report.html`` and ``report.json``.
    what : sequence of str
        As of :func:`~src_core.store.export.export`, and ``report``.
    run : str, optional
        The newest scored run by default.
    progress : callable, optional
        Called between images with those done and all.

    Returns
    -------
    list of Path
        The files, in the order they were written; each is whole.

    Raises
    ------
    InputError
        When there is nothing to write, or it cannot be written there.
    StorageError
        If the disk is full or may not be written.
    """
    files = [name for name in what if name != REPORT]
    written = export(project, folder, files, run=run, progress=progress) if files or REPORT not in what else []
    return written + (export_report(project, folder, run, progress=progress) if REPORT in what else [])
