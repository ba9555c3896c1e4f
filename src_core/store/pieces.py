"""What a row of the journal changed, box by box: rows of a table beside it, for changes too large for one.

The row and its pieces are one change: recorded in one transaction, turned back in one step, and sealed together. So
what is held in memory at a time is a piece, however large the image is.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Box, around
from src_core.errors import ProjectDamagedError
from src_core.store import database
from src_core.store.chunks import chunk_shape
from src_core.store.journal import Patch, pack, unpack
from src_core.store.tables import kind_deltas

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

MOST = 2**20
"""Changes of more pixels than this are recorded in pieces, of about so many each, px."""


@dataclass(frozen=True)
class Piece:
    """A box of a change.

    Attributes
    ----------
    box : Box
    before, after : bytes
        Packed pixels.
    pixels : int
        How many of them got another label.
    kinds : mapping of int to int
        How many pixels more or fewer there are of each kind of verification.
    """

    box: Box
    before: bytes
    after: bytes
    pixels: int
    kinds: Mapping[int, int]

    @classmethod
    def of(cls, old: Patch, new: Patch) -> Piece:
        """Pack what a box held before and holds after."""
        pixels = int(np.count_nonzero(old.label != new.label))
        before, after = (pack(patch.label, patch.verified) for patch in (old, new))
        return cls(new.box, before, after, pixels, kind_deltas(old.verified, new.verified))

    def turned(self) -> Piece:
        """The way back."""
        kinds = {kind: -count for kind, count in self.kinds.items()}
        return replace(self, before=self.after, after=self.before, kinds=kinds)

    def patches(self) -> tuple[Patch, Patch]:
        """Before and after, unpacked."""
        return unpack(self.before, self.box), unpack(self.after, self.box)

    def cells(self) -> tuple[str, int, str, bytes, bytes]:
        """As a row of the table."""
        kinds = json.dumps({str(kind): count for kind, count in sorted(self.kinds.items())})
        return json.dumps([self.box.start, self.box.stop]), self.pixels, kinds, self.before, self.after


@dataclass
class Total:
    """What all pieces of a row come to.

    Attributes
    ----------
    box : Box or None
        Around all of them; None without any.
    pixels : int
    kinds : Counter
        Of all of them.
    """

    box: Box | None = None
    pixels: int = 0
    kinds: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, piece: Piece) -> None:
        """Take up the next piece."""
        boxes = [piece.box] if self.box is None else [self.box, piece.box]
        self.box = around(boxes)
        self.pixels += piece.pixels
        self.kinds.update(piece.kinds)
        _seal_piece(self._digest, piece.cells())

    @property
    def seal(self) -> str | None:
        """A digest of all pieces; None without any."""
        return None if self.box is None else self._digest.hexdigest()


def piece_boxes(shape: tuple[int, ...], most: int | None = None) -> list[Box]:
    """Boxes of whole chunks that cover an image, of at most ``most`` pixels each where a chunk has no more."""
    sides, most = list(chunk_shape(shape)), MOST if most is None else most
    for axis in reversed(range(len(shape))):
        while sides[axis] < shape[axis] and 2 * prod(sides) <= most:
            sides[axis] *= 2
    starts = itertools.product(*(range(0, edge, side) for edge, side in zip(shape, sides, strict=True)))
    return [
        Box(start, tuple(min(a + side, edge) for a, side, edge in zip(start, sides, shape, strict=True)))
        for start in starts
    ]


def apart(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that have no pixel in common, each of these inside of one of them."""
    found: list[Box] = []
    for box in boxes:
        grown = box
        while near := [other for other in found if grown.meets(other)]:
            found = [other for other in found if other not in near]
            grown = around([grown, *near])
        found.append(grown)
    return found


# -------------------------------------------------------------------- in the database


def insert(db: sqlite3.Connection, row: int, pieces: Iterable[Piece]) -> Total:
    """Write the pieces of a row that is written after them; the caller has opened the transaction."""
    total = Total()
    for piece in pieces:
        total.add(piece)
        db.execute(
            "INSERT INTO piece (row, box, pixels, kinds, before, after) VALUES (?, ?, ?, ?, ?, ?)",
            (row, *piece.cells()),
        )
    return total


def rows(db: sqlite3.Connection) -> set[int]:
    """Rows of the journal that have pieces."""
    return {row for (row,) in db.execute("SELECT DISTINCT row FROM piece")}


def seal_of(db: sqlite3.Connection, row: int) -> str:
    """The digest of the pieces of a row, as they are now."""
    digest = hashlib.blake2b(digest_size=16)
    for cells in db.execute("SELECT box, pixels, kinds, before, after FROM piece WHERE row = ? ORDER BY id", (row,)):
        _seal_piece(digest, cells)
    return digest.hexdigest()


def _seal_piece(digest: hashlib.blake2b, cells: Iterable[str | int | bytes]) -> None:
    for cell in cells:
        part = cell if isinstance(cell, bytes) else str(cell).encode()
        digest.update(f"{len(part)}:".encode() + part)


def read(db: sqlite3.Connection, row: int, within: Box | None = None) -> Iterator[Piece]:
    """The pieces of a row, or those that meet a box, one at a time.

    Raises
    ------
    ProjectDamagedError
        If one makes no sense.
    """
    with database.reading():
        places = db.execute("SELECT id, box FROM piece WHERE row = ? ORDER BY id", (row,)).fetchall()
    for number, text in places:
        try:
            box = Box(*(tuple(int(edge) for edge in corner) for corner in json.loads(text)))
            if within is None or box.meets(within):
                yield _piece(db, number, box)
        except (ValueError, TypeError, AttributeError) as error:
            raise ProjectDamagedError(
                f"A piece of row {row} of the project's record makes no sense; restore {database.NAME} from a backup."
            ) from error


def _piece(db: sqlite3.Connection, number: int, box: Box) -> Piece:
    with database.reading():
        cells = db.execute("SELECT before, after, pixels, kinds FROM piece WHERE id = ?", (number,)).fetchone()
    before, after, pixels, kinds = cells
    return Piece(box, before, after, pixels, {int(kind): int(count) for kind, count in json.loads(kinds).items()})
