"""From a tool of the panel to one change of the project. No Qt and no napari here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np

from napari_metadcseg import edit_slices
from napari_metadcseg.hand import HELD
from src_core.data.case import IGNORE, Box
from src_core.data.slices import slice_box
from src_core.errors import InputError
from src_core.review import decisions, edits
from src_core.review.lasso import lasso_mask
from src_core.review.region_parts import pixels_of, values_in
from src_core.review.smoothing import smooth
from src_core.review.stacks import neighbours
from src_core.review.tools import checked_values, note, tool
from src_core.review.windows import around, relative, without

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from src_core.data.case import CaseInfo
    from src_core.data.scores import Region
    from src_core.review.region_parts import Pixels
    from src_core.review.tools import Scope, Tool
    from src_core.store.journal import Change
    from src_core.store.project import Project
    from src_core.store.runs import Run

LEAST_MARGIN = 16
"""What is around a region reaches at least so far from it, px, and as far as the region is long."""

SMOOTH_REACH = 3
"""Smoothing looks so many times its distance around."""

SLOW = 500_000
"""Edits of more pixels than this may keep a person waiting, so they are for a thread of their own."""

WHERE = {"region": "around the region", "slice": "in this slice", "image": "in this image"}
FRAMED = "in the framed part"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asked of a tool.

    Attributes
    ----------
    tool : str
    scope : str
        ``region``, ``slice`` or ``image``.
    all_classes : bool
        Work on all classes, where the tool can.
    values : mapping of str to float
        Its parameters; defaults for those that are left out.
    lasso : array, float, (N, axes), optional
        Drawn around where, px of the label.
    point : sequence of float, optional
        Clicked on, px of the label.
    """

    tool: str
    scope: Scope = "region"
    all_classes: bool = False
    values: Mapping[str, float] = field(default_factory=dict)
    lasso: ArrayLike | None = None
    point: Sequence[float] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a request: the change to commit, None when nothing changes; and a sentence on it."""

    change: Change | None
    text: str


class EditDesk:
    """Works tools on one image. It only reads: committing the change is left to whoever asked.

    It may be used in another thread, as it never asks the database.

    Parameters
    ----------
    project : Project
    case : CaseInfo
        The image that is shown.
    active : int
        The class that is edited: the label that is selected in napari.
    region : Region, optional
        In hand; one of another image counts as none.
    pixels : tuple of array (bool, uint8), optional
        Pixels and proposal of the region in its box, or what reads them in parts, as it was shown; read from the run
        when left out.
    run : Run, optional
        Whose proposals are shown.
    axis, at : int
        Of a volume, the axis across the slices that are shown and the slice in view.
    frame : Box, optional
        Of a large image, the part that can be edited: what a tool does to the image it does to this.
    """

    def __init__(
        self,
        project: Project,
        case: CaseInfo,
        *,
        active: int,
        region: Region | None = None,
        pixels: tuple[Pixels[np.bool_], Pixels[np.uint8]] | None = None,
        run: Run | None = None,
        axis: int = 0,
        at: int = 0,
        frame: Box | None = None,
    ) -> None:
        self.project, self.case, self.active, self.run = project, case, active, run
        self.region = region if region is not None and region.case_id == case.id else None
        self._pixels = pixels
        self.axis, self.at = axis, at
        self._framed = frame is not None
        self._all = frame or Box.whole(case.shape)

    # ---------------------------------------------------------------- asking

    def work(self, request: Request) -> Outcome:
        """Compute what a tool changes.

        Raises
        ------
        InputError
            If it cannot be done like this; the sentence says what to do.
        """
        self.require(request)
        entry = tool(request.tool)
        values = checked_values(request.tool, request.values, min(self.case.spacing))
        box, label, extra = self._edited(entry, request, values)
        run = self.run.name if self.run is not None and "proposal" in entry.needs else ""
        words = self._note(entry, request, values, extra)
        change = decisions.edit(self.project, self.case, box, label, note=words, run=run)
        return Outcome(change, self._text(entry, request, change, extra))

    def require(self, request: Request) -> None:
        """Refuse what lacks something that a lasso or a click would not add.

        Raises
        ------
        InputError
        """
        entry = tool(request.tool)
        need = set(entry.needs)
        if not self.project.writable:
            raise InputError(f"{entry.label}: the project is open read-only; open it for writing to edit.")
        if not (request.all_classes and entry.all_classes):
            self._require_class(entry, 1 if need & {"class", "before", "between"} else 0)
        if "proposal" in need and (self.run is None or not self.run.has_scores):
            raise InputError(f"{entry.label}: there is no proposal yet; train first.")
        if "proposal" in need and self.run is not None and not self.run.covers(self.case.id):
            raise InputError(
                f"{entry.label}: this image is not scored yet; press 'Score new images' on the tab Project."
            )
        if self.region is None and ("region" in need or (entry.scoped and request.scope == "region")):
            other = "." if "region" in need else ", or edit the whole image."
            raise InputError(f"{entry.label}: no region of this image is in hand; press Next (N) to take one{other}")
        if need & {"before", "between"}:
            self._require_neighbours(entry)

    def _require_class(self, entry: Tool, lowest: int) -> None:
        if entry.name == "absorb" or (entry.name == "relabel" and self.active == IGNORE):
            return
        known = [info for info in self.project.classes if info.index >= lowest]
        if self.active not in [info.index for info in known]:
            names = ", ".join(f"{info.index} ({info.name})" for info in known)
            raise InputError(
                f"{entry.label}: label {self.active} is selected; select one of {names} in the controls of the layer "
                "'label'."
            )

    def _require_neighbours(self, entry: Tool) -> None:
        if len(self.case.shape) == 3:
            if self.at == 0 and "before" in entry.needs:
                raise InputError(f"{entry.label}: this is the first slice; go to the one that is to be changed.")
            return
        before, after = self.beside
        if before is None or ("between" in entry.needs and after is None):
            missing = "before it" if "between" not in entry.needs else "before and after it"
            raise InputError(
                f"{entry.label}: there is no image of the same stack {missing}; images of a stack are named alike "
                f"({self.case.name}) but for the last number, and have one size."
            )

    @cached_property
    def beside(self) -> tuple[CaseInfo | None, CaseInfo | None]:
        """The images before and after this one in its stack; none for a volume."""
        return neighbours(self.project.cases, self.case)

    def slow(self, request: Request) -> bool:
        """Whether it may take longer than a window can wait."""
        pixels = prod(self._all.shape)
        if request.scope == "region" and self.region is not None and request.tool not in ("copy_before", "interpolate"):
            pixels = prod(self._part("region").shape)
        elif request.scope == "slice" and request.tool != "interpolate":  # which looks for the slices to draw between
            pixels //= self._all.shape[self.axis]
        if request.tool == "take_region" and self.region is not None and not self._framed:
            return prod(self.region.box.shape) > HELD
        if request.tool in ("take_lasso", "take_region"):
            return False
        return pixels > SLOW

    # ---------------------------------------------------------------- words

    def _name(self, request: Request) -> str:
        if request.all_classes and tool(request.tool).all_classes:
            return "the mask"
        names = {info.index: info.name for info in self.project.classes}
        return names.get(self.active, "unlabelled")

    def _note(self, entry: Tool, request: Request, values: Mapping[str, float], extra: Mapping[str, str]) -> str:
        words: dict[str, float | str] = dict(values)
        if "by" in values:
            words["unit"] = self.case.unit
        if entry.name != "absorb":
            words["class"] = "all" if request.all_classes and entry.all_classes else str(self.active)
        if entry.scoped:
            words["scope"] = request.scope
        return note(entry.name, words | extra)

    def _text(self, entry: Tool, request: Request, change: Change | None, extra: Mapping[str, str]) -> str:
        where = FRAMED if self._framed and request.scope != "region" else WHERE[request.scope]
        if change is None or change.patch is None:
            reason = entry.nothing.format(name=self._name(request), where=where)
            return f"{entry.label} changed nothing: {reason}."
        before = self.project.read_label(self.case, change.patch.box)
        pixels = int(np.count_nonzero(before != change.patch.label))
        place = f" {where}" if entry.scoped else ""
        source = f", from {' and '.join(extra.values())}" if extra else ""
        return f"{entry.label}: {pixels:,} px changed{place}{source}."

    # ---------------------------------------------------------------- where

    def _part(self, scope: Scope) -> Box:
        """The box that a tool keeps to."""
        shape = self.case.shape
        if scope == "region":
            assert self.region is not None
            box = self.region.box
            sizes = self.case.spacing
            if self._framed and prod(box.shape) > HELD:
                return self._framed_part(box)
            margin = max(LEAST_MARGIN * min(sizes), *(edge * size for edge, size in zip(box.shape, sizes, strict=True)))
            return around(box, [ceil(margin / size) for size in sizes], shape)
        if scope == "slice" and len(shape) == 3:
            return slice_box(self._all, self.axis, self.at)
        return self._all

    def _framed_part(self, box: Box) -> Box:
        """What of a box can be edited, if it is too large to be held: what lies in the frame."""
        if not self._framed or prod(box.shape) <= HELD:
            return box
        if not box.meets(self._all):
            raise InputError("The frame lies outside of the region in hand; move it there first (W).")
        return box.common(self._all)

    def _across(self, scope: Scope) -> int | None:
        return self.axis if scope == "slice" and len(self.case.shape) == 3 else None

    def _window(self, box: Box, reach: Sequence[int]) -> tuple[Box, NDArray[np.uint8], Box]:
        """What has to be read to edit a box: the window, its label, and the box as seen from it."""
        window = around(box, reach, self.case.shape)
        return window, self.project.read_label(self.case, window), relative(box, window)

    # ---------------------------------------------------------------- the tools

    def _edited(
        self, entry: Tool, request: Request, values: Mapping[str, float]
    ) -> tuple[Box, NDArray[np.uint8], dict[str, str]]:
        """Box and label after the edit, and what the label came from, if from elsewhere."""
        if entry.group == "outline":
            return *self._outlined(request, values), {}
        if entry.group == "object":
            return *self._relabelled(request), {}
        if entry.group == "model":
            return *self._proposed(request), {}
        part = self._part(request.scope)
        if entry.name == "copy_before":
            return edit_slices.copied(self, part, self._indices(request))
        return edit_slices.drawn(self, part, self._indices(request), int(values["slices"]))

    def _indices(self, request: Request) -> list[int]:
        classes = [info.index for info in self.project.classes if info.index > 0]
        return classes if request.all_classes else [self.active]

    def _outlined(self, request: Request, values: Mapping[str, float]) -> tuple[Box, NDArray[np.uint8]]:
        by = SMOOTH_REACH * values.get("by", 0.0)
        sizes, axis = self.case.spacing, self._across(request.scope)
        window, label, box = self._window(self._part(request.scope), [ceil(by / size) + 2 for size in sizes])
        if request.tool == "fill_holes":
            return window, edits.fill_holes(label, self.active, box=box, axis=axis)
        if request.tool == "remove_islands":
            return window, edits.remove_islands(label, self.active, int(values["smaller"]), box=box, axis=axis)
        move = {"grow": edits.grow, "shrink": edits.shrink, "smooth": smooth}[request.tool]
        return window, move(label, self.active, values["by"], spacing=sizes, box=box, axis=axis)

    def _relabelled(self, request: Request) -> tuple[Box, NDArray[np.uint8]]:
        if request.point is None:
            raise InputError(f"{tool(request.tool).label}: click on the object that is meant.")
        to = self.active if request.tool == "relabel" else None
        window, label, box = self._window(self._part(request.scope), [1] * len(self.case.shape))
        at = [round(place) - start for place, start in zip(request.point, window.start, strict=True)]
        if self._framed and not all(0 <= place < edge for place, edge in zip(at, window.shape, strict=True)):
            raise InputError(f"{tool(request.tool).label}: click inside of the frame, or move it there first.")
        axis = self._across(request.scope)
        if axis is None:
            return window, edits.relabel(label, at, to=to, box=box)
        result = label.copy()
        slices, here = np.moveaxis(result, axis, 0), box.start[axis]
        slices[here] = edits.relabel(slices[here], without(at, axis), to=to)
        return window, result

    def _proposed(self, request: Request) -> tuple[Box, NDArray[np.uint8]]:
        assert self.run is not None
        if request.tool == "take_region":
            assert self.region is not None
            box = self._framed_part(self.region.box)
            pixels = self._pixels or pixels_of(self.run, self.region)
            mask, proposed = (values_in(values, self.region.box, box) for values in pixels)
        elif request.lasso is None:
            raise InputError(f"{tool(request.tool).label}: draw around the part that is meant.")
        else:
            box, mask = lasso_mask(request.lasso, self.case.shape, axis=self.axis, at=self.at)
            proposed = self.run.read_map(self.case.id, "proposed", box)
        index = None if request.all_classes else self.active
        label, first = self.project.read_label(self.case, box), self.case.without_mask
        return box, edits.take_proposal(label, proposed, mask, index=index, unlabelled=first)
