"""What a person does to runs: rename, note, delete, free the space of their maps. Never to one that is being written.

The training process writes everything else of a run; ``about.json`` is the person's, so that neither overwrites the
other.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from src_core.errors import InputError, ProjectLockedError, ProjectReadOnlyError, storage_errors
from src_core.store import opinion, ranking
from src_core.store.durable import put, sync_file
from src_core.store.names import check_run_name
from src_core.store.reading import read_object, text_of
from src_core.store.runs import ABOUT, LOCK, OLD_SCORES, SCORES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from src_core.store.project import Project
    from src_core.store.runs import Run

LONGEST_NOTE = 2000
_GONE = ".deleted-"
_MAPS = (SCORES, OLD_SCORES, SCORES + ".partial", opinion.FOLDER, opinion.FOLDER + ".old", opinion.FOLDER + ".partial")


@dataclass(frozen=True)
class DiskUse:
    """What a run takes on the disk, bytes.

    Attributes
    ----------
    maps : int
        Scores of every image; they can be made again with 'metadcseg score'.
    model : int
        Everything else, the checkpoint above all.
    """

    maps: int
    model: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.maps + self.model


def disk_use(run: Run) -> DiskUse:
    """What a run takes on the disk."""
    maps = sum(_size(run.path / name) for name in _MAPS)
    return DiskUse(maps=maps, model=_size(run.path) - maps)


def total_use(project: Path) -> int:
    """What all runs of a project folder take, bytes, what a deletion left behind included."""
    return _size(project / "runs")


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # replaced or removed meanwhile
                continue
    return total


def in_words(size: int) -> str:
    """A number of bytes as a person says it."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit in ("B", "kB") or amount >= 100 else f"{amount:.1f} {unit}"


# ---------------------------------------------------------------- is it in use?


def run_lock(run: Path) -> FileLock:
    """Whoever trains, scores or deletes a run holds this, and may take it again: a run is also scored as it trains."""
    return FileLock(run / LOCK, timeout=0, is_singleton=True)


@contextmanager
def held(run: Path, what: str) -> Iterator[None]:
    """Keep other processes from training, scoring or deleting a run.

    Parameters
    ----------
    run : Path
    what : str
        What cannot be done meanwhile, for the message: 'be deleted'.

    Raises
    ------
    ProjectLockedError
        If another process has it.
    """
    lock = run_lock(run)
    try:
        lock.acquire()
    except Timeout as error:
        raise ProjectLockedError(
            f"Run {run.name} is being trained or scored by another process, so it cannot {what}; wait for its end, or "
            "cancel it."
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_busy(run: Run) -> bool:
    """True while a process trains or scores it."""
    if not (run.path / LOCK).exists():
        return False
    try:
        with held(run.path, "be used"):
            return False
    except ProjectLockedError:
        return True


# ---------------------------------------------------------------- changes


def write_about(folder: Path, name: str, values: dict[str, Any]) -> None:
    """Write a small record of a person's, whole or not at all."""
    with storage_errors(folder / name, "It is as it was."):
        put(folder / name, json.dumps(values, indent=2))


def _about(run: Run) -> dict[str, Any]:
    try:
        return read_object(run.path / ABOUT)
    except (OSError, ValueError):
        return {}


def note_of(run: Run) -> str:
    """The person's note on a run; empty when there is none."""
    return text_of(_about(run), "note")


def write_note(project: Project, run: Run, note: str) -> None:
    """Keep a note with a run; an empty one takes it away.

    Raises
    ------
    InputError
        If it is longer than 2,000 letters.
    ProjectReadOnlyError, StorageError
    """
    _require_writable(project)
    note = note.strip()
    if len(note) > LONGEST_NOTE:
        raise InputError(f"The note has {len(note):,} letters, expected at most {LONGEST_NOTE:,}; shorten it.")
    write_about(run.path, ABOUT, {**_about(run), "note": note})


def rename_run(project: Project, run: Run, name: str) -> Run:
    """Give a run another name. The record goes on to name it as it was called then; both names find it.

    Raises
    ------
    InputError
        If the name cannot be used or is taken.
    ProjectLockedError
        If the run is being trained or scored.
    ProjectReadOnlyError, StorageError
    """
    _require_writable(project)
    check_run_name(name)
    others = [other for other in project.runs() if other.name != run.name]
    taken = {each for other in others for each in other.names} | {path.name for path in run.path.parent.iterdir()}
    if name in taken:
        raise InputError(f"There is, or was, a run {name!r} already; choose another name.")
    with held(run.path, "be renamed"):
        formerly = [each for each in run.names if each != name]
        write_about(run.path, ABOUT, {**_about(run), "formerly": formerly})
    target = run.path.with_name(name)
    with storage_errors(target, "The run is called as before."):
        run.path.rename(target)
        sync_file(target.parent)
    return type(run)(target)


def delete_run(project: Project, run: Run) -> int:
    """Delete a run for good, in one step that cannot end half way. Masks and record stay as they are.

    Returns
    -------
    int
        Bytes that are free now.

    Raises
    ------
    ProjectLockedError
        If the run is being trained or scored.
    ProjectReadOnlyError, StorageError
    """
    _require_writable(project)
    with held(run.path, "be deleted"):
        freed = _size(run.path)
    with storage_errors(run.path, "The run is still there."):
        _sweep(project.path)
        run.path.rename(run.path.with_name(_GONE + run.name))
        sync_file(run.path.parent)
    _sweep(project.path)
    return freed


def delete_maps(project: Project, run: Run) -> int:
    """Delete the scores of a run and keep its model; scoring it again brings them back.

    Returns
    -------
    int
        Bytes that are free now.

    Raises
    ------
    InputError
        If it was imported: its scores cannot be made again.
    ProjectLockedError
        If the run is being trained or scored.
    ProjectReadOnlyError, StorageError
    """
    _require_writable(project)
    if run.imported:
        raise InputError(f"The scores of run {run.name} are all there is of it; delete the run instead.")
    with held(run.path, "lose its maps"), storage_errors(run.path, "Some of the maps are still there."):
        freed = disk_use(run).maps
        (run.path / ranking.NAME).unlink(missing_ok=True)  # without a ranking there are no scores
        for name in _MAPS:
            shutil.rmtree(run.path / name, ignore_errors=True)
    return freed


def _sweep(project: Path) -> None:
    """Remove what deletions, also those that were cut short, left behind."""
    for path in (project / "runs").iterdir():
        if path.name.startswith(_GONE):
            shutil.rmtree(path, ignore_errors=True)


def what_is_lost(project: Project, run: Run) -> str:
    """What deleting a run would take away and what stays, in words."""
    use = disk_use(run)
    lost = "its scores" if run.imported else "its model and settings" + (" and its scores" if run.has_scores else "")
    decided = sum(record.run in run.names for record in project.history() if record.region)
    stays = f" The {decided:,} decisions made on its proposals stay, and so do all masks." if decided else ""
    return f"Deleting run {run.name} ({in_words(use.total)}) takes away {lost} for good.{stays or ' All masks stay.'}"


def _require_writable(project: Project) -> None:
    if not project.writable:
        raise ProjectReadOnlyError(f"Project {project.name} is open read-only, so its runs stay as they are.")
