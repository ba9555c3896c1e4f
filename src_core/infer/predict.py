"""The trained model on images that are not in the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.data.slices import Sides, slice_axis
from src_core.errors import InputError, PairingError
from src_core.infer.predict_tiles import TiledPrediction
from src_core.infer.predict_volumes import VolumePrediction
from src_core.infer.score import ZOOMS
from src_core.io.formats import usual_format, write_new
from src_core.io.lazy import LAZY_FROM, LazyArray
from src_core.io.pairs import files_by_stem
from src_core.io.sources import open_image
from src_core.store.project import Project
from src_core.store.run_lookup import find_model
from src_core.train import checkpoint
from src_core.train.device import choose_device
from src_core.train.views import teacher_probabilities
from src_core.train.volume_parts import is_large
from src_core.train.working import enlarged, slabs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from src_core.data.case import Box, ClassInfo
    from src_core.io.picture import Picture


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

    Masks are PNG; NIfTI where the image says where it lies, TIFF where it is a stack that does not, or large. A large
    image is read and its mask written tile by tile, if the model learned from tiles; else it is shrunk whole. A large
    volume is worked on some slices at a time.

    Parameters
    ----------
    project_path : path
    images, out : Path
        Folders; ``out`` is made if missing and may not be the folder of the images.
    run_name : str, optional
        By default the trained run that is reviewed with; the newest where none has scores.
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
        folder = find_model(project.path, run_name).path
    predictor = Predictor(folder, device)
    written = []
    for name, path in files.items():
        picture = open_image(path)
        if picture.channels > predictor.channels:
            raise InputError(f"{path} is a colour image and the model learned from grey ones; convert it first.")
        written.append(_write_mask(out / name, predictor, picture, classes))
        if progress is not None:
            progress(len(written), len(files))
    return written


def _write_mask(target: Path, predictor: Predictor, picture: Picture, classes: tuple[ClassInfo, ...]) -> Path:
    format = usual_format(picture.shape, picture.grid)
    tiled = predictor.in_tiles(lambda box: picture.pixels[box.slices], picture.shape)
    if tiled is None:
        spacing = picture.grid.spacing[-picture.space :]
        volume = _in_parts(predictor, picture, spacing)
        if volume is not None:
            with volume.label(target.parent) as found:
                values = found.mapped(lambda part: class_values(part, classes), value_type(classes))
                return write_new(target.parent, target.name, format, values, picture.grid)
        label = predictor(np.asarray(picture.pixels), spacing).argmax(0).astype(np.uint8)
        return write_new(target.parent, target.name, format, class_values(label, classes), picture.grid)
    values = tiled.label().mapped(lambda part: class_values(part, classes), value_type(classes))
    large = format == "png" and values.nbytes >= LAZY_FROM
    return write_new(target.parent, target.name, "tiff" if large else format, values, picture.grid)


def _in_parts(predictor: Predictor, picture: Picture, spacing: tuple[float, ...]) -> VolumePrediction | None:
    """A volume that is too large to be worked on whole; None for others, and for images."""
    large = isinstance(picture.pixels, LazyArray) or is_large(picture.shape)
    if len(spacing) != 3 or not large:
        return None
    return predictor.in_parts(lambda box: picture.pixels[box.slices], Sides(picture.shape, spacing))


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
    dimensions : str
        ``2d`` and ``2.5d`` take a volume slice by slice, ``3d`` takes it whole; images are for ``2d`` only.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self._teacher, header = checkpoint.load_teacher(folder, choose_device(device))
        self._window = None if header.get("window") is None else tuple(header["window"])
        self._working = checkpoint.working_of(header)
        self.channels, self.dimensions = self._working.channels, self._working.dimensions

    def __call__(self, image: NDArray[np.generic], spacing: tuple[float, ...] = (1.0, 1.0)) -> NDArray[np.float32]:
        """Probability of every class at every pixel, float32, ``(C, X)``, at the image's own size.

        Parameters
        ----------
        image : array, (H, W), (Z, H, W), or the same with channels
        spacing : tuple of float
            Size of a pixel along each space axis; tells a volume from an image with channels.

        Raises
        ------
        InputError
            If it learned from volumes and this is an image.
        """
        grid = Sides(image.shape[: len(spacing)], spacing)
        if len(spacing) == 2 and self.dimensions != "2d":
            raise InputError(f"The model was trained in {self.dimensions} on volumes; ask it about volumes.")
        across = slice_axis(grid)
        parts = self._working.images(grid, image)
        if not self._working.cuts(grid):
            return self._at_size(parts[0], grid.shape)
        sides = tuple(edge for axis, edge in enumerate(grid.shape) if axis != across)
        found: NDArray[np.float32] = np.stack([self._at_size(part, sides) for part in parts], axis=across + 1)
        return found

    def in_tiles(self, read: Callable[[Box], NDArray[Any]], shape: tuple[int, ...]) -> TiledPrediction | None:
        """An image that is worked on in tiles, read box by box; None for one that is taken whole."""
        tiling = self._working.tiling
        if tiling is None or not tiling.cuts(Sides(shape, (1.0,) * len(shape))):
            return None
        return TiledPrediction(self._ask, read, shape, tiling, self.channels, self._working.intensities)

    def in_parts(self, read: Callable[[Box], NDArray[Any]], grid: Sides) -> VolumePrediction:
        """A volume that is worked on some slices or windows at a time, read box by box."""
        device = next(self._teacher.parameters()).device
        window = self._window if self.dimensions == "3d" else None

        def ask(image_1IX: torch.Tensor) -> torch.Tensor:
            return teacher_probabilities(self._teacher, image_1IX.to(device))

        return VolumePrediction(ask, self._at_size, read, grid, self._working, window)

    def _ask(self, image_1IX: torch.Tensor) -> torch.Tensor:
        """Probabilities at working resolution."""
        device = next(self._teacher.parameters()).device
        zooms = ZOOMS if image_1IX.ndim == 4 else ()
        return teacher_probabilities(self._teacher, image_1IX.to(device), self._window, zooms=zooms)

    def _at_size(self, image_IX: torch.Tensor, size: tuple[int, ...]) -> NDArray[np.float32]:
        found = self._ask(image_IX[None])
        rows = [enlarged(found, size, part)[0].cpu().numpy() for part in slabs(size)]
        return np.concatenate(rows, axis=1)


def class_values(label: NDArray[np.uint8], classes: tuple[ClassInfo, ...]) -> NDArray[np.generic]:
    """Class indices as the values of the project's masks, in the smallest unsigned type that holds them."""
    return np.array([info.value for info in classes])[label].astype(value_type(classes))


def value_type(classes: tuple[ClassInfo, ...]) -> np.dtype[Any]:
    """The type of :func:`class_values`."""
    return np.min_scalar_type(max(info.value for info in classes))
