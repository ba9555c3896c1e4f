"""What the model behind a run says of every image, wherever it comes from. Needs torch only for runs that were trained.

Shape suffixes: C classes, X the space axes of the image (H, W) or volume (Z, H, W).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from src_core.data.case import IGNORE, Box
from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo
    from src_core.infer.predict import Predictor
    from src_core.store.project import Project
    from src_core.store.runs import Run

    Quality = Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.float32]]


def opinions(
    project: Project, run: Run, *, device: str = "auto"
) -> Iterator[tuple[CaseInfo, Iterator[tuple[Box, NDArray[np.float32]]]]]:
    """Every image that the run has scores of, with its probabilities, ``(C, X)``, at the image's own size.

    They come as boxes that cover the image: one of all of it, or its tiles, where it is worked on in tiles. Those of a
    trained run come from its network anew; those of an imported run are what it keeps.

    Raises
    ------
    InputError
        If the run was imported without probabilities.
    """
    if run.imported:
        for case, opinion_CX in _kept(project, run):
            yield case, iter([(Box.whole(case.shape), opinion_CX)])
        return
    from src_core.infer.predict import Predictor

    predictor = Predictor(run.path, device)
    for case in project.cases:
        if run.covers(case.id):
            tiled = predictor.in_tiles(partial(project.read_image, case), case.shape)
            yield case, iter(tiled) if tiled is not None else _whole(predictor, project, case)


def _whole(predictor: Predictor, project: Project, case: CaseInfo) -> Iterator[tuple[Box, NDArray[np.float32]]]:
    yield Box.whole(case.shape), predictor(project.read_image(case), case.spacing)


def _kept(project: Project, run: Run) -> Iterator[tuple[CaseInfo, NDArray[np.float32]]]:
    for case in project.cases:
        if not run.covers(case.id):
            continue
        probabilities_CX = run.read_probabilities(case, len(project.classes))
        if probabilities_CX is None:
            raise InputError(
                f"Run {run.name} keeps no probabilities of image {case.name} (its scores are trust maps), so nothing "
                "else can be said of its labels; import probabilities with 'metadcseg import-scores --probabilities'."
            )
        yield case, probabilities_CX


def label_quality(asked_for: str, otherwise: str) -> Quality:
    """Label quality of each pixel by cleanlab, as a function of probabilities and labels.

    The method ``softmin`` scores a pixel by the probability of its label. It gives float32 in [0, 1], ``(X)``, 0 where
    there is no label.

    Parameters
    ----------
    asked_for : str
        What needs cleanlab, and ...
    otherwise : str
        ... what may be done instead, for the message.

    Raises
    ------
    InputError
        If cleanlab is not installed.
    """
    try:
        from cleanlab.segmentation.rank import get_label_quality_scores
    except ImportError as error:
        raise InputError(
            f"{asked_for} needs the package cleanlab, which is not installed; install the extra with "
            f"pip install 'napari-metadcseg[cleanlab]', or {otherwise}."
        ) from error

    def quality(opinion_CX: NDArray[np.float32], label_X: NDArray[np.uint8]) -> NDArray[np.float32]:
        known = label_X != IGNORE
        rows = (1, label_X.shape[0], -1)  # it knows images of two axes only
        labels = np.where(known, label_X, 0).astype(np.int64).reshape(rows)
        _, scores = get_label_quality_scores(
            labels, opinion_CX.reshape(1, len(opinion_CX), *rows[1:]), method="softmin", verbose=False
        )
        return np.where(known, scores.reshape(label_X.shape), 0).astype(np.float32)

    return quality
