"""Is a project whole? The record is played back from the given masks and compared with what is there, bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Verified
from src_core.errors import ProjectDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.store.journal import Patch
    from src_core.store.project import Project


def problems_of(project: Project, progress: Callable[[str], None] | None = None) -> list[str]:
    """Everything that is not as the record says, one sentence each; empty when the project is whole.

    Checked are the database itself, that every image can be read, that each change found what it says it found and
    left what it says it left, that label and verified mask are what all changes together give, and that the counts of
    verified pixels are right.

    Parameters
    ----------
    project : Project
        Best when nobody is changing it.
    progress : callable, optional
        Gets the name of each image that was looked at.
    """
    found = [f"The record's database is damaged: {fault}." for fault in project.database_faults()]
    committed, applied = project.version()
    if applied < committed:
        found.append(
            f"{committed - applied} recorded changes are not applied to the masks yet; they will be when the project "
            "is opened for writing."
        )
    counts = project.verified_counts()
    for case in project.cases:
        found += _problems_of_case(project, case, counts.get(case.id, {}), applied)
        if progress is not None:
            progress(case.name)
    return found


def _problems_of_case(project: Project, case: CaseInfo, counts: dict[Verified, int], applied: int) -> list[str]:
    found = []
    try:
        project.read_image(case)
        label = project.read_given(case).copy()
        verified = np.zeros_like(label)
        for row, before, after in project.changes(case):
            if row > applied:
                break
            if not _equal(before, label, verified):
                found.append(f"Change {row} of image {case.name} found another mask than the changes before it left.")
            label[after.box.slices], verified[after.box.slices] = after.label, after.verified
        for name, told, there in (
            ("mask", label, project.read_label(case)),
            ("verified mask", verified, project.read_verified(case)),
        ):
            differing = int(np.count_nonzero(told != there))
            if differing:
                found.append(f"The {name} of image {case.name} differs from its record at {differing} pixels.")
    except ProjectDamagedError as error:
        return [*found, str(error)]
    kinds = {Verified(kind): int((verified == kind).sum()) for kind in np.unique(verified[verified > 0])}
    if kinds != {kind: count for kind, count in counts.items() if count}:
        found.append(f"The counts of verified pixels of image {case.name} are not those of its record.")
    return found


def _equal(patch: Patch, label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> bool:
    where = patch.box.slices
    return bool(np.array_equal(patch.label, label[where]) and np.array_equal(patch.verified, verified[where]))
