"""runs/RUN: what the training process leaves, and what others read of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from src_core.data.probabilities import as_probabilities
from src_core.errors import FormatError, InputError, ProjectDamagedError, storage_errors
from src_core.store import arrays, chunks, display, opinion, ranking
from src_core.store.durable import sync_file, sync_tree
from src_core.store.reading import read_object, text_of, whole_of
from src_core.store.run_record import read_history, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from src_core.config import TrainingSettings
    from src_core.data.case import Box, CaseInfo
    from src_core.data.scores import ImageScore, Region

MAPS = ("trust", "alpha", "beta", "uncertainty", "band", "proposed", "regions", "cleanlab")
"""Maps of a scored image; ``band`` is derived from ``uncertainty``, ``cleanlab`` is there once a second opinion was
asked for, and imported runs have neither ``alpha`` nor ``beta``."""

IMPORTED = "imported"
"""``kind`` in the record of a run whose scores were made elsewhere."""

BAND_ABOVE = 0.5
RECORD = "run.json"
HISTORY = "history.jsonl"
ABOUT = "about.json"
LOCK = "lock"
SCORES = "scores.zarr"
OLD_SCORES = "scores.zarr.old"
GENERATION = "generation"
MADE_BY = "made_by"
PROBABILITIES = "probabilities"
HELD_OUT = "held_out"
"""Map of a case's labels by a network of the run that has not learned its verified ones; attribute of its group."""

_ATTEMPTS = 3  # maps may be exchanged for newer ones between finding and reading them
_UNREADABLE = (OSError, ValueError, MemoryError)


def not_trained(name: str, source: str) -> InputError:
    """The error for what needs a model, asked of a run that has none."""
    return InputError(
        f"The scores of run {name} were imported ({source}), so it has no model and no settings; train a run of its "
        "own with 'metadcseg train', or name another run."
    )


