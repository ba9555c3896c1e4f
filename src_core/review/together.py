"""Proposals that are accepted together: all that wait in an image, by one key; and turned back by one.

Each region has a row of its own in the record, as if it had been accepted by itself, so that all that is read from the
record (what the decisions found, what is left, whose hand a pixel is from) needs to know nothing of it. The rows share
a mark, by which undo and redo find them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from src_core.data.case import around
from src_core.review import decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from src_core.data.scores import Region
    from src_core.review.region_parts import Pixels
    from src_core.store.journal import Change, Record
    from src_core.store.project import Project

MARK = "together"
"""Among the scores of a row: the number of the first of those that belong together."""


def accept_together(
    project: Project, regions: Sequence[tuple[Region, Pixels[np.bool_], Pixels[np.uint8]]], run: str
) -> Record:
    """Accept the proposals of some regions of one image, a row each.

    Parameters
    ----------
    project : Project
        Open for writing.
    regions : sequence of (Region, mask, proposed)
        At least one; mask (bool) and proposed (uint8) as of :func:`~src_core.review.decisions.accept`.
    run : str
        The run that proposed them.

    Returns
    -------
    Record
        The last row, with the box and the pixels of all.

    Raises
    ------
    ProjectReadOnlyError, StorageError
        As from :meth:`Project.commit`; what was recorded before holds.
    """
    mark, records = project.version()[0] + 1, []
    for region, mask, proposed in regions:
        change = decisions.accept(project, region, mask, proposed, run)  # of the label as the one before left it
        records.append(project.commit(marked(change, mark)))
    return summed(records)


def marked(change: Change, mark: int) -> Change:
    """A change with the number of the first row of those that it belongs to."""
    return replace(change, scores={**change.scores, MARK: mark})


def undo_together(project: Project, *, later: bool = False) -> Record | None:
    """Turn back the last change, and all that were accepted together with it.

    Parameters
    ----------
    project : Project
    later : bool
        As of :meth:`Project.commit`.

    Returns
    -------
    Record or None
        The last row, with the box and the pixels of all; None when there was nothing.
    """
    return _turned(project, lambda: project.undo(later=later), 0)


def redo_together(project: Project, *, later: bool = False) -> Record | None:
    """Repeat the change that was turned back last, and all that were accepted together with it; as in undoing."""
    return _turned(project, lambda: project.redo(later=later), 1)


def _turned(project: Project, turn: Callable[[], Record | None], stack: int) -> Record | None:
    targets = project.stacks()[stack][::-1]
    mark = _mark(project, targets[0]) if targets else None
    records: list[Record] = []
    for target in targets:
        if records and (mark is None or _mark(project, target) != mark):
            break
        record = turn()
        assert record is not None
        records.append(record)
    return summed(records) if records else None


def _mark(project: Project, row: int) -> float | str | None:
    return project.record(row).scores.get(MARK)


def summed(records: Sequence[Record]) -> Record:
    """The last of some rows, with the box and the pixels of all."""
    boxes = [record.box for record in records if record.box is not None]
    box = around(boxes) if boxes else None
    return replace(records[-1], box=box, pixels=sum(record.pixels for record in records))
