"""Cells of the accuracy benchmark: train methods on one corrupted data set, and measure them."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from cleanlab.segmentation.rank import get_label_quality_scores
from data import Example, Split, load, split

from src_core.config import TrainingSettings, preset
from src_core.infer.score import ZOOMS, Scorer
from src_core.metrics.calibration import expected_calibration_error
from src_core.metrics.correction import correction
from src_core.metrics.detection import component_recall, detection_over_images, operating_point
from src_core.metrics.overlap import overlap_over_cases
from src_core.metrics.surface import surface_distance
from src_core.review.regions import find_regions
from src_core.train.cases import CaseSet, WorkCase
from src_core.train.control import Control
from src_core.train.crossfit import as_unverified
from src_core.train.learner import Learner
from src_core.train.loop import Loop
from src_core.train.views import teacher_prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.scores import Region

CLASSES = 2
QUEUE_LENGTHS = (20, 50, 100)

BASE: dict[str, Any] = {
    "network": "unet",
    "base_width": 8,
    "max_side": 256,
    "patch_size": 96,
    "epochs": 12,
    "steps_per_epoch": 25,
    "batch_size": 4,
    "meta_batch_size": 2,
    "learning_rate": 3e-3,
    "threads": 1,
}
"""What all methods share: 300 steps of a small network, chosen with the control ``mixed`` on development cases (0.82
Dice on them in 19 s on one core; a DynUNet of the same width 0.73 in 34 s)."""

ROWS: dict[str, dict[str, Any]] = {
    "noisy": {"method": "noisy"},
    "clean": {"method": "clean"},
    "mixed": {"method": "mixed"},
    "finetune": {"method": "finetune"},
    "teacher": {"method": "teacher"},
    "l2b": {"method": "l2b"},
    "weights-without-dcd": {"method": "metadcseg", "cross_fit": False, "dcd_floor": 1.0},
    "weights": {"method": "metadcseg", "cross_fit": False},
    "metadcseg": {"method": "metadcseg"},
    "oracle": {"method": "mixed"},
    "cleanlab": {"method": "mixed"},
}
"""The default is ``metadcseg``; ``weights`` is the method as described, where meta weights and DCD enter the loss."""

BEGINNINGS = {
    **dict.fromkeys(("mixed", "teacher", "l2b", "weights", "weights-without-dcd"), "mixed"),
    **dict.fromkeys(("noisy", "finetune"), "noisy"),
}
"""Rows whose warm-up is that of another row, bit by bit; it is trained once for all of them."""

WITHOUT_NOISE = ("clean", "oracle")
"""Rows that never see a given mask: one run a seed serves every kind of noise."""


@dataclass(frozen=True)
class Cell:
    """A place in the table; ``noise`` is ``none`` and ``ratio`` 0 for rows that see no noise."""

    dataset: str
    noise: str
    ratio: float
    seed: int
    row: str

    @property
    def key(self) -> tuple[str, str, float, int, str]:
        """What tells it from others."""
        return (self.dataset, self.noise, self.ratio, self.seed, self.row)


def run(cells: Sequence[Cell], folder: Path) -> list[dict[str, Any]]:
    """Train and measure cells of one column and seed, with one beginning (:data:`BEGINNINGS`) or just one of them.

    Returns
    -------
    list of dict
        The figures of each cell as plain numbers, ``None`` where a figure has no meaning. Its seconds are those it
        would have taken by itself.
    """
    torch.set_num_threads(1)
    first = cells[0]
    noise, ratio = ("biased", 0.4) if first.noise == "none" else (first.noise, first.ratio)
    data = split(load(folder, first.dataset), noise, ratio, first.seed)
    beginning = BEGINNINGS.get(first.row)
    started = time.perf_counter()
    stem = None
    if beginning is not None:
        stem = Training(_settings(beginning, first.seed), data.cases)
        stem.go_on(stem.settings.warmup_epochs)
    shared = time.perf_counter() - started
    rows = []
    for cell in cells:
        started = time.perf_counter()
        found = _measure(cell, data, stem)
        seconds = shared + time.perf_counter() - started
        rows.append(_plain({**asdict(cell), "settings": BASE | ROWS[cell.row], "seconds": seconds, **found}))
    return rows


def _settings(row: str, seed: int) -> TrainingSettings:
    return preset("quick", **BASE, **ROWS[row], seed=seed)


def _measure(cell: Cell, data: Split, stem: Training | None) -> dict[str, Any]:
    settings = _settings(cell.row, cell.seed)
    if cell.row == "cleanlab":
        return _cleanlab(settings, data)
    training = Training(settings, _as_true(data) if cell.row == "oracle" else data.cases)
    if stem is not None:
        training.begin_as(stem)
    learner = training.finished()
    found = {"test": _test(learner, data.test), "judge": training.row["judge"]}
    if cell.row not in WITHOUT_NOISE:
        found["labels"] = _labels(learner, data)
    return found


class Training:
    """A training run in memory, epoch by epoch.

    Attributes
    ----------
    learner : Learner
    done : int
        Epochs.
    row : dict
        The last row of the history.
    """

    def __init__(self, settings: TrainingSettings, cases: list[WorkCase]) -> None:
        self.settings = settings
        self._data = CaseSet(cases, CLASSES)
        self.learner = Learner(settings, self._data, torch.device("cpu"))
        self.done = 0
        self.row: dict[str, Any] = {}
        self._loop = Loop(self.learner, self._data, settings, Control(), _silent)

    def begin_as(self, other: Training) -> None:
        """Take over what another run of the same cases has learned in its warm-up."""
        mine, theirs = self.learner, other.learner
        mine.network.load_state_dict(theirs.network.state_dict())
        mine.teacher.load_state_dict(theirs.teacher.state_dict())
        # torch would let both optimisers share their moments
        mine.optimizer.load_state_dict(copy.deepcopy(theirs.optimizer.state_dict()))
        mine.steps, mine.warmup_end = theirs.steps, theirs.warmup_end
        self.done = other.done

    def go_on(self, until: int) -> None:
        """Train to the end of an epoch."""
        for number in range(self.done, until):
            self.row = self._loop.epoch(number)
        self.done = until

    def finished(self) -> Learner:
        """Train to the end; the learner, its teacher ready to predict."""
        self.go_on(self.settings.epochs)
        self.learner.teacher.eval()
        return self.learner


def _silent(_event: str, /, **_data: Any) -> None:
    """Nobody listens."""


def _as_true(data: Split) -> list[WorkCase]:
    return [
        replace(case, label_X=torch.from_numpy(truth.copy()), given_X=torch.from_numpy(truth.copy()))
        for case, truth in zip(data.cases, data.truth, strict=True)
    ]


# ---------------------------------------------------------------- the network on cases that nobody trained on


def _test(learner: Learner, test: list[Example]) -> dict[str, Any]:
    predicted = [_predict(learner, torch.from_numpy(example.image_IX)).argmax(0).astype(np.uint8) for example in test]
    truth = [example.truth_X for example in test]
    surface = surface_distance(predicted, truth, CLASSES, spacing=(1.0, 1.0))
    return {"overlap": overlap_over_cases(predicted, truth, CLASSES).to_dict(), "surface": surface.to_dict()}


def _predict(learner: Learner, image_IX: torch.Tensor) -> NDArray[np.float32]:
    probability_1CX, _ = teacher_prediction(learner.teacher, image_IX[None], zooms=ZOOMS)
    array: NDArray[np.float32] = probability_1CX[0].numpy()
    return array


# ---------------------------------------------------------------- the labels that nobody verified


def _labels(learner: Learner, data: Split) -> dict[str, Any]:
    scorer = Scorer(learner, data.cases)
    trust, proposed, regions, numbers, chosen = [], [], [], [], []
    for index, case in enumerate(data.cases):
        if case.verified_pixels:
            continue
        given, verified = case.given_X.numpy(), case.verified_X.numpy()
        maps = scorer.maps([index], given, verified)
        found, numbered = find_regions(
            case.info,
            trust=maps.trust,
            uncertainty=maps.uncertainty,
            label=given,
            proposed=maps.proposed,
            verified=verified,
        )
        trust.append(maps.trust)
        proposed.append(maps.proposed)
        regions += found
        numbers.append(numbered)
        chosen.append(index)
    given = [data.cases[index].given_X.numpy() for index in chosen]
    truth = [data.truth[index] for index in chosen]
    wrong = [g != t for g, t in zip(given, truth, strict=True)]
    found = _detection([1 - t for t in trust], given, truth)
    best = sorted(regions, key=lambda region: -region.score)
    ids = [data.cases[index].info.id for index in chosen]
    return {
        **found,
        "calibration_error": expected_calibration_error(np.concatenate([t.ravel() for t in trust]), ~_flat(wrong)),
        "correction": correction(given, proposed, truth, CLASSES).to_dict(),
        "regions": len(regions),
        "component_recall": {
            str(count): component_recall(_shown(best[:count], numbers, ids), wrong) for count in QUEUE_LENGTHS
        },
        "evidence_scale": scorer.evidence_scale,
    }


def _detection(
    suspicion: list[NDArray[np.floating]], given: list[NDArray[np.uint8]], truth: list[NDArray[np.uint8]]
) -> dict[str, Any]:
    found = detection_over_images(suspicion, given, truth)
    wrong = _flat([g != t for g, t in zip(given, truth, strict=True)])
    return {
        "detection": {name: values.to_dict() for name, values in found.items()},
        "operating_point": operating_point(_flat(suspicion), wrong).to_dict(),
    }


def _flat(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([array.ravel() for array in arrays])


def _shown(regions: list[Region], numbers: list[NDArray[np.int32]], ids: list[int]) -> list[NDArray[np.bool_]]:
    by_case: dict[int, list[int]] = {number: [] for number in ids}
    for region in regions:
        by_case[region.case_id].append(region.number)
    return [np.isin(numbered, by_case[number]) for numbered, number in zip(numbers, ids, strict=True)]


# ---------------------------------------------------------------- confident learning


def _cleanlab(settings: TrainingSettings, data: Split) -> dict[str, Any]:
    """Cleanlab's score from predictions of ``mixed`` networks that never saw the case: two folds by patient.

    Every fold also learns from all verified images, as every other row does.
    """
    unverified = [index for index, case in enumerate(data.cases) if not case.verified_pixels]
    patients = sorted({data.patients[index] for index in unverified})
    probability: dict[int, NDArray[np.float32]] = {}
    for fold in (patients[::2], patients[1::2]):
        kept = [case for index, case in enumerate(data.cases) if case.verified_pixels or data.patients[index] in fold]
        learner = Training(settings, kept).finished()
        for index in unverified:
            if data.patients[index] not in fold:
                probability[index] = _predict(learner, data.cases[index].image_IX)
    scores = [_pixel_scores(as_unverified(data.cases[index]), probability[index]) for index in unverified]
    given = [data.cases[index].given_X.numpy() for index in unverified]
    return {"labels": _detection([1 - score for score in scores], given, [data.truth[index] for index in unverified])}


def _pixel_scores(case: WorkCase, probability_CX: NDArray[np.float32]) -> NDArray[np.floating]:
    _, scores = get_label_quality_scores(
        case.given_X.numpy()[None].astype(np.int64), probability_CX[None], method="softmin", verbose=False
    )
    array: NDArray[np.floating] = scores[0]
    return array


def _plain(value: Any) -> Any:
    """The same with ``None`` for what is not a finite number, so that any reader of JSON can read it."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
