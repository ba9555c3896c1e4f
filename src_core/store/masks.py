"""The masks that a person works on: label and verified mask of every case, as the record says they are.

The files of ``arrays.zarr`` follow the record. A change is written to them as soon as it is recorded, but it is on the
disk for sure only some changes later; ``applied`` in the record names the row up to which it is. Whatever the files
hold of later rows, reading puts those rows over it, in order, and each of them names its pixels outright: so what is
read is what the record says, also while another process writes, after a crash, and after a power cut.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Box
from src_core.errors import ProjectDamagedError, StorageError, storage_errors
from src_core.store import arrays, database, history, tables
from src_core.store.chunks import band_boxes
from src_core.store.durable import Syncer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.store.chunks import ChunkedArray
    from src_core.store.journal import Patch

logger = logging.getLogger(__name__)

NAMES = ("label", "verified")
_UINT8 = np.dtype(np.uint8)


class Masks:
    """Label and verified mask of the cases of a project.

    Parameters
    ----------
    db : connection
    store : ArrayStore
    case : callable
        A case by its id.
    writable : bool
        This session is the one that writes.

    Attributes
    ----------
    written : int
        Row up to which the files hold everything, on the disk or on its way there.
    mutex : RLock
        Held while the files are changed.
    """

    def __init__(
        self, db: sqlite3.Connection, store: arrays.ArrayStore, case: Callable[[int], CaseInfo], *, writable: bool
    ) -> None:
        self._db = db
        self._store = store
        self._case = case
        self._writable = writable
        self.mutex = threading.RLock()
        self._committed, self.written = history.numbers(db)
        self._applied = self._noted = self.written
        self._syncer = Syncer(self.written)

    def version(self) -> tuple[int, int]:
        """Last committed row, and the row up to which the files hold everything."""
        return (self._committed, self.written) if self._writable else history.numbers(self._db)

    # ---------------------------------------------------------------- reading

    def read(self, case: CaseInfo, box: Box | None, *names: str) -> list[NDArray[np.uint8]]:
        """The named masks, or a box of them, as they are at one and the same row of the record.

        Raises
        ------
        ProjectDamagedError
            If files are damaged that cannot be made anew from the record.
        """
        return self._read(case, box, names, self._sound)

    def read_as_stored(self, case: CaseInfo, box: Box | None = None) -> list[NDArray[np.uint8]]:
        """Label and verified mask from the files and from what is not applied to them, damaged or not.

        Raises
        ------
        ProjectDamagedError
            If a file cannot be read.
        """
        return self._read(case, box, NAMES, lambda case, name, box: self._store.read(case.id, name, box))

    def _read(
        self,
        case: CaseInfo,
        box: Box | None,
        names: tuple[str, ...],
        stored: Callable[[CaseInfo, str, Box | None], NDArray[np.uint8]],
    ) -> list[NDArray[np.uint8]]:
        floor = self.version()[1]  # the order is what makes it right: first this, then the files, then the record
        found = [stored(case, name, box) for name in names]
        for patch in self._beyond(floor, case, box):
            for values, name in zip(found, names, strict=True):
                _put(values, box, patch.box, getattr(patch, name))
        return found

    def _beyond(self, floor: int, case: CaseInfo, box: Box | None) -> list[Patch]:
        if self._writable and self._committed == floor:
            return []
        found: list[Patch] = []
        for row in history.rows_of(self._db, case.id, floor):
            if self._writable and row > self._committed:
                break
            found += history.pixels_after(self._db, row, box)
        return found

    def _sound(self, case: CaseInfo, name: str, box: Box | None) -> NDArray[np.uint8]:
        """A mask from its file; from the record when the file is damaged."""
        try:
            return self._store.read(case.id, name, box)
        except ProjectDamagedError as error:
            logger.warning("%s It is made anew from the record.", error)
            if self._writable:
                try:
                    self.restore(case)
                except StorageError as full:
                    logger.warning("%s", full)
            return self.replay(case, box)[NAMES.index(name)]

    def replay(self, case: CaseInfo, box: Box | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Label and verified mask, or a box of them, made from the given mask and the record alone.

        Raises
        ------
        ProjectDamagedError
            If the given mask or the record is damaged.
        """
        label = self._store.read(case.id, "given", box).copy()
        verified = np.zeros_like(label)
        for row in history.rows_of(self._db, case.id):
            for after in history.pixels_after(self._db, row, box):
                _put(label, box, after.box, after.label)
                _put(verified, box, after.box, after.verified)
        return label, verified

    # ---------------------------------------------------------------- writing

    def restore(self, case: CaseInfo) -> Counter[int]:
        """Write the files of a case anew from the given mask and the record; the counts of verified pixels."""
        counts: Counter[int] = Counter()
        consequence = "The record is whole; the mask is made anew when there is space."
        with self.mutex, storage_errors(self._store.path, consequence):
            beside: list[ChunkedArray] = []
            for box in band_boxes(case.shape):
                made = self.replay(case, box)  # nothing is made where there is nothing to make it from
                beside = beside or [self._store.beside(case.id, name, case.shape, _UINT8) for name in NAMES]
                for array, values in zip(beside, made, strict=True):
                    array.write(box, values)
                counts.update(tables.kind_counts(made[1]))
            for name in NAMES:
                self._store.take_beside(case.id, name)
        return counts

    def committed(self, row: int, case: CaseInfo, patch: Patch | None, before: Patch | None) -> None:
        """Take up a row that was just recorded, and bring it into the files.

        Raises
        ------
        StorageError
            If the disk is full; the row is read from the record then, and written with the next one or at the next
            opening.
        """
        with self.mutex:
            behind, self._committed, self._applied = self._committed, row, max(self._applied, self._noted)
            if self.written < behind:
                self._catch_up()
                return
            if patch is not None:
                names = NAMES if before is None else [n for n in NAMES if _differ(n, patch, before)]
                self._write(case, patch, names)
            self._reached(row)

    def committed_in_pieces(self, row: int, *, later: bool) -> None:
        """Take up a large row that was just recorded; ``later`` leaves it to :meth:`catch_up`.

        Raises
        ------
        StorageError
            As of :meth:`committed`.
        """
        with self.mutex:
            self._committed, self._applied = row, max(self._applied, self._noted)
            if not later:
                self._catch_up()

    def catch_up(self) -> None:
        """Bring rows into the files that are only recorded; until then they are read from there."""
        with self.mutex:
            self._catch_up()

    def open_for_writing(self) -> None:
        """Repeat what may not have come through to the disk, and bring it there."""
        if self.written < self._committed:
            self._catch_up()
            self.settle()

    def _catch_up(self) -> None:
        for row in range(self.written + 1, self._committed + 1):
            for patch, relabelled in history.labels_after(self._db, row):
                case = self._case(history.case_of(self._db, row))
                self._write(case, patch, NAMES if relabelled else NAMES[1:])
            self._reached(row)

    def _write(self, case: CaseInfo, patch: Patch, names: tuple[str, ...] | list[str]) -> None:
        consequence = "The change is recorded and will be applied when the project is opened again."
        with storage_errors(self._store.path, consequence):
            try:
                for name in names:
                    self._store.write(case.id, name, patch.box, getattr(patch, name))
            except ProjectDamagedError as error:
                logger.warning("%s It is made anew from the record.", error)
                self.restore(case)

    def _reached(self, row: int) -> None:
        self.written = row
        self._syncer.add(row, self._store.touched())

    # ---------------------------------------------------------------- on the disk for sure

    def note_applied(self) -> None:
        """Note in the record how far the files are on the disk; the caller has opened the transaction."""
        self._noted = self._syncer.reached()
        if self._noted > self._applied:
            history.set_applied(self._db, self._noted)

    def settle(self) -> None:
        """Bring the files to the disk and note it.

        Raises
        ------
        StorageError
            If that could not be noted; it is repeated at the next opening then.
        """
        with self.mutex:
            reached = self._syncer.drain()
            if reached > self._applied:
                with database.transaction(self._db, "Everything is recorded."):
                    history.set_applied(self._db, reached)
                self._applied = self._noted = reached


def common(place: Box, box: Box) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What two boxes have in common, as an index for an array of ``box`` and for one of ``place``; empty if nothing."""
    edges = zip(place.start, place.stop, box.start, box.stop, strict=True)
    meet = [(max(a, c), max(a, c, min(b, d))) for a, b, c, d in edges]
    return tuple(
        tuple(slice(low - corner, high - corner) for (low, high), corner in zip(meet, one.start, strict=True))
        for one in (box, place)
    )  # type: ignore[return-value]


def _put(values: NDArray[np.uint8], box: Box | None, place: Box, new: NDArray[np.uint8]) -> None:
    """Put the pixels of ``place`` into values of a box of the same mask."""
    target, source = common(place, Box.whole(values.shape) if box is None else box)
    values[target] = new[source]


def _differ(name: str, one: Patch, other: Patch) -> bool:
    return not np.array_equal(getattr(one, name), getattr(other, name))
