"""The report as one page: no script, no request, pictures inside; every figure carries its place in the JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from src_core.report.pictures import ADDED, OTHER, REMOVED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from src_core.report.pictures import Picture

SHOWN_IMAGES = 50
"""Rows of the table of images that are open at once; the others fold out."""

NOTHING = "–"


def write_page(data: dict[str, Any], pictures: Sequence[Picture], file: IO[str]) -> None:
    """Write the page piece by piece.

    Parameters
    ----------
    data : dict
        The report as :meth:`~src_core.report.figures.Report.to_dict` gives it.
    pictures : sequence of Picture
    file : text file
    """
    environment = Environment(
        loader=PackageLoader("src_core.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**FORMS, "day": day, "words": words, "many": many}
    template = environment.get_template("page.html.j2")
    images = sorted(data["images"], key=lambda image: (-image["pixels_changed"], image["name"]))
    stream = template.stream(
        report=data,
        images=images,
        pictures=pictures,
        figure=lambda path, form="count": figure(data, path, form),
        colors={"added": ADDED, "removed": REMOVED, "other": OTHER},
        shown_images=SHOWN_IMAGES,
        scored=data["trust"] is not None,
    )
    stream.enable_buffering(64)
    for piece in stream:
        file.write(piece)


def figure(data: dict[str, Any], path: str, form: str = "count") -> Markup:
    """A figure of the report as HTML, with its raw value and its place in the JSON: keys and indices with ``/``."""
    value: Any = data
    for key in path.split("/"):
        value = value[int(key)] if isinstance(value, list) else value[key]
    if value is None:
        return Markup('<data data-figure="{}" value="">{}</data>').format(path, NOTHING)
    return Markup('<data data-figure="{}" value="{}">{}</data>').format(path, value, FORMS[form](value))


# -------------------------------------------------------------------- how figures are written


def count(value: float | None) -> str:
    """A number of things, with commas."""
    return NOTHING if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A share in percent; small ones with more digits."""
    if value is None:
        return NOTHING
    if 0 < value < 0.0001:
        return "< 0.01 %"
    digits = 0 if value in (0, 1) else 2 if value < 0.01 else 1
    return f"{100 * value:.{digits}f} %"


def ratio(value: float | None) -> str:
    """A figure between 0 and 1, such as a Dice."""
    return NOTHING if value is None else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """A short time."""
    return NOTHING if value is None else f"{value:.1f} s"


def duration(value: float | None) -> str:
    """A long time, in hours and minutes."""
    if value is None:
        return NOTHING
    minutes = round(value / 60)
    if minutes < 1:
        return "less than a minute"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def area(value: float | None) -> str:
    """An area in mm², to three digits at least."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


FORMS = {
    "count": count,
    "percent": percent,
    "ratio": ratio,
    "seconds": seconds,
    "duration": duration,
    "area": area,
}


def many(number: int, one: str, more: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def day(time: str | None) -> str:
    """The day of a time."""
    return NOTHING if time is None else time[:10]


def words(value: Any) -> str:
    """A value of a section or a setting as a person reads it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