class Run:
    """A training run of a project.

    Attributes
    ----------
    name : str
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._read: tuple[tuple[int, int, int], ranking.Ranking] | None = None

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    @property
    def has_scores(self) -> bool:
        """True when maps and rankings can be read."""
        return (self.path / ranking.NAME).is_file() and any(
            (self.path / name).is_dir() for name in (SCORES, OLD_SCORES)
        )

    @property
    def maps_generation(self) -> int:
        """Number of the scores as the maps themselves tell it, without reading the ranking; 0 in older runs."""
        return whole_of(self._attributes(self.path / SCORES), GENERATION) or 0

    @property
    def generation(self) -> int:
        """Number of the scores that are there; grows with each scoring; 0 when there are none."""
        return self._ranking().generation if self.has_scores else 0

    def record(self) -> dict[str, Any]:
        """run.json: settings, versions, device, and what the project held.

        Raises
        ------
        ProjectDamagedError
            If it is missing or cannot be read.
        """
        path = self.path / RECORD
        try:
            return read_object(path)
        except (OSError, ValueError) as error:
            raise ProjectDamagedError(
                f"Run {self.name} is damaged: {path} is missing or cannot be read ({error}); delete the run, or train "
                "a new one."
            ) from error

    @property
    def started(self) -> str:
        """When it was started, ISO 8601; empty when its record does not say."""
        try:
            return text_of(self.record(), "started")
        except ProjectDamagedError:
            return ""

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and those that it had before it was renamed."""
        try:
            formerly = read_object(self.path / ABOUT).get("formerly")
        except (OSError, ValueError):
            formerly = None
        return (
            self.name,
            *(name for name in (formerly if isinstance(formerly, list) else []) if isinstance(name, str)),
        )

    @property
    def imported(self) -> bool:
        """True when the scores were made elsewhere: there are no settings, no network and no history."""
        try:
            return self.record().get("kind") == IMPORTED
        except ProjectDamagedError:
            return False

    @property
    def source(self) -> str:
        """Where the scores of an imported run come from, in words; empty for a trained run."""
        return str(self.record().get("source", ""))

    def settings(self) -> TrainingSettings:
        """Settings that the run was trained with.

        Raises
        ------
        InputError
            If it was imported.
        """
        record = self.record()
        if record.get("kind") == IMPORTED:
            raise not_trained(self.name, self.source)
        return settings_of(record, f"Run {self.name}")

    def history(self) -> list[dict[str, Any]]:
        """One row an epoch: ``epoch`` a whole number, ``loss`` and ``val_dice`` finite numbers or None.

        What follows a row that is damaged or was cut short is left out.
        """
        return read_history(self.path / HISTORY)

    def images(self) -> list[ImageScore]:
        """Images by how suspect they are, worst first."""
        return list(self._ranking().images)

    def regions(self) -> list[Region]:
        """Suspect regions, the one that is worth most first."""
        return list(self._ranking().regions)

    def read_map(self, case_id: int, name: str, box: Box | None = None) -> NDArray[Any]:
        """One map of an image, at the image's size, or a box of it.

        Parameters
        ----------
        case_id : int
        name : str
            ``trust``, ``alpha``, ``beta``, ``uncertainty``, ``cleanlab``: float32 in [0, 1]; ``band``: bool;
            ``proposed``: uint8 class index; ``regions``: int32, 0 or a region's number.
        box : Box, optional

        Raises
        ------
        InputError
            For another name.
        ProjectDamagedError
            If the image has no scores, or they cannot be read.
        """
        if name not in MAPS:
            raise InputError(f"There is no map {name!r}; expected one of {', '.join(MAPS)}.")
        if name == "cleanlab":
            return opinion.read_map(self.path, case_id, self.generation, box)
        try:
            values = self._read_stored(case_id, "uncertainty" if name == "band" else name, box)
        except _UNREADABLE as error:
            again = "metadcseg import-scores" if self.imported else "metadcseg score"
            raise ProjectDamagedError(
                f"Run {self.name} has no {name} map of image {case_id}; make the scores again with '{again}'."
            ) from error
        return values > BAND_ABOVE if name == "band" else values

    def _read_stored(self, case_id: int, name: str, box: Box | None = None) -> NDArray[Any]:
        for attempt in range(_ATTEMPTS):
            try:
                return chunks.ChunkedArray(self.case_folder(case_id) / name).read(box)
            except _UNREADABLE:
                if attempt + 1 == _ATTEMPTS:
                    raise
        raise AssertionError

    def has_map(self, name: str) -> bool:
        """False for a map that no image of the run has."""
        if name in ("alpha", "beta"):
            return not self.imported
        return self.opinion_record() is not None if name == "cleanlab" else name in MAPS

    def read_probabilities(self, case: CaseInfo, classes: int) -> NDArray[np.float32] | None:
        """Probabilities that an imported run keeps of an image, float32, ``(C, H, W)``; None when there are none."""
        try:
            return as_probabilities(self._read_stored(case.id, PROBABILITIES), case.shape, classes, f"Run {self.name}")
        except (*_UNREADABLE, FormatError):
            return None

    def keeps_probabilities(self, case_id: int) -> bool:
        """True for an image whose probabilities an imported run keeps."""
        return (self.case_folder(case_id) / PROBABILITIES).is_dir()

    def covers(self, case_id: int) -> bool:
        """True for an image that there are scores of; False for one that was added, or handed in none, since."""
        return self.has_scores and case_id in self._ranking().covered

    def made_by(self) -> dict[str, Any]:
        """What its maps say of the model that made them (:mod:`src_core.store.score_update`); empty in older runs."""
        found = self._attributes(self._scores()).get(MADE_BY)
        return found if isinstance(found, dict) else {}

    def case_folder(self, case_id: int) -> Path:
        """Where the maps of an image are."""
        return self._scores() / f"cases/{case_id:06d}"

    def second_opinion(self) -> dict[str, float] | None:
        """What cleanlab says of each region: mean probability in [0, 1] that its label is right, by region id.

        None when it was not asked yet, or has not seen these scores: it belongs to one generation.
        """
        record = self.opinion_record()
        return None if record is None else {row["region"]: float(row["mean"]) for row in record["regions"]}

    def opinion_record(self) -> dict[str, Any] | None:
        """The whole second opinion: its source, each region, and how far it agrees with trust; None as above."""
        return opinion.read_record(self.path, self.generation)

    def _scores(self) -> Path:
        """The folder of the maps that the ranking is of: while they are exchanged, or after a kill then, there are two.

        Older runs do not say of which generation their maps are.
        """
        for name in (SCORES, OLD_SCORES):
            if self._attributes(self.path / name).get(GENERATION, self.generation) == self.generation:
                return self.path / name
        return self.path / SCORES

    @staticmethod
    def _attributes(group: Path) -> dict[str, Any]:
        """What a group of arrays says of itself; a generation that fits nothing when it cannot be read."""
        try:
            attributes = read_object(group / chunks.METADATA).get("attributes", {})
        except (OSError, ValueError):
            return {GENERATION: -1}
        return attributes if isinstance(attributes, dict) else {}

    def held_out_by(self, case_id: int) -> str:
        """Which map of a case is by a network that had not learned its verified labels; empty when none is.

        ``held_out`` is by a helper that held the case out, ``proposed`` by the network itself when nothing of the case
        was verified before it was scored.
        """
        return text_of(self._attributes(self.case_folder(case_id)), HELD_OUT)

    def read_held_out(self, case_id: int, box: Box | None = None) -> NDArray[np.uint8]:
        """The labels of that map, uint8 class index, at the image's size, or those of a box.

        Raises
        ------
        ProjectDamagedError
            If they cannot be read.
        """
        try:
            values: NDArray[np.uint8] = self._read_stored(case_id, self.held_out_by(case_id) or HELD_OUT, box)
        except _UNREADABLE as error:
            raise ProjectDamagedError(
                f"Run {self.name} has no labels of held-out image {case_id}; make the scores again with 'metadcseg "
                "score'."
            ) from error
        return values

    def maps_are_current(self) -> bool:
        """True when the maps in ``scores.zarr`` are those that the ranking is of."""
        return self.has_scores and self._scores().name == SCORES

    def _ranking(self) -> ranking.Ranking:
        """The ranking; read again only when it was replaced."""
        path = self.path / ranking.NAME
        try:
            found = path.stat()
            key = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            key = (0, 0, 0)
        if self._read is None or self._read[0] != key or not any(key):
            self._read = (key, ranking.read(path))
        return self._read[1]


