"""The masks that a person works on: label and verified mask of every case, as the record says they are.

The files of ``arrays.zarr`` follow the record. A change is written to them as soon as it is recorded, but it is on the
disk for sure only some changes later; ``applied`` in the record names the row up to which it is. Whatever the files
hold of later rows, reading puts those rows over it, in order, and each of them names its pixels outright: so what is
read is what the record says, also while another process writes, after a crash, and after a power cut.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import numpy as np

from src_core.errors import ProjectDamagedError, StorageError, storage_errors
from src_core.store import arrays, database, history
from src_core.store.durable import Syncer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.store.journal import Patch

logger = logging.getLogger(__name__)

NAMES = ("label", "verified")


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

    def read_as_stored(self, case: CaseInfo) -> list[NDArray[np.uint8]]:
        """Label and verified mask from the files and from what is not applied to them, damaged or not.

        Raises
        ------
        ProjectDamagedError
            If a file cannot be read.
        """
        return self._read(case, None, NAMES, lambda case, name, box: self._store.read(case.id, name, box))

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
        found = []
        for row in history.rows_of(self._db, case.id, floor):
            if self._writable and row > self._committed:
                break
            patch = history.pixels_after(self._db, row, box)[1]
            if patch is not None:
                found.append(patch)
        return found

    def _sound(self, case: CaseInfo, name: str, box: Box | None) -> NDArray[np.uint8]:
        """A mask from its file; from the record when the file is damaged."""
        try:
            return self._store.read(case.id, name, box)
        except ProjectDamagedError as error:
            logger.warning("%s It is made anew from the record.", error)
            values = self._made_anew(case)[NAMES.index(name)]
            return values if box is None else values[box.slices]

    def _made_anew(self, case: CaseInfo) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        try:
            return self.restore(case) if self._writable else self.replay(case)
        except StorageError as error:
            logger.warning("%s", error)
            return self.replay(case)

    def replay(self, case: CaseInfo) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Label and verified mask, made from the given mask and the record alone.

        Raises
        ------
        ProjectDamagedError
            If the given mask or the record is damaged.
        """
        label = self._store.read(case.id, "given").copy()
        verified = np.zeros_like(label)
        for _, _, after in history.patches(self._db, case.id):
            label[after.box.slices], verified[after.box.slices] = after.label, after.verified
        return label, verified

    # ---------------------------------------------------------------- writing

    def restore(self, case: CaseInfo) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Write the files of a case anew from the given mask and the record."""
        with self.mutex:
            made = self.replay(case)
            with storage_errors(self._store.path, "The record is whole; the mask is made anew when there is space."):
                for name, values in zip(NAMES, made, strict=True):
                    self._store.replace(case.id, name, values)
            return made

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

    def open_for_writing(self) -> None:
        """Repeat what may not have come through to the disk, and bring it there."""
        if self.written < self._committed:
            self._catch_up()
            self.settle()

    def _catch_up(self) -> None:
        for row in range(self.written + 1, self._committed + 1):
            case_id, patch = history.pixels_after(self._db, row)
            if patch is not None:
                self._write(self._case(case_id), patch, NAMES)
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


def _put(values: NDArray[np.uint8], box: Box | None, place: Box, new: NDArray[np.uint8]) -> None:
    """Put the pixels of ``place`` into values of a box of the same mask."""
    start = (0,) * values.ndim if box is None else box.start
    meet = [
        (max(a, c), min(b, c + edge))
        for a, b, c, edge in zip(place.start, place.stop, start, values.shape, strict=True)
    ]
    if all(low < high for low, high in meet):
        target = tuple(slice(low - c, high - c) for (low, high), c in zip(meet, start, strict=True))
        source = tuple(slice(low - a, high - a) for (low, high), a in zip(meet, place.start, strict=True))
        values[target] = new[source]


def _differ(name: str, one: Patch, other: Patch) -> bool:
    return not np.array_equal(getattr(one, name), getattr(other, name))
