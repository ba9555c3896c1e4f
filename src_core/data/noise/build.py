"""Label images with planted errors, by the name of a recipe."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from src_core.data.noise import boundary, flips, habits, moved, objects
from src_core.data.noise.habits import annotator_of
from src_core.data.noise.record import (
    Change,
    Corruption,
    Job,
    NoiseOptions,
    Origin,
    Painted,
    class_by_class,
    repaint,
)
from src_core.data.noise.shapes import grow_or_shrink, overlap
from src_core.data.noise.slices import slices
from src_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Recipe = Literal[
    "quality",
    "offset",
    "markov",
    "affine",
    "elastic",
    "contour-dots",
    "adele",
    "class-flips",
    "instances",
    "slices",
    "biased",
]

RECIPES: tuple[Recipe, ...] = get_args(Recipe)


def _offset(job: Job) -> Change:
    grow, pixels = bool(job.rng.random() < 0.5), float(job.rng.uniform(*job.options.offset_px))
    code = Origin.GROW if grow else Origin.SHRINK
    return Change([(code, boundary.offset(job.mask, pixels, grow=grow))], {"grow": grow, "offset_px": pixels})


def _markov(job: Job) -> Change:
    dice = 1 - job.ratio
    return Change([(Origin.MARKOV, boundary.markov(job.mask, dice, job.rng))], {"dice_target": dice})


def _affine(job: Job) -> Change:
    drawn, found = moved.affine(job.mask, 1 - job.ratio, job.rng)
    return Change([(Origin.AFFINE, found)], {"dice_target": 1 - job.ratio, **drawn})


def _elastic(job: Job) -> Change:
    drawn, found = moved.elastic(job.mask, 1 - job.ratio, job.rng)
    return Change([(Origin.ELASTIC, found)], {"dice_target": 1 - job.ratio, **drawn})


def _contour_dots(job: Job) -> Change:
    dice, kind = 1 - job.ratio, job.rng.random()
    if kind < job.options.dot_share:
        largest, found = boundary.contour_dots(job.mask, dice, job.rng)
        return Change([(Origin.DOT, found)], {"dice_target": dice, "largest_radius_px": largest})
    grow = bool(kind < (1 + job.options.dot_share) / 2)  # what is left is halved between growing and shrinking
    code = Origin.GROW if grow else Origin.SHRINK
    return Change([(code, grow_or_shrink(job.mask, dice, grow=grow))], {"dice_target": dice, "grow": grow})


def _coarse(job: Job) -> Change:
    grow, iterations = bool(job.rng.random() < 0.5), int(job.rng.integers(2, 5))
    found = boundary.adele(job.mask, iterations, grow=grow)
    return Change([(Origin.RESCALED, found)], {"grow": grow, "iterations": iterations})


def _adele(job: Job) -> Painted:
    painted = class_by_class(_coarse)(job)
    present = np.unique(job.labels[job.labels > 0])
    if not len(present) or job.options.iid_chance <= 0:
        return painted
    flipped = flips.iid_flips(painted.labels, job.options.iid_chance, present, job.rng)
    return repaint(painted, flipped, Origin.IID_FLIP, job.labels)


_BUILD: dict[Recipe, Callable[[Job], Painted]] = {
    "quality": class_by_class(habits.quality),
    "offset": class_by_class(_offset),
    "markov": class_by_class(_markov),
    "affine": class_by_class(_affine),
    "elastic": class_by_class(_elastic),
    "contour-dots": class_by_class(_contour_dots),
    "adele": _adele,
    "class-flips": flips.class_flips,
    "instances": class_by_class(objects.instances),
    "slices": slices,
    "biased": class_by_class(habits.biased),
}


def _check(labels: NDArray[np.uint8], recipe: str, ratio: float, options: NoiseOptions) -> None:
    """Refuse what no recipe can work on, in one sentence."""
    if recipe not in RECIPES:
        raise InputError(f"The noise recipe is {recipe!r}, expected one of {', '.join(RECIPES)}; choose one of them.")
    if not 0 <= ratio <= 1:
        raise InputError(f"The noise ratio is {ratio:g}, expected a number from 0 to 1; write 40 % as 0.4.")
    if labels.dtype != np.uint8 or labels.ndim not in (2, 3):
        raise InputError(
            f"Labels for noise have the type {labels.dtype} and {labels.ndim} axes, expected uint8 and 2 or 3; "
            "turn them into class indices first."
        )
    if options.image is not None and options.image.shape != labels.shape:
        raise InputError(
            f"The image for noise has the shape {options.image.shape}, expected {labels.shape} as its labels; "
            "pass the image of this case with one channel."
        )
    if options.donor is not None and options.donor.ndim != labels.ndim:
        raise InputError(
            f"The donor mask has {options.donor.ndim} axes, expected {labels.ndim} as the labels; pass the mask of "
            "another case of the same kind."
        )


def corrupted(
    labels: NDArray[np.uint8],
    *,
    recipe: Recipe,
    ratio: float,
    seed: int,
    name: str,
    case: str | None = None,
    options: NoiseOptions | None = None,
) -> Corruption:
    """Plant errors in a label image, and keep what was done where.

    Parameters
    ----------
    labels : array, uint8, (H, W) or (Z, H, W)
        True class indices; 0 is background.
    recipe : str
        One of `RECIPES`.
    ratio : float
        One minus the Dice aimed at, in [0, 1], or a chance or share: see the table of the package.
    seed : int
    name : str
        Of the image; with the seed it decides every draw.
    case : str, optional
        Of the patient, for the annotator of ``biased`` and ``slices``; the name when not given.
    options : NoiseOptions, optional

    Returns
    -------
    Corruption
        Arrays of the same shape, uint8. An image without foreground stays empty.

    Raises
    ------
    InputError
        Where the recipe cannot work on these labels.
    """
    options = options or NoiseOptions()
    _check(labels, recipe, ratio, options)
    # only these two recipes have annotators; a name on the others would tell of habits that are not there
    annotator = annotator_of(case or name, seed) if recipe in ("biased", "slices") else None
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    made = _BUILD[recipe](Job(labels, ratio, rng, options, annotator or ""))
    present = [int(index) for index in np.union1d(labels, made.labels) if index]
    details: dict[str, object] = {
        "recipe": recipe,
        "ratio": float(ratio),
        "seed": int(seed),
        "name": name,
        "case": case,
        "annotator": annotator,
        "drawn": made.drawn,
        "dice": {str(index): overlap(labels == index, made.labels == index) for index in present},
    }
    return Corruption(made.labels, made.origin, details)


def corrupt(
    labels: NDArray[np.uint8],
    *,
    recipe: Recipe,
    ratio: float,
    seed: int,
    name: str,
    case: str | None = None,
    options: NoiseOptions | None = None,
) -> NDArray[np.uint8]:
    """Plant errors in a label image, class by class; the labels of `corrupted`, which has the parameters."""
    return corrupted(labels, recipe=recipe, ratio=ratio, seed=seed, name=name, case=case, options=options).labels
