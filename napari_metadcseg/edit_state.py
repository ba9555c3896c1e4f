"""What the panel of edit tools shows, as one frozen value. No Qt and no napari here."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_metadcseg.editing import Request
from src_core.errors import InputError
from src_core.review.tools import SCOPES, TOOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_metadcseg.editing import EditDesk
    from src_core.data.case import ClassInfo

EMPTY = "Open a project and choose an image; these tools then work on its mask, one undo step each."


@dataclass(frozen=True, kw_only=True)
class EditState:
    """What can be edited now.

    Attributes
    ----------
    ready : bool
        An image is shown.
    volume : bool
    stacked : bool
        There are slices, or images of the same stack, beside the one in view.
    many : bool
        There is more than one class besides background.
    unit : str
        ``mm`` or ``px``, of lengths.
    pixel : float
        Smallest size of a pixel in that unit.
    active : ClassInfo or None
        The class that is selected; None for a label that is no class.
    missing : mapping of (scope, tool) to str
        Why a tool cannot be used, in one sentence; those that can are not in it.
    """

    ready: bool = False
    volume: bool = False
    stacked: bool = False
    many: bool = False
    unit: str = "px"
    pixel: float = 1.0
    active: ClassInfo | None = None
    missing: Mapping[tuple[str, str], str] = field(default_factory=lambda: MappingProxyType({}))


def edit_state(desk: EditDesk | None, *, all_classes: bool = False) -> EditState:
    """Derive what the panel shows.

    Parameters
    ----------
    desk : EditDesk or None
        None when no image is shown.
    all_classes : bool
        As chosen in the panel.
    """
    if desk is None:
        return EditState()
    classes = desk.project.classes
    missing = {}
    for scope in SCOPES:
        for name in TOOLS:
            try:
                desk.require(Request(tool=name, scope=scope, all_classes=all_classes))  # type: ignore[arg-type]
            except InputError as error:
                missing[scope, name] = str(error)
    volume = len(desk.case.shape) == 3
    return EditState(
        ready=True,
        volume=volume,
        stacked=volume or any(desk.beside),
        many=len(classes) > 2,
        unit=desk.case.unit,
        pixel=min(desk.case.spacing),
        active=next((info for info in classes if info.index == desk.active), None),
        missing=MappingProxyType(missing),
    )
