"""The trained model on images that are not in the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from src_core.config import TrainingSettings
from src_core.errors import InputError, PairingError
from src_core.infer.score import ZOOMS
from src_core.io.formats import usual_format, write_new
from src_core.io.pairs import files_by_stem
from src_core.io.sources import read_image
from src_core.store.project import Project
from src_core.train import checkpoint
from src_core.train.cases import normalise, resize_image, work_shape
from src_core.train.device import choose_device
from src_core.train.views import teacher_prediction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import ClassInfo
    from src_core.networks.segmenter import Segmenter


def predict_folder(
    project_path: str | Path,
    images: Path,
    out: Path,
    *,
    run_name: str | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a mask with the class values of the project for every image of a folder.

    Masks are PNG; NIfTI where the image says where it lies, TIFF where it is a stack that does not.

    Parameters
    ----------
    project_path : path
    images, out : Path
        Folders; ``out`` is made if missing and may not be the folder of the images.
    run_name : str, optional
        The newest trained run by default.
    device : str
    progress : callable, optional
        Called with files done and files in all.

    Raises
    ------
    InputError
        If a folder or the run is missing, or an image has more channels than those that were learned from.
    """
    problems: list[str] = []
    files = files_by_stem(images, "images", problems, outlines=False)
    if problems:
        raise PairingError(problems)
    if out.resolve() == images.resolve():
        raise InputError(f"{out} is the folder of the images; choose another folder for the masks.")
    with Project.open(project_path) as project:
        classes = project.classes
        folder = project.run(run_name, scored=False, trained=True).path
    predictor = Predictor(folder, device)
    written = []
    for name, path in files.items():
        picture = read_image(path)
        image = picture.pixels
        if picture.channels > predictor.channels:
            raise InputError(f"{path} is a colour image and the model learned from grey ones; convert it first.")
        found = predictor(image) if picture.space == 2 else np.stack([predictor(part) for part in image], axis=1)
        label = found.argmax(0).astype(np.uint8)
        format = usual_format(picture.shape, picture.grid)
        written.append(write_new(out, name, format, class_values(label, classes), picture.grid))
        if progress is not None:
            progress(len(written), len(files))
    return written


class Predictor:
    """The teacher of a trained run, asked image by image.

    Parameters
    ----------
    folder : Path
        Of the run.
    device : str

    Attributes
    ----------
    channels : int
        Of the images that it learned from.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self._teacher, header = checkpoint.load_teacher(folder, choose_device(device))
        self._max_side = TrainingSettings.from_mapping(header["settings"]).max_side
        self.channels = int(header["channels"])

    def __call__(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probability of every class at every pixel, float32, ``(C, H, W)``, at the image's own size."""
        return probabilities(self._teacher, image, self.channels, self._max_side)


def probabilities(teacher: Segmenter, image: NDArray[np.generic], channels: int, max_side: int) -> NDArray[np.float32]:
    """Probability of every class at every pixel of an image, float32, ``(C, H, W)``, at the image's own size."""
    size = (image.shape[0], image.shape[1])
    values = resize_image(normalise(image, channels), work_shape(size, max_side))
    device = next(teacher.parameters()).device
    probabilities_1CX, _ = teacher_prediction(teacher, torch.from_numpy(values)[None].to(device), zooms=ZOOMS)
    if tuple(probabilities_1CX.shape[-2:]) != size:
        probabilities_1CX = functional.interpolate(probabilities_1CX, size=size, mode="bilinear", align_corners=False)
    array: NDArray[np.float32] = probabilities_1CX[0].cpu().numpy()
    return array


def class_values(label: NDArray[np.uint8], classes: tuple[ClassInfo, ...]) -> NDArray[np.generic]:
    """Class indices as the values of the project's masks, in the smallest unsigned type that holds them."""
    table = np.array([info.value for info in classes])
    return table[label].astype(np.min_scalar_type(int(table.max())))
