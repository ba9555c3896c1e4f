"""Maps in files that say where they lie (NIfTI, NRRD, MetaImage), on the axes of the image that they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from src_core.errors import FormatError
from src_core.io.formats import read
from src_core.io.geometry import find_turn, orientation, turn_to_image
from src_core.io.picture import Picture
from src_core.io.sources import grid_of_case

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from src_core.data.case import CaseInfo

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


def read_map_of(path: Path, case: CaseInfo | None) -> NDArray[Any]:
    """Values of a file, ``(X)`` or ``(X, C)``, turned to lie as the image where both say how they lie.

    Parameters
    ----------
    path : Path
    case : CaseInfo or None
        Of the image; None leaves the axes as they are in the file.

    Raises
    ------
    FormatError
        If it cannot be read, or lies on another grid than the image.
    """
    picture = read(path)
    values = np.asarray(picture.pixels)
    if case is None:
        return values
    grid = grid_of_case(case)
    if grid.affine is not None and picture.grid.affine is not None:
        blank = np.broadcast_to(np.uint8(0), case.shape)
        image = Picture(pixels=blank, space=len(case.shape), grid=grid)
        try:
            turn = find_turn(image, picture, case.name, path)
        except FormatError as error:
            raise FormatError(
                f"{path} lies on another grid than its image {case.name} ({_where(picture)}, expected "
                f"{_where(image)}); resample it to the image first."
            ) from error
        values = _turned(values, picture.space, turn)
    flat = len(case.shape) == 2 and picture.space == 3 and values.shape[0] == 1
    return values[0] if flat else values


def _turned(values: NDArray[Any], space: int, turn: dict[str, list[int]] | None) -> NDArray[Any]:
    if turn is None or space == 2:
        return values
    if values.ndim == space:
        return turn_to_image(values, turn)
    return np.stack([turn_to_image(values[..., at], turn) for at in range(values.shape[-1])], axis=-1)


def _where(picture: Picture) -> str:
    affine = picture.grid.affine
    assert affine is not None
    size = " x ".join(map(str, picture.shape))
    steps = " x ".join(f"{side:.4g}" for side in picture.grid.spacing)
    origin = ", ".join(f"{row[3]:.4g}" for row in affine[:3])
    return f"{size} of {steps} mm, axes {orientation(affine)[-picture.space :]}, from ({origin}) mm"
