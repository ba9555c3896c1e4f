"""The runs of a project as a table of plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from src_core.config import METHOD_WORDS, PRESET_WORDS, TrainingSettings, changed_settings
from src_core.errors import MetaDCSegError
from src_core.store import ranking
from src_core.store.run_choice import choose, read_comparison
from src_core.store.run_files import DiskUse, disk_use, is_busy, note_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from src_core.store.project import Project
    from src_core.store.run_choice import Comparison
    from src_core.store.runs import Run

FALLEN = 0.02
"""Held-out Dice that ends so much below its best is worth a word."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run.

    Attributes
    ----------
    name : str
    reviewed : bool
        The proposals come from it.
    busy : bool
        A process trains or scores it now.
    started, scored : datetime or None
    what : str
        Method and preset in words, or where an imported run comes from.
    images : int or None
        Of the project when it was started.
    epochs_done, epochs : int
    dice, best_dice : float or None
        Held-out Dice after the last epoch, and of the best one, by the helpers; None where nothing was held out.
    best_epoch : int or None
    disk : DiskUse
    imported : bool
    note : str
    damage : str
        Why it cannot be used; empty when it can.
    comparison : Comparison or None
        With the run that was reviewed before.
    """

    name: str
    reviewed: bool
    busy: bool
    started: datetime | None
    scored: datetime | None
    what: str
    images: int | None
    epochs_done: int
    epochs: int
    dice: float | None
    best_dice: float | None
    best_epoch: int | None
    disk: DiskUse
    imported: bool
    note: str
    damage: str
    comparison: Comparison | None

    def plain(self) -> dict[str, Any]:
        """Values that JSON has, times as ISO 8601, sizes in bytes."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["comparison"] = None if self.comparison is None else asdict(self.comparison)
        values["disk"] = self.disk.total
        values["maps"] = self.disk.maps
        for name in ("started", "scored"):
            values[name] = None if values[name] is None else values[name].isoformat(timespec="seconds")
        return values

    @property
    def fell(self) -> bool:
        """True when the held-out Dice was clearly better before the end."""
        return self.dice is not None and self.best_dice is not None and self.dice < self.best_dice - FALLEN


def run_rows(project: Project) -> list[RunRow]:
    """A row for every run, newest first."""
    runs = project.runs()
    reviewed = choose(project.path, runs).run
    return [_row(run, reviewed is not None and run.name == reviewed.name) for run in runs]


def _row(run: Run, reviewed: bool) -> RunRow:
    settings, history, images, damage = None, [], None, ""
    imported = run.imported
    what = "cannot be read"
    try:
        what = f"imported: {run.source}" if imported else ""
        settings = None if imported else run.settings()
        history = run.history()
        images = _images(run)
        _ = run.generation  # reads the ranking
    except MetaDCSegError as error:
        damage = str(error)
    held_out = [
        (row["val_dice"], row["epoch"]) for row in history if row.get("held_out") and row["val_dice"] is not None
    ]
    best = max(held_out, key=lambda pair: pair[0], default=(None, None))
    return RunRow(
        name=run.name,
        reviewed=reviewed,
        busy=is_busy(run),
        started=_time(run.started),
        scored=_scored(run),
        what=what if settings is None else in_words(settings),
        images=images,
        epochs_done=len(history),
        epochs=0 if settings is None else settings.epochs,
        dice=held_out[-1][0] if held_out else None,
        best_dice=best[0],
        best_epoch=best[1],
        disk=disk_use(run),
        imported=imported,
        note=note_of(run),
        damage=damage,
        comparison=read_comparison(run) if run.has_scores and not damage else None,
    )


def in_words(settings: TrainingSettings) -> str:
    """Method, preset and how many settings are off it."""
    changed = len(changed_settings(settings))
    more = f", {changed} setting{'s' * (changed != 1)} changed" if changed else ""
    method = "" if settings.method == "metadcseg" else f"{METHOD_WORDS[settings.method]}, "
    words = PRESET_WORDS[settings.preset]
    return f"{method}{words.lower() if method else words}{more}"


def _images(run: Run) -> int | None:
    project = run.record().get("project")
    found = project.get("images") if isinstance(project, dict) else None
    return found if isinstance(found, int) else None


def _scored(run: Run) -> datetime | None:
    try:
        return datetime.fromtimestamp((run.path / ranking.NAME).stat().st_mtime, UTC) if run.has_scores else None
    except OSError:  # replaced or removed meanwhile
        return None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# ---------------------------------------------------------------- side by side


@dataclass(frozen=True)
class Curves:
    """What a run's history says after each epoch.

    Attributes
    ----------
    name : str
    loss, dice : tuple of (epoch, value)
        Mean training loss; held-out Dice, empty where nothing was held out.
    """

    name: str
    loss: tuple[tuple[int, float], ...]
    dice: tuple[tuple[int, float], ...]


def curves(run: Run) -> Curves:
    """Loss and held-out Dice of a run by epoch."""
    history = run.history()
    loss = tuple((row["epoch"], row["loss"]) for row in history if row["loss"] is not None)
    held_out = (row for row in history if row.get("held_out") and row["val_dice"] is not None)
    return Curves(run.name, loss, tuple((row["epoch"], row["val_dice"]) for row in held_out))


def differing_settings(runs: Sequence[Run]) -> list[tuple[str, tuple[Any, ...]]]:
    """Settings that are not the same in all of the runs: name, and the value in each; '–' for imported runs."""
    found = []
    for run in runs:
        try:
            found.append(asdict(run.settings()))
        except MetaDCSegError:
            found.append({})
    rows = [(field.name, tuple(values.get(field.name, "–") for values in found)) for field in fields(TrainingSettings)]
    return [(name, values) for name, values in rows if len(set(map(repr, values))) > 1]
