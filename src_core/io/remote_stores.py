"""From an address to a folder that stands for the OME-Zarr store there: its descriptions, without a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_core.errors import FormatError
from src_core.io import remote
from src_core.io.guard import reading
from src_core.io.ome_zarr import SUFFIXES, attributes_of, content_of, multiscale_of

if TYPE_CHECKING:
    from pathlib import Path

GROUP = ("zarr.json", ".zgroup", ".zattrs")
ARRAY = ("zarr.json", ".zarray", ".zattrs")


def opened_at(address: str) -> Path:
    """The folder that stands for a store at an address; fetched once a session.

    Raises
    ------
    FormatError
        If the server cannot be reached, or there is no OME-Zarr image.
    """
    if not address.strip().rstrip("/").lower().endswith(SUFFIXES):
        raise FormatError(f"{address} cannot be read over the network: expected an OME-Zarr store, …/NAME.ome.zarr.")
    folder, new = remote.stand_in(address)
    if new:
        try:
            with reading(folder):
                _fill(folder)
        except BaseException:
            remote.forget(folder)
            raise
    return folder


def _fill(folder: Path) -> None:
    if not _fetched(folder, GROUP):
        raise FormatError(f"There is no OME-Zarr image at {remote.told(folder)}; check the address.")
    _fill_levels(folder)
    labels = folder / "labels"
    if _fetched(labels, GROUP, optional=True):
        for name in content_of(attributes_of(labels)[0]).get("labels", []):
            target = _inside(labels, str(name))
            if _fetched(target, GROUP):
                _fill_levels(target)


def _fill_levels(folder: Path) -> None:
    for level in multiscale_of(folder, attributes_of(folder)[0])["datasets"]:
        _fetched(_inside(folder, str(level["path"])), ARRAY)


def _inside(folder: Path, name: str) -> Path:
    target = folder / name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise FormatError(f"{remote.told(folder)} names {name[:80]!r}, which leads out of it; expected a part of it.")
    return target


def _fetched(folder: Path, names: tuple[str, ...], *, optional: bool = False) -> bool:
    """Fetch the descriptions of a group or an array; False when there are none.

    A server that does not tell strangers what there is denies them what is missing. So a denial counts only where
    nothing could be read that has to be there.
    """
    found, denied = False, None
    for name in names:
        try:
            content = remote.fetch(folder / name)
        except remote.DeniedError as error:
            denied = error
            continue
        if content is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            found = True
    if denied is not None and not (found or optional):
        raise denied
    return found
