"""ranking.json: images and regions of a scored run, in columns, so that a hundred thousand are read in a moment."""

from __future__ import annotations

import gc
import json
import math
import operator
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

from src_core.data.case import Box
from src_core.data.scores import ImageScore, Region, RegionKind, Rest
from src_core.errors import ProjectDamagedError
from src_core.store.reading import number_of, read_object, whole_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

NAME = "ranking.json"

_IMAGE = ("case_id", "image", "score", "estimated_wrong_pixels")
_REGION = (
    "id", "number", "case_id", "image", "kind", "score", "pixels", "given", "proposed", "trust", "uncertainty",
)  # fmt: skip


_MOST_BYTES = 2**31
_NUMBER, _WHOLE, _TEXT = (int, float), (int,), (str,)
_IMAGE_TYPES = {"case_id": _WHOLE, "image": _TEXT, "score": _NUMBER, "estimated_wrong_pixels": _NUMBER}
_REGION_TYPES = {
    **dict.fromkeys(("id", "image", "kind"), _TEXT),
    **dict.fromkeys(("number", "case_id", "pixels", "given", "proposed", "axes", "start", "stop"), _WHOLE),
    **dict.fromkeys(("score", "trust", "uncertainty"), _NUMBER),
}


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

    @cached_property
    def covered(self) -> frozenset[int]:
        """Ids of the images that were scored."""
        return frozenset(image.case_id for image in self.images)


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
        values = read_object(path, _MOST_BYTES)
        generation, images, regions = _generation(values), values["images"], values["regions"]
        if isinstance(regions, list):
            return _from_rows(generation, images, regions)
        with _without_collection():
            _check(images, _IMAGE_TYPES)
            _check(regions, _REGION_TYPES)
            _check_boxes(regions)
            return Ranking(generation=generation, images=tuple(_images(images)), regions=tuple(_regions(regions)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ProjectDamagedError(
            f"Run {path.parent.name} is damaged: {path} is missing or cannot be read; make the scores again with "
            "'metadcseg score'."
        ) from error


def _generation(values: Mapping[str, Any]) -> int:
    found = whole_of(values, "generation")
    if found is None:
        raise ValueError("it does not say of which generation it is")
    return found


def _check(columns: Mapping[str, list[Any]], types: Mapping[str, tuple[type, ...]]) -> None:
    """Refuse columns of other types, and numbers that are not finite; at the speed of C, as there may be millions."""
    for name, allowed in types.items():
        if not set(map(type, columns[name])) <= set(allowed):
            raise ValueError(f"column {name} holds something else than {allowed[-1].__name__}")
        if allowed is _NUMBER and not math.isfinite(sum(columns[name])):
            raise ValueError(f"column {name} holds a number that is not finite")


def _check_boxes(columns: Mapping[str, list[Any]]) -> None:
    axes, starts, stops = columns["axes"], columns["start"], columns["stop"]
    if not set(axes) <= {2, 3} or not len(starts) == len(stops) == sum(axes):
        raise ValueError("its boxes do not have two or three axes each")
    if min(starts, default=0) < 0 or not all(map(operator.lt, starts, stops)):
        raise ValueError("a box begins where no image is, or is empty")
    if not set(columns["kind"]) <= set(get_args(RegionKind)):
        raise ValueError("there is an unknown kind of region")


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
    """Of older runs: turned into columns, so that they are checked in the same way."""
    columns = {name: [row[name] for row in images] for name in _IMAGE}
    columns |= {name: [row.get(name) for row in images] for name in ("row", "rest")}
    of_regions = {name: [row[name] for row in regions] for name in _REGION}
    boxes = [row["box"] for row in regions]
    of_regions |= {name: [edge for box in boxes for edge in box[name]] for name in ("start", "stop")}
    of_regions["axes"] = [len(box["start"]) for box in boxes]
    _check(columns, _IMAGE_TYPES)
    _check(of_regions, _REGION_TYPES)
    _check_boxes(of_regions)
    return Ranking(generation=generation, images=tuple(_images(columns)), regions=tuple(_regions(of_regions)))


def _rows(columns: Mapping[str, list[Any]], names: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    return (dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True))


def _images(columns: Mapping[str, list[Any]]) -> Iterable[ImageScore]:
    """Runs that were scored before these were kept have neither row nor rest."""
    nothing = [None] * len(columns["case_id"])
    later = zip(columns.get("row", nothing), columns.get("rest", nothing), strict=True)
    for image, (row, rest) in zip(_rows(columns, _IMAGE), later, strict=True):
        if row is not None and type(row) is not int:
            raise ValueError("the row that an image was scored at is no number")
        yield ImageScore(**image, row=row, rest=_rest(rest))


def _rest(values: dict[str, Any] | None) -> Rest | None:
    if values is None:
        return None
    if any(number_of(values, name) is None for name in values):
        raise ValueError("the rest of an image is no number")
    return Rest(**values)


def _regions(columns: Mapping[str, list[Any]]) -> Iterable[Region]:
    starts, stops = iter(columns["start"]), iter(columns["stop"])
    for row, axes in zip(_rows(columns, _REGION), columns["axes"], strict=True):
        yield Region(box=Box(tuple(islice(starts, axes)), tuple(islice(stops, axes))), **row)
