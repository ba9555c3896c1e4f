"""Other ways to suspect a label, from what the model of a run says: to compare trust with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from src_core.config import TrainingSettings
from src_core.data.case import IGNORE
from src_core.dcd.centers import entropy
from src_core.errors import InputError
from src_core.infer.predict import probabilities
from src_core.train import checkpoint
from src_core.train.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from src_core.store.project import Project
    from src_core.store.runs import Run

Suspicion = Literal["entropy", "cleanlab"]


def suspicion_maps(
    project: Project,
    run: Run,
    kind: Suspicion,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, NDArray[np.float32]]:
    """A map of every image, higher where a label is more suspect.

    Parameters
    ----------
    project : Project
    run : Run
        Trained; its model is asked.
    kind : str
        ``entropy`` of the model's opinion, whatever the label; ``cleanlab``: one minus the label quality score of
        confident learning (the model has seen these images, so the score is not out of fold).
    device : str
    progress : callable, optional
        Called with images done and images in all.

    Raises
    ------
    InputError
        If cleanlab is asked for and not installed.
    """
    score = _entropy if kind == "entropy" else _confident()
    teacher, header = checkpoint.load_teacher(run.path, choose_device(device))
    settings = TrainingSettings.from_mapping(header["settings"])
    maps = {}
    for done, case in enumerate(project.cases, start=1):
        opinion_CX = probabilities(teacher, project.read_image(case), int(header["channels"]), settings.max_side)
        maps[case.id] = score(opinion_CX, project.read_label(case))
        if progress is not None:
            progress(done, len(project.cases))
    return maps


def _entropy(opinion_CX: NDArray[np.float32], _label_X: NDArray[np.uint8]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = entropy(torch.from_numpy(opinion_CX)[None])[0].numpy()
    return values


def _confident() -> Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.float32]]:
    try:
        from cleanlab.segmentation.rank import get_label_quality_scores
    except ImportError as error:
        raise InputError(
            "The order 'cleanlab' needs the package cleanlab, which is not installed; install the extra with "
            "pip install 'napari-metadcseg[cleanlab]', or choose another order."
        ) from error

    def score(opinion_CX: NDArray[np.float32], label_X: NDArray[np.uint8]) -> NDArray[np.float32]:
        labels = np.where(label_X == IGNORE, 0, label_X).astype(np.int64)
        _, quality = get_label_quality_scores(labels[None], opinion_CX[None], method="softmin", verbose=False)
        return np.where(label_X == IGNORE, 0, 1 - quality[0]).astype(np.float32)

    return score
