"""A run whose scores were made elsewhere, to be reviewed like one that was trained here. Never torch.

Trust is the probability of the label (cleanlab calls it self-confidence), calibrated on verified pixels where there are
enough of them; uncertainty is the normalised entropy; the proposal is the likeliest class. Weights in training (alpha,
beta) have no meaning here and are left out.
"""

from __future__ import annotations

import json
import platform
import secrets
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from src_core import __version__
from src_core.data.case import IGNORE, is_verified
from src_core.data.probabilities import packed
from src_core.errors import InputError, PairingError, ProjectLockedError, storage_errors
from src_core.infer.import_inputs import NOTHING, Inputs, Sources
from src_core.meta.calibration import earned_trust_scale
from src_core.review.regions import find_regions, image_score
from src_core.store import arrays
from src_core.store.durable import put
from src_core.store.names import check_run_name
from src_core.store.project import Project
from src_core.store.runs import IMPORTED, PROBABILITIES, ScoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.data.scores import ImageScore, Region
    from src_core.infer.import_inputs import Given
    from src_core.io.score_files import ScoreSource
    from src_core.meta.calibration import TrustScale
    from src_core.store.runs import Run

DEFAULT_NAME = "imported"
PER_IMAGE = 4000
"""So many verified pixels of an image, or up to twice as many, calibrate trust; they are evenly taken."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What came of an import.

    Attributes
    ----------
    run : str
    generation : int
    images : int
        That have scores now.
    missing : tuple of str
        Images that nothing was handed in for.
    unknown : tuple of str
        Names that were handed in and no image has.
    regions : int
        To look at.
    calibrated : bool
        True when trust could be calibrated on verified pixels.
    """

    run: str
    generation: int
    images: int
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    regions: int
    calibrated: bool

    def words(self) -> str:
        """The same for a person, a line each."""
        lines = [
            f"Imported scores of {_count(self.images, 'image')} into run {self.run}, generation {self.generation}: "
            f"{_count(self.regions, 'region')} to look at.",
            "Trust is calibrated on verified pixels."
            if self.calibrated
            else "Trust is as it was handed in: too few verified pixels have a wrong label to calibrate it on, or that "
            "did not help.",
        ]
        for names, end in ((self.missing, "without scores"), (self.unknown, "handed in that no image has")):
            if names:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                lines.append(f"{len(names)} {end}: {', '.join(names[:5])}{more}.")
        return "\n".join(lines)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def import_scores(
    project_path: str | Path,
    *,
    probabilities: ScoreSource | None = None,
    trust: ScoreSource | None = None,
    uncertainty: ScoreSource | None = None,
    proposed: str | Path | None = None,
    run: str = DEFAULT_NAME,
    allow_missing: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Make a run of scores that were made elsewhere, or give one new scores. Decisions stay as they are.

    Everything is looked at before anything is written; the project itself is only read.

    Parameters
    ----------
    project_path : path
    probabilities, trust, uncertainty, proposed
        See :class:`~src_core.infer.import_inputs.Sources`; probabilities or trust must be there.
    run : str
        A new name, or that of a run that was imported before: its scores are replaced, as a new generation.
    allow_missing : bool
        Images that nothing is handed in for get no scores, or keep the probabilities that the run has of them.
    progress : callable, optional
        Called with steps done and steps in all.

    Raises
    ------
    InputError
        One message with everything that is wrong; nothing was imported then.
    """
    sources = Sources(probabilities=probabilities, trust=trust, uncertainty=uncertainty, proposed=proposed)
    with Project.open(project_path) as project:
        before = _earlier(project, run)
        kept = before if allow_missing and trust is None else None
        inputs = Inputs(project, sources, kept)
        steps = _Steps(2 * len(project.cases), progress)
        examples = _look(project, inputs, steps, allow_missing=allow_missing)
        scale = None if examples is None else earned_trust_scale(*examples)
        missing = tuple(case.name for case in inputs.missing(project.cases))
        with _place(project, run, before) as folder:
            images, regions, generation = _write(project, inputs, scale, folder, run, steps)
            _write_record(project, folder, run, sources, scale, images)
        return Imported(
            run=run,
            generation=generation,
            images=images,
            missing=missing,
            unknown=inputs.unknown,
            regions=regions,
            calibrated=scale is not None,
        )


class _Steps:
    """Counts what is done."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._total, self._progress, self._done = total, progress, 0

    def one(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


# ---------------------------------------------------------------- the place of the run


def _earlier(project: Project, name: str) -> Run | None:
    """The imported run of this name; None when the name is free."""
    check_run_name(name)
    found = next((run for run in project.runs() if run.name == name), None)
    if found is not None and found.imported:
        return found
    if found is not None or (project.path / "runs" / name).exists():
        raise InputError(f"Run {name!r} was trained here; choose another name for scores that are imported.")
    return None


@contextmanager
def _place(project: Project, name: str, before: Run | None) -> Iterator[Path]:
    """A folder to write the run to; a new one takes its place when everything is in it."""
    if before is not None:
        try:
            with FileLock(before.path / "lock", timeout=0):
                yield before.path
        except Timeout as error:
            raise ProjectLockedError(
                f"Scores are being imported into run {name} by another process; wait for it, or choose another name."
            ) from error
        return
    target = project.path / "runs" / name
    staging = target.with_name(f".{name}.{secrets.token_hex(4)}.partial")
    try:
        with storage_errors(target, "Nothing was imported."):
            staging.mkdir(parents=True)
            yield staging
            staging.rename(target)
    except BaseException:
        arrays.discard(staging)
        raise


# ---------------------------------------------------------------- first pass: looking


def _look(
    project: Project, inputs: Inputs, steps: _Steps, *, allow_missing: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.intp]] | None:
    """Check every file, and collect what verified pixels say of trust: how much, rightly so, in which image."""
    problems = [] if allow_missing and inputs.fits(project.cases) else inputs.lacking(project.cases)
    found = []
    for case in project.cases:
        try:
            given = inputs.read(case)
        except PairingError as error:
            problems += error.problems
        else:
            if given is not None:
                found.append(_examples(project, case, given))
        steps.one()
    problems += inputs.range_problems()
    if problems:
        raise PairingError(problems, NOTHING)
    trust, right, image = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return trust, right, image


def _examples(
    project: Project, case: CaseInfo, given: Given
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.intp]]:
    label, verified = project.read_labels(case)
    drawn = project.read_given(case)
    known = np.flatnonzero(is_verified(verified) & (label != IGNORE) & (drawn != IGNORE))
    chosen = known[:: max(1, len(known) // PER_IMAGE)]
    trust = given.trust_in(drawn, drawn).ravel()[chosen]
    return trust, (label == drawn).ravel()[chosen], np.full(len(chosen), case.id)


# ---------------------------------------------------------------- second pass: writing


def _write(
    project: Project, inputs: Inputs, scale: TrustScale | None, folder: Path, name: str, steps: _Steps
) -> tuple[int, int, int]:
    """Write maps and rankings; how many images and regions, and the generation."""
    writer = ScoreWriter(folder, name)
    images: list[ImageScore] = []
    regions: list[Region] = []
    try:
        for case in project.cases:
            given = inputs.read(case)
            if given is not None:
                found, quality = _score_case(project, case, given, scale, writer)
                regions += found
                images.append(quality)
            steps.one()
        return len(images), len(regions), writer.finish(images, regions)
    except BaseException:
        writer.abandon()
        raise


def _score_case(
    project: Project, case: CaseInfo, given: Given, scale: TrustScale | None, writer: ScoreWriter
) -> tuple[list[Region], ImageScore]:
    label, verified = project.read_labels(case)
    drawn = project.read_given(case)
    decided = is_verified(verified) & (label != IGNORE)
    believed = given.trust_in(label, drawn)
    if scale is not None:
        believed = np.where(label == IGNORE, 0, scale(believed)).astype(np.float32)
    maps: dict[str, Any] = {
        "trust": np.where(decided, 1, believed).astype(np.float32),
        "label": label,
        "proposed": np.where(decided, label, given.proposal(label, drawn)).astype(np.uint8),
        "verified": verified,
    }
    uncertainty = given.doubt()
    regions, numbers = find_regions(case, uncertainty=uncertainty, **maps)
    stored: dict[str, NDArray[Any]] = {
        "trust": maps["trust"],
        "uncertainty": uncertainty,
        "proposed": maps["proposed"],
        "regions": numbers,
    }
    if given.probabilities_CX is not None:
        stored[PROBABILITIES] = packed(given.probabilities_CX)
    writer.write(case.id, stored)
    return regions, image_score(case, **maps)


def _write_record(
    project: Project, folder: Path, name: str, sources: Sources, scale: TrustScale | None, images: int
) -> None:
    record = {
        "run": name,
        "kind": IMPORTED,
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "source": sources.words(),
        "sources": sources.places(),
        "images": images,
        "trust_scale": None if scale is None else asdict(scale),
        "project": {
            "images": len(project.cases),
            "classes": [info.name for info in project.classes],
            "version": list(project.version()),
        },
        "versions": {"napari-metadcseg": __version__, "python": platform.python_version()},
    }
    with storage_errors(folder, "Nothing was imported."):
        put(folder / "run.json", json.dumps(record, indent=2))
