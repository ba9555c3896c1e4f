"""What somebody hands in to be imported: opened, checked, and read one image at a time. Never torch.

Shape suffixes: C classes, X the space axes of the image (H, W) or volume (Z, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.case import IGNORE
from src_core.data.probabilities import Whole, as_map, as_probabilities, normalised_entropy, probability_of
from src_core.errors import FormatError, InputError, MaskValueError, PairingError
from src_core.io.pairs import files_by_stem
from src_core.io.score_files import open_scores
from src_core.io.sources import read_label_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.io.score_files import ScoreFiles, ScoreSource
    from src_core.store.project import Project
    from src_core.store.runs import Run

NOTHING = "nothing was imported"
MAX_NAMES = 20
"""More names than this are counted, not listed."""

FLOATS = ("probabilities", "trust", "uncertainty")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where everything is, each a path or arrays by image name (see :func:`~src_core.io.score_files.open_scores`).

    Attributes
    ----------
    probabilities : path or mapping, optional
        Of all classes, or of the foreground of two.
    trust : path or mapping, optional
        Probability that the given mask is right at each pixel; without it the probability of its label.
    uncertainty : path or mapping, optional
        In [0, 1]; without it the normalised entropy.
    proposed : path, optional
        Folder of masks with the values of the project's; without it the likeliest class.
    """

    probabilities: ScoreSource | None = None
    trust: ScoreSource | None = None
    uncertainty: ScoreSource | None = None
    proposed: str | Path | None = None

    def places(self) -> dict[str, str]:
        """What was handed in, and its absolute path; ``open layers`` for arrays."""
        there = {name: value for name, value in vars(self).items() if value is not None}
        return {
            name: "open layers" if isinstance(value, Mapping) else str(Path(value).expanduser().resolve())
            for name, value in there.items()
        }

    def words(self) -> str:
        """The same in short, for people."""
        return ", ".join(f"{name} in {Path(place).name}" for name, place in self.places().items())


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was handed in for one image, checked.

    Attributes
    ----------
    probabilities_CX : array, float32, optional
    trust_X : array, float32, optional
        In the mask as it was given to the project.
    uncertainty_X : array, float32, optional
    proposed_X : array, uint8, optional
        Class index; 255 where nothing is proposed.
    """

    probabilities_CX: NDArray[np.float32] | None = None
    trust_X: NDArray[np.float32] | None = None
    uncertainty_X: NDArray[np.float32] | None = None
    proposed_X: NDArray[np.uint8] | None = None

    def trust_in(self, label_X: NDArray[np.uint8], drawn_X: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability that a label is right, ``(X)``, in [0, 1]; 0 where there is none.

        That of the label itself: a margin between classes orders pixels alike where there are two of them, but is no
        share of right labels, which trust means here and is calibrated to be. Trust that was handed in is about the
        mask as it was given, ``drawn_X``; where a person has painted another label since, at most the rest is left.
        """
        if self.trust_X is None:
            assert self.probabilities_CX is not None
            return probability_of(self.probabilities_CX, label_X)
        believed = np.where(label_X == drawn_X, self.trust_X, 1 - self.trust_X)
        return np.where(label_X == IGNORE, 0, believed).astype(np.float32)

    def proposal(self, label_X: NDArray[np.uint8], drawn_X: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The class that is proposed at each pixel.

        That of the mask handed in, else the likeliest one; with trust alone, of two classes, the other one where trust
        is below 1/2.
        """
        if self.proposed_X is not None:
            return np.where(self.proposed_X == IGNORE, label_X, self.proposed_X).astype(np.uint8)
        if self.probabilities_CX is not None:
            likeliest: NDArray[np.uint8] = self.probabilities_CX.argmax(axis=0).astype(np.uint8)
            return likeliest
        assert self.trust_X is not None
        flipped = np.where(self.trust_X < 0.5, 1 - (drawn_X > 0), drawn_X)
        return np.where(drawn_X == IGNORE, IGNORE, flipped).astype(np.uint8)

    def doubt(self) -> NDArray[np.float32]:
        """Uncertainty of each pixel, ``(X)``, in [0, 1], whatever its label."""
        if self.uncertainty_X is not None:
            return self.uncertainty_X
        if self.probabilities_CX is not None:
            return normalised_entropy(self.probabilities_CX)
        assert self.trust_X is not None
        return normalised_entropy(np.stack([self.trust_X, 1 - self.trust_X]))


class Inputs:
    """Everything that was handed in for a project.

    Parameters
    ----------
    project : Project
    sources : Sources
    kept : Run, optional
        An earlier import; its probabilities stand in for images that there is nothing new of.

    Attributes
    ----------
    unknown : tuple of str
        Names of files that no image of the project has.

    Raises
    ------
    InputError
        If there is nothing to go by, or a path holds nothing.
    """

    def __init__(self, project: Project, sources: Sources, kept: Run | None = None) -> None:
        self._classes = project.classes
        self._kept = kept
        self._whole = {name: Whole() for name in FLOATS}
        self._files: dict[str, ScoreFiles] = {}
        self._masks: dict[str, Path] = {}
        self._check(sources)
        self._open(sources)
        self._stored = {case.id for case in project.cases if kept is not None and kept.keeps_probabilities(case.id)}
        names = {case.name for case in project.cases}
        self.unknown = tuple(sorted({name for files in self._files.values() for name in files.names} - names))

    def _check(self, sources: Sources) -> None:
        if sources.probabilities is None and sources.trust is None:
            raise InputError("There is nothing to import; give a folder of probabilities or one of trust maps.")
        if sources.probabilities is None and sources.proposed is None and len(self._classes) > 2:
            raise InputError(
                f"Trust alone does not say which of {len(self._classes)} classes would be right; give a folder of "
                "proposed masks, too, or probabilities."
            )

    def _open(self, sources: Sources) -> None:
        """Open everything there is, and say at once all that is not there."""
        problems: list[str] = []
        for name in FLOATS:
            source = getattr(sources, name)
            if source is not None:
                try:
                    self._files[name] = open_scores(source, _words(name))
                except InputError as error:
                    problems.append(str(error))
        if sources.proposed is not None:
            folder = Path(sources.proposed).expanduser()
            self._masks = files_by_stem(folder, "proposed masks", problems)
        if problems:
            raise PairingError(problems, NOTHING)

    # ---------------------------------------------------------------- what is missing

    def missing(self, cases: Iterable[CaseInfo]) -> list[CaseInfo]:
        """Images that nothing can be said of."""
        return [case for case in cases if not self._has(case)]

    def fits(self, cases: Iterable[CaseInfo]) -> bool:
        """True when something new is handed in for one image at least."""
        new = {*self._names("probabilities"), *self._names("trust")}
        return any(case.name in new for case in cases)

    def _has(self, case: CaseInfo) -> bool:
        if case.name in self._names("probabilities") or case.id in self._stored:
            return True
        return case.name in self._names("trust") and (len(self._classes) == 2 or case.name in self._masks)

    def _names(self, name: str) -> Iterable[str]:
        return self._files[name].names if name in self._files else ()

    def lacking(self, cases: tuple[CaseInfo, ...]) -> list[str]:
        """One sentence for each kind of file that some images have not."""
        kinds = {name: set(files.names) for name, files in self._files.items()}
        if self._masks:
            kinds["proposed"] = set(self._masks)
        found = []
        for name, there in kinds.items():
            absent = [case.name for case in cases if case.name not in there]
            if len(absent) == len(cases):
                found.append(
                    f"No image of the project has a file among the {_words(name)}: the images are called "
                    f"{_listed([case.name for case in cases[:3]])}, the files {_listed(sorted(there)[:3])}; expected "
                    "equal names (the ending may differ)."
                )
            elif absent:
                found.append(
                    f"{_count(len(absent), 'image')} without a file among the {_words(name)}: {_listed(absent)}; add "
                    "what is missing, or allow that images are left out."
                )
        return found

    # ---------------------------------------------------------------- reading

    def read(self, case: CaseInfo) -> Given | None:
        """What there is of an image; None when there is nothing.

        Raises
        ------
        PairingError
            With everything that is wrong with its files.
        """
        if not self._has(case):
            return None
        parts: dict[str, Any] = {}
        problems: list[str] = []
        for field, read in self._readers(case):
            try:
                parts[field] = read()
            except (FormatError, MaskValueError) as error:
                problems.append(str(error))
        if problems:
            raise PairingError(problems, NOTHING)
        return Given(**parts)

    def _readers(self, case: CaseInfo) -> list[tuple[str, Callable[[], Any]]]:
        """What of an image can be read, by the field it becomes."""
        found: list[tuple[str, Callable[[], Any]]] = []
        if case.name in self._names("probabilities"):
            found.append(("probabilities_CX", lambda: self._probabilities(case)))
        elif case.id in self._stored:
            found.append(("probabilities_CX", lambda: self._kept_probabilities(case)))
        if case.name in self._names("trust"):
            found.append(("trust_X", lambda: self._map(case, "trust")))
        if case.name in self._names("uncertainty"):
            found.append(("uncertainty_X", lambda: self._map(case, "uncertainty")))
        if case.name in self._masks:
            found.append(("proposed_X", lambda: self._mask(case)))
        return found

    def _kept_probabilities(self, case: CaseInfo) -> NDArray[np.float32] | None:
        return None if self._kept is None else self._kept.read_probabilities(case, len(self._classes))

    def _raw(self, case: CaseInfo, name: str) -> tuple[NDArray[Any], str]:
        files = self._files[name]
        values = files.read(case.name, case)
        self._whole[name].note(values)
        return values, files.where(case.name)

    def _probabilities(self, case: CaseInfo) -> NDArray[np.float32]:
        values, where = self._raw(case, "probabilities")
        return as_probabilities(values, case.shape, len(self._classes), where)

    def _map(self, case: CaseInfo, name: str) -> NDArray[np.float32]:
        values, where = self._raw(case, name)
        return as_map(values, case.shape, where)

    def _mask(self, case: CaseInfo) -> NDArray[np.uint8]:
        path = self._masks[case.name]
        return read_label_of(path, case, self._classes)

    def range_problems(self) -> list[str]:
        """What looks wrong over all files that were read together."""
        return [problem for name, whole in self._whole.items() for problem in whole.problems(_words(name))]


def _words(name: str) -> str:
    return {"trust": "trust maps", "uncertainty": "uncertainty maps", "proposed": "proposed masks"}.get(name, name)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s are' if number > 1 else ' is'}"


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
