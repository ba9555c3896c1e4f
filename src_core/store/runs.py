"""runs/RUN: what the training process leaves, and what others read of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from src_core.config import TrainingSettings
from src_core.data.case import Box
from src_core.data.probabilities import as_probabilities
from src_core.data.scores import ImageScore, Region
from src_core.errors import FormatError, InputError, ProjectDamagedError, storage_errors
from src_core.store import arrays, opinion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo

MAPS = ("trust", "alpha", "beta", "uncertainty", "band", "proposed", "regions", "cleanlab")
"""Maps of a scored image; ``band`` is derived from ``uncertainty``, ``cleanlab`` is there once a second opinion was
asked for, and imported runs have neither ``alpha`` nor ``beta``."""

IMPORTED = "imported"
"""``kind`` in the record of a run whose scores were made elsewhere."""

BAND_ABOVE = 0.5
SCORES = "scores.zarr"
RANKING = "ranking.json"
PROBABILITIES = "probabilities"
_UNREADABLE = (OSError, KeyError, ValueError, RuntimeError)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_run_name(name: str) -> None:
    """Refuse a name that cannot be that of a folder everywhere.

    Raises
    ------
    InputError
        With what was expected.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"Run name {name!r} cannot be used; expected 1 to 64 letters, digits, dots, dashes or underscores."
        )


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

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    @property
    def has_scores(self) -> bool:
        """True when maps and rankings can be read."""
        return (self.path / RANKING).is_file() and (self.path / SCORES).is_dir()

    @property
    def generation(self) -> int:
        """Number of the scores that are there; grows with each scoring; 0 when there are none."""
        return int(self._ranking()["generation"]) if self.has_scores else 0

    def record(self) -> dict[str, Any]:
        """run.json: settings, versions, device, and what the project held.

        Raises
        ------
        ProjectDamagedError
            If it is missing or cannot be read.
        """
        return self._json("run.json")

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
        return TrainingSettings.from_mapping(record["settings"])

    def history(self) -> list[dict[str, Any]]:
        """One row an epoch; a last line that was cut short is left out."""
        path = self.path / "history.jsonl"
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def images(self) -> list[ImageScore]:
        """Images by how suspect they are, worst first."""
        return [ImageScore(**row) for row in self._ranking()["images"]]

    def regions(self) -> list[Region]:
        """Suspect regions, the one that is worth most first."""
        return [
            Region(**{**row, "box": Box(tuple(row["box"]["start"]), tuple(row["box"]["stop"]))})
            for row in self._ranking()["regions"]
        ]

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
            values = self._read(case_id, "uncertainty" if name == "band" else name, box)
        except _UNREADABLE as error:
            again = "metadcseg import-scores" if self.imported else "metadcseg score"
            raise ProjectDamagedError(
                f"Run {self.name} has no {name} map of image {case_id}; make the scores again with '{again}'."
            ) from error
        return values > BAND_ABOVE if name == "band" else values

    def has_map(self, name: str) -> bool:
        """False for a map that no image of the run has."""
        if name in ("alpha", "beta"):
            return not self.imported
        return self.opinion_record() is not None if name == "cleanlab" else name in MAPS

    def read_probabilities(self, case: CaseInfo, classes: int) -> NDArray[np.float32] | None:
        """Probabilities that an imported run keeps of an image, float32, ``(C, H, W)``; None when there are none."""
        try:
            return as_probabilities(self._read(case.id, PROBABILITIES), case.shape, classes, f"Run {self.name}")
        except (*_UNREADABLE, FormatError):
            return None

    def keeps_probabilities(self, case_id: int) -> bool:
        """True for an image whose probabilities an imported run keeps."""
        return (self.path / SCORES / f"cases/{case_id:06d}/{PROBABILITIES}").is_dir()

    def _read(self, case_id: int, stored: str, box: Box | None = None) -> NDArray[Any]:
        array = zarr.open_array(str(self.path / SCORES / f"cases/{case_id:06d}/{stored}"), mode="r")
        return np.asarray(array[... if box is None else box.slices])

    def covers(self, case_id: int) -> bool:
        """False for an image that scores were imported without; True for every image of a trained run."""
        return not self.imported or (self.path / SCORES / f"cases/{case_id:06d}").is_dir()

    def second_opinion(self) -> dict[str, float] | None:
        """What cleanlab says of each region: mean probability in [0, 1] that its label is right, by region id.

        None when it was not asked yet, or has not seen these scores: it belongs to one generation.
        """
        record = self.opinion_record()
        return None if record is None else {row["region"]: float(row["mean"]) for row in record["regions"]}

    def opinion_record(self) -> dict[str, Any] | None:
        """The whole second opinion: its source, each region, and how far it agrees with trust; None as above."""
        return opinion.read_record(self.path, self.generation)

    def _ranking(self) -> dict[str, Any]:
        return self._json(RANKING)

    def _json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ProjectDamagedError(
                f"Run {self.name} is damaged: {path} is missing or cannot be read; train a new run."
            ) from error
        return values


def list_runs(project: Path) -> list[Run]:
    """Runs of a project folder, newest first."""
    folder = project / "runs"
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and (path / "run.json").is_file()]
    return [Run(path) for path in sorted(found, key=lambda path: (_created(path), path.name), reverse=True)]


def _created(path: Path) -> str:
    try:
        return str(json.loads((path / "run.json").read_text(encoding="utf-8")).get("started", ""))
    except (OSError, ValueError, AttributeError):
        return ""


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
            self._group = zarr.open_group(str(self._partial), mode="w", zarr_format=3)

    def write(self, case_id: int, maps: Mapping[str, NDArray[Any]]) -> None:
        """Write the maps of one case.

        Raises
        ------
        StorageError
            If the disk is full; the old scores stay.
        """
        with storage_errors(self._partial, "The scores before are still there."):
            for name, values in maps.items():
                arrays.put(self._group, f"cases/{case_id:06d}/{name}", values)

    def finish(self, images: Sequence[ImageScore], regions: Sequence[Region]) -> int:
        """Put the scores in place, with the rankings.

        Returns
        -------
        int
            Their generation.
        """
        generation = self._run.generation + 1 if self._run.has_scores else 1
        record = {
            "generation": generation,
            "images": [asdict(image) for image in sorted(images, key=lambda image: -image.score)],
            "regions": [asdict(region) for region in sorted(regions, key=lambda region: -region.score)],
        }
        target, old = self._run.path / SCORES, self._run.path / (SCORES + ".old")
        with storage_errors(target, "The scores before are still there."):
            ranking = self._run.path / (RANKING + ".partial")
            with ranking.open("w", encoding="utf-8") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            shutil.rmtree(old, ignore_errors=True)
            if target.exists():
                target.rename(old)
            self._partial.rename(target)
            ranking.replace(self._run.path / RANKING)
            shutil.rmtree(old, ignore_errors=True)
        return generation

    def abandon(self) -> None:
        """Throw away what was written; the old scores stay."""
        arrays.discard(self._partial)
