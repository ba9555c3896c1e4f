"""The tools around painting, one table: what they are called, what they ask for, and what they need.

The buttons of the window are made from it, and the notes in the journal are written by it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

Unit = Literal["length", "pixels", "slices"]
Need = Literal["class", "lasso", "point", "region", "proposal", "before", "between"]
Scope = Literal["region", "slice", "image"]
Group = Literal["outline", "object", "model", "slices"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A number that a tool asks for.

    Attributes
    ----------
    name : str
        Keyword of the tool.
    label, tip : str
        For the person.
    unit : str
        ``length``: in the unit of the image, mm or px; ``pixels``: an area or volume, px; ``slices``.
    default, low, high, step : float
        Of a ``length`` in px; an image in mm has them times its smallest pixel size.
    special : str
        What the lowest value means, where that is not a number.
    """

    name: str
    label: str
    tip: str
    unit: Unit
    default: float
    low: float
    high: float
    step: float = 1
    special: str = ""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool.

    Attributes
    ----------
    name : str
        In the journal and in code; never changes.
    label, tip : str
        For the person.
    group : str
        What it stands with.
    needs : tuple of str
        ``class``: a class other than background is selected; ``lasso``, ``point``: the person shows where; ``region``:
        one is in hand; ``proposal``: the image has scores; ``before``: there is a slice before this one; ``between``:
        there are slices before and after.
    parameters : tuple of str
        Names of :data:`PARAMETERS`.
    scoped : bool
        Whether it keeps to the part of the image that was chosen; others are told where by lasso or region.
    all_classes : bool
        Whether it can work on all classes at once.
    nothing : str
        Why it may have changed nothing, in words.
    """

    name: str
    label: str
    tip: str
    group: Group
    needs: tuple[Need, ...]
    parameters: tuple[str, ...] = ()
    scoped: bool = True
    all_classes: bool = False
    nothing: str


PARAMETERS = {
    entry.name: entry
    for entry in (
        Parameter(
            name="by",
            label="By",
            tip="How far Smooth, Grow and Shrink move an outline",
            unit="length",
            default=2,
            low=1,
            high=100,
        ),
        Parameter(
            name="smaller",
            label="Islands below",
            tip="Remove islands: objects with fewer pixels than this",
            unit="pixels",
            default=50,
            low=2,
            high=1_000_000,
            step=10,
        ),
        Parameter(
            name="slices",
            label="Slices",
            tip="Interpolate: over how many slices before this one; auto is the gap up to the last one with the class",
            unit="slices",
            default=0,
            low=0,
            high=500,
            special="auto",
        ),
    )
}

TOOLS = {
    entry.name: entry
    for entry in (
        Tool(
            name="fill_holes",
            label="Fill holes",
            tip="Give the class the background that it encloses",
            group="outline",
            needs=("class",),
            nothing="{name} has no hole {where}",
        ),
        Tool(
            name="remove_islands",
            label="Remove islands",
            tip="Remove small objects of the class; they become what surrounds them",
            group="outline",
            needs=("class",),
            parameters=("smaller",),
            nothing="{name} has no object that small {where}",
        ),
        Tool(
            name="smooth",
            label="Smooth",
            tip="Round the outline of the class; no object is lost, split or joined",
            group="outline",
            needs=("class",),
            parameters=("by",),
            nothing="the outline of {name} is smooth {where}, or it is not there",
        ),
        Tool(
            name="grow",
            label="Grow",
            tip="Move the outline of the class outwards, over background only",
            group="outline",
            needs=("class",),
            parameters=("by",),
            nothing="{name} has no room to grow {where}, or it is not there",
        ),
        Tool(
            name="shrink",
            label="Shrink",
            tip="Move the outline of the class inwards; the rim becomes background",
            group="outline",
            needs=("class",),
            parameters=("by",),
            nothing="{name} has no outline {where}",
        ),
        Tool(
            name="relabel",
            label="Relabel object",
            tip="Click on an object: all of it becomes the selected class",
            group="object",
            needs=("point",),
            nothing="the object is {name} already",
        ),
        Tool(
            name="absorb",
            label="Dissolve object",
            tip="Click on an object: all of it becomes what surrounds it most",
            group="object",
            needs=("point",),
            nothing="nothing else surrounds the object",
        ),
        Tool(
            name="take_lasso",
            label="Proposal in lasso",
            tip="Draw around a part: there the label becomes what the model proposes",
            group="model",
            needs=("proposal", "lasso"),
            scoped=False,
            all_classes=True,
            nothing="label and proposal are the same in the lasso",
        ),
        Tool(
            name="take_region",
            label="Proposal in region",
            tip="The region in hand becomes what the model proposes, without a decision: paint on, then confirm",
            group="model",
            needs=("proposal", "region"),
            scoped=False,
            all_classes=True,
            nothing="label and proposal are the same in the region",
        ),
        Tool(
            name="copy_before",
            label="Copy from before",
            tip="The class becomes what it is in the slice before, or in the image before of the same stack",
            group="slices",
            needs=("before",),
            all_classes=True,
            nothing="{name} is the same in both {where}",
        ),
        Tool(
            name="interpolate",
            label="Interpolate",
            tip="Draw the class between the nearest slices before and after that have it",
            group="slices",
            needs=("between",),
            parameters=("slices",),
            all_classes=True,
            nothing="{name} is drawn like this already {where}",
        ),
    )
}

SCOPES: Mapping[str, tuple[str, str]] = {
    "region": ("Around the region", "Only what is near the region in hand changes"),
    "slice": ("This slice", "Only the slice that is shown changes; outlines are taken as flat"),
    "image": ("Whole image", "The whole image may change, also what is out of sight"),
}
"""Label and tooltip of each part of an image that tools can be kept to."""


def tool(name: str) -> Tool:
    """A tool by its name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in TOOLS:
        raise InputError(f"There is no tool {name!r}; expected one of {', '.join(TOOLS)}.")
    return TOOLS[name]


