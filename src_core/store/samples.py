"""Samples that were drawn from a project, what is asked of each item, and the answers. Only ever added to.

They are apart from the journal: an answer of a second rater changes no label. Taking an answer back is one more row.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import InputError, ProjectDamagedError, ProjectReadOnlyError
from src_core.store import database
from src_core.store.history import box_from_json, box_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from src_core.data.case import Box

WITHDRAWN = "withdrawn"
"""The answer of a row that takes another one back."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was drawn.

    Attributes
    ----------
    id : int
        0 until it is stored.
    time : str
        UTC, ISO 8601.
    author : str
        Who drew it, or for whom.
    purpose : str
    run : str
    seed : int
    settings : mapping
        JSON-serialisable.
    """

    id: int = 0
    time: str = ""
    author: str
    purpose: str
    run: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that is asked.

    Attributes
    ----------
    number : int
        Place in the sample, from 0; the order in which it is asked.
    case_id : int
    region : str
        The region it is about.
    kind : str
        What it is; whoever answers does not see it.
    box : Box
    mask, label, proposed : array or None
        What is shown, of the shape of the box: bool, uint8, uint8; None when it is what the run and project hold.
    facts : mapping
        JSON-serialisable; whoever answers does not see them.
    """

    number: int
    case_id: int
    region: str
    kind: str
    box: Box
    mask: NDArray[np.bool_] | None = None
    label: NDArray[np.uint8] | None = None
    proposed: NDArray[np.uint8] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def arrays(self) -> tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.uint8]]:
        """Mask, label and proposal of an item that has them.

        Raises
        ------
        ProjectDamagedError
            If one is missing.
        """
        if self.mask is None or self.label is None or self.proposed is None:
            raise ProjectDamagedError(
                f"Item {self.number} of a sample lacks the pixels that are shown; restore project.db from a backup."
            )
        return self.mask, self.label, self.proposed


@dataclass(frozen=True, kw_only=True)
class Rating:
    """One answer, or one that was taken back.

    Attributes
    ----------
    id : int
        0 until it is stored.
    time : str
        UTC, ISO 8601.
    author : str
    sample, item : int
    case_id : int
    region : str
    box : Box
    shown : mapping
        What was to be seen, such as the classes of label and proposal.
    answer : str
    seconds : float or None
        From showing to answering.
    painted : array, uint8, of the shape of the box, or None
    target : int or None
        The row that was taken back.
    """

    id: int = 0
    time: str = ""
    author: str
    sample: int
    item: int
    case_id: int
    region: str
    box: Box
    shown: Mapping[str, Any]
    answer: str
    seconds: float | None = None
    painted: NDArray[np.uint8] | None = None
    target: int | None = None


