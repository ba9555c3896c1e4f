"""Is a project whole? The record is played back from the given masks and compared with what is there, bit by bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from src_core.errors import ProjectDamagedError, ProjectError
from src_core.store import tables
from src_core.store.chunks import band_boxes, strip_boxes
from src_core.store.journal import BEGINNINGS, Action
from src_core.store.masks import common
from src_core.store.tables import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from src_core.data.case import Box, CaseInfo, Verified
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
    told = _Told()
    try:
        yield from _problems_of_sources(project, case)
        for box in band_boxes(case.shape):
            _play(project, case, box, told)
        pixels = {row: project.record(row).pixels for row in told.pixels}
    except ProjectError as error:
        yield str(error)
        return
    for row, changed in sorted(told.pixels.items()):
        if row in told.surprised:
            yield f"Change {row} of image {case.name} found another mask than the changes before it left."
        if changed != pixels[row]:
            yield f"Change {row} of image {case.name} changed another number of pixels than it says."
    for name, differing in told.differing.items():
        yield f"The {name} of image {case.name} differs from its record at {differing} pixels."
    if told.counts != dict(counts):
        yield f"The counts of verified pixels of image {case.name} are not those of its record."


@dataclass
class _Told:
    """What playing back the record of an image tells, band by band.

    Attributes
    ----------
    pixels : Counter
        By row, how many pixels it gave another label.
    surprised : set of int
        Rows that found another mask than the rows before left.
    differing : Counter
        By mask, how many pixels are not as told.
    counts : Counter
        Of verified pixels, by kind.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    surprised: set[int] = field(default_factory=set)
    differing: Counter[str] = field(default_factory=Counter)
    counts: Counter[int] = field(default_factory=Counter)


def _play(project: Project, case: CaseInfo, band: Box, told: _Told) -> None:
    """Play back what lies in a band."""
    label = project.read_given(case, band).copy()
    verified = np.zeros_like(label)
    for row, before, after in project.changes(case, band):
        place, part = common(after.box, band)
        old, new = ((patch.label[part], patch.verified[part]) for patch in (before, after))
        if not (np.array_equal(old[0], label[place]) and np.array_equal(old[1], verified[place])):
            told.surprised.add(row)
        told.pixels[row] += int(np.count_nonzero(old[0] != new[0]))
        label[place], verified[place] = new
    for name, mine, there in zip(
        ("mask", "verified mask"), (label, verified), project.read_as_stored(case, band), strict=True
    ):
        differing = int(np.count_nonzero(mine != there))
        if differing:
            told.differing[name] += differing
    told.counts += tables.kind_counts(verified)


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
