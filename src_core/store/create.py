"""Making a project: built in a hidden folder beside its place and renamed when complete."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import Box, CaseInfo, ClassInfo, MaskEncoding
from src_core.errors import InputError, ProjectLockedError, storage_errors
from src_core.io.lazy import LazyArray
from src_core.io.sources import check_folders, load
from src_core.store import arrays, database, history, tables
from src_core.store.durable import sync_file, sync_tree
from src_core.store.import_masks import add_in_strips, kinds_of, record_import
from src_core.store.journal import Patch
from src_core.store.lock import WriteLock
from src_core.store.names import default_author, project_path
from src_core.store.project import Project
from src_core.store.tables import digest_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class NewCase:
    """An image with its masks, read and checked.

    Attributes
    ----------
    name : str
    image : array or LazyArray, (H, W), (H, W, channels), (Z, H, W) or (Z, H, W, channels)
    given : array or LazyArray, uint8, (H, W) or (Z, H, W)
        Class index, 255 where there is no label.
    clean : array or LazyArray, uint8, as ``given``, optional
        A trusted mask: the image is verified everywhere it has a label.
    spacing : tuple of float, optional
        One a space axis, in the order of the array; 1 each when left out.
    unit : str
        Of the spacing: ``px`` or ``mm``.
    image_path, mask_path : str
    encoding : MaskEncoding
    """

    name: str
    image: Any
    given: Any
    clean: Any = None
    spacing: tuple[float, ...] = ()
    unit: str = "px"
    image_path: str = ""
    mask_path: str = ""
    encoding: MaskEncoding = field(
        default_factory=lambda: MaskEncoding(suffix=".png", dtype="uint8", values={0: 0, 1: 255})
    )


def build_project(
    path: str | Path,
    cases: Iterable[NewCase],
    classes: Sequence[ClassInfo],
    *,
    author: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Project:
    """Write a project and open it for writing.

    Parameters
    ----------
    path : path
        ``.metadcseg`` is appended if it is not there.
    cases : iterable of NewCase
        Read one after the other, so they need not be in memory together.
    classes : sequence of ClassInfo
    author : str, optional
    progress : callable, optional
        Called with each name when it is written.

    Raises
    ------
    InputError
        If the place is taken or a case does not fit.
    StorageError
        If the disk is full or may not be written. Nothing is left behind then.
    """
    target = project_path(path)
    if target.exists():
        raise _taken(target)
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with storage_errors(target, "Nothing was created."):
            _clean(target)
            staging.mkdir(parents=True)
            lock = WriteLock(staging, target, "Nothing was created.")
            _fill(staging, cases, classes, author or default_author(), progress)
            sync_tree(staging)
            lock.release()
            _publish(staging, target)
    except BaseException:
        arrays.discard(staging)
        raise
    return Project.open(target, write=True, author=author)


def _publish(staging: Path, target: Path) -> None:
    try:
        os.rename(staging, target)
    except OSError as error:
        if target.exists():  # another session was faster
            raise _taken(target) from error
        raise
    sync_file(target.parent)


def _taken(target: Path) -> InputError:
    return InputError(f"{target} exists already; choose another name, or open it.")


def _clean(target: Path) -> None:
    """Remove what sessions left that died while they made a project of this name."""
    for left in target.parent.glob(f".{target.name}.*.partial"):
        try:
            WriteLock(left).release()
        except ProjectLockedError:
            continue  # somebody is making it
        arrays.discard(left)


def _fill(
    folder: Path,
    cases: Iterable[NewCase],
    classes: Sequence[ClassInfo],
    author: str,
    progress: Callable[[str], None] | None,
) -> None:
    db = database.create(folder / database.NAME)
    try:
        store = arrays.ArrayStore(folder / arrays.NAME, "w-")
        with database.transaction(db, "Nothing was created."):
            for info in classes:
                db.execute("INSERT INTO class VALUES (?, ?, ?, ?)", (info.index, info.name, info.value, info.color))
            for case_id, case in enumerate(cases):
                write_case(db, store, case_id, case, author)
                if progress is not None:
                    progress(case.name)
            history.set_applied(db, history.numbers(db)[0])
        with database.writing("Nothing was created."):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


def write_case(db: sqlite3.Connection, store: arrays.ArrayStore, case_id: int, case: NewCase, author: str) -> None:
    """Write rows and arrays of a new case; the caller has opened the transaction.

    Raises
    ------
    InputError
        If image and masks are not of one size.
    """
    _check(case)
    info = CaseInfo(
        id=case_id,
        name=case.name,
        shape=case.given.shape,
        channels=1 if case.image.ndim == case.given.ndim else case.image.shape[-1],
        spacing=case.spacing or (1.0,) * case.given.ndim,
        unit=case.unit,
        image_path=case.image_path,
        mask_path=case.mask_path,
        encoding=case.encoding,
    )
    if any(isinstance(values, LazyArray) for values in (case.image, case.given, case.clean)):
        add_in_strips(db, store, info, case, author)
        return
    tables.add_case(db, info, {"image": digest_of(case.image), "given": digest_of(case.given)})
    label = case.given if case.clean is None else case.clean
    kinds = np.zeros_like(case.given) if case.clean is None else kinds_of(case.given, case.clean)
    store.add(case_id, {"image": case.image, "given": case.given, "label": label, "verified": kinds})
    if case.clean is not None:
        patch = Patch(Box.whole(info.shape), label, kinds)
        record_import(db, case_id, case.given, patch, author)
        tables.set_counts(db, case_id, tables.kind_counts(kinds))


def _check(case: NewCase) -> None:
    for what, shape in (
        ("image", case.image.shape[: case.given.ndim]),
        ("trusted mask", None if case.clean is None else case.clean.shape),
    ):
        if shape is not None and shape != case.given.shape:
            raise InputError(
                f"{case.name}: the {what} is {' x '.join(map(str, shape))} px and the mask "
                f"{' x '.join(map(str, case.given.shape))}; expected the same size."
            )


def create_from_folders(
    path: str | Path,
    images: str | Path,
    masks: str | Path | None = None,
    *,
    clean_masks: str | Path | None = None,
    classes_file: str | Path | None = None,
    unlabelled: bool = False,
    instances: bool = False,
    author: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Project, str]:
    """Make a project from images and masks that belong together.

    Every file is looked at before anything is created; sources are read and never written to.

    Parameters
    ----------
    path, images, masks : path
        Folders, patterns, a list or a data set: see :mod:`src_core.io.finding`.
    clean_masks : path, optional
        Trusted masks of some of the images; those are verified everywhere, and their given masks stay known.
    classes_file : path, optional
        See :mod:`src_core.data.classes`.
    unlabelled : bool
        Images without a mask are taken, too; they have no label anywhere.
    instances : bool
        Masks number objects; all of them are one class. Cleaned masks get their numbers back.
    author : str, optional
    progress : callable, optional
        Called with each name when it is written.

    Returns
    -------
    project : Project
        Open for writing.
    rule : str
        How mask values became classes.

    Raises
    ------
    InputError
        One message with everything that is wrong.
    """
    target = project_path(path)
    if target.exists():
        raise _taken(target)
    source = check_folders(images, masks, clean_masks, classes_file, unlabelled=unlabelled, instances=instances)
    cases = (NewCase(**load(pair, source.table)) for pair in source.pairs)
    project = build_project(target, cases, source.table.classes, author=author, progress=progress)
    return project, source.table.rule
