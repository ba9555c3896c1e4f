"""Images and masks of new cases on their way into a project: trusted masks as rows of its record, large ones by strips.

The arrays of a large image are written one strip of chunks after the other, so no more than a strip of it is in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE, KINDS, Verified
from src_core.store import history, tables
from src_core.store.chunks import strip_boxes
from src_core.store.journal import Action, Change, Patch, pack

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.store.arrays import ArrayStore
    from src_core.store.create import NewCase

UINT8 = np.dtype(np.uint8)


def kinds_of(given: NDArray[np.uint8], label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How pixels are verified when a person says that ``label`` is right and ``given`` was there before."""
    same = label == given
    kinds = np.where(same, np.uint8(Verified.CONFIRMED), np.uint8(Verified.CORRECTED))
    kinds[same & (label == 0)] = Verified.BACKGROUND
    kinds[label == IGNORE] = Verified.NO
    return kinds


def record_import(db: sqlite3.Connection, case_id: int, given: NDArray[np.uint8], patch: Patch, author: str) -> None:
    """A trusted mask begins an image's record, so that replaying the record gives the current mask.

    A large one is a row for each strip. The caller writes the counts.
    """
    before = pack(given, np.zeros_like(given))
    change = Change(case_id, Action.IMPORT, patch, note="trusted mask")
    pixels = int(np.count_nonzero(given != patch.label))
    history.insert(db, change, author, before, pack(patch.label, patch.verified), None, pixels)


def add_in_strips(db: sqlite3.Connection, store: ArrayStore, info: CaseInfo, case: NewCase, author: str) -> None:
    """Write a case strip by strip; its image and masks may be LazyArrays.

    Raises
    ------
    FormatError, MaskValueError
        If a file is damaged, or was changed since it was looked at.
    """
    flat = (info.shape, UINT8)
    store.start(
        info.id, {"image": (case.image.shape, case.image.dtype), "given": flat, "label": flat, "verified": flat}
    )
    tables.add_case(db, info, {})
    digests = {
        "image": tables.Digest(case.image.shape, case.image.dtype),
        "given": tables.Digest(info.shape, UINT8),
    }
    for box in strip_boxes(case.image.shape):
        _fill(store, info.id, "image", box, case.image[box.slices], digests["image"])
    counts = np.zeros(KINDS, dtype=np.int64)
    for box in strip_boxes(info.shape):
        given = case.given[box.slices]
        _fill(store, info.id, "given", box, given, digests["given"])
        label = given if case.clean is None else case.clean[box.slices]
        kinds = np.zeros_like(given) if case.clean is None else kinds_of(given, label)
        store.fill(info.id, "label", box, label)
        store.fill(info.id, "verified", box, kinds)
        if case.clean is not None:
            record_import(db, info.id, given, Patch(box, label, kinds), author)
            counts += np.bincount(kinds.ravel(), minlength=KINDS)
    tables.set_digests(db, info.id, {name: digest.text() for name, digest in digests.items()})
    tables.add_counts(db, info.id, {kind: int(count) for kind, count in enumerate(counts) if kind and count})


def _fill(store: ArrayStore, case_id: int, name: str, box: Box, values: NDArray[Any], digest: tables.Digest) -> None:
    digest.add(values)
    store.fill(case_id, name, box, values)
