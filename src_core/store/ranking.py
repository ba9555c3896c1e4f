"""ranking.json: images and regions of a scored run, in columns, so that a hundred thousand are read in a moment."""

from __future__ import annotations

import gc
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from src_core.data.case import Box
from src_core.data.scores import ImageScore, Region, Rest
from src_core.errors import ProjectDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

NAME = "ranking.json"

_IMAGE = ("case_id", "image", "score", "estimated_wrong_pixels")
_REGION = (
    "id", "number", "case_id", "image", "kind", "score", "pixels", "given", "proposed", "trust", "uncertainty",
)  # fmt: skip


@dataclass(frozen=True)
class Ranking:
    """What was scored, best first.

    Attributes
    ----------
    generation : int
        Grows with each scoring of a run.
    images : tuple of ImageScore
    regions : tuple of Region
    """

    generation: int
    images: tuple[ImageScore, ...]
    regions: tuple[Region, ...]


def write(path: Path, ranking: Ranking) -> None:
    """Write a ranking, and bring it to the disk itself."""
    columns = {
        "generation": ranking.generation,
        "images": {
            **_columns(ranking.images, _IMAGE),
            "row": [image.row for image in ranking.images],
            "rest": [None if image.rest is None else asdict(image.rest) for image in ranking.images],
        },
        "regions": {
            **_columns(ranking.regions, _REGION),
            "axes": [len(region.box.start) for region in ranking.regions],
            "start": [edge for region in ranking.regions for edge in region.box.start],
            "stop": [edge for region in ranking.regions for edge in region.box.stop],
        },
    }
    with path.open("w", encoding="utf-8") as file:
        json.dump(columns, file)
        file.flush()
        os.fsync(file.fileno())


def _columns(rows: Sequence[Any], names: Iterable[str]) -> dict[str, list[Any]]:
    return {name: [getattr(row, name) for row in rows] for name in names}


def read(path: Path) -> Ranking:
    """Read a ranking, in columns or, from older runs, in rows.

    Raises
    ------
    ProjectDamagedError
        If it is missing or makes no sense.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        images, regions = values["images"], values["regions"]
        if isinstance(regions, list):
            return _from_rows(int(values["generation"]), images, regions)
        with _without_collection():
            return Ranking(
                generation=int(values["generation"]),
                images=tuple(_images(images)),
                regions=tuple(_regions(regions)),
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProjectDamagedError(
            f"Run {path.parent.name} is damaged: {path} is missing or cannot be read; make the scores again with "
            "'metadcseg score'."
        ) from error


@contextmanager
def _without_collection() -> Iterator[None]:
    """Rows by the hundred thousand are none of them garbage; looking for it while they are made doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _from_rows(generation: int, images: list[Any], regions: list[Any]) -> Ranking:
    return Ranking(
        generation=generation,
        images=tuple(ImageScore(**{**row, "rest": _rest(row.get("rest"))}) for row in images),
        regions=tuple(
            Region(**{**row, "box": Box(tuple(row["box"]["start"]), tuple(row["box"]["stop"]))}) for row in regions
        ),
    )


def _rows(columns: Mapping[str, list[Any]], names: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    return (dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True))


def _images(columns: Mapping[str, list[Any]]) -> Iterable[ImageScore]:
    """Runs that were scored before these were kept have neither row nor rest."""
    nothing = [None] * len(columns["case_id"])
    later = zip(columns.get("row", nothing), columns.get("rest", nothing), strict=True)
    for image, (row, rest) in zip(_rows(columns, _IMAGE), later, strict=True):
        yield ImageScore(**image, row=row, rest=_rest(rest))


def _rest(values: dict[str, Any] | None) -> Rest | None:
    return None if values is None else Rest(**values)


def _regions(columns: Mapping[str, list[Any]]) -> Iterable[Region]:
    starts, stops = iter(columns["start"]), iter(columns["stop"])
    for row, axes in zip(_rows(columns, _REGION), columns["axes"], strict=True):
        yield Region(box=Box(tuple(islice(starts, axes)), tuple(islice(stops, axes))), **row)
