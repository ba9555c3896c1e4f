"""From the values of masks to classes.

The rule, over all masks of a project together:

1. A classes file decides, if there is one: it names every value, or ``ignore`` for unlabelled pixels.
2. Masks of two values {0, 1} or {0, 255} are background and foreground.
3. Masks of 6 values or more whose pixels nearly all (98 %) lie within 40 of 0 or 255 were smeared, as by JPEG: they
   are cut at 128.
4. Up to 32 values starting with 0 are classes in the order of the values - unless 255 stands beside values below
   32, where it may mean "no label" as well as a class: then a classes file is asked for.
5. Anything else is asked for.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE, MAX_CLASSES, OKABE_ITO, ClassInfo
from src_core.errors import InputError, MaskValueError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SMEAR = 40
SMEAR_SHARE = 0.98
CUT = 128
MIN_SMEARED = 6
_EXAMPLE = "a classes file with lines such as '0,background', '1,organ', '255,ignore'"


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """Classes of a project and how file values become them.

    Attributes
    ----------
    classes : tuple of ClassInfo
    ignore_value : int or None
        File value of pixels without a label.
    smeared : bool
        Values are cut at 128 before they are looked up.
    instances : bool
        Values number objects, all of class 1.
    rule : str
        The rule that applied, for the person.
    """

    classes: tuple[ClassInfo, ...]
    ignore_value: int | None = None
    smeared: bool = False
    instances: bool = False
    rule: str = ""

    def encode(self, values: NDArray[Any], where: str) -> NDArray[np.uint8]:
        """File values as class indices, uint8, 255 where there is no label.

        Raises
        ------
        MaskValueError
            For a value that is no class; the message names ``where``.
        """
        if self.instances:
            values = (values != 0).astype(np.uint8)
        if self.smeared:
            values = np.where(values >= CUT, 255, 0)
        result = np.full(values.shape, 254, dtype=np.uint8)
        for info in self.classes:
            result[values == info.value] = info.index
        if self.ignore_value is not None:
            result[values == self.ignore_value] = IGNORE
        if (result == 254).any():
            unknown = values[result == 254].flat[0]
            known = ", ".join(str(info.value) for info in self.classes)
            raise MaskValueError(
                f"{where} holds the value {unknown}, expected one of {known}; add it to the classes file."
            )
        return result


@dataclass(frozen=True)
class MaskValues:
    """What one mask file holds.

    Attributes
    ----------
    where : str
        The file, for messages.
    counts : mapping of value to number of pixels
    """

    where: str
    counts: Mapping[int, int]

    @classmethod
    def of(cls, values: NDArray[Any], where: str) -> MaskValues:
        """Count the values of a mask.

        Raises
        ------
        MaskValueError
            If they are no whole numbers.
        """
        if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
            raise MaskValueError(f"{where} holds fractions such as {values.flat[0]:g}; expected whole class values.")
        found, counts = np.unique(values, return_counts=True)
        return cls(where, {int(value): int(count) for value, count in zip(found, counts, strict=True)})

    @classmethod
    def sum_of(cls, parts: Sequence[MaskValues]) -> MaskValues:
        """Values of a mask from those of its parts, at least one."""
        counts: Counter[int] = Counter()
        for part in parts:
            counts.update(part.counts)
        return cls(parts[0].where, dict(sorted(counts.items())))

    @property
    def smeared(self) -> bool:
        """True when there are 6 values or more and nearly all pixels are near 0 or 255."""
        near = sum(count for value, count in self.counts.items() if 0 <= value <= SMEAR or 255 - SMEAR <= value <= 255)
        inside = min(self.counts) >= 0 and max(self.counts) <= 255
        high = any(value > CUT for value in self.counts)
        return inside and len(self.counts) >= MIN_SMEARED and high and near >= SMEAR_SHARE * sum(self.counts.values())


def read_classes(path: Path) -> ClassTable:
    """Read a classes file: CSV lines ``value,name[,#rrggbb]``, or a JSON list of objects with these keys.

    Raises
    ------
    InputError
        If it is missing, empty or does not follow this form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            rows = [(entry["value"], entry["name"], entry.get("color", "")) for entry in json.loads(text)]
        else:
            lines = [line for line in csv.reader(text.splitlines()) if line and not line[0].lstrip().startswith("#")]
            if lines and not lines[0][0].strip().lstrip("-").isdigit():
                lines = lines[1:]
            rows = [(line[0], line[1], line[2] if len(line) > 2 else "") for line in lines]
        entries = [(int(value), str(name).strip(), str(color).strip()) for value, name, color in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The classes file {path} cannot be read: {error}.") from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"The classes file {path} is not understood; expected {_EXAMPLE}.") from error
    return table_of_entries(entries, path)


def table_of_entries(entries: list[tuple[int, str, str]], path: Path) -> ClassTable:
    """Classes of triples of value, name and colour (or empty) that a file has, background first.

    Raises
    ------
    InputError
        If there are too few or too many, or a value stands twice.
    """
    values = [value for value, _, _ in entries]
    named = [(value, name, color) for value, name, color in entries if name.lower() != "ignore"]
    ignored = [value for value, name, _ in entries if name.lower() == "ignore"]
    if len(set(values)) != len(values) or len(ignored) > 1 or not 2 <= len(named) <= MAX_CLASSES:
        raise InputError(
            f"The classes file {path} must name 2 to {MAX_CLASSES} different values, the first as background, and "
            f"at most one 'ignore'; expected {_EXAMPLE}."
        )
    classes = tuple(_class(index, *entry) for index, entry in enumerate(named))
    return ClassTable(classes=classes, ignore_value=ignored[0] if ignored else None, rule=f"classes of {path.name}")


def _class(index: int, value: int, name: str = "", color: str = "") -> ClassInfo:
    default = "background" if index == 0 else f"class {index}"
    shade = OKABE_ITO[0] if index == 0 else OKABE_ITO[1 + (index - 1) % (len(OKABE_ITO) - 1)]
    return ClassInfo(index=index, name=name or default, value=value, color=color or shade)


def infer_classes(masks: Sequence[MaskValues]) -> ClassTable:
    """Find the classes of masks by the rule of this module.

    Raises
    ------
    MaskValueError
        When the values are ambiguous or too many; the message says what to do.
    """
    values = sorted(set().union(*(mask.counts for mask in masks)))
    if values and set(values) <= {0, 255}:
        return _binary(255, "0 is background, 255 is foreground")
    if set(values) <= {0, 1}:
        return _binary(1, "0 is background, 1 is foreground")
    smeared = [mask for mask in masks if mask.smeared]
    if smeared and all(mask.smeared or set(mask.counts) <= {0, 255} for mask in masks):
        rule = f"values near 0 and 255 (smeared, as by JPEG, in {len(smeared)} of {len(masks)} masks) are cut at {CUT}"
        return ClassTable(classes=_binary(255, "").classes, smeared=True, rule=rule)
    _refuse_unclear(masks, values)
    classes = tuple(_class(index, value) for index, value in enumerate(values))
    return ClassTable(classes=classes, rule="one class for each value, in order")


def _binary(value: int, rule: str) -> ClassTable:
    return ClassTable(classes=(_class(0, 0), _class(1, value, "foreground")), rule=rule)


def _refuse_unclear(masks: Sequence[MaskValues], values: list[int]) -> None:
    worst = max(masks, key=lambda mask: len(mask.counts))
    if len(values) > MAX_CLASSES:
        count = len(worst.counts)
        what = (
            f"{worst.where} holds {count} different values"
            if count > MAX_CLASSES
            else f"The masks hold {len(values)} different values"
        )
        raise MaskValueError(
            f"{what}, expected at most {MAX_CLASSES} classes; give {_EXAMPLE}, or --instances if they number objects."
        )
    if values[0] != 0:
        first = next(mask for mask in masks if values[0] in mask.counts)
        raise MaskValueError(
            f"{first.where} holds the value {values[0]} and no mask starts at 0 for background; give {_EXAMPLE}."
        )
    if 255 in values and any(0 < value < MAX_CLASSES for value in values):
        first = next(mask for mask in masks if 255 in mask.counts)
        raise MaskValueError(
            f"{first.where} holds 255 while masks also use {values[1]}: 255 may mean 'no label' or a class; give "
            f"{_EXAMPLE} that says which."
        )
