"""Which run the proposals come from: the newest, unless it is worse on verified pixels or a person chose another.

``runs/reviewed.json`` is the person's word, written by the session that may write the project. ``compared.json`` in a
run is what the process that scored it found: how it does on held-out verified pixels against the run that was reviewed
then.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from src_core.errors import InputError, ProjectReadOnlyError
from src_core.store.reading import number_of, read_object, text_of, whole_of
from src_core.store.run_files import write_about

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from src_core.store.project import Project
    from src_core.store.runs import Run

REVIEWED = "reviewed.json"
COMPARED = "compared.json"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs on the same verified pixels, none of which either has learned from.

    Attributes
    ----------
    run, than : str
        Names; ``than`` is the one that was reviewed before.
    generation, than_generation : int
        Of their scores.
    dice, than_dice : float
        Mean Dice of the foreground classes, in [0, 1].
    images, pixels : int
        What it rests on.
    worse : bool
        ``run`` is so much worse that it does not take the place of ``than`` unasked.
    """

    run: str
    than: str
    generation: int
    than_generation: int
    dice: float
    than_dice: float
    images: int
    pixels: int
    worse: bool

    def sentence(self) -> str:
        """The finding, in words."""
        sign = "<" if self.dice < self.than_dice else ">" if self.dice > self.than_dice else "="
        word = "worse" if self.worse else "better" if self.dice > self.than_dice else "about as good"
        return (
            f"{self.run} is {word} on your verified pixels ({self.dice:.3f} {sign} {self.than_dice:.3f} Dice on "
            f"{self.images} images that neither had learned from)"
        )


@dataclass(frozen=True)
class Choice:
    """What is reviewed.

    Attributes
    ----------
    run : Run or None
        None when no run has scores.
    held_back : Comparison or None
        Why the newest run is not the one.
    """

    run: Run | None
    held_back: Comparison | None = None


def choose(project: Path, runs: Sequence[Run]) -> Choice:
    """The run whose scores are reviewed.

    From the run that the person chose, or else the oldest, each newer one takes over unless its comparison with the one
    before says that it is worse.

    Parameters
    ----------
    project : Path
    runs : sequence of Run
        Newest first.
    """
    scored = [run for run in reversed(runs) if run.has_scores]
    wanted, known = _read_choice(project)
    current = _named(scored, wanted)
    if current is None:
        known = {}
    held_back: Comparison | None = None
    for run in scored:
        if run is current or (run.name in known and known[run.name] == run.started):
            continue
        found = None if current is None else read_comparison(run)
        if found is not None and current is not None and found.worse and found.than in current.names:
            held_back = found
            continue
        current, held_back = run, None
    return Choice(current, held_back)


def _named(runs: Sequence[Run], name: str) -> Run | None:
    by_name = next((run for run in runs if run.name == name), None)
    return by_name or next((run for run in runs if name in run.names), None)


def _read_choice(project: Path) -> tuple[str, dict[str, str]]:
    try:
        values = read_object(project / "runs" / REVIEWED)
    except (OSError, ValueError):
        return "", {}
    known = values.get("known")
    return text_of(values, "run"), known if isinstance(known, dict) else {}


def use_run(project: Project, run: Run) -> None:
    """Review a run's scores from now on, until a newer one comes that is not worse.

    Raises
    ------
    InputError
        If it has no scores.
    ProjectReadOnlyError, StorageError
    """
    if not project.writable:
        raise ProjectReadOnlyError(f"Project {project.name} is open read-only, so another run cannot be chosen.")
    if not run.has_scores:
        raise InputError(f"Run {run.name} has no scores yet; make them with 'metadcseg score --run {run.name}'.")
    known = {each.name: each.started for each in project.runs() if each.has_scores}
    write_about(project.path / "runs", REVIEWED, {"run": run.name, "known": known})


def write_comparison(run: Run, comparison: Comparison | None) -> None:
    """Keep with a run what was found; None takes an older finding away."""
    if comparison is None:
        (run.path / COMPARED).unlink(missing_ok=True)
    else:
        write_about(run.path, COMPARED, asdict(comparison))


def read_comparison(run: Run) -> Comparison | None:
    """What was found when these scores were made; None when nothing was, or it cannot be read."""
    try:
        values = read_object(run.path / COMPARED)
    except (OSError, ValueError):
        return None
    names = [field.name for field in fields(Comparison)]
    checked = {
        name: text_of(values, name) or None
        if name in ("run", "than")
        else number_of(values, name)
        if name.endswith("dice")
        else whole_of(values, name)
        for name in names[:-1]
    }
    worse = values.get("worse")
    if None in checked.values() or not isinstance(worse, bool) or checked["generation"] != run.maps_generation:
        return None
    return Comparison(**checked, worse=worse)  # type: ignore[arg-type]
