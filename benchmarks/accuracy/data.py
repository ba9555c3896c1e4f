"""Images, masks and planted errors of the accuracy benchmark, in memory at working resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from src_core.data.case import CaseInfo, MaskEncoding, Verified
from src_core.data.noise import corrupt
from src_core.train.cases import WorkCase
from src_core.train.working import normalise, resize_image, resize_labels, work_shape

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TEST_SEED = 7
"""Draws the test split, the same for every seed; nothing was ever tuned on these cases."""

TEST_SHARE = 5
VERIFIED_SHARE = 0.12
MIN_VERIFIED = 4
ENCODING = MaskEncoding(suffix=".png", dtype="uint8", values={0: 0, 1: 255})


@dataclass(frozen=True)
class Source:
    """Where a data set lies and at what size it is worked on.

    Attributes
    ----------
    masks : str
        Folder of the masks that count as truth.
    given : str or None
        Folder of the masks that count as given; None where errors are planted.
    max_side : int
        Longest side at working resolution, px.
    """

    masks: str
    given: str | None
    max_side: int


SOURCES = {
    "la-heart-slices": Source("masks", None, 96),
    "nuclei": Source("masks", None, 96),
    "fundus-two-raters": Source("masks_rater1", "masks_rater2", 256),
}


@dataclass
class Example:
    """One image with its true mask.

    Attributes
    ----------
    patient : str
        Images of one patient stay on one side of every split.
    image_IX : array, float32
    truth_X, other_X : array, uint8
        The true mask, and the one of another rater where there is one.
    """

    name: str
    patient: str
    image_IX: NDArray[np.float32]
    truth_X: NDArray[np.uint8]
    other_X: NDArray[np.uint8] | None


@dataclass
class Split:
    """Training cases with their truth, and test examples.

    Attributes
    ----------
    cases : list of WorkCase
    truth : list of array, uint8
        Of the cases.
    patients : list of str
        Of the cases.
    test : list of Example
    """

    cases: list[WorkCase]
    truth: list[NDArray[np.uint8]]
    patients: list[str]
    test: list[Example]


def load(folder: Path, name: str) -> list[Example]:
    """All examples of a data set, by name."""
    source = SOURCES[name]
    pictures = [(path, np.array(Image.open(path))) for path in sorted((folder / name / "images").iterdir())]
    channels = 3 if any(picture.ndim == 3 for _, picture in pictures) else 1
    return [_example(folder / name, source, path, picture, channels) for path, picture in pictures]


def _example(folder: Path, source: Source, path: Path, picture: NDArray[np.uint8], channels: int) -> Example:
    if picture.ndim == 3:
        picture = picture[..., :3]
    shape = work_shape(picture.shape[:2], source.max_side)
    truth, other = (
        None if masks is None else resize_labels(_binary(folder / masks / f"{path.stem}.png"), shape)
        for masks in (source.masks, source.given)
    )
    assert truth is not None
    return Example(path.stem, path.stem.split("_z")[0], resize_image(normalise(picture, channels), shape), truth, other)


def _binary(path: Path) -> NDArray[np.uint8]:
    mask = np.array(Image.open(path))
    return (mask.reshape(*mask.shape[:2], -1)[..., 0] > 0).astype(np.uint8)


def split(examples: list[Example], noise: str, ratio: float, seed: int) -> Split:
    """Plant errors, verify some patients, and set the test patients aside.

    Parameters
    ----------
    examples : list of Example
    noise : str
        A recipe of ``src_core.data.noise``, or ``rater`` for the other person's masks.
    ratio : float
        Share of the corrupted masks or patients, as the recipe has it.
    seed : int
        Draws the errors and the verified patients.
    """
    patients = sorted({example.patient for example in examples})
    order = np.random.default_rng(TEST_SEED).permutation(patients).tolist()
    aside = set(order[: len(patients) // TEST_SHARE])
    training = np.random.default_rng(seed).permutation(sorted(set(patients) - aside)).tolist()
    verified = set(training[: max(MIN_VERIFIED, round(VERIFIED_SHARE * len(training)))])
    chosen = [example for example in examples if example.patient not in aside]
    cases = [
        _case(number, example, _given(example, noise, ratio, seed), verified=example.patient in verified)
        for number, example in enumerate(chosen)
    ]
    return Split(
        cases,
        [example.truth_X for example in chosen],
        [example.patient for example in chosen],
        [example for example in examples if example.patient in aside],
    )


def _given(example: Example, noise: str, ratio: float, seed: int) -> NDArray[np.uint8]:
    if noise == "rater":
        assert example.other_X is not None
        return example.other_X
    return corrupt(example.truth_X, recipe=noise, ratio=ratio, seed=seed, name=example.name, case=example.patient)


def _case(number: int, example: Example, given: NDArray[np.uint8], *, verified: bool) -> WorkCase:
    kinds = np.full(given.shape, int(Verified.NO), dtype=np.uint8)
    if verified:
        kinds[example.truth_X > 0] = int(Verified.CONFIRMED)
        kinds[example.truth_X == 0] = int(Verified.BACKGROUND)
        kinds[example.truth_X != given] = int(Verified.CORRECTED)
    info = CaseInfo(
        id=number,
        name=example.name,
        shape=given.shape,
        channels=len(example.image_IX),
        spacing=(1.0, 1.0),
        encoding=ENCODING,
    )
    label = example.truth_X if verified else given
    tensors = (torch.from_numpy(np.array(array)) for array in (example.image_IX, label, given, kinds))
    return WorkCase(info, *tensors)
