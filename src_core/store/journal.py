"""What a person does, as rows of the journal; and how the changed pixels are packed into them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from src_core.errors import InputError, ProjectDamagedError
from src_core.store import chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo


class Action(StrEnum):
    """What was done."""

    IMPORT = "import"
    """A trusted mask came with the image."""
    ADD = "add"
    """The image was added to the project after it was made."""
    ACCEPT = "accept"
    KEEP = "keep"
    EDIT = "edit"
    CONFIRM = "confirm"
    SKIP = "skip"
    UNSURE = "unsure"
    """A person looked at a region and could not tell."""
    VERIFY_IMAGE = "verify_image"
    UNDO = "undo"
    REDO = "redo"


DECISIONS = frozenset({Action.ACCEPT, Action.KEEP, Action.CONFIRM, Action.SKIP, Action.UNSURE})
"""Actions that settle a region."""

BEGINNINGS = frozenset({Action.IMPORT, Action.ADD})
"""How an image came; nothing that a person does turns these back."""

_ZLIB = b"\x78"  # what its blobs begin with; the others begin with the version of blosc, which is 2


@dataclass(frozen=True)
class Patch:
    """Values of a box after a change.

    Attributes
    ----------
    box : Box
    label : array, uint8, shape of the box
    verified : array, uint8, shape of the box
    """

    box: Box
    label: NDArray[np.uint8]
    verified: NDArray[np.uint8]


@dataclass(frozen=True)
class Change:
    """Something to be done to a case; :meth:`Project.commit` makes it last.

    Attributes
    ----------
    case_id : int
    action : Action
    patch : Patch or None
        None when no pixel changes (skip).
    region, run : str
        The region that was decided and the run that proposed it.
    note : str
    scores : mapping of str to float or str
        What the person was shown when they decided, such as the mean trust of the region.
    parts : callable, optional
        Instead of a patch, where that would be too large: gives patches before and after, of boxes that have no pixel
        in common. They are read when the change is recorded, one at a time.
    """

    case_id: int
    action: Action
    patch: Patch | None = None
    region: str = ""
    run: str = ""
    note: str = ""
    scores: Mapping[str, float | str] = field(default_factory=dict)
    parts: Callable[[], Iterator[tuple[Patch, Patch]]] | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One committed row of the journal.

    Attributes
    ----------
    id : int
        Grows by one a row.
    time : str
        UTC, ISO 8601.
    author : str
    case_id : int
    action : Action
    region, run, note : str
    box : Box or None
    target : int or None
        The row that an undo turned back or a redo repeated.
    pixels : int
        How many pixels got another label.
    scores : mapping of str to float or str
        As they were at the time; empty where none were.
    """

    id: int
    time: str
    author: str
    case_id: int
    action: Action
    region: str
    run: str
    note: str
    box: Box | None
    target: int | None
    pixels: int
    scores: Mapping[str, float | str] = field(default_factory=dict)


def pack(label: NDArray[np.uint8], verified: NDArray[np.uint8]) -> bytes:
    """Compress two equally shaped uint8 arrays into one blob."""
    return chunks.pack(np.stack([label, verified]))


def unpack(blob: bytes, box: Box) -> Patch:
    """Read a blob back; those of version 2 and older are packed by zlib.

    Raises
    ------
    ProjectDamagedError
        If the blob does not hold what the box says.
    """
    try:
        content = zlib.decompress(blob) if blob[:1] == _ZLIB else chunks.unpack(blob)
        label, verified = np.frombuffer(content, dtype=np.uint8).reshape(2, *box.shape)
    except (zlib.error, ValueError, RuntimeError) as error:
        raise ProjectDamagedError(
            f"The project's journal is damaged: the pixels of box {box.start}-{box.stop} cannot be read; restore "
            "project.db from a backup."
        ) from error
    return Patch(box, label.copy(), verified.copy())


def unpacked(blob: bytes | None, box: Box | None) -> Patch | None:
    """A blob of a row read back; None where the row changed no pixel."""
    return None if blob is None or box is None else unpack(blob, box)


def check_patch(case: CaseInfo, patch: Patch) -> None:
    """Refuse a patch that does not lie in its image.

    Raises
    ------
    InputError
    """
    inside = all(0 <= a < b <= edge for a, b, edge in zip(patch.box.start, patch.box.stop, case.shape, strict=True))
    if not inside or patch.label.shape != patch.box.shape or patch.verified.shape != patch.box.shape:
        raise InputError(
            f"A change of image {case.name} covers {patch.box.start}-{patch.box.stop} with arrays of "
            f"{patch.label.shape} and {patch.verified.shape}; expected a box inside of {case.shape}."
        )
