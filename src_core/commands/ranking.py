"""rank."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from src_core.errors import InputError
from src_core.store.project import Project

if TYPE_CHECKING:
    import argparse

    from src_core.data.scores import Region
    from src_core.store.runs import Run


def rank(arguments: argparse.Namespace) -> int:
    """Print the most suspect images or regions."""
    if arguments.top is not None and arguments.top < 1:
        raise InputError(f"--top is {arguments.top}, expected 1 or more.")
    with Project.open(arguments.project) as project:
        run = project.run(arguments.run_name)
        rows = _images(run) if arguments.by == "image" else _regions(run, project.decisions(), arguments.kind)
    _print(rows[: arguments.top], arguments.format, IMAGE_COLUMNS if arguments.by == "image" else REGION_COLUMNS)
    return 0


IMAGE_COLUMNS = ("rank", "image", "score", "estimated_wrong_pixels")
REGION_COLUMNS = (
    *("rank", "region", "image", "kind", "score", "pixels", "given", "proposed"),
    *("z0", "y0", "x0", "z1", "y1", "x1"),
)


def _images(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "rank": place,
            "image": row.image,
            "score": round(row.score, 6),
            "estimated_wrong_pixels": round(row.estimated_wrong_pixels, 2),
        }
        for place, row in enumerate(run.images(), start=1)
    ]


def _regions(run: Run, decided: dict[str, str], kind: str) -> list[dict[str, Any]]:
    waiting = [region for region in run.regions() if decided.get(region.id, "skip") == "skip"]
    shown = [region for region in waiting if kind in ("all", region.kind)]
    return [_region_row(place, region) for place, region in enumerate(shown, start=1)]


def _region_row(place: int, region: Region) -> dict[str, Any]:
    start, stop = region.box.start, region.box.stop
    if len(start) == 2:
        start, stop = (0, *start), (1, *stop)
    corners = dict(zip(REGION_COLUMNS[8:], (*start, *stop), strict=True))
    return {
        "rank": place,
        "region": region.id,
        "image": region.image,
        "kind": region.kind,
        "score": round(region.score, 4),
        "pixels": region.pixels,
        "given": region.given,
        "proposed": region.proposed,
        **corners,
    }


def _print(rows: list[dict[str, Any]], format: str, columns: tuple[str, ...]) -> None:
    if format == "json":
        print(json.dumps(rows, indent=2))
    elif format == "csv":
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        table = Table(*columns)
        for row in rows:
            table.add_row(*(str(row[name]) for name in columns))
        Console().print(table)
