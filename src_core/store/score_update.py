"""Scores of images that were added, beside those of the others.

Maps that are kept come into the new generation as they are, so that at every moment there is one generation with all of
its images, as when all are scored. They are linked, not copied, where the disk can do that: nothing changes a map that
was written.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from src_core.errors import storage_errors
from src_core.store import chunks
from src_core.store.runs import GENERATION, MADE_BY, ScoreWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from src_core.data.case import CaseInfo
    from src_core.data.scores import ImageScore, Region
    from src_core.store.runs import Run


def to_keep(run: Run, made_by: Mapping[str, object], cases: Iterable[CaseInfo]) -> frozenset[int]:
    """Images, by id, whose scores stay when a run is scored; none where all are to be scored anew.

    Those that are there stay when the very model made them that scores now, and when some image has none yet.

    Parameters
    ----------
    run : Run
    made_by : mapping
        What the model says of itself, see :class:`ScoreUpdate`.
    cases : iterable of CaseInfo
        All of the project.
    """
    if not run.has_scores or run.made_by() != made_by:
        return frozenset()
    ids = {case.id for case in cases}
    there = frozenset(case_id for case_id in ids if run.covers(case_id) and run.case_folder(case_id).is_dir())
    return frozenset() if len(there) == len(ids) else there


class ScoreUpdate(ScoreWriter):
    """Writes scores of some images, and keeps those of others.

    Parameters
    ----------
    run : Run
    made_by : mapping
        What tells the model from another one: epochs, steps, and whether it took a quick look. Kept with the maps.
    kept : collection of int
        Ids of images whose scores stay, as of :func:`to_keep`.

    Attributes
    ----------
    regions : tuple of Region
        Of the images that are kept.
    """

    def __init__(self, run: Run, made_by: Mapping[str, object], kept: Collection[int] = ()) -> None:
        super().__init__(run.path, run.name)
        self.regions: tuple[Region, ...] = tuple(row for row in run.regions() if row.case_id in kept) if kept else ()
        self._images = tuple(row for row in run.images() if row.case_id in kept) if kept else ()
        with storage_errors(self._partial, "The scores before are still there."):
            chunks.write_group(self._partial, {GENERATION: self._generation, MADE_BY: dict(made_by)})
            for case_id in sorted(kept):
                folder = self._partial / f"cases/{case_id:06d}"
                shutil.copytree(run.case_folder(case_id), folder, copy_function=_linked)

    def finish(self, images: Sequence[ImageScore], regions: Sequence[Region]) -> int:
        """As of :class:`~src_core.store.runs.ScoreWriter`, with those that are kept."""
        return super().finish([*self._images, *images], [*self.regions, *regions])


def _linked(source: str, target: str) -> str:
    """Another name for a file; a copy of it where the disk knows no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
