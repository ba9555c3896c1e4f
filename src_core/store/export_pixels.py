"""The pixels of what is exported: of a large image read strip by strip while they are written."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE, Box, is_verified
from src_core.io import lazy
from src_core.io.geometry import turn_back, volume
from src_core.io.lazy import LazyArray
from src_core.store.provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo, MaskEncoding
    from src_core.store.project import Project
    from src_core.store.runs import Run


def pixels_of(project: Project, run: Run | None, case: CaseInfo, name: str) -> Any:
    """What is exported of an image under a name, an array or, where that is large, a LazyArray.

    Parameters
    ----------
    project : Project
    run : Run or None
        Where maps and proposals come from.
    case : CaseInfo
    name : str
        ``cleaned`` and ``proposed`` as class indices, uint8; ``provenance`` uint8; ``band`` 0 or 255, uint8; other maps
        float32.
    """
    if name == "cleaned" or (name == "proposed" and (run is None or not run.covers(case.id))):
        return _read(case, np.uint8, lambda box: project.read_label(case, box))
    if name == "provenance":
        return _read(case, np.uint8, lambda box: provenance(project, case, box))
    assert run is not None
    if name == "proposed":
        return _read(case, np.uint8, lambda box: _proposed(project, run, case, box))
    if name == "band":
        return _read(case, np.uint8, lambda box: run.read_map(case.id, name, box).astype(np.uint8) * 255)
    return _read(case, np.float32, lambda box: run.read_map(case.id, name, box).astype(np.float32))


def _read(case: CaseInfo, dtype: type[np.generic], read: Callable[[Box | None], NDArray[Any]]) -> Any:
    if prod(case.shape) * np.dtype(dtype).itemsize < lazy.LAZY_FROM:
        return read(None)

    def strip(place: tuple[slice, ...]) -> NDArray[Any]:
        return read(Box(tuple(part.start for part in place), tuple(part.stop for part in place)))

    return LazyArray(case.shape, dtype, strip, f"Image {case.name}")


def _proposed(project: Project, run: Run, case: CaseInfo, box: Box | None) -> NDArray[np.uint8]:
    """The run's proposal, except where a person has decided since."""
    label, verified = project.read_labels(case, box)
    found = np.where(is_verified(verified), label, run.read_map(case.id, "proposed", box))
    return found.astype(np.uint8)


def file_values(label: Any, encoding: MaskEncoding) -> Any:
    """Class indices, an array or a LazyArray, as the values and dtype of the source file."""
    table = np.zeros(256, dtype=np.int64)
    for index, value in encoding.values.items():
        table[index] = value
    table[IGNORE] = encoding.values[0] if encoding.ignore_value is None else encoding.ignore_value
    if isinstance(label, LazyArray):
        return label.mapped(lambda part: table[part].astype(encoding.dtype), encoding.dtype)
    return table[label].astype(encoding.dtype)


def as_in_file(values: Any, where: Mapping[str, Any]) -> Any:
    """A mask on the axes of its source file; one that has to be turned is taken whole."""
    space = where.get("space", values.ndim)
    if where.get("turn"):
        values = turn_back(volume(np.asarray(values), values.ndim), where.get("turn"))
        return values[0] if space == 2 else values
    if space == values.ndim:
        return values
    if space == 3:
        return values.with_first() if isinstance(values, LazyArray) else values[None]
    return values.without_first() if isinstance(values, LazyArray) else values[0]
