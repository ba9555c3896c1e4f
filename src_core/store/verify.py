"""Is a project whole? The record is played back from the given masks and compared with what is there, bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Verified
from src_core.errors import ProjectDamagedError, ProjectError
from src_core.store.chunks import strip_boxes
from src_core.store.journal import BEGINNINGS, Action
from src_core.store.tables import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.store.journal import Patch
    from src_core.store.project import Project


def problems_of(project: Project, progress: Callable[[str], None] | None = None) -> list[str]:
    """Everything that is not as the record says, one sentence each; empty when the project is whole.

    Checked are the database itself, that no row of the record was changed or is missing, that images and given masks
    are those that the project was made of, that each change found what it says it found and left what it says it left,
    that label and verified mask are what all changes together give, and that the counts of verified pixels are right.

    Parameters
    ----------
    project : Project
        Best when nobody is changing it.
    progress : callable, optional
        Gets the name of each image that was looked at.
    """
    found = [f"The record's database is damaged: {fault}." for fault in project.database_faults()]
    try:
        found += project.record_faults()
        found += _problems_of_turns(project)
        committed, applied = project.version()
        counts = project.verified_counts()
    except ProjectError as error:
        return [*found, str(error)]
    if applied > committed:
        found.append(f"The masks hold {applied} changes and the record {committed}; rows of it are missing.")
    for case in project.cases:
        found += _problems_of_case(project, case, counts.get(case.id, {}))
        if progress is not None:
            progress(case.name)
    return found


def repair(project: Project) -> list[str]:
    """Make masks and counts that are not as the record says anew, from the given masks and the record.

    Parameters
    ----------
    project : Project
        Open for writing.

    Returns
    -------
    list of str
        Names of the images where that was needed.

    Raises
    ------
    ProjectDamagedError
        If the record itself, or the given mask of such an image, is damaged: then only a backup helps.
    """
    faults = [*project.database_faults(), *project.record_faults(), *_problems_of_turns(project)]
    if faults:
        raise ProjectDamagedError(
            f"The record of project {project.name} is damaged itself ({faults[0].rstrip('.')}), so nothing was "
            "repaired; restore the project from a backup."
        )
    repaired = []
    for case in project.cases:
        if [*_problems_of_case(project, case, project.verified_count(case))]:
            sources = [*_problems_of_sources(project, case)]
            if sources:
                raise ProjectDamagedError(sources[0])
            project.restore(case)
            repaired.append(case.name)
    return repaired


def _problems_of_turns(project: Project) -> Iterator[str]:
    """Undo and redo name the row that they turn back or repeat, and it is the one that was next."""
    undo: list[int] = []
    redo: list[int] = []
    for record in reversed(project.history()):
        taken, given = (undo, redo) if record.action == Action.UNDO else (redo, undo)
        if record.action in (Action.UNDO, Action.REDO):
            if not taken or taken[-1] != record.target:
                yield f"Row {record.id} of the record turns back or repeats row {record.target}, which was not next."
                return
            given.append(taken.pop())
        elif record.action not in BEGINNINGS:
            undo.append(record.id)
            redo.clear()


def _problems_of_case(project: Project, case: CaseInfo, counts: Mapping[Verified, int]) -> Iterator[str]:
    try:
        yield from _problems_of_sources(project, case)
        label = project.read_given(case).copy()
        verified = np.zeros_like(label)
        for row, before, after in project.changes(case):
            if not _equal(before, label, verified):
                yield f"Change {row} of image {case.name} found another mask than the changes before it left."
            if int(np.count_nonzero(before.label != after.label)) != project.record(row).pixels:
                yield f"Change {row} of image {case.name} changed another number of pixels than it says."
            label[after.box.slices], verified[after.box.slices] = after.label, after.verified
        there = project.read_as_stored(case)
    except ProjectError as error:
        yield str(error)
        return
    for name, told, stored in zip(("mask", "verified mask"), (label, verified), there, strict=True):
        differing = int(np.count_nonzero(told != stored))
        if differing:
            yield f"The {name} of image {case.name} differs from its record at {differing} pixels."
    kinds = {Verified(kind): int((verified == kind).sum()) for kind in Verified if kind}
    if {kind: count for kind, count in kinds.items() if count} != dict(counts):
        yield f"The counts of verified pixels of image {case.name} are not those of its record."


def _problems_of_sources(project: Project, case: CaseInfo) -> Iterator[str]:
    told = project.digests(case)
    for name, words, read in (
        ("image", "image", project.read_image),
        ("given", "given mask of image", project.read_given),
    ):
        digest: Digest | None = None
        for box in strip_boxes(case.shape):
            values = read(case, box)
            digest = digest or Digest((*case.shape, *values.shape[len(case.shape) :]), values.dtype)
            digest.add(values)
        if name in told and (digest is None or digest.text() != told[name]):
            yield f"The {words} {case.name} is not as it was when the project was made; restore it from a backup."


def _equal(patch: Patch, label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> bool:
    where = patch.box.slices
    return bool(np.array_equal(patch.label, label[where]) and np.array_equal(patch.verified, verified[where]))
