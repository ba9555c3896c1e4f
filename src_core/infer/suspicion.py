"""Other ways to suspect a label, from what the model of a run says: to compare trust with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from src_core.data.case import IGNORE
from src_core.data.probabilities import normalised_entropy
from src_core.infer.opinions import label_quality, opinions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.store.project import Project
    from src_core.store.runs import Run

    Score = Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.float32]]

Suspicion = Literal["entropy", "cleanlab"]


def suspicion_maps(
    project: Project,
    run: Run,
    kind: Suspicion,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, NDArray[np.float32]]:
    """A map of every image that the run has scores of, higher where a label is more suspect.

    Parameters
    ----------
    project : Project
    run : Run
        Its model is asked; an imported run has the probabilities that were imported.
    kind : str
        ``entropy`` of the model's opinion, whatever the label; ``cleanlab``: one minus the label quality score of
        confident learning (the model has seen these images, so the score is not out of fold).
    device : str
    progress : callable, optional
        Called with images done and images in all.

    Raises
    ------
    InputError
        If cleanlab is asked for and not installed, or the run was imported without probabilities.
    """
    score = _entropy if kind == "entropy" else _confident()
    maps = {}
    for done, (case, boxes) in enumerate(opinions(project, run, device=device), start=1):
        maps[case.id] = np.zeros(case.shape, np.float32)
        for box, opinion_CX in boxes:
            maps[case.id][box.slices] = score(opinion_CX, project.read_label(case, box))
        if progress is not None:
            progress(done, len(project.cases))
    return maps


def _entropy(opinion_CX: NDArray[np.float32], _label_X: NDArray[np.uint8]) -> NDArray[np.float32]:
    return normalised_entropy(opinion_CX)


def _confident() -> Score:
    quality = label_quality("The order 'cleanlab'", "choose another order")

    def score(opinion_CX: NDArray[np.float32], label_X: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.where(label_X == IGNORE, 0, 1 - quality(opinion_CX, label_X)).astype(np.float32)

    return score