class SampleStore:
    """Samples in the database of a project.

    Parameters
    ----------
    db : Connection
    write : bool
    """

    def __init__(self, db: sqlite3.Connection, *, write: bool) -> None:
        self._db = db
        self._write = write

    def add(self, sample: Sample, items: Sequence[Item]) -> int:
        """Store a sample with its items, all or nothing; return its id.

        Raises
        ------
        ProjectReadOnlyError
            If the project is open for reading.
        StorageError
            If the disk is full; nothing is stored then.
        """
        self._require_writable()
        with database.transaction(self._db, "No sample was drawn."):
            found = self._db.execute(
                "INSERT INTO sample (time, author, purpose, run, seed, settings) VALUES (?, ?, ?, ?, ?, ?)",
                (_now(), sample.author, sample.purpose, sample.run, sample.seed, json.dumps(dict(sample.settings))),
            ).lastrowid
            assert found is not None
            self._db.executemany(
                "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [_item_row(found, item) for item in items]
            )
        return found

    def all(self, purpose: str) -> list[Sample]:
        """Samples of one purpose, newest first."""
        rows = self._db.execute(
            "SELECT id, time, author, purpose, run, seed, settings FROM sample WHERE purpose = ? ORDER BY id DESC",
            (purpose,),
        )
        return [
            Sample(id=row[0], time=row[1], author=row[2], purpose=row[3], run=row[4], seed=row[5], settings=settings)
            for row in rows
            for settings in [json.loads(row[6])]
        ]

    def items(self, sample: int) -> list[Item]:
        """What a sample asks, in order.

        Raises
        ------
        ProjectDamagedError
            If an item does not hold what its box says.
        """
        rows = self._db.execute(
            "SELECT number, case_id, region, kind, box, mask, label, proposed, facts FROM item WHERE sample = ? "
            "ORDER BY number",
            (sample,),
        )
        return [_item(row) for row in rows]

    def rate(self, rating: Rating) -> int:
        """Add an answer; return its row.

        Raises
        ------
        ProjectReadOnlyError
            If the project is open for reading.
        StorageError
            If the disk is full; nothing is stored then.
        """
        self._require_writable()
        values = {
            "time": _now(),
            "author": rating.author,
            "sample": rating.sample,
            "item": rating.item,
            "case_id": rating.case_id,
            "region": rating.region,
            "box": box_json(rating.box),
            "shown": json.dumps(dict(rating.shown)),
            "answer": rating.answer,
            "seconds": rating.seconds,
            "painted": _packed(rating.painted),
            "target": rating.target,
        }
        with database.transaction(self._db, "The answer was not taken."):
            row = self._db.execute(
                f"INSERT INTO rating ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
                tuple(values.values()),
            ).lastrowid
        assert row is not None
        return row

    def ratings(self, sample: int) -> list[Rating]:
        """All answers to a sample, those that were taken back included, oldest first."""
        rows = self._db.execute(
            "SELECT id, time, author, sample, item, case_id, region, box, shown, answer, seconds, painted, target "
            "FROM rating WHERE sample = ? ORDER BY id",
            (sample,),
        )
        return [_rating(row) for row in rows]

    def standing(self, sample: int) -> dict[int, Rating]:
        """Item number to the answer that holds: the last one that was not taken back."""
        answers: dict[int, dict[int, Rating]] = {}
        for rating in self.ratings(sample):
            if rating.answer == WITHDRAWN:
                answers[rating.item].pop(rating.target or 0, None)
            else:
                answers.setdefault(rating.item, {})[rating.id] = rating
        return {item: given[max(given)] for item, given in sorted(answers.items()) if given}

    def _require_writable(self) -> None:
        if not self._write:
            raise ProjectReadOnlyError(
                "The project is open read-only, so no sample can be drawn and no answer taken; open it for writing "
                "first."
            )


def newest(store: SampleStore, purpose: str, words: str) -> Sample:
    """The newest sample of a purpose.

    Raises
    ------
    InputError
        If there is none; ``words`` say how to draw one.
    """
    found = store.all(purpose)
    if not found:
        raise InputError(f"No sample was drawn yet; {words}.")
    return found[0]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _packed(values: NDArray[Any] | None) -> bytes | None:
    return None if values is None else zlib.compress(np.ascontiguousarray(values, dtype=np.uint8).tobytes(), 1)


def _unpacked(blob: bytes | None, box: Box) -> NDArray[np.uint8] | None:
    if blob is None:
        return None
    try:
        return np.frombuffer(zlib.decompress(blob), dtype=np.uint8).reshape(box.shape).copy()
    except (zlib.error, ValueError) as error:
        raise ProjectDamagedError(
            f"A sample of the project is damaged: the pixels of box {box.start}-{box.stop} cannot be read; restore "
            "project.db from a backup."
        ) from error


def _item_row(sample: int, item: Item) -> tuple[Any, ...]:
    arrays = (_packed(values) for values in (item.mask, item.label, item.proposed))
    facts = json.dumps(dict(item.facts))
    return (sample, item.number, item.case_id, item.region, item.kind, box_json(item.box), *arrays, facts)


def _item(row: tuple[Any, ...]) -> Item:
    box = box_from_json(row[4])
    assert box is not None
    mask, label, proposed = (_unpacked(blob, box) for blob in row[5:8])
    return Item(
        number=row[0],
        case_id=row[1],
        region=row[2],
        kind=row[3],
        box=box,
        mask=None if mask is None else mask.astype(bool),
        label=label,
        proposed=proposed,
        facts=json.loads(row[8]),
    )


def _rating(row: tuple[Any, ...]) -> Rating:
    box = box_from_json(row[7])
    assert box is not None
    return Rating(
        id=row[0],
        time=row[1],
        author=row[2],
        sample=row[3],
        item=row[4],
        case_id=row[5],
        region=row[6],
        box=box,
        shown=json.loads(row[8]),
        answer=row[9],
        seconds=row[10],
        painted=_unpacked(row[11], box),
        target=row[12],
    )
