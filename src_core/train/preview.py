"""Small pictures of what the model doubts, one of some images, made anew after each epoch.

Shape suffixes: C classes, X space axes (2 or 3) of one case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from src_core.data.case import IGNORE
from src_core.errors import storage_errors
from src_core.train.cases import grouped
from src_core.train.held_out import evenly
from src_core.train.views import teacher_probabilities

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.train.cases import WorkCase
    from src_core.train.learner import Learner

FOLDER = "previews"
PICTURES = 4
ASKED = 8
"""So many images tell the share of labels that are doubted."""

SIDE = 96
LARGEST = 1_000_000
"""Pixels of a case that is asked for at most."""

DOUBTED_BELOW = 0.5
_TINT = np.array([213, 94, 0], dtype=np.float32)  # vermillion of Okabe and Ito
_EDGE = np.array([86, 180, 233], dtype=np.float32)  # sky blue


def write_previews(learner: Learner, cases: list[WorkCase], folder: Path) -> dict[str, Any]:
    """Write ``previews/CASE.png`` of some images, and tell what share of their labels the teacher doubts.

    Parameters
    ----------
    learner : Learner
    cases : list of WorkCase
    folder : Path
        Of the run.

    Returns
    -------
    dict
        ``doubted``: share of labels that nobody vouches for and that the teacher holds for less than half likely, in
        [0, 1], None without such labels; ``images``: list of ``case``, ``file``, ``doubted``.

    Raises
    ------
    StorageError
        If the disk is full.
    """
    asked = grouped((index for index, case in enumerate(cases) if _is_open(case)), learner.data.groups)
    chosen = evenly(tuple(members[len(members) // 2] for members in asked), ASKED)  # of a volume one slice
    pictured = set(chosen[:: max(len(chosen) // PICTURES, 1)][:PICTURES])
    images, doubted, labels = [], 0, 0
    for index in chosen:
        case = cases[index]
        doubt_X, asked_X = _doubt(learner, case)
        doubted, labels = doubted + int(doubt_X.sum()), labels + int(asked_X.sum())
        if index in pictured:
            name = f"{case.info.id:06d}.png"
            _write(folder / FOLDER, name, picture(case.image_IX.numpy(), case.label_X.numpy(), doubt_X))
            share = float(doubt_X.sum() / max(asked_X.sum(), 1))
            images.append({"case": case.info.id, "file": name, "doubted": share})
    return {"doubted": doubted / labels if labels else None, "images": images}


def _is_open(case: WorkCase) -> bool:
    """True for a case with labels that nobody vouches for, unless it is so large that asking would take its time."""
    unknown_X = (case.verified_X == 0) & (case.label_X != IGNORE)
    return case.label_X.numel() <= LARGEST and bool(unknown_X.any())


def _doubt(learner: Learner, case: WorkCase) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the teacher doubts a label, and where it was asked."""
    teacher_1CX = teacher_probabilities(learner.teacher, case.image_IX[None].to(learner.device), learner.window)
    label_X = case.label_X.numpy()
    asked_X = (label_X != IGNORE) & (case.verified_X.numpy() == 0)
    index_1X = np.where(label_X == IGNORE, 0, label_X).astype(np.int64)[None]
    believed_X = np.take_along_axis(teacher_1CX[0].cpu().numpy(), index_1X, axis=0)[0]
    return asked_X & (believed_X < DOUBTED_BELOW), asked_X


def picture(image_IX: NDArray[np.float32], label_X: NDArray[np.uint8], doubt_X: NDArray[np.bool_]) -> Image.Image:
    """The image in grey, the edge of its label in blue, doubted labels in orange; of a volume, its fullest slice."""
    grey, label, doubt = image_IX.mean(axis=0), label_X, doubt_X
    if grey.ndim == 3:
        at = int(doubt.sum(axis=(1, 2)).argmax()) if doubt.any() else grey.shape[0] // 2
        grey, label, doubt = grey[at], label[at], doubt[at]
    low, high = np.percentile(grey, (1, 99))
    shades = np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 255
    colours = np.repeat(shades[:, :, None], 3, axis=2)
    colours[doubt] = 0.35 * colours[doubt] + 0.65 * _TINT
    edge = np.zeros(label.shape, dtype=bool)
    edge[1:] |= label[1:] != label[:-1]
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    colours[edge] = _EDGE
    made = Image.fromarray(colours.astype(np.uint8))
    made.thumbnail((SIDE, SIDE))
    return made


def _write(folder: Path, name: str, image: Image.Image) -> None:
    with storage_errors(folder, "Training was stopped; its last checkpoint is kept."):
        folder.mkdir(exist_ok=True)
        partial = folder / (name + ".partial")
        image.save(partial, format="PNG")
        partial.replace(folder / name)
