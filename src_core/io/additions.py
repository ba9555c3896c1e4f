"""Images that are to be added to a project: found as those of a new one, and like those that it has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from src_core.errors import InputError
from src_core.io.finding import find
from src_core.io.formats import entry_of
from src_core.io.sources import Source, check_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from src_core.data.classes import ClassTable
    from src_core.io.picture import Picture

NAMED = 5
"""So many images are named in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a project has, and what is added to it has to be like.

    Attributes
    ----------
    project : str
        Its name.
    names : frozenset of str
        Of its images.
    table : ClassTable
        Its classes, and their values in mask files.
    channels : int
        Of the image that has most.
    axes : frozenset of int
        2 where it has single slices, 3 where it has volumes.
    """

    project: str
    names: frozenset[str]
    table: ClassTable
    channels: int
    axes: frozenset[int]

    def problem_of(self, path: Path, image: Picture) -> str:
        """Why an image cannot be added, in one sentence; empty when it can."""
        if image.channels > self.channels:
            return (
                f"{path} has {image.channels} channels, and images of project {self.project} have {self.channels} at "
                "most; convert it, or make a project of its own."
            )
        if self.axes and image.space not in self.axes:
            there, other = ("a volume", "single images") if image.space == 3 else ("a single image", "volumes")
            return f"{path} is {there}, and project {self.project} has {other} only; make a project of its own."
        return ""


def check_addition(
    expected: Expected,
    images: str | Path,
    masks: str | Path | None = None,
    clean_masks: str | Path | None = None,
    *,
    unlabelled: bool = False,
    skip_existing: bool = False,
) -> tuple[Source, tuple[str, ...]]:
    """Look at every file once and list all that is wrong.

    Parameters
    ----------
    expected : Expected
    images, masks, clean_masks, unlabelled
        As of :func:`~src_core.io.sources.check_folders`.
    skip_existing : bool
        Leave out what the project has by name.

    Returns
    -------
    source : Source
        What is to be added; no pairs when the project has all of them.
    existing : tuple of str
        Names that were left out.

    Raises
    ------
    PairingError, MaskValueError, InputError
        As there, and for names that the project has.
    """
    found = find(images, masks, clean_masks, unlabelled=unlabelled)
    existing = tuple(pair.name for pair in found.pairs if pair.name in expected.names)
    if existing and not skip_existing:
        count = len(existing)
        more = f" and {count - NAMED} more" if count > NAMED else ""
        raise InputError(
            f"Project {expected.project} has {'an image' if count == 1 else 'images'} of the name"
            f"{'s' * (count > 1)} {', '.join(existing[:NAMED])}{more} already, so nothing was added; rename the new "
            "files, or leave those out (--skip-existing)."
        )
    pairs = tuple(pair for pair in found.pairs if pair.name not in expected.names)
    drawn = [path for pair in pairs for path in (pair.mask, pair.clean) if path is not None]
    table = replace(expected.table, smeared=bool(drawn) and all(entry_of(path).lossy for path in drawn))
    return check_pairs(pairs, table, found.layout, expected.problem_of), existing
