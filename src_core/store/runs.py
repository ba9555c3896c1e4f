"""runs/RUN: what the training process leaves, and what others read of it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from src_core.config import TrainingSettings
from src_core.data.case import Box
from src_core.data.scores import ImageScore, Region
from src_core.errors import InputError, ProjectDamagedError, storage_errors
from src_core.store import arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MAPS = ("trust", "alpha", "beta", "uncertainty", "band", "proposed", "regions")
"""Maps of a scored image; ``band`` is derived from ``uncertainty``."""

BAND_ABOVE = 0.5
SCORES = "scores.zarr"
RANKING = "ranking.json"


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

    def settings(self) -> TrainingSettings:
        """Settings that the run was trained with."""
        return TrainingSettings.from_mapping(self.record()["settings"])

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
            ``trust``, ``alpha``, ``beta``, ``uncertainty``: float32 in [0, 1]; ``band``: bool; ``proposed``: uint8
            class index; ``regions``: int32, 0 or a region's number.
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
        stored = "uncertainty" if name == "band" else name
        try:
            array = zarr.open_array(str(self.path / SCORES / f"cases/{case_id:06d}/{stored}"), mode="r")
            values = np.asarray(array[... if box is None else box.slices])
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise ProjectDamagedError(
                f"Run {self.name} has no {name} map of image {case_id}; make the scores again with 'metadcseg score'."
            ) from error
        return values > BAND_ABOVE if name == "band" else values

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
    found = [path for path in folder.iterdir() if (path / "run.json").is_file()]
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
                array = self._group.create_array(
                    f"cases/{case_id:06d}/{name}",
                    shape=values.shape,
                    chunks=tuple(min(1024, edge) for edge in values.shape),
                    dtype=values.dtype,
                    compressors=BloscCodec(cname="zstd", clevel=3),
                )
                array[...] = values

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
