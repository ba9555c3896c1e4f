"""Labels from other slices of a volume, or from other images of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import Box
from src_core.data.slices import slice_box, sliced
from src_core.errors import InputError
from src_core.review.between import gap, interpolate, interpolate_slices, lay
from src_core.review.stacks import place_of, stack_of
from src_core.review.windows import relative

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_metadcseg.editing import EditDesk
    from src_core.data.case import CaseInfo

    Edited = tuple[Box, NDArray[np.uint8], dict[str, str]]
    """A box, its label after the edit, and where that came from."""


def copied(desk: EditDesk, part: Box, indices: Sequence[int]) -> Edited:
    """Classes as they are in the slice, or the image of the same stack, before.

    Parameters
    ----------
    desk : EditDesk
        With the image or slice in view.
    part : Box
        Nothing outside of it changes; across slices its edges do not matter.
    indices : sequence of int
        Classes.
    """
    if len(desk.case.shape) == 3:
        part, before = (slice_box(part, desk.axis, at) for at in (desk.at, desk.at - 1))
        label, source = (desk.project.read_label(desk.case, box) for box in (part, before))
        return part, lay(label, source, indices), {"from": f"slice {desk.at - 1}"}
    case, _ = desk.beside
    if case is None:
        raise InputError(f"Copy from before: {desk.case.name} is the first image of its stack.")
    label, source = (desk.project.read_label(one, part) for one in (desk.case, case))
    return part, lay(label, source, indices), {"from": case.name}


def drawn(desk: EditDesk, part: Box, indices: Sequence[int], slices: int) -> Edited:
    """Classes drawn between others that are drawn already: slices of a volume, or the image in view.

    Parameters
    ----------
    desk, part, indices
        As in :func:`copied`.
    slices : int
        Of a volume: over how many slices before this one; 0 for the gap that :func:`between.gap` finds.
    """
    return (
        _drawn_slices(desk, part, indices, slices) if len(desk.case.shape) == 3 else _drawn_image(desk, part, indices)
    )


def _drawn_slices(desk: EditDesk, part: Box, indices: Sequence[int], slices: int) -> Edited:
    first, last = _ends(desk, indices, slices)
    box = sliced(Box.whole(desk.case.shape), desk.axis, first, last + 1)
    label = interpolate_slices(
        desk.project.read_label(desk.case, box),
        0,
        last - first,
        indices,
        axis=desk.axis,
        spacing=desk.case.spacing,
        box=relative(sliced(part, desk.axis, first, last + 1), box),
    )
    return box, label, {"from": f"slice {first}", "to": f"slice {last}"}


def _ends(desk: EditDesk, indices: Sequence[int], slices: int) -> tuple[int, int]:
    """The slices to draw between."""
    if slices and (slices < 2 or slices > desk.at):
        possible = f"choose 2 to {desk.at} slices" if desk.at > 1 else "go to a later slice"
        raise InputError(f"Interpolate: over {slices} slices before this one nothing can be drawn; {possible}.")
    if slices:
        return desk.at - slices, desk.at
    shown = np.isin(desk.project.read_label(desk.case), indices).astype(np.uint8)
    ends = gap(shown, 1, desk.at, axis=desk.axis)
    if ends is None:
        raise InputError(
            "Interpolate: no slices near this one are left to draw between two that have the class; set over how many "
            "slices before this one it is to be drawn anew."
        )
    return ends


def _drawn_image(desk: EditDesk, part: Box, indices: Sequence[int]) -> Edited:
    stack = stack_of(desk.project.cases, desk.case)
    at = stack.index(desk.case)
    before, after = _first_with(desk, reversed(stack[:at]), indices), _first_with(desk, stack[at + 1 :], indices)
    if before is None or after is None:
        raise InputError(
            f"Interpolate: the class is not in images on both sides of {desk.case.name}; draw it in one before and one "
            "after."
        )
    low, here, high = (place.number if (place := place_of(one)) else 0 for one in (before, desk.case, after))
    share = 0.5 if low == high else (here - low) / (high - low)
    ends = (desk.project.read_label(one) for one in (before, after))
    found = interpolate(*ends, share, indices, spacing=desk.case.spacing)
    label = lay(desk.project.read_label(desk.case, part), found[part.slices], indices)
    return part, label, {"from": before.name, "to": after.name}


def _first_with(desk: EditDesk, cases: Iterable[CaseInfo], indices: Sequence[int]) -> CaseInfo | None:
    """The first of some images that holds one of the classes."""
    return next((case for case in cases if np.isin(desk.project.read_label(case), indices).any()), None)