class ScoreWriter:
    """Writes scores beside the old ones and puts them in their place when complete.

    Parameters
    ----------
    run_path : Path
    run_name : str
        For messages.
    """

    def __init__(self, run_path: Path, run_name: str) -> None:
        self._run = Run(run_path)
        self._name = run_name
        self._partial = run_path / (SCORES + ".partial")
        with storage_errors(self._partial, "The scores before are still there."):
            shutil.rmtree(self._partial, ignore_errors=True)
            self._generation = self._run.generation + 1 if self._run.has_scores else 1
            chunks.write_group(self._partial, {GENERATION: self._generation})
            chunks.write_group(self._partial / "cases")

    def write(self, case_id: int, maps: Mapping[str, NDArray[Any]], held_out: str = "") -> None:
        """Write the maps of one case; ``held_out`` is what :meth:`Run.held_out_by` tells of them.

        Raises
        ------
        StorageError
            If the disk is full; the old scores stay.
        """
        folder = self._partial / f"cases/{case_id:06d}"
        with storage_errors(self._partial, "The scores before are still there."):
            chunks.write_group(folder, {HELD_OUT: held_out} if held_out else None)
            for name, values in maps.items():
                chunks.write_array(folder / name, values)

    def start(
        self,
        case_id: int,
        kinds: Mapping[str, tuple[tuple[int, ...], Any]],
        held_out: str = "",
        *,
        complete: bool = True,
    ) -> dict[str, chunks.ChunkedArray]:
        """Begin the maps of a case, by name with shape and dtype, to be written box by box.

        ``held_out`` as of :meth:`write`, ``complete`` as of :func:`~src_core.store.chunks.new_array`.
        """
        folder = self._partial / f"cases/{case_id:06d}"
        with storage_errors(self._partial, "The scores before are still there."):
            chunks.write_group(folder, {HELD_OUT: held_out} if held_out else None)
            return {name: chunks.new_array(folder / name, *kind, complete=complete) for name, kind in kinds.items()}

    def finish(self, images: Sequence[ImageScore], regions: Sequence[Region]) -> int:
        """Put the scores in place, with the rankings.

        The ranking names the generation of the maps that it is of, so at no moment are maps and ranking of different
        scorings taken for each other.

        Returns
        -------
        int
            Their generation.
        """
        record = ranking.Ranking(
            generation=self._generation,
            images=tuple(sorted(images, key=lambda image: -image.score)),
            regions=tuple(sorted(regions, key=lambda region: region.rank)),
        )
        target, old = self._run.path / SCORES, self._run.path / OLD_SCORES
        with storage_errors(target, "The scores before are still there."):
            partial = self._run.path / (ranking.NAME + ".partial")
            ranking.write(partial, record)
            display.write_maps(self._partial)
            sync_tree(self._partial)
            if target.exists() and self._run.maps_are_current():
                shutil.rmtree(old, ignore_errors=True)
                target.rename(old)
            elif target.exists():  # left by a scoring that was cut short; the ones to keep are the old ones
                shutil.rmtree(target)
            self._partial.rename(target)
            partial.replace(self._run.path / ranking.NAME)
            sync_file(self._run.path)
            shutil.rmtree(old, ignore_errors=True)
        return self._generation

    def abandon(self) -> None:
        """Throw away what was written; the old scores stay."""
        arrays.discard(self._partial)