def limits(parameter: Parameter, pixel: float = 1.0) -> tuple[float, float, float, float]:
    """Default, lowest, highest and step of a parameter in the unit of the image.

    Parameters
    ----------
    parameter : Parameter
    pixel : float
        Smallest size of a pixel; a ``length`` is a multiple of it.
    """
    values = (parameter.default, parameter.low, parameter.high, parameter.step)
    factor = pixel if parameter.unit == "length" else 1.0
    return values[0] * factor, values[1] * factor, values[2] * factor, values[3] * factor


def checked_values(name: str, values: Mapping[str, float], pixel: float = 1.0) -> dict[str, float]:
    """The parameters of a tool, with defaults for those that are not given.

    Raises
    ------
    InputError
        For a parameter that the tool does not have, or a value out of its range.
    """
    wanted = tool(name).parameters
    strange = sorted(set(values) - set(wanted))
    if strange:
        known = ", ".join(wanted) or "no parameter"
        raise InputError(f"The tool {name} takes {known}, not {', '.join(strange)}.")
    result = {}
    for key in wanted:
        default, low, high, _ = limits(PARAMETERS[key], pixel)
        value = float(values.get(key, default))
        if not low * (1 - 1e-6) <= value <= high * (1 + 1e-6):
            raise InputError(f"{PARAMETERS[key].label} is {value:g} for {name}; expected {low:g} to {high:g}.")
        result[key] = value if PARAMETERS[key].unit == "length" else float(round(value))
    return result


def note(name: str, values: Mapping[str, float | str]) -> str:
    """What the journal keeps of the use of a tool: ``grow by=2 unit=px class=1 scope=region``."""
    return " ".join((name, *(f"{key}={_written(value)}" for key, value in values.items())))


def _written(value: float | str) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False) if re.search(r'[\s="]', value) else value
